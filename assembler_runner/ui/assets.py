"""Scripts of the API documentation pages, served from installed packages: no page asks an outside address."""

from __future__ import annotations

import importlib.util
from pathlib import Path

from flask import Blueprint, Response, send_file

from assembler_runner.auth import public
from assembler_runner.errors import NotFound

blueprint = Blueprint("assets", __name__)

_FILES = {
    "redoc": {"redoc.standalone.js": ("flask_openapi3_redoc", "templates/redoc/js/redoc.standalone.js")},
    "rapidoc": {"rapidoc-min.js": ("flask_openapi3_rapidoc", "templates/rapidoc/js/rapidoc-min.js")},
    "swagger": {
        "swagger-ui.css": ("flask_openapi3_swagger", "templates/swagger/css/swagger-ui.css"),
        "swagger-ui-bundle.js": ("flask_openapi3_swagger", "templates/swagger/js/swagger-ui-bundle.js"),
        "swagger-ui-standalone-preset.js": (
            "flask_openapi3_swagger",
            "templates/swagger/js/swagger-ui-standalone-preset.js",
        ),
    },
}


def asset_url(name: str) -> str:
    """Returns the address of a page's script; of several files the folder they lie in.

    Args:
        name: `redoc`, `rapidoc` or `swagger`.
    """
    files = _FILES[name]
    return f"/assets/{name}/" + (next(iter(files)) if len(files) == 1 else "")


@blueprint.get("/assets/<name>/<file>")
@public
def asset(name: str, file: str) -> Response:
    """Serves one file."""
    try:
        package, path = _FILES[name][file]
    except KeyError:
        raise NotFound from None
    spec = importlib.util.find_spec(package)
    if spec is None or spec.origin is None:
        raise NotFound(f"The package {package} is not installed.")
    return send_file(Path(spec.origin).parent / path, max_age=3600)
