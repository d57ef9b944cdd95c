"""/spaces/{id}: update, preview of an update, delete, commands; /spaces/command: bulk commands."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from flask import Response, jsonify, make_response, request

from assembler_runner.accounts.auth import current_account
from assembler_runner.api.http.blueprint import Blueprint, fails, takes
from assembler_runner.api.http.json_body import load, read_object
from assembler_runner.api.schemas.adopt_input import AdoptInput
from assembler_runner.api.schemas.change_input import BulkInput, SpaceCommandInput, UpdateInput
from assembler_runner.api.schemas.fixes import FixPreviewSchema
from assembler_runner.api.schemas.spaces import BulkSchema, ChangePreviewSchema, RequestSchema, SpaceSchema
from assembler_runner.api.spaces import idempotency_of, preview_files
from assembler_runner.api.uploads import SPACE_FORM, space_body
from assembler_runner.core.errors import Finding, InvalidRequest
from assembler_runner.core.validation import Fields
from assembler_runner.requests import adopt, bulk, commands, diff, fix, idempotency, move, queries, update
from assembler_runner.requests.commands import Caller
from assembler_runner.requests.releases import newest_release
from assembler_runner.services import Services, current_services
from assembler_runner.spaces.models import Space, SpaceRequest
from assembler_runner.webhooks import webhooks

blueprint = Blueprint("changes", __name__, description="Changing Spaces.")

_update, _space, _request = UpdateInput(), SpaceSchema(), RequestSchema()
_if_match = {
    "in": "header",
    "name": "If-Match",
    "schema": {"type": "string"},
    "description": "The ETag of the Space; if its live commit differs, the response is 412.",
}
_key = {
    "in": "header",
    "name": "Idempotency-Key",
    "schema": {"type": "string", "minLength": 1, "maxLength": 255},
    "description": "Repeating a call with the same key and body returns the first response and creates no second "
    "request.",
}
_location = {"Location": {"schema": {"type": "string"}, "description": "The request."}}


@blueprint.post("/spaces/command")
@blueprint.needs("space_update")
@blueprint.doc(**takes(BulkInput))
@blueprint.doc(**fails(400, 403, 422))
@blueprint.response(202, BulkSchema)
def command_spaces() -> dict[str, Any]:
    """Run a command for many Spaces

    The command applies to every Space of the realm that matches the filter; `dry_run` only lists these Spaces. rollback
    restores the release before the current one of each; update changes labels and expiry.
    """
    schema = BulkInput()
    wanted = load(schema, read_object())
    return bulk.command(
        current_services(),
        current_account(),
        wanted["command"],
        wanted["filter"],
        dry_run=bool(wanted["dry_run"]),
        changes=schema.changes(wanted),
    )


@blueprint.post("/spaces/adopt")
@blueprint.needs("space_create")
@blueprint.doc(**takes(AdoptInput))
@blueprint.doc(**fails(400, 404, 409, 422, 429, 502, 503))
@blueprint.response(201, SpaceSchema, headers={"Location": {"schema": {"type": "string"}, "description": "The Space."}})
def adopt_space() -> Response:
    """Adopt a Space that exists on a target

    The Space is managed from now on: its files, read from the target, are its first release, and its state is followed.
    Nothing is changed on the target. The token of the realm must be able to write to the Space.
    """
    space = adopt.adopt(current_services(), current_account(), load(AdoptInput(), read_object()))
    response: Response = make_response(jsonify(_space.dump(space)), 201)
    response.headers["Location"] = f"/spaces/{space.id}"
    return response


@blueprint.post("/spaces/<space_id>")
@blueprint.needs("space_update")
@blueprint.doc(**takes(UpdateInput, SPACE_FORM), parameters=[_if_match, _key])
@blueprint.doc(**fails(400, 404, 409, 412, 413, 422, 429, 502))
@blueprint.response(202, SpaceSchema, headers=_location)
def update_space(space_id: str) -> Response:
    """Update a Space

    New files, parameters, options or settings, published in one commit. Fields that are left out do not change. Changes
    of only labels, expires_at and on_failure apply at once, without a request.
    """
    space = queries.find_space(current_account(), space_id)
    with space_body(_update, space=space) as body:
        caller = _caller(body.canonical)
        answer = _known(caller)
        if answer is None:
            answer = update.update(current_services(), caller, space, body.fields, _render_space)
    return _accepted(answer, answer["latest_request"]["id"])


@blueprint.post("/spaces/<space_id>/preview")
@blueprint.needs("space_update")
@blueprint.doc(
    **takes(UpdateInput, SPACE_FORM),
    parameters=[
        _if_match,
        {"in": "query", "name": "content", "schema": {"type": "boolean"}, "description": "Include contents."},
    ],
)
@blueprint.doc(**fails(400, 404, 409, 412, 413, 422, 429, 502))
@blueprint.response(200, ChangePreviewSchema)
def preview_change(space_id: str) -> dict[str, Any]:
    """Preview an update of a Space

    Takes the same body as POST /spaces/{id} and shows the tree it would publish and the differences from the published
    files; nothing is stored or published.
    """
    services, account = current_services(), current_account()
    space = queries.find_space(account, space_id)
    with space_body(_update, space=space) as body:
        return _preview(services, Caller(account, _commits_named()), space, body.fields)


def _preview(services: Services, caller: Caller, space: Space, fields: Fields) -> dict[str, Any]:
    live = newest_release(space, published=True)
    planned = update.plan_update(services, caller, space, fields)
    base = {"request_id": live.id, "commit_oid": space.commit_oid}
    if planned.prepared is None:
        rows = planned.base.files if planned.base else live.files
        nothing: dict[str, Any] = {"added": [], "changed": [], "deleted": []}
        digest = (planned.base or live).tree_digest
        return {"files": rows, "findings": [], "tree_digest": digest, "git": None, "base": base, "diff": nothing}
    assembly = planned.prepared.assembly
    return {
        "files": preview_files(assembly.tree),
        "findings": assembly.findings,
        "tree_digest": assembly.tree.digest,
        "git": fields.data.get("git"),
        "base": base,
        "diff": diff.diff(services, live, assembly.tree),
    }


@blueprint.get("/spaces/<space_id>/fix")
@blueprint.needs("space_update")
@blueprint.doc(**fails(404, 409, 422))
@blueprint.response(200, FixPreviewSchema)
def preview_fix(space_id: str) -> dict[str, Any]:
    """Preview the fix of a Space's problem

    The fix, with the tree that the command apply_fix would publish and the differences from the published files; 409 if
    the Space has no problem with a fix, or if its files have changed since the problem was read.
    """
    services, account = current_services(), current_account()
    space = queries.find_space(account, space_id)
    proposed, fields = fix.change_of(services, space)
    return {**_preview(services, Caller(account), space, fields), **proposed.to_json()}


@blueprint.delete("/spaces/<space_id>")
@blueprint.needs("space_delete")
@blueprint.doc(**fails(404, 409))
@blueprint.response(202, SpaceSchema, headers=_location)
def delete_space(space_id: str) -> Response:
    """Delete a Space

    Also on its target; pending requests of the Space are cancelled. The Space remains here as a record, and its name
    becomes free.
    """
    space = queries.find_space(current_account(), space_id)
    answer = commands.delete(current_services(), Caller(current_account()), space, _render_space)
    return _accepted(answer, answer["latest_request"]["id"])


@blueprint.post("/spaces/<space_id>/command")
@blueprint.needs("space_update")
@blueprint.doc(**takes(SpaceCommandInput), parameters=[_if_match, _key])
@blueprint.doc(**fails(400, 403, 404, 409, 412, 422))
@blueprint.response(202, RequestSchema, headers=_location)
def command_space(space_id: str) -> Response:
    """Run a command for a Space

    rollback, restart, factory_rebuild, pause, wake, hardware, move, duplicate or apply_fix. The response is the
    request; for duplicate, it belongs to the new Space.
    """
    space = queries.find_space(current_account(), space_id)
    body = read_object()
    caller = _caller(lambda: json.dumps(body, sort_keys=True))
    answer = _known(caller)
    if answer is None:
        answer = _command(current_services(), caller, space, load(SpaceCommandInput(), body))
    return _accepted(answer, answer["id"])


def _command(services: Services, caller: Caller, space: Space, data: dict[str, Any]) -> Any:
    problems = webhooks.check(services, data.get("callback_url"), data.get("callback_secret"), "callback_")
    if problems:
        raise InvalidRequest(issues=problems)
    name = data["command"]
    if name == "apply_fix":
        return fix.apply_fix(services, caller, space, _request.dump)
    act = {"rollback": commands.rollback, "move": move.move, "duplicate": move.duplicate}.get(name)
    if act is None:
        return commands.command(services, caller, space, name, data, _request.dump)
    return act(services, caller, space, data, _request.dump)


def _caller(canonical: Callable[[], str]) -> Caller:
    # The path is part of the call that must be equal for equal keys.
    return Caller(current_account(), _commits_named(), idempotency_of(lambda: f"{request.path}\n{canonical()}"))


def _known(caller: Caller) -> Any:
    """Returns the first response to a repeated call, even if the Space has changed since."""
    return idempotency.known_answer(caller.account, caller.idempotency) if caller.idempotency else None


def _commits_named() -> list[str] | None:
    """Returns the commits that the header If-Match names; None without the header, or for any commit (`*`)."""
    if "If-Match" not in request.headers:
        return None
    if request.if_match.star_tag:
        return None
    named = request.if_match.as_set()
    # Werkzeug represents what is no ETag as None.
    if not named or None in named:
        message = 'The header If-Match must be an ETag in quotes, such as "0123abc", or *.'
        raise InvalidRequest(issues=[Finding("invalid_if_match", message, path="If-Match")])
    return sorted(named)


def _render_space(made: SpaceRequest) -> Any:
    return _space.dump(made.space)


def _accepted(answer: Any, request_id: str) -> Response:
    response: Response = make_response(jsonify(answer), 202)
    response.headers["Location"] = f"/requests/{request_id}"
    return response
