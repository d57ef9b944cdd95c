"""/spaces: submit, preview, list, one."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable
from typing import Any

import sqlalchemy as sa
from flask import Response, jsonify, make_response, request
from werkzeug.datastructures import MultiDict

from assembler_runner.accounts.auth import current_account
from assembler_runner.api.event_stream import PARAMETERS, Scope, answer_events
from assembler_runner.api.http.blueprint import Blueprint, fails, takes
from assembler_runner.api.http.download import attachment, in_context
from assembler_runner.api.schemas.base import list_of
from assembler_runner.api.schemas.space_input import SpaceInput
from assembler_runner.api.schemas.spaces import EventSchema, PreviewSchema, RequestSchema, SpaceSchema
from assembler_runner.api.uploads import SPACE_FORM, space_body
from assembler_runner.core.database import db, write_transaction
from assembler_runner.core.errors import Finding, InvalidRequest, NotFound
from assembler_runner.core.listing import InvalidQuery, read_page
from assembler_runner.files.content import pieces_of
from assembler_runner.files.tree import SpaceFile, Tree
from assembler_runner.requests import prepare, queries, releases, submit
from assembler_runner.requests.idempotency import Idempotency, known_answer
from assembler_runner.requests.queries import read_requests, read_spaces
from assembler_runner.runtime import probe
from assembler_runner.services import current_services
from assembler_runner.spaces.models import Space, SpaceRequest

blueprint = Blueprint("spaces", __name__, description="Spaces: submit, preview, read.")

_input = SpaceInput()
_space = SpaceSchema()
_short = SpaceSchema(only=("id", "name", "url", "space_type", "state", "labels", "updated_at"))
_KEY_LENGTH = 255
_SHOWN_BYTES = 8 * 2**20


@blueprint.post("/spaces")
@blueprint.needs("space_create")
@blueprint.doc(
    **takes(SpaceInput, SPACE_FORM),
    parameters=[
        {
            "in": "header",
            "name": "Idempotency-Key",
            "schema": {"type": "string", "minLength": 1, "maxLength": _KEY_LENGTH},
            "description": "Repeating a call with the same key and body returns the first response and creates no "
            "second Space.",
        }
    ],
)
@blueprint.doc(**fails(400, 409, 413, 422, 429, 502, 503))
@blueprint.response(
    202, SpaceSchema, headers={"Location": {"schema": {"type": "string"}, "description": "The request."}}
)
def submit_space() -> Response:
    """Submit a Space request

    The request is stored and published by a worker; poll the URL in Location for its status. As a form: a part `body`
    with the JSON, a part with a file name for each file, or a part `archive` with a zip, tar, tar.gz or tar.zst file.
    """
    services, account = current_services(), current_account()
    with space_body(_input) as body:
        idempotency = idempotency_of(body.canonical)
        answer = known_answer(account, idempotency) if idempotency else None
        if answer is None:
            prepared = prepare.prepare(services, account, body.fields)
            answer = submit.submit(services, account, prepared, _space.dump, idempotency)
    response: Response = make_response(jsonify(answer), 202)
    response.headers["Location"] = f"/requests/{answer['latest_request']['id']}"
    return response


@blueprint.post("/spaces/preview")
@blueprint.needs("space_create")
@blueprint.doc(
    **takes(SpaceInput, SPACE_FORM),
    parameters=[
        {
            "in": "query",
            "name": "content",
            "schema": {"type": "boolean"},
            "description": "Include file contents, up to 8 MiB in total; content beyond that is null.",
        }
    ],
)
@blueprint.doc(**fails(400, 413, 422, 429, 502))
@blueprint.response(200, PreviewSchema)
def preview_space() -> dict[str, Any]:
    """Preview a Space

    Takes the same body as POST /spaces and shows the tree it would publish; nothing is stored or published.
    """
    with space_body(_input) as body:
        assembly = prepare.prepare(current_services(), current_account(), body.fields).assembly
        shown, source = preview_files(assembly.tree), body.fields.data.get("git")
    return {"files": shown, "findings": assembly.findings, "tree_digest": assembly.tree.digest, "git": source}


@blueprint.get("/spaces")
@blueprint.needs("space_read")
@blueprint.doc(
    parameters=[
        {
            "in": "query",
            "name": "view",
            "schema": {"type": "string", "enum": ["full", "short"], "default": "full"},
            "description": "Which fields to return.",
        }
    ],
    **fails(400),
)
@blueprint.lists(queries.SPACES)
@blueprint.response(200, list_of(SpaceSchema))
def list_spaces() -> Response:
    """List Spaces

    `filter[name]=~gree`, `sort=-created_at`, `page[limit]=50&page[offset]=0`. With `view=short` only id, name, url,
    space_type, state, labels and updated_at.
    """
    query = sa.select(Space).where(current_account().visible(Space.realm_id))
    arguments = MultiDict(request.args)
    if not _is_short(arguments.pop("view", None)):
        page = read_spaces(db.session(), query, arguments)
        return jsonify({"data": _space.dump(page.rows, many=True), "meta": page.meta()})
    page = read_page(db.session(), query, queries.SPACES, arguments)
    return jsonify({"data": _short.dump(page.rows, many=True), "meta": page.meta()})


def _is_short(view: str | None) -> bool:
    if view not in (None, "full", "short"):
        hint = "Use full or short."
        raise InvalidQuery(issues=[Finding("invalid_query", "There is no such view.", path="view", hint=hint)])
    return view == "short"


@blueprint.get("/spaces/<space_id>/files/<path:path>")
@blueprint.needs("space_read")
@blueprint.doc(responses={"200": {"description": "The content", "content": {"application/octet-stream": {}}}})
@blueprint.doc(**fails(404, 409))
def stream_space_file(space_id: str, path: str) -> Response:
    """Download a file of the newest published release"""
    space = queries.find_space(current_account(), space_id)
    release = releases.newest_release(space, published=True)
    row = next((row for row in release.files if row.path == path), None)
    if row is None:
        raise NotFound("The newest release of this Space has no such file.", hint="GET /spaces/{id} lists its files.")
    name, digest, size = path.rpartition("/")[2], row.sha256, row.size
    db.session.rollback()
    file = current_services().files.open(digest)
    response = attachment(in_context(pieces_of(file)), name, "application/octet-stream")
    response.call_on_close(file.close)
    response.headers["Content-Length"] = str(size)
    response.headers["ETag"] = f'"{digest}"'
    return response


@blueprint.get("/spaces/<space_id>")
@blueprint.needs("space_read")
@blueprint.doc(
    parameters=[
        {
            "in": "query",
            "name": "refresh",
            "schema": {"type": "boolean"},
            "description": "Probe the app on its target first.",
        }
    ],
    **fails(404, 429, 502, 503),
)
@blueprint.response(200, SpaceSchema)
def get_space(space_id: str) -> Response:
    """Get one Space

    The header ETag contains the live commit, for If-Match. The state of the app was probed at `state_checked_at`; with
    `refresh` the target is probed now.
    """
    space = queries.find_space(current_account(), space_id)
    if request.args.get("refresh", "").lower() in ("1", "true", "yes"):
        db.session.rollback()
        with write_transaction():
            probe.refresh(current_services(), space_id)
        space = queries.find_space(current_account(), space_id)
    response: Response = jsonify(_space.dump(space))
    if space.commit_oid is not None:
        response.set_etag(space.commit_oid)
    return response


@blueprint.get("/spaces/<space_id>/requests")
@blueprint.needs("space_read")
@blueprint.doc(**fails(400, 404))
@blueprint.lists(queries.REQUESTS)
@blueprint.response(200, list_of(RequestSchema))
def list_space_requests(space_id: str) -> dict[str, Any]:
    """List the requests of a Space"""
    space = queries.find_space(current_account(), space_id)
    query = sa.select(SpaceRequest).where(SpaceRequest.space_id == space.id)
    page = read_requests(db.session(), query, request.args)
    return {"data": page.rows, "meta": page.meta()}


@blueprint.get("/spaces/<space_id>/events")
@blueprint.needs("space_read")
@blueprint.doc(parameters=PARAMETERS, **fails(400, 404, 503))
@blueprint.response(200, list_of(EventSchema))
def list_space_events(space_id: str) -> Any:
    """List the events of a Space, including those of its requests

    With `Accept: text/event-stream` events are streamed live until the Space is deleted; `Last-Event-ID` resumes a
    stream. With `wait` the call returns as soon as there is an event.
    """
    queries.find_space(current_account(), space_id)

    def ended() -> bool:
        return db.session.scalar(sa.select(Space.state).where(Space.id == space_id)) in (None, "deleted")

    return answer_events(Scope(current_account(), space_id, ended=ended))


def idempotency_of(canonical: Callable[[], str]) -> Idempotency | None:
    """Reads the header Idempotency-Key.

    Args:
        canonical: returns the canonical text of the call, which must be equal for equal keys.
    Returns:
        The key and the digest of the call; None without the header.
    Raises:
        InvalidRequest: the key is empty or too long.
    """
    key = request.headers.get("Idempotency-Key")
    if key is None:
        return None
    if not key.strip() or len(key) > _KEY_LENGTH:
        message = f"The header Idempotency-Key must have 1 to {_KEY_LENGTH} characters."
        raise InvalidRequest(issues=[Finding("invalid_idempotency_key", message, path="Idempotency-Key")])
    return Idempotency(key, hashlib.sha256(canonical().encode()).hexdigest())


def preview_files(tree: Tree) -> list[dict[str, Any]]:
    """Returns files as a preview shows them, with their contents if requested, up to a total size."""
    left = _SHOWN_BYTES if request.args.get("content", "").lower() in ("1", "true", "yes") else None
    shown = []
    for file in tree.values():
        shown.append(_preview_file(file, left))
        left = None if left is None else max(0, left - file.size)
    return shown


def _preview_file(file: SpaceFile, left: int | None) -> dict[str, Any]:
    """Returns one file of a preview; its content is None beyond `left` bytes; without `left` it is omitted."""
    shown: dict[str, Any] = {"path": file.path, "size": file.size, "sha256": file.sha256, "origin": file.origin}
    if left is None:
        return shown
    if file.size > left:
        return shown | {"content": None, "encoding": None}
    with file.open() as opened:
        content = opened.read()
    try:
        return shown | {"content": content.decode("utf-8"), "encoding": "utf-8"}
    except UnicodeDecodeError:
        return shown | {"content": base64.b64encode(content).decode(), "encoding": "base64"}
