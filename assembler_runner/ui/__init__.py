"""The web pages of the service, their templates and their stylesheet."""

import json
from pathlib import Path

from flask import Blueprint, Response, render_template

from assembler_runner.core.addresses import service_url

__all__ = ["ui"]

ui = Blueprint("ui", __name__, static_folder="static", static_url_path="/assets/ui", template_folder="templates")

ui.add_app_template_global(service_url)

# The three scripts need inline styles, images from data: and blob: URLs, and a worker for the search index of Redoc.
_DOCUMENTATION_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; "
    "font-src 'self' data:; connect-src 'self'; worker-src blob:; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'"
)


@ui.get("/redoc")
def redoc() -> Response:
    """Shows the OpenAPI document with Redoc."""
    return _documentation("api_redoc.html")


@ui.get("/rapidoc")
def rapidoc() -> Response:
    """Shows the OpenAPI document with RapiDoc."""
    return _documentation("api_rapidoc.html")


@ui.get("/swagger-ui")
def swagger_ui() -> Response:
    """Shows the OpenAPI document with Swagger UI."""
    return _documentation("api_swagger_ui.html")


@ui.get("/licenses")
def licenses() -> str:
    """Shows the packages that the service uses and their licences."""
    rows = json.loads(Path(__file__).with_name("licenses.json").read_text(encoding="utf-8"))
    return render_template("licenses.html", rows=rows)


def _documentation(template: str) -> Response:
    response = Response(render_template(template))
    response.headers["Content-Security-Policy"] = _DOCUMENTATION_POLICY
    return response
