"""The base of a change: the newest accepted release of a Space, and the files as its caller sent them."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

import sqlalchemy as sa

from assembler_runner.core.database import db
from assembler_runner.core.errors import Conflict, PreconditionFailed
from assembler_runner.files.content import Content
from assembler_runner.files.models import Blob
from assembler_runner.services import Services
from assembler_runner.spaces.models import FAILED, QUEUED, RELEASES, RUNNING, SUCCEEDED, Space, SpaceRequest

CHANGING = RELEASES | {"delete"}
WAITING = (QUEUED, RUNNING)


def refuse_deleted(space: Space) -> None:
    """Rejects changes of a deleted Space.

    Raises:
        Conflict: the Space is deleted, or a deletion is pending.
    """
    if not space.alive:
        raise Conflict("The Space is deleted.", hint="Send a new Space request; the name is free again.")
    if pending(space, ("delete",)):
        raise Conflict("The Space is being deleted.", hint="Cancel that request first, if it is still queued.")


def pending(space: Space, actions: Collection[str]) -> SpaceRequest | None:
    """Returns the newest unfinished request of a Space with one of the actions, or None."""
    query = sa.select(SpaceRequest).where(
        SpaceRequest.space_id == space.id, SpaceRequest.status.in_(WAITING), SpaceRequest.action.in_(actions)
    )
    return db.session.scalar(query.order_by(SpaceRequest.number.desc()).limit(1))


def newest_release(space: Space, *, published: bool = False) -> SpaceRequest:
    """Returns the release that a change builds on.

    Args:
        space: the Space.
        published: consider only published releases, else also pending ones.
    Raises:
        Conflict: the Space has no release, because creating it failed or has not finished.
    """
    statuses = (SUCCEEDED,) if published else (SUCCEEDED, *WAITING)
    query = sa.select(SpaceRequest).where(
        SpaceRequest.space_id == space.id, SpaceRequest.status.in_(statuses), SpaceRequest.action.in_(RELEASES)
    )
    found = db.session.scalar(query.order_by(SpaceRequest.number.desc()).limit(1))
    if found is None:
        failed = space.latest_request.status == FAILED
        hint = "Retry its request, or send a new Space request." if failed else "Wait until it is published."
        raise Conflict("The Space was not published yet.", hint=hint)
    return found


def earlier_release(space: Space) -> SpaceRequest:
    """Returns the release before the newest published one.

    Raises:
        Conflict: there is none, or a change is pending.
    """
    if pending(space, CHANGING):
        raise Conflict(f"{space.name} is about to change.", hint="Wait for its pending request, or cancel it.")
    query = sa.select(SpaceRequest).where(
        SpaceRequest.space_id == space.id,
        SpaceRequest.status == SUCCEEDED,
        SpaceRequest.action.in_(RELEASES),
        SpaceRequest.number < newest_release(space, published=True).number,
    )
    found = db.session.scalar(query.order_by(SpaceRequest.number.desc()).limit(1))
    if found is None:
        raise Conflict(f"{space.name} has no earlier release.")
    return found


def check_if_match(space: Space, if_match: Collection[str] | None) -> None:
    """Compares the commit that a caller expects with the live one.

    Args:
        space: the Space.
        if_match: the commits named in If-Match; None without the header.
    Raises:
        PreconditionFailed: they differ, or a change is pending.
    """
    if if_match is None:
        return
    if waiting := pending(space, CHANGING):
        raise PreconditionFailed(f"The Space is about to change: request {waiting.id} ({waiting.action}) is pending.")
    if space.commit_oid is None or space.commit_oid not in if_match:
        raise PreconditionFailed(f"The Space is at the commit {space.commit_oid}, not at the one named in If-Match.")


def originals(services: Services, base: SpaceRequest) -> dict[str, Content]:
    """Returns the files of a release as its caller sent them, without inserted parameters; by reference."""
    rows = [row for row in base.files if row.origin in ("given", "fixed", "adopted")]
    changed = {row.given_sha256 for row in rows if row.given_sha256}
    found = sa.select(Blob.sha256, Blob.size).where(Blob.sha256.in_(changed))
    sizes = {row.sha256: row.size for row in db.session.execute(found)}
    return {
        row.path: services.files.content(row.given_sha256, sizes.get(row.given_sha256, 0))
        if row.given_sha256
        else services.files.content(row.sha256, row.size)
        for row in rows
    }


def recorded_git(space: Space) -> Mapping[str, str] | None:
    """Returns the source of the newest release that was read from a git repository, or None."""
    query = sa.select(SpaceRequest.change).where(
        SpaceRequest.space_id == space.id,
        SpaceRequest.status.in_((SUCCEEDED, *WAITING)),
        SpaceRequest.action.in_(RELEASES),
    )
    newest_first = db.session.scalars(query.order_by(SpaceRequest.number.desc()))
    return next((change.git for change in newest_first if change.git), None)


def had_parameters(base: SpaceRequest) -> bool:
    """Returns whether parameters were given for a release, even an empty object."""
    recorded = base.change.with_parameters
    return bool(base.parameters) if recorded is None else recorded


def settings_of(space: Space) -> Mapping[str, Any]:
    """Returns hardware, sleep time and variables of a Space, as its succeeded requests have set them."""
    done = sa.select(SpaceRequest.environment).where(
        SpaceRequest.space_id == space.id, SpaceRequest.status == SUCCEEDED
    )
    found: dict[str, Any] = {"variables": {}}
    for environment in db.session.scalars(done.order_by(SpaceRequest.number)):
        given = dict(environment or {})
        variables = found["variables"] | (given.pop("variables", None) or {})
        found |= {name: value for name, value in given.items() if name in ("hardware", "sleep_time")}
        found["variables"] = {key: value for key, value in variables.items() if value is not None}
    return found
