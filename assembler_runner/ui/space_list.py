"""/ui/spaces: the Spaces that the visitor may see, and commands for several of them."""

from __future__ import annotations

import shlex
from typing import Any

import sqlalchemy as sa
from flask import Response, request
from werkzeug.datastructures import MultiDict
from werkzeug.wrappers import Response as AnyResponse

from assembler_runner.accounts.auth import current_account
from assembler_runner.accounts.permissions import requires
from assembler_runner.api.http.json_body import load
from assembler_runner.api.schemas.change_input import BULK_COMMANDS, BulkInput
from assembler_runner.core.database import db
from assembler_runner.core.errors import InvalidRequest
from assembler_runner.core.listing import InvalidQuery, Page
from assembler_runner.requests import bulk
from assembler_runner.requests.queries import SPACES
from assembler_runner.services import current_services
from assembler_runner.spaces.app_state import ERRORS, PASSING
from assembler_runner.spaces.models import Space
from assembler_runner.ui.layout import go, may, pages, rows, show
from assembler_runner.ui.people import names_of
from assembler_runner.ui.saved_views import views_of

VIEWS = (
    ("", "all"),
    (f"state:{','.join(sorted(ERRORS))},failed", "failing"),
    (f"state:{','.join(sorted(PASSING))}", "busy"),
)
"""Filter lines with a name of their own."""

_NAMES = {"type": "space_type", "owner": "owner_id"}


@pages.get("/spaces")
@requires("space_read")
def spaces() -> Response:
    """Shows the Spaces; the filter is part of the address."""
    line, problem = request.args.get("q", "").strip(), None
    query = sa.select(Space).where(current_account().visible(Space.realm_id))
    try:
        page = rows(query, SPACES, _filters(line))
    except InvalidQuery as error:
        page, problem = Page([], 0, 0, 0), error
    names = names_of(space.owner_id for space in page.rows)
    commands = [name for name in BULK_COMMANDS if name != "delete" or may("space_delete")]
    return show(
        "spaces.html",
        page=page,
        line=line,
        problem=problem,
        names=names,
        views=VIEWS,
        saved=views_of(current_account().id),
        commands=commands,
        any_at_all=_any(),
    )


@pages.post("/spaces/bulk")
@requires("space_update")
def command_spaces() -> AnyResponse:
    """Shows what a command would do with the chosen Spaces, and then does it."""
    ids, command = request.form.getlist("id"), request.form.get("command", "")
    if not ids:
        raise InvalidRequest("No Space is chosen.", hint="Choose at least one in the list.")
    if command not in BULK_COMMANDS:
        raise InvalidRequest("No command is chosen.", hint=f"Choose one of: {', '.join(BULK_COMMANDS)}.")
    confirmed = "confirmed" in request.form
    body = {"command": command, "filter": {"id": ",".join(ids)}, **_changes(command)}
    schema = BulkInput()
    data = load(schema, body)
    result = bulk.command(
        *(current_services(), current_account(), command, data["filter"]),
        dry_run=not confirmed,
        changes=schema.changes(data),
    )
    if confirmed and not result["refused"]:
        return go("/ui/spaces", done="changed" if command == "update" else "accepted")
    return show("bulk.html", result=result, ids=ids, form=request.form)


def _changes(command: str) -> dict[str, Any]:
    """Returns the changes of labels and expiry that the form describes."""
    if command != "update":
        return {}
    changes: dict[str, Any] = {name: _labels(name) for name in ("add_labels", "remove_labels") if _labels(name)}
    expires = request.form.get("expires_at", "").strip()
    if "never" in request.form:
        changes["expires_at"] = None
    elif expires:
        changes["expires_at"] = f"{expires}:00+00:00"
    return changes


def _labels(field: str) -> list[str]:
    return [label.strip() for label in request.form.get(field, "").split(",") if label.strip()]


def _filters(line: str) -> MultiDict[str, str]:
    """Returns the filters of a line such as `state:build_error label:course-2026 words of the name`."""
    found: MultiDict[str, str] = MultiDict()
    for word in _words(line):
        name, colon, value = word.partition(":")
        if colon:
            found.add(f"filter[{_NAMES.get(name, name)}]", value)
        else:
            found.add("filter[name]", f"~%{word}%")
    if "filter[state]" not in found:
        found.add("filter[state]", "!deleted")
    return found


def _words(line: str) -> list[str]:
    try:
        return shlex.split(line)
    except ValueError:
        # A quote without its end is a part of the text.
        return line.split()


def _any() -> bool:
    seen = sa.exists().where(current_account().visible(Space.realm_id), Space.state != "deleted")
    return bool(db.session.scalar(sa.select(seen)))
