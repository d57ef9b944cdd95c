"""Scripts of the API documentation pages, served from installed packages: no page loads resources from other hosts."""

from __future__ import annotations

import importlib.util
from functools import cache
from pathlib import Path

from flask import Blueprint, Response, request

from assembler_runner.accounts.auth import public
from assembler_runner.core.errors import NotFound

blueprint = Blueprint("assets", __name__)

_FILES = {
    "redoc/redoc.standalone.js": ("flask_openapi3_redoc", "templates/redoc/js/redoc.standalone.js"),
    "rapidoc/rapidoc-min.js": ("flask_openapi3_rapidoc", "templates/rapidoc/js/rapidoc-min.js"),
    "swagger/swagger-ui.css": ("flask_openapi3_swagger", "templates/swagger/css/swagger-ui.css"),
    "swagger/swagger-ui-bundle.js": ("flask_openapi3_swagger", "templates/swagger/js/swagger-ui-bundle.js"),
}
_TYPES = {".js": "text/javascript", ".css": "text/css"}

# Redoc loads a logo from another host and has no option to disable it; an empty data: URL hides the image.
_OUTSIDE_LOGO = b"https://cdn.redoc.ly/redoc/logo-mini.svg"


@blueprint.get("/assets/<name>/<file>")
@public
def asset(name: str, file: str) -> Response:
    """Serves a file."""
    response = Response(content(f"{name}/{file}"), mimetype=_TYPES[Path(file).suffix])
    response.headers["Cache-Control"] = "max-age=3600"
    response.add_etag()
    response.make_conditional(request)
    return response


@cache
def content(name: str) -> bytes:
    """Returns the content of a file.

    Args:
        name: the path of the file below /assets.
    Raises:
        NotFound: the file does not exist, or its package is not installed.
    """
    if name not in _FILES:
        raise NotFound
    package, path = _FILES[name]
    spec = importlib.util.find_spec(package)
    if spec is None or spec.origin is None:
        raise NotFound(f"The package {package} is not installed.")
    return (Path(spec.origin).parent / path).read_bytes().replace(_OUTSIDE_LOGO, b"data:,")
