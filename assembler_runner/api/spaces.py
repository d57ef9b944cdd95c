"""/spaces: submit, preview, list, one."""

from __future__ import annotations

import base64
import hashlib
import json
from typing import Any

import sqlalchemy as sa
from flask import Response, jsonify, make_response, request

from assembler_runner import spaces
from assembler_runner.api.common import Blueprint, fails, load_partly, read_object, takes
from assembler_runner.auth import current_account
from assembler_runner.errors import Finding, InvalidRequest
from assembler_runner.host import current_host
from assembler_runner.inputs import SpaceInput
from assembler_runner.listing import Listing, read_page
from assembler_runner.models import Space, SpaceRequest, db
from assembler_runner.plugin import SpaceFile
from assembler_runner.schemas import PreviewSchema, RequestSchema, SpaceSchema, list_of

blueprint = Blueprint("spaces", __name__, description="Spaces: submit, preview, look at them.")

SPACES = Listing(
    {
        "id": Space.id,
        "name": Space.name,
        "namespace": Space.namespace,
        "target": Space.target,
        "space_type": Space.space_type,
        "visibility": Space.visibility,
        "state": Space.state,
        "owner_id": Space.owner_id,
        "realm_id": Space.realm_id,
        "created_at": Space.created_at,
        "updated_at": Space.updated_at,
    },
    Space.id,
)
REQUESTS = Listing(
    {
        "id": SpaceRequest.id,
        "space_id": SpaceRequest.space_id,
        "action": SpaceRequest.action,
        "status": SpaceRequest.status,
        "space_type": SpaceRequest.space_type,
        "owner_id": SpaceRequest.owner_id,
        "tree_digest": SpaceRequest.tree_digest,
        "attempts": SpaceRequest.attempts,
        "created_at": SpaceRequest.created_at,
        "updated_at": SpaceRequest.updated_at,
        "started_at": SpaceRequest.started_at,
        "finished_at": SpaceRequest.finished_at,
    },
    SpaceRequest.id,
)

_input = SpaceInput()
_space = SpaceSchema()
_KEY_LENGTH = 255


@blueprint.post("/spaces")
@blueprint.needs("space_create")
@blueprint.doc(
    **takes(SpaceInput),
    parameters=[
        {
            "in": "header",
            "name": "Idempotency-Key",
            "schema": {"type": "string", "minLength": 1, "maxLength": _KEY_LENGTH},
            "description": "The same key and body give the same answer and one Space.",
        }
    ],
)
@blueprint.doc(**fails(400, 409, 422))
@blueprint.response(
    202, SpaceSchema, headers={"Location": {"schema": {"type": "string"}, "description": "The request."}}
)
def submit_space() -> Response:
    """Submit a Space request

    The request is stored and published by a worker; follow it at the address in Location.
    """
    body = read_object()
    host, account = current_host(), current_account()
    data, findings = load_partly(_input, body)
    idempotency = _idempotency(body)
    prepared = spaces.prepare(host, account, data, findings)
    answer = spaces.submit(host, account, prepared, _space.dump, idempotency)
    response: Response = make_response(jsonify(answer), 202)
    response.headers["Location"] = f"/requests/{answer['latest_request']['id']}"
    return response


@blueprint.post("/spaces/preview")
@blueprint.needs("space_create")
@blueprint.doc(
    **takes(SpaceInput),
    parameters=[{"in": "query", "name": "content", "schema": {"type": "boolean"}, "description": "Contents, too."}],
)
@blueprint.doc(**fails(400, 422))
@blueprint.response(200, PreviewSchema)
def preview_space() -> dict[str, Any]:
    """Preview a Space

    Takes the same body as POST /spaces and shows the tree it would publish; nothing is stored or published.
    """
    data, findings = load_partly(_input, read_object())
    assembly = spaces.prepare(current_host(), current_account(), data, findings).assembly
    with_content = request.args.get("content", "").lower() in ("1", "true", "yes")
    return {
        "files": [_preview_file(file, with_content) for file in assembly.tree.values()],
        "findings": assembly.findings,
        "tree_digest": assembly.tree.digest,
    }


@blueprint.get("/spaces")
@blueprint.needs("space_read")
@blueprint.doc(**fails(400))
@blueprint.response(200, list_of(SpaceSchema))
def list_spaces() -> dict[str, Any]:
    """List Spaces

    `filter[name]=~gree`, `sort=-created_at`, `page[limit]=50&page[offset]=0`.
    """
    query = sa.select(Space).where(current_account().visible(Space.realm_id))
    page = read_page(db.session(), query, SPACES, request.args)
    return {"data": page.rows, "meta": page.meta()}


@blueprint.get("/spaces/<space_id>")
@blueprint.needs("space_read")
@blueprint.doc(**fails(404))
@blueprint.response(200, SpaceSchema)
def get_space(space_id: str) -> Space:
    """Get one Space"""
    return spaces.find_space(current_account(), space_id)


@blueprint.get("/spaces/<space_id>/requests")
@blueprint.needs("space_read")
@blueprint.doc(**fails(400, 404))
@blueprint.response(200, list_of(RequestSchema))
def list_space_requests(space_id: str) -> dict[str, Any]:
    """List the requests of a Space"""
    space = spaces.find_space(current_account(), space_id)
    query = sa.select(SpaceRequest).where(SpaceRequest.space_id == space.id)
    page = read_page(db.session(), query, REQUESTS, request.args)
    return {"data": page.rows, "meta": page.meta()}


def _idempotency(body: dict[str, Any]) -> spaces.Idempotency | None:
    key = request.headers.get("Idempotency-Key")
    if key is None:
        return None
    if not key.strip() or len(key) > _KEY_LENGTH:
        message = f"The header Idempotency-Key must have 1 to {_KEY_LENGTH} characters."
        raise InvalidRequest(issues=[Finding("invalid_idempotency_key", message, path="Idempotency-Key")])
    canonical = json.dumps(body, sort_keys=True, separators=(",", ":"))
    return spaces.Idempotency(key, hashlib.sha256(canonical.encode()).hexdigest())


def _preview_file(file: SpaceFile, with_content: bool) -> dict[str, Any]:
    shown: dict[str, Any] = {"path": file.path, "size": file.size, "sha256": file.sha256, "origin": file.origin}
    if with_content:
        try:
            shown |= {"content": file.content.decode("utf-8"), "encoding": "utf-8"}
        except UnicodeDecodeError:
            shown |= {"content": base64.b64encode(file.content).decode(), "encoding": "base64"}
    return shown
