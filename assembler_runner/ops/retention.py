"""Retention: removes data older than the configured age, and unreferenced contents.

Every worker runs it once an hour; concurrent runs are safe.

The file lists of a deleted Space are removed after a day, so that their contents can be removed as well; idempotency
keys when they have expired.

Always kept: unfinished requests; every release of an existing Space, since it can be rolled back to; the newest request
of such a Space; events with pending deliveries.
"""

from __future__ import annotations

import logging
import secrets
from collections import Counter
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa

from assembler_runner.core.database import db, read_transaction, utcnow
from assembler_runner.core.settings import Settings
from assembler_runner.files.models import Blob, BucketFile
from assembler_runner.files.store import UNUSED_AFTER
from assembler_runner.requests.idempotency import KEY_AGE
from assembler_runner.services import Services, current_services
from assembler_runner.spaces.app_state import DELETED
from assembler_runner.spaces.models import (
    CANCELLED,
    FAILED,
    FINISHED,
    Event,
    IdempotencyKey,
    RequestFile,
    Space,
    SpaceRequest,
)
from assembler_runner.webhooks.delivery import LEASE_SECONDS
from assembler_runner.webhooks.models import DEAD, DELIVERED, PENDING, WebhookDelivery

log = logging.getLogger(__name__)

AT_ONCE = 500
CONTENTS_AT_ONCE = 1000
CONTENTS_READ = 10_000
"""Contents on either side of the first digest that one round reads."""
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
        ("idempotency keys", KEY_AGE / timedelta(days=1), _keys),
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
    # A delivery ends before the lease of its last attempt does; the index on status and due_at finds the old ones.
    ended = WebhookDelivery.status.in_((DELIVERED, DEAD)) & (WebhookDelivery.finished_at < before)
    return _remove(WebhookDelivery, ended & (WebhookDelivery.due_at < before.timestamp() + LEASE_SECONDS))


def _keys(before: datetime) -> int:
    """Removes expired idempotency keys in the order of their age, with all that are as old as the last of them."""
    expired = sa.select(IdempotencyKey.created_at).where(IdempotencyKey.created_at < before)
    oldest = expired.order_by(IdempotencyKey.created_at).limit(AT_ONCE)
    with read_transaction():
        found = list(db.session.scalars(oldest))
    if found:
        _delete(IdempotencyKey, IdempotencyKey.created_at <= found[-1])
        db.session.commit()
    return len(found)


def _spaces(before: datetime) -> int:
    """Removes deleted Spaces with all their requests, once the newest of these has expired."""
    young = sa.exists().where(SpaceRequest.space_id == Space.id, ~_ended(before))
    gone = Space.state.in_(_GONE) & Space.slot.is_(None) & (Space.updated_at < before) & ~young
    # The bound on created_at is redundant, but an index can use it.
    found = _read(sa.select(Space.id).where(gone, Space.created_at < before))
    if found:
        _delete(SpaceRequest, SpaceRequest.space_id.in_(found))
        _delete(Space, Space.id.in_(found))
    db.session.commit()
    return len(found)


def _deleted_files(before: datetime) -> int:
    """Removes the lists of files of deleted Spaces: nothing can be made of them any more, and quotas count them."""
    deleted = (Space.state == DELETED) & Space.slot.is_(None) & (Space.updated_at < before)
    ended = sa.select(SpaceRequest.id).join(Space, Space.id == SpaceRequest.space_id).where(deleted, _ended(before))
    found = _read(ended.where(SpaceRequest.files.any(), Space.created_at < before))
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
    """Removes old events in the order of their numbers, until young ones follow: they need no index on their time."""
    pending = sa.exists().where(WebhookDelivery.event_id == Event.id, WebhookDelivery.status == PENDING)
    unfinished = sa.exists().where(SpaceRequest.id == Event.request_id, SpaceRequest.status.not_in(FINISHED))
    removed = last = 0
    while ids := _old_events(before, last):
        removed += _remove(Event, Event.id.in_(ids) & ~pending & ~unfinished)
        last = ids[-1]
    return removed


def _old_events(before: datetime, after: int) -> list[int]:
    query = sa.select(Event.id, Event.created_at).where(Event.id > after).order_by(Event.id).limit(AT_ONCE)
    with read_transaction():
        return [row.id for row in db.session.execute(query) if row.created_at < before]


def _ended(before: datetime) -> sa.ColumnElement[bool]:
    # A comparison with NULL is unknown, not false; the negation of this condition needs the explicit checks.
    return sa.and_(
        SpaceRequest.status.in_(FINISHED),
        SpaceRequest.cleanup_due_at.is_(None),
        SpaceRequest.finished_at.is_not(None),
        SpaceRequest.finished_at < before,
    )


def _read(query: sa.Select[Any]) -> list[Any]:
    """Reads rows to be deleted in the same transaction."""
    # Most rounds find nothing, and may take long to find that: until then they must not keep others from writing.
    with read_transaction():
        if db.session.scalar(query.limit(1)) is None:
            return []
    return list(db.session.scalars(query.limit(AT_ONCE)))


def _remove(model: Any, condition: sa.ColumnElement[bool]) -> int:
    found = _read(sa.select(model.id).where(condition))
    if found:
        _delete(model, model.id.in_(found))
    db.session.commit()
    return len(found)


def _delete(model: Any, condition: sa.ColumnElement[bool]) -> None:
    db.session.execute(sa.delete(model).where(condition), execution_options={"synchronize_session": False})


def collect(services: Services, unused_for: timedelta = UNUSED_AFTER) -> int:
    """Removes contents that are unreferenced and have not been used for a while.

    Of a large store a part is read, from another digest each time.

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
    start = secrets.token_hex(32)
    with read_transaction():
        found = _unused(unused, Blob.sha256 >= start) + _unused(unused, Blob.sha256 < start)
    removed = sum(services.files.remove(digest, unused) for digest in found)
    services.files.remove_left_overs(before)
    if removed:
        log.info("removed %d unreferenced contents", removed)
    return removed


def _unused(unused: sa.ColumnElement[bool], where: sa.ColumnElement[bool]) -> list[str]:
    part = sa.select(Blob.sha256).where(where).order_by(Blob.sha256).limit(CONTENTS_READ).subquery()
    query = sa.select(Blob.sha256).join(part, part.c.sha256 == Blob.sha256).where(unused)
    return list(db.session.scalars(query.limit(CONTENTS_AT_ONCE)))
