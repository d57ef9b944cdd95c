"""The HTTP API: thin views over the service layer, one file per resource."""

from __future__ import annotations

from functools import partial
from typing import Any

from apispec import APISpec
from flask import Flask

from assembler_runner import __version__
from assembler_runner.api import (
    accounts,
    apps,
    buckets,
    changes,
    create_space,
    diagnoses,
    events,
    git_credentials,
    health,
    hub_credentials,
    logs,
    metrics,
    personal_tokens,
    requests,
    spaces,
    tokens,
    types,
    webhooks,
)
from assembler_runner.api.http.error_handlers import register_error_handlers
from assembler_runner.api.http.examples import add_examples
from assembler_runner.api.http.openapi import DocumentedApi
from assembler_runner.services import EXTENSION

TITLE = "Assembler"


def register(app: Flask) -> DocumentedApi:
    """Adds the API, its OpenAPI document and the error handlers to an application."""
    app.config.update(
        API_TITLE=TITLE,
        API_VERSION=__version__,
        OPENAPI_VERSION="3.1.0",
        OPENAPI_URL_PREFIX="/",
        OPENAPI_JSON_PATH="api-spec.json",
        API_SPEC_OPTIONS=_spec_options(),
    )
    api = DocumentedApi(app)
    for module in (
        spaces,
        changes,
        requests,
        events,
        logs,
        apps,
        webhooks,
        types,
        diagnoses,
        buckets,
        tokens,
        personal_tokens,
        accounts,
        hub_credentials,
        git_credentials,
        create_space,
        health,
        metrics,
    ):
        api.mount(module.blueprint)
    api.describe(partial(_describe_space_input, app))
    api.describe(add_examples)
    register_error_handlers(app)
    return api


def _describe_space_input(app: Flask, spec: APISpec) -> None:
    # Not as `anyOf`: generators of clients would lose all fields.
    body = spec.components.schemas["SpaceInput"]
    body["description"] = f"One of files, template, git, copy_of and archive is required. {_limits(app)}"


def _limits(app: Flask) -> str:
    """Returns the limits of this service, for the documentation of a Space request."""
    settings = app.extensions[EXTENSION].settings
    return (
        f"Limits: {settings.MAX_JSON_BYTES} bytes of JSON, {settings.MAX_REQUEST_BYTES} bytes per request, "
        f"{settings.MAX_FILE_BYTES} bytes per file, {settings.MAX_FILES} files with {settings.MAX_SPACE_BYTES} bytes "
        f"in total, paths of {settings.MAX_PATH_BYTES} bytes and {settings.MAX_PATH_DEPTH} parts. An archive may "
        "unpack to "
        f"{settings.MAX_ARCHIVE_BYTES} bytes, {settings.MAX_ARCHIVE_ENTRIES} entries and {settings.MAX_ARCHIVE_RATIO} "
        f"times its size within {settings.MAX_ARCHIVE_SECONDS:g} seconds."
    )


def _spec_options() -> dict[str, Any]:
    return {
        "info": {
            "description": "Send files, parameters and a space_type; get a running app on the Hub, "
            "with accurate status throughout.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "components": {"securitySchemes": {"bearer": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"}}},
        "security": [{"bearer": []}],
        "servers": [{"url": "/"}],
    }
