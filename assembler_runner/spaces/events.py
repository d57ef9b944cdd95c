"""Records events of Spaces and requests."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from itertools import pairwise
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from assembler_runner.core.database import utcnow
from assembler_runner.spaces.models import SPACE_ID, SPACES, Event

Listener = Callable[[Session, int, str, str, "str | None", datetime], None]
"""Receives the session, the event's number and type, the ids of its Space and its request, and its time in UTC."""

_listeners: list[Listener] = []


def listen(listener: Listener) -> None:
    """Registers a function that is called for every event, in the transaction that appends it.

    Args:
        listener: called after the event is written; its own writes are committed with the event, or not at all.
    """
    if listener not in _listeners:
        _listeners.append(listener)


def check_listeners() -> None:
    """Checks that a listener is registered: without the webhook outbox, deliveries would be lost silently.

    Raises:
        RuntimeError: none is registered.
    """
    if not _listeners:
        raise RuntimeError("no event listener is registered; create_app registers the webhook outbox")


def record_event(
    session: Session,
    type: str,
    *,
    space_id: str,
    request_id: str | None = None,
    message: str | None = None,
    data: dict[str, Any] | None = None,
    counted: bool = False,
) -> None:
    """Appends an event and passes it to the listeners.

    The row of the Space is locked until the caller commits, so the caller commits soon.

    Args:
        session: the session; the caller commits.
        type: the event type.
        space_id: the Space.
        request_id: the request it belongs to, or None.
        message: description for people.
        data: details.
        counted: True for the first event of a Space that this transaction inserts, with `event_count` 1: nobody else
            sees its row, so it needs no lock.
    Raises:
        RuntimeError: no listener is registered.
    """
    check_listeners()
    if not counted:
        session.execute(_COUNT_EVENT, {"space_id": space_id})
    now = utcnow()
    event = {"space_id": space_id, "request_id": request_id, "type": type, "message": message, "data": data or {}}
    inserted = session.execute(_INSERT_EVENT, {**event, "created_at": now})
    (event_id,) = inserted.inserted_primary_key  # type: ignore[attr-defined]  # a CursorResult
    for listener in _listeners:
        listener(session, event_id, type, space_id, request_id, now)


GAP_SECONDS = 5.0
"""A number that is still missing after this time belongs to a transaction that was rolled back."""
_LOOKED_AT = 500


def settled_event_id(session: Session) -> int:
    """Returns the number up to which no event of any Space can appear any more; 0 without events.

    Within a Space, numbers increase in the order of the commits. Between Spaces a lower number may be committed later:
    a reader of all Spaces must not pass a gap that may still be filled.
    """
    query = sa.select(Event.id, Event.created_at).order_by(Event.id.desc()).limit(_LOOKED_AT)
    rows = session.execute(query).all()
    settled, now = (rows[0].id if rows else 0), utcnow()
    for newer, older in pairwise(rows):
        if (now - newer.created_at).total_seconds() > GAP_SECONDS:
            break
        if older.id + 1 < newer.id:
            settled = older.id
    return settled


# Prebuilt: constructing these statements costs more than executing them.
_INSERT_EVENT = sa.insert(Event.__table__)  # type: ignore[arg-type]  # declared as FromClause
_COUNT_EVENT = (
    sa.update(SPACES)
    .where(SPACES.c.id == SPACE_ID)
    .values(event_count=SPACES.c.event_count + 1, updated_at=SPACES.c.updated_at)
)
