"""The simple API: POST /create-space and GET /docs, stable for existing clients."""

from __future__ import annotations

import json
import time
from typing import Any

import sqlalchemy as sa
from flask import Response, jsonify, render_template, request

from assembler_runner.accounts.auth import current_account
from assembler_runner.api.http.accepts import wants_page
from assembler_runner.api.http.blueprint import Blueprint, fails, takes
from assembler_runner.api.http.error_handlers import answer_error, error_body
from assembler_runner.api.http.json_body import NoBody
from assembler_runner.api.http.json_stream import read_light
from assembler_runner.api.http.markdown import as_html
from assembler_runner.api.schemas.base import CreateSpaceErrorSchema
from assembler_runner.api.schemas.space_input import SpaceInput
from assembler_runner.api.schemas.spaces import CreateSpaceSchema, SpaceSchema
from assembler_runner.api.types import describe
from assembler_runner.api.uploads import SPACE_FORM, SpaceBody, space_body
from assembler_runner.core.addresses import absolute_url, service_url
from assembler_runner.core.commit_signals import endings
from assembler_runner.core.database import db
from assembler_runner.core.errors import AssemblerError, InvalidJson
from assembler_runner.files.content import Spool
from assembler_runner.requests import prepare, submit
from assembler_runner.services import current_services
from assembler_runner.spaces.models import FINISHED, Space, SpaceRequest

blueprint = Blueprint("create-space", __name__, description="The simple API: one call creates one Space.")

FIRST_TYPES = ("gradio", "static", "docker", "streamlit")
NOTE = "It may take a few minutes to build and deploy."

_LANGUAGE = {
    "in": "header",
    "name": "Accept-Language",
    "schema": {"type": "string"},
    "description": "Language of messages, such as de.",
}

_input = SpaceInput()
_space = SpaceSchema()


@blueprint.post("/create-space")
@blueprint.needs("space_create")
@blueprint.doc(**takes(SpaceInput, SPACE_FORM), parameters=[_LANGUAGE])
@blueprint.doc(**fails(400, 409, 413, 422, 429, 502, 503, schema=CreateSpaceErrorSchema))
@blueprint.alt_response(202, schema=CreateSpaceSchema, description="Accepted, but not published yet")
@blueprint.response(200, CreateSpaceSchema)
def create_space() -> Response:
    """Create a Space and wait until it is published

    Accepts every field of POST /spaces. If publishing takes longer than the service waits, the response is 202 with a
    status_url.
    """
    try:
        with space_body(_input, _read_body) as body:
            _refuse(body.raw)
            space_id, request_id = _submit(body)
        return _wait(space_id, request_id)
    except AssemblerError as problem:
        return _error(problem)


@blueprint.get("/docs")
@blueprint.open()
@blueprint.doc(
    responses={"200": {"description": "Markdown", "content": {"text/plain": {"schema": {"type": "string"}}}}},
)
def docs() -> Response:
    """Read how to use the API

    Markdown, generated from the running service; a browser gets a page.
    """
    types = sorted(
        (describe(plugin) for plugin in current_services().registry.types()), key=lambda shown: _order(shown["name"])
    )
    text = render_template(
        "docs.md",
        base=service_url(),
        types=types,
        names=_type_names(),
        fields=_fields(),
        wait=current_services().settings.CREATE_SPACE_WAIT,
        note=NOTE,
        dumps=json.dumps,
    )
    if wants_page():
        page = Response(render_template("docs.html", text=as_html(text)))
        page.vary.add("Accept")
        return page
    markdown = "text/markdown" in request.accept_mimetypes.values()
    return Response(text, mimetype="text/markdown" if markdown else "text/plain")


def _read_body(strings: Spool) -> dict[str, Any]:
    try:
        body = read_light(strings)
    except NoBody:
        raise InvalidJson("No JSON data provided") from None
    except InvalidJson as problem:
        raise InvalidJson("Invalid JSON format", hint=f"{problem.message} {problem.hint}") from None
    _refuse(body)
    return dict(body)


def _refuse(body: Any) -> None:
    """Rejects bodies with the messages that existing clients of this endpoint rely on."""
    if not body:
        raise InvalidJson("No JSON data provided")
    if not isinstance(body, dict):
        raise InvalidJson("Invalid JSON format", hint="Send a JSON object.")
    space_type = body.get("space_type", FIRST_TYPES[0])
    if not isinstance(space_type, str) or current_services().registry.get(space_type) is None:
        raise _BadRequest(f"Invalid space_type. Must be one of {_type_names()}", hint="Use one of these names.")
    if not body.get("files") and not {"template", "archive"} & body.keys():
        raise _BadRequest("No files provided in JSON", hint='Put at least one file into files, e.g. {"app.py": "…"}.')


class _BadRequest(AssemblerError):
    status = 400
    code = "invalid_request"


class _Failed(AssemblerError):
    """The request was accepted and failed; status, code and message are those of the request's own error."""

    def __init__(self, status: int, error: dict[str, Any]) -> None:
        self.status = status  # type: ignore[misc]  # as the request's error has it
        self.code = error["code"]  # type: ignore[misc]  # likewise
        super().__init__(error["message"], hint=error["hint"])


def _submit(body: SpaceBody) -> tuple[str, str]:
    services, account = current_services(), current_account()
    prepared = prepare.prepare(services, account, body.fields)
    answer = submit.submit(services, account, prepared, _space.dump)
    return answer["id"], answer["latest_request"]["id"]


def _wait(space_id: str, request_id: str) -> Response:
    deadline = time.monotonic() + current_services().settings.CREATE_SPACE_WAIT
    seen = 0
    while True:
        status = db.session.scalar(sa.select(SpaceRequest.status).where(SpaceRequest.id == request_id))
        db.session.rollback()
        left = deadline - time.monotonic()
        if status in FINISHED or left <= 0:
            break
        seen = endings.wait(seen, left)
    return _answer(space_id, request_id)


def _answer(space_id: str, request_id: str) -> Response:
    space, asked = db.session.get_one(Space, space_id), db.session.get_one(SpaceRequest, request_id)
    body = {
        "message": "New Space created",
        "url": absolute_url(space.url),
        "note": NOTE,
        "id": space.id,
        "request_id": asked.id,
        "findings": asked.findings or [],
    }
    if asked.status == "succeeded":
        return jsonify(body)
    if asked.status == "failed":
        return _error(_Failed(_status_of(asked.error["code"]), asked.error), id=space.id, request_id=asked.id)
    if asked.status == "cancelled":
        error = {"code": "cancelled", "message": "The request was cancelled.", "hint": None}
        return _error(_Failed(409, error), id=space.id, request_id=asked.id)
    status_url = absolute_url(f"/requests/{asked.id}")
    response = jsonify({**body, "message": "New Space accepted, but not published yet", "status_url": status_url})
    response.status_code = 202
    return response


def _status_of(code: str) -> int:
    # Errors that only workers raise are not imported in the API.
    import assembler_runner.publishing.actions.verify  # noqa: F401 - defines such errors

    return next((cls.status for cls in _all_errors(AssemblerError) if cls.code == code), AssemblerError.status)


def _all_errors(cls: type[AssemblerError]) -> list[type[AssemblerError]]:
    return [cls, *(found for child in cls.__subclasses__() for found in _all_errors(child))]


def _error(problem: AssemblerError, **more: Any) -> Response:
    # Status and headers as for all errors; only the body has an additional field.
    response, body = answer_error(problem), error_body(problem)
    response.set_data(jsonify({"error": body["message"], **body, **more}).get_data())
    return response


def _type_names() -> list[str]:
    return sorted((plugin.space_type for plugin in current_services().registry.types()), key=_order)


def _order(name: str) -> tuple[int, str]:
    return (FIRST_TYPES.index(name) if name in FIRST_TYPES else len(FIRST_TYPES), name)


def _fields() -> list[dict[str, Any]]:
    kinds = {
        "String": "String",
        "Files": "Object",
        "Archive": "Object",
        "JsonObject": "Object",
        "Dict": "Object",
        "Integer": "Integer",
        "List": "List",
    }
    return [
        {
            "name": name,
            "type": kinds.get(type(field).__name__, type(field).__name__),
            "required": "Yes" if field.required else "No",
            "description": field.metadata.get("description", ""),
        }
        for name, field in _input.fields.items()
    ]
