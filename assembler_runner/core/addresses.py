"""The address of this service, as it is shown to callers."""

from __future__ import annotations

from flask import current_app, has_request_context, request


def service_url() -> str:
    """Returns the address of this service without a final slash: by SERVER_NAME, else by the Host of the request."""
    name = current_app.config.get("SERVER_NAME")
    return f"{request.scheme}://{name}{request.root_path}" if name else request.host_url.rstrip("/")


def absolute_url(url: str | None) -> str | None:
    """Returns a URL that works from outside: pages of this service are stored without its address."""
    if url is None or not url.startswith("/") or not has_request_context():
        return url
    return service_url() + url
