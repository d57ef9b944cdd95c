"""/ui/spaces/{id}: one Space with its tabs overview, logs and events, and its commands."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from flask import Response, redirect, request
from werkzeug.wrappers import Response as AnyResponse

from assembler_runner.accounts.auth import current_account
from assembler_runner.accounts.permissions import requires
from assembler_runner.api.apps import opened
from assembler_runner.api.event_stream import EVENTS
from assembler_runner.api.http.json_body import load
from assembler_runner.api.schemas.change_input import SpaceCommandInput
from assembler_runner.api.schemas.spaces import SpaceSchema
from assembler_runner.core.database import db
from assembler_runner.core.errors import AssemblerError, Conflict, InvalidRequest
from assembler_runner.core.fixes import Fix
from assembler_runner.requests import commands, fix, move, queries, releases
from assembler_runner.requests.commands import Caller
from assembler_runner.runtime import logs
from assembler_runner.runtime.causes.problem import BUILD, RUN
from assembler_runner.services import current_services
from assembler_runner.spaces.app_state import PAUSED, SLEEPING
from assembler_runner.spaces.models import FAILED, Event, Space, SpaceRequest
from assembler_runner.ui import space_files, space_history, space_settings, webhook_pages
from assembler_runner.ui.layout import go, pages, rows, show
from assembler_runner.ui.people import names_of

_shown = SpaceSchema(exclude=("latest_request", "findings"))
_MOST_STEPS = 100


@pages.get("/spaces/<space_id>")
@requires("space_read")
def space(space_id: str) -> Response:
    """Shows a tab of a Space."""
    found = queries.find_space(current_account(), space_id)
    tab = request.args.get("tab", "overview")
    views = {
        "overview": _overview,
        "files": space_files.show_files,
        "logs": _logs,
        "events": _events,
        "history": space_history.show_history,
        "settings": space_settings.show_settings,
        "webhooks": webhook_pages.show_webhooks,
    }
    if tab not in views:
        tab = "overview"
    values = views[tab](found)
    # A log is read without a transaction, so the Space is looked up again.
    found = queries.find_space(current_account(), space_id)
    return show(f"space_{tab}.html", tab=tab, **head_of(found), **values)


def head_of(found: Space) -> dict[str, Any]:
    """Returns what every tab shows of a Space."""
    shown = _shown.dump(found)
    return {
        "space": found,
        "app_address": shown["app_url"] or shown["url"],
        "opens_here": shown["app_url"] is not None,
        "can_wake": found.state in (SLEEPING, PAUSED),
        "runs_app": found.latest_request.sdk != "static",
    }


def _overview(found: Space) -> dict[str, Any]:
    latest = found.latest_request
    steps = sa.select(Event).where(Event.request_id == latest.id).order_by(Event.id.desc()).limit(_MOST_STEPS)
    return {
        "latest": latest,
        "steps": list(reversed(db.session.scalars(steps).all())),
        "names": names_of((found.owner_id, latest.owner_id, found.publisher_id or "")),
        "fix_diff": _fix_diff(found),
        "can_retry": latest.status == FAILED,
    }


def _fix_diff(found: Space) -> dict[str, Any] | None:
    """Returns what the fix of the Space's problem would change; None without a fix that fits."""
    proposed = (found.problem or {}).get("fix")
    if not proposed:
        return None
    try:
        base = releases.newest_release(found, published=True)
        return fix.preview(current_services(), base, Fix.from_json(proposed))
    except Conflict:
        return None


def _logs(found: Space) -> dict[str, Any]:
    problem = found.problem or {}
    kind = request.args.get("kind") or problem.get("log_kind") or RUN
    kind = kind if kind in logs.KINDS else RUN
    try:
        log, error = logs.read(current_services(), found, kind, logs.DEFAULT_TAIL), None
    except AssemblerError as failure:
        db.session.rollback()
        log, error = None, failure
    return {"kind": kind, "kinds": (BUILD, RUN), "log": log, "error": error}


def _events(found: Space) -> dict[str, Any]:
    page = rows(sa.select(Event).where(Event.space_id == found.id), EVENTS, {"sort": "-id"})
    return {"page": page}


@pages.post("/spaces/<space_id>/command")
@requires("space_update")
def command_one(space_id: str) -> AnyResponse:
    """Runs a command for a Space."""
    found = queries.find_space(current_account(), space_id)
    given: dict[str, Any] = {name: value for name, value in request.form.items() if value}
    if "sleep_time" in given:
        given["sleep_time"] = _whole(given["sleep_time"], "sleep_time")
    data = load(SpaceCommandInput(), given)
    services, caller, name = current_services(), Caller(current_account()), data["command"]
    special = {"rollback": commands.rollback, "move": move.move, "duplicate": move.duplicate}
    if name == "apply_fix":
        space_of = fix.apply_fix(services, caller, found, _space_id)
    elif name in special:
        space_of = special[name](services, caller, found, data, _space_id)
    else:
        space_of = commands.command(services, caller, found, name, data, _space_id)
    return go(f"/ui/spaces/{space_of}", done=name)


@pages.get("/spaces/<space_id>/open")
@requires("space_read")
def open_space(space_id: str) -> AnyResponse:
    """Leads to the app of a Space; for a private one with a ticket that works once."""
    return redirect(opened(queries.find_space(current_account(), space_id))["url"], 303)


@pages.get("/spaces/<space_id>/delete")
@requires("space_delete")
def confirm_deletion(space_id: str) -> Response:
    """Says what is lost with a Space, and asks for its name."""
    found = queries.find_space(current_account(), space_id)
    return show("space_delete.html", tab="settings", **head_of(found))


@pages.post("/spaces/<space_id>/delete")
@requires("space_delete")
def delete_space(space_id: str) -> AnyResponse:
    """Deletes a Space whose name was typed."""
    found = queries.find_space(current_account(), space_id)
    typed = request.form.get("name", "").strip()
    if typed != found.name:
        return show("space_delete.html", 422, tab="settings", typed=typed, **head_of(found))
    commands.delete(current_services(), Caller(current_account()), found, _space_id)
    return go("/ui/spaces", done="deleted")


def _space_id(made: SpaceRequest) -> str:
    return made.space_id


def _whole(text: str, field: str) -> int:
    if not text.isascii() or not text.isdigit():
        raise InvalidRequest(f"{field} must be a whole number.", hint="Correct it and send the form again.")
    return int(text)
