"""Middleware for every response: trusted proxies, CORS, security headers, rate limit headers."""

from __future__ import annotations

import logging
from urllib.parse import urlsplit, urlunsplit

from flask import Flask, Response, current_app, g, redirect, request
from flask_cors import CORS
from sqlalchemy.exc import SQLAlchemyError
from werkzeug.middleware.proxy_fix import ProxyFix
from werkzeug.routing import RequestRedirect

from assembler_runner.core.database import read_transaction
from assembler_runner.core.settings import Settings
from assembler_runner.requests import quotas
from assembler_runner.services import current_services

log = logging.getLogger(__name__)

_NO_CONTENT_POLICY = "default-src 'none'; frame-ancestors 'none'"
PAGE_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "font-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'"
)
"""The policy of every page, except those that show the API documentation with scripts of others."""

_LIVE_PAGES = "local.live"
_LIMITED = ("space_create", "space_update")


def configure(app: Flask, settings: Settings) -> None:
    """Adds the middleware to an application.

    Args:
        app: the application.
        settings: the settings: number of trusted proxies, allowed origins.
    """
    if settings.TRUSTED_PROXIES:
        number = settings.TRUSTED_PROXIES
        app.wsgi_app = ProxyFix(app.wsgi_app, x_for=number, x_proto=number, x_host=number, x_port=number)  # type: ignore[method-assign]  # Flask's documented place for middleware
    if settings.cors_origins:
        # Pages of Spaces are untrusted content, so CORS is never enabled for them.
        CORS(
            app,
            resources={r"/(?!local/).*": {}},
            origins=settings.cors_origins,
            allow_headers=["Authorization", "Content-Type", "Idempotency-Key", "Last-Event-ID", "X-Request-Id"],
            expose_headers=["Location", "Retry-After", "RateLimit", "RateLimit-Policy", "X-Request-Id"],
            max_age=600,
        )
    app.after_request(_redirect_relatively)
    app.after_request(_allow_own_methods)
    app.after_request(_add_security_headers)
    app.after_request(_add_rate_limits)


def _allow_own_methods(response: Response) -> Response:
    """Names the methods of this route alone: /spaces/command looks like a Space of that id, too."""
    rule = request.url_rule
    if request.method == "OPTIONS" and rule is not None and "Allow" in response.headers:
        same = (each for each in current_app.url_map.iter_rules() if each.rule == rule.rule)
        response.headers["Allow"] = ", ".join(sorted({method for each in same for method in each.methods or ()}))
    return response


def _redirect_relatively(response: Response) -> Response:
    """Keeps the Host of the caller out of redirects to the address with a slash at its end."""
    if not isinstance(request.routing_exception, RequestRedirect):
        return response
    place = urlsplit(request.routing_exception.new_url)
    relative = urlunsplit(("", "", place.path, place.query, ""))
    return current_app.make_response(redirect(relative, response.status_code))


def _add_security_headers(response: Response) -> Response:
    headers = response.headers
    headers.setdefault("X-Content-Type-Options", "nosniff")
    # The page of a static Space embeds it in a frame.
    headers.setdefault("X-Frame-Options", "SAMEORIGIN" if request.endpoint == _LIVE_PAGES else "DENY")
    is_page = response.mimetype == "text/html"
    # With no-referrer, a browser would not name the origin of a form of this page.
    headers.setdefault("Referrer-Policy", "same-origin" if is_page else "no-referrer")
    headers.setdefault("Content-Security-Policy", PAGE_POLICY if is_page else _NO_CONTENT_POLICY)
    if request.path.startswith(("/auth/", "/ui/")):
        # Responses about accounts and tokens must not be cached (RFC 6749, section 5.1), nor pages of a person.
        headers.setdefault("Cache-Control", "no-store")
    if request.is_secure:
        headers.setdefault("Strict-Transport-Security", "max-age=31536000")
    return response


def _add_rate_limits(response: Response) -> Response:
    """Adds headers with the usage of the hourly quotas (draft-ietf-httpapi-ratelimit-headers)."""
    view = current_app.view_functions.get(request.endpoint or "")
    account = g.get("account")
    if account is None or response.status_code >= 500 or getattr(view, "requires", None) not in _LIMITED:
        return response
    try:
        # A read transaction does not wait for writers.
        with read_transaction():
            found = quotas.hourly_usage(current_services().settings, account)
    except SQLAlchemyError as problem:
        # The call has succeeded, so its response must be sent.
        log.warning("the hourly quotas could not be read: %s", type(problem).__name__)
        return response
    if found:
        response.headers["RateLimit-Policy"] = ", ".join(
            f'"{each.scope}";q={each.most};w={quotas.HOUR}' for each in found
        )
        response.headers["RateLimit"] = ", ".join(f'"{each.scope}";r={each.left};t={each.reset}' for each in found)
    return response
