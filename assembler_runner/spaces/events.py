"""Appends events of Spaces and requests."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from assembler_runner.core.database import utcnow
from assembler_runner.spaces.models import SPACE_ID, SPACES, Event

Listener = Callable[[Session, int, str, str, "str | None", datetime], None]
"""Takes the session, the event's number and type, the ids of its Space and of its request, and its time in UTC."""

_listeners: list[Listener] = []


def listen(listener: Listener) -> None:
    """Registers a function that every event is passed to, in the transaction that appends it.

    Args:
        listener: called after the event is written; what it writes is committed with the event, or not at all.
    """
    if listener not in _listeners:
        _listeners.append(listener)


def check_listeners() -> None:
    """Checks that events have a listener: without the one of the webhooks, deliveries would be lost silently.

    Raises:
        RuntimeError: none is registered.
    """
    if not _listeners:
        raise RuntimeError("nothing listens to events; create_app registers the outbox of the webhooks")


def record_event(
    session: Session,
    type: str,
    *,
    space_id: str,
    request_id: str | None = None,
    message: str | None = None,
    data: dict[str, Any] | None = None,
) -> None:
    """Appends an event and passes it to the listeners.

    The row of the Space is locked until the caller commits, so the caller commits soon.

    Args:
        session: the session; the caller commits.
        type: what happened.
        space_id: the Space.
        request_id: the request it is about, if it is about one.
        message: the same for people.
        data: details.
    Raises:
        RuntimeError: no listener is registered.
    """
    check_listeners()
    session.execute(_COUNT_EVENT, {"space_id": space_id})
    now = utcnow()
    event = {"space_id": space_id, "request_id": request_id, "type": type, "message": message, "data": data or {}}
    inserted = session.execute(_INSERT_EVENT, {**event, "created_at": now})
    (event_id,) = inserted.inserted_primary_key  # type: ignore[attr-defined]  # a CursorResult
    for listener in _listeners:
        listener(session, event_id, type, space_id, request_id, now)


# Prebuilt: constructing these statements costs more than executing them.
_INSERT_EVENT = sa.insert(Event.__table__)  # type: ignore[arg-type]  # declared as FromClause
_COUNT_EVENT = (
    sa.update(SPACES)
    .where(SPACES.c.id == SPACE_ID)
    .values(event_count=SPACES.c.event_count + 1, updated_at=SPACES.c.updated_at)
)
