"""Retention: removes data older than the configured age, and unreferenced contents.

Every worker runs it once an hour; concurrent runs are safe.

The file lists of a deleted Space are removed after a day, so that their contents can be removed as well.

Always kept: unfinished requests; every release of an existing Space, since it can be rolled back to; the newest request
of such a Space; events with pending deliveries.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa

from assembler_runner.core.database import db, utcnow
from assembler_runner.core.settings import Settings
from assembler_runner.files.models import Blob, BucketFile
from assembler_runner.files.store import UNUSED_AFTER
from assembler_runner.services import Services, current_services
from assembler_runner.spaces.app_state import DELETED
from assembler_runner.spaces.models import CANCELLED, FAILED, FINISHED, Event, RequestFile, Space, SpaceRequest
from assembler_runner.webhooks.models import PENDING, WebhookDelivery

log = logging.getLogger(__name__)

AT_ONCE = 500
CONTENTS_AT_ONCE = 1000
REFERENCES = (RequestFile.sha256, RequestFile.given_sha256, BucketFile.hash)
"""Every column that refers to a content."""
DELETED_FILES_DAYS = 1.0
"""Days until the list of files of a deleted Space is removed, and its contents; until then they count for quotas."""

_GONE = (DELETED, FAILED, CANCELLED)


def clean_up() -> None:
    """Removes expired rows and unreferenced contents."""
    services = current_services()
    remove_old(services.settings)
    collect(services)


def remove_old(settings: Settings, now: datetime | None = None) -> Counter[str]:
    """Removes expired rows, in transactions of at most 500 rows.

    Args:
        settings: the retention period of each kind.
        now: the reference time; None: the current time.
    Returns:
        Number of removed rows per kind.
    """
    removed: Counter[str] = Counter()
    kinds: tuple[tuple[str, float, Callable[[datetime], int]], ...] = (
        ("deliveries", settings.KEEP_DELIVERIES_DAYS, _deliveries),
        ("lists of files", DELETED_FILES_DAYS, _deleted_files),
        ("spaces", settings.KEEP_REQUESTS_DAYS, _spaces),
        ("requests", settings.KEEP_REQUESTS_DAYS, _requests),
        ("events", settings.KEEP_EVENTS_DAYS, _events),
    )
    for kind, days, remove in kinds:
        if not days:
            continue
        before = (now or utcnow()) - timedelta(days=days)
        while number := remove(before):
            removed[kind] += number
            if number < AT_ONCE:
                break
    if removed:
        log.info("removed expired rows: %s", ", ".join(f"{number} {kind}" for kind, number in removed.items()))
    return removed


def _deliveries(before: datetime) -> int:
    return _remove(WebhookDelivery, WebhookDelivery.finished_at < before)


def _spaces(before: datetime) -> int:
    """Removes deleted Spaces with all their requests, once the newest of these has expired."""
    young = sa.exists().where(SpaceRequest.space_id == Space.id, ~_ended(before))
    gone = Space.state.in_(_GONE) & Space.slot.is_(None) & (Space.updated_at < before) & ~young
    found = list(db.session.scalars(sa.select(Space.id).where(gone).limit(AT_ONCE)))
    if found:
        _delete(SpaceRequest, SpaceRequest.space_id.in_(found))
        _delete(Space, Space.id.in_(found))
    db.session.commit()
    return len(found)


def _deleted_files(before: datetime) -> int:
    """Removes the lists of files of deleted Spaces: nothing can be made of them any more, and quotas count them."""
    deleted = (Space.state == DELETED) & Space.slot.is_(None) & (Space.updated_at < before)
    ended = sa.select(SpaceRequest.id).join(Space, Space.id == SpaceRequest.space_id).where(deleted, _ended(before))
    found = list(db.session.scalars(ended.where(SpaceRequest.files.any()).limit(AT_ONCE)))
    if found:
        _delete(RequestFile, RequestFile.request_id.in_(found))
    db.session.commit()
    return len(found)


def _requests(before: datetime) -> int:
    """Removes failed and cancelled requests, except the newest request of a Space."""
    later = sa.orm.aliased(SpaceRequest)
    newer = sa.exists().where(later.space_id == SpaceRequest.space_id, later.number > SpaceRequest.number)
    return _remove(SpaceRequest, SpaceRequest.status.in_((FAILED, CANCELLED)) & _ended(before) & newer)


def _events(before: datetime) -> int:
    pending = sa.exists().where(WebhookDelivery.event_id == Event.id, WebhookDelivery.status == PENDING)
    unfinished = sa.exists().where(SpaceRequest.id == Event.request_id, SpaceRequest.status.not_in(FINISHED))
    return _remove(Event, (Event.created_at < before) & ~pending & ~unfinished)


def _ended(before: datetime) -> sa.ColumnElement[bool]:
    # A comparison with NULL is unknown, not false; the negation of this condition needs the explicit checks.
    return sa.and_(
        SpaceRequest.status.in_(FINISHED),
        SpaceRequest.cleanup_due_at.is_(None),
        SpaceRequest.finished_at.is_not(None),
        SpaceRequest.finished_at < before,
    )


def _remove(model: Any, condition: sa.ColumnElement[bool]) -> int:
    found = list(db.session.scalars(sa.select(model.id).where(condition).limit(AT_ONCE)))
    if found:
        _delete(model, model.id.in_(found))
    db.session.commit()
    return len(found)


def _delete(model: Any, condition: sa.ColumnElement[bool]) -> None:
    db.session.execute(sa.delete(model).where(condition), execution_options={"synchronize_session": False})


def collect(services: Services, unused_for: timedelta = UNUSED_AFTER) -> int:
    """Removes contents that are unreferenced and have not been used for a while.

    Args:
        services: the process's services.
        unused_for: minimum time since the last use; must be longer than any upload takes.
    Returns:
        Number of removed contents.
    """
    before = utcnow() - unused_for
    unused = sa.and_(
        Blob.used_at < before,
        *(~sa.exists(sa.select(sa.literal(1)).where(column == Blob.sha256)) for column in REFERENCES),
    )
    found = list(db.session.scalars(sa.select(Blob.sha256).where(unused).limit(CONTENTS_AT_ONCE)))
    db.session.rollback()
    removed = sum(services.files.remove(digest, unused) for digest in found)
    services.files.remove_left_overs(before)
    if removed:
        log.info("removed %d unreferenced contents", removed)
    return removed
