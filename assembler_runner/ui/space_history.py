"""The history of a Space: its releases, their differences, and restoring one."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from flask import request

from assembler_runner.core.database import db
from assembler_runner.core.errors import NotFound
from assembler_runner.requests import diff
from assembler_runner.services import current_services
from assembler_runner.spaces.models import RELEASES, SUCCEEDED, Space, SpaceRequest
from assembler_runner.ui.people import names_of

_MOST_RELEASES = 200


def show_history(found: Space) -> dict[str, Any]:
    """Returns what the tab shows: all releases, and the differences of the one that the address names."""
    published = sa.select(SpaceRequest).where(
        SpaceRequest.space_id == found.id, SpaceRequest.action.in_(RELEASES), SpaceRequest.status == SUCCEEDED
    )
    rows = db.session.scalars(published.order_by(SpaceRequest.number.desc()).limit(_MOST_RELEASES))
    releases = [release for release in rows if not release.unchanged]
    values: dict[str, Any] = {"releases": releases, "names": names_of(release.owner_id for release in releases)}
    if wanted := request.args.get("restore"):
        release = _release(releases, wanted)
        values |= {"restore": release, "changes": diff.between(current_services(), releases[0], release)}
    elif wanted := request.args.get("show"):
        release = _release(releases, wanted)
        older = next((each for each in releases if each.number < release.number), None)
        values |= {"shown": release, "older": older, "changes": diff.between(current_services(), older, release)}
    return values


def _release(releases: list[SpaceRequest], wanted: str) -> SpaceRequest:
    found = next((release for release in releases if release.id == wanted), None)
    if found is None:
        raise NotFound("The Space has no such release.")
    return found
