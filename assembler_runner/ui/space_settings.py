"""The settings of a Space: variables, secrets, machine, visibility, labels and expiry."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from flask import Response, request
from werkzeug.wrappers import Response as AnyResponse

from assembler_runner.accounts.auth import current_account
from assembler_runner.accounts.permissions import requires
from assembler_runner.api.http.json_body import load_partly
from assembler_runner.api.schemas.change_input import VISIBILITIES, UpdateInput
from assembler_runner.api.schemas.space_input import HARDWARE
from assembler_runner.core.database import db
from assembler_runner.core.errors import AssemblerError
from assembler_runner.requests import queries, releases, update
from assembler_runner.requests.commands import Caller
from assembler_runner.services import current_services
from assembler_runner.spaces.models import Space
from assembler_runner.ui.layout import go, pages, show

_update = UpdateInput()


def show_settings(found: Space) -> dict[str, Any]:
    """Returns what the tab shows: what the requests of this service have set."""
    current = releases.settings_of(found)
    return {"current": current, "hardware": HARDWARE, "visibilities": VISIBILITIES}


@pages.post("/spaces/<space_id>/settings")
@requires("space_update")
def change_settings(space_id: str) -> AnyResponse:
    """Changes settings of a Space."""
    found = queries.find_space(current_account(), space_id)
    body = _body(found, request.form)
    try:
        fields = load_partly(_update, body)
        update.update(current_services(), Caller(current_account()), found, fields, lambda made: made.id)
    except AssemblerError as error:
        db.session.rollback()
        return _again(space_id, error)
    return go(f"/ui/spaces/{space_id}", tab="settings", done="settings")


def _again(space_id: str, error: AssemblerError) -> Response:
    # Imported here: the page of a Space has this tab.
    from assembler_runner.ui.space import head_of

    found = queries.find_space(current_account(), space_id)
    shown = {**head_of(found), **show_settings(found)}
    return show("space_settings.html", error.status, tab="settings", problem=error, form=request.form, **shown)


def _body(found: Space, form: Mapping[str, str]) -> dict[str, Any]:
    """Returns the body of the update that a form describes: only what differs."""
    part = form.get("part", "")
    if part == "variables":
        return {"variables": _variables(found)}
    if part == "secrets":
        given = pairs("secret")
        return {"secrets": given | dict.fromkeys(request.form.getlist("remove"))}
    if part == "machine":
        sleep_time = form.get("sleep_time", "").strip()
        body: dict[str, Any] = {"hardware": form["hardware"]} if form.get("hardware") else {}
        return body | ({"sleep_time": int(sleep_time) if sleep_time.isdecimal() else sleep_time} if sleep_time else {})
    if part == "visibility":
        return {"visibility": form.get("visibility")}
    labels = [label.strip() for label in form.get("labels", "").split(",") if label.strip()]
    expires = form.get("expires_at", "").strip()
    return {"labels": labels, "expires_at": f"{expires}:00+00:00" if expires else None}


def _variables(found: Space) -> dict[str, str | None]:
    before, given = releases.settings_of(found)["variables"], pairs("variable")
    removed = dict.fromkeys(before.keys() - given.keys())
    return {**removed, **{name: value for name, value in given.items() if before.get(name) != value}}


def pairs(kind: str) -> dict[str, Any]:
    """Returns the names and values of a form with several rows of a kind; rows without a name are left out."""
    names, values = request.form.getlist(f"{kind}_name"), request.form.getlist(f"{kind}_value")
    return {name.strip(): value for name, value in zip(names, values, strict=False) if name.strip()}
