"""/ui/views: filters of the page of Spaces that a person has given a name."""

from __future__ import annotations

from urllib.parse import urlencode

import marshmallow as ma
import sqlalchemy as sa
from flask import request
from werkzeug.wrappers import Response as AnyResponse

from assembler_runner.accounts.auth import current_account
from assembler_runner.accounts.models import SavedView
from assembler_runner.accounts.permissions import requires
from assembler_runner.api.http.json_body import load
from assembler_runner.api.schemas.fields import Input, Text
from assembler_runner.core.database import db
from assembler_runner.core.errors import Conflict
from assembler_runner.ui.layout import go, pages

MAX_VIEWS = 20


class _View(Input):
    name = Text(required=True, validate=ma.validate.Length(1, 32))
    line = Text(required=True, validate=ma.validate.Length(1, 500))


def views_of(user_id: str) -> list[tuple[str, str]]:
    """Returns filter line and name of each saved view of a person, by name."""
    query = sa.select(SavedView.line, SavedView.name).where(SavedView.user_id == user_id).order_by(SavedView.name)
    return [(line, name) for line, name in db.session.execute(query)]


@pages.post("/views")
@requires("space_read")
def save_view() -> AnyResponse:
    """Saves the filter under a name, in place of another one with that name."""
    data = load(_View(), {name: request.form.get(name, "").strip() for name in ("name", "line")})
    account = current_account()
    if data["name"] not in (names := {name for _, name in views_of(account.id)}) and len(names) >= MAX_VIEWS:
        raise Conflict(f"There are {MAX_VIEWS} saved views already.", hint="Remove one that is not needed.")
    db.session.merge(SavedView(user_id=account.id, **data))
    db.session.commit()
    return go(f"/ui/spaces?{urlencode({'q': data['line']})}")


@pages.post("/views/remove")
@requires("space_read")
def remove_view() -> AnyResponse:
    """Removes a saved view."""
    found = sa.delete(SavedView).where(
        SavedView.user_id == current_account().id, SavedView.name == request.form.get("name", "")
    )
    db.session.execute(found)
    db.session.commit()
    return go("/ui/spaces")
