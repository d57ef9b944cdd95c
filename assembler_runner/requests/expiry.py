"""Expiry of Spaces: events warn a day and an hour before, then a request deletes the Space."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import sqlalchemy as sa

from assembler_runner.accounts.permissions import Account
from assembler_runner.core.database import database_now, db
from assembler_runner.core.errors import Conflict
from assembler_runner.publishing.tasks import wakeups
from assembler_runner.requests import releases
from assembler_runner.requests.commands import add_deletion
from assembler_runner.services import current_services
from assembler_runner.spaces.events import record_event
from assembler_runner.spaces.models import Space, SpaceRequest
from assembler_runner.spaces.transitions import hold_space

AGAIN_AFTER = timedelta(hours=1)
WARN_BEFORE = (timedelta(hours=24), timedelta(hours=1))
AT_ONCE = 100


def apply_expiry() -> None:
    """Warns about Spaces that expire soon, and deletes expired ones; several processes may do this at the same time."""
    now = datetime.fromtimestamp(db.session.scalar(sa.select(database_now())) or 0.0, UTC)
    unwarned = (
        Space.expires_at.between(now, now + before) & (Space.expiry_warnings < number)
        for number, before in enumerate(WARN_BEFORE, 1)
    )
    due = sa.or_((Space.expires_at <= now) & ~_deletion_tried(now), *unwarned)
    query = sa.select(Space.id).where(Space.alive, due)
    found = list(db.session.scalars(query.order_by(Space.expires_at).limit(AT_ONCE)))
    db.session.rollback()
    for space_id in found:
        _expire(space_id, now)


def _deletion_tried(now: datetime) -> sa.ColumnElement[bool]:
    tried = SpaceRequest.status.in_(releases.WAITING) | (SpaceRequest.finished_at > now - AGAIN_AFTER)
    return sa.exists().where(SpaceRequest.space_id == Space.id, SpaceRequest.action == "delete", tried)


def _expire(space_id: str, now: datetime) -> None:
    session = db.session()
    hold_space(session, space_id)
    space = session.get_one(Space, space_id, populate_existing=True)
    expires_at = space.expires_at
    if expires_at is None:
        session.rollback()
    elif expires_at <= now:
        _delete(space, now)
    else:
        passed = sum(expires_at <= now + before for before in WARN_BEFORE)
        if passed > space.expiry_warnings:
            space.expiry_warnings = passed
            message = f"The Space will be deleted at {expires_at:%Y-%m-%d %H:%M} UTC."
            data = {"expires_at": expires_at.isoformat()}
            record_event(session, "expires_soon", space_id=space.id, message=message, data=data)
        session.commit()


def _delete(space: Space, now: datetime) -> None:
    session = db.session()
    # Another process may have deleted the Space since the query.
    if session.scalar(sa.select(_deletion_tried(now)).where(Space.id == space.id)):
        session.rollback()
        return
    service = Account(space.owner_id, "expiry", space.realm_id, "", "service")
    try:
        request_id = add_deletion(current_services(), service, space).id
        record_event(session, "expired", space_id=space.id, request_id=request_id, message="The Space has expired.")
        session.commit()
    except Conflict:
        session.rollback()
        return
    wakeups.send(request_id)
