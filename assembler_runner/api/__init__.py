"""The HTTP API: thin views over the service layer, one file a resource."""

from __future__ import annotations

from typing import Any

from flask import Flask
from flask_smorest import Api

from assembler_runner import __version__
from assembler_runner.api import accounts, forerunner, health, hub_credentials, pages, requests, spaces, tokens, types
from assembler_runner.api.common import register_error_handlers
from assembler_runner.schemas import ErrorSchema

TITLE = "Assembler"


class _Api(Api):
    ERROR_SCHEMA = ErrorSchema


def register(app: Flask) -> Api:
    """Adds the API, its OpenAPI document and the error handler to an application."""
    app.config.update(
        API_TITLE=TITLE,
        API_VERSION=__version__,
        OPENAPI_VERSION="3.1.0",
        OPENAPI_URL_PREFIX="/",
        OPENAPI_JSON_PATH="api-spec.json",
        API_SPEC_OPTIONS=_spec_options(),
    )
    api = _Api(app)
    for module in (spaces, requests, types, tokens, accounts, hub_credentials, forerunner, health):
        api.register_blueprint(module.blueprint)
    app.register_blueprint(pages.blueprint)
    # Which of two fields is required cannot be said on a field.
    body = api.spec.components.schemas["SpaceInput"]
    body["anyOf"] = [{"required": ["files"]}, {"required": ["template"]}]
    register_error_handlers(app)
    return api


def _spec_options() -> dict[str, Any]:
    return {
        "info": {
            "description": "Send files, parameters and a space_type; get a running app on the Hub, "
            "and the truth about it all the way.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "components": {"securitySchemes": {"bearer": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"}}},
        "security": [{"bearer": []}],
        "servers": [{"url": "/"}],
    }
