"""Records events of Spaces and requests."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from itertools import pairwise
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from assembler_runner.core.database import utcnow
from assembler_runner.spaces.models import REQUEST_ID, REQUESTS, SPACE_ID, SPACES, Event

Listener = Callable[[Session, int, str, str, "str | None", datetime], None]
"""Receives the session, the event's number and type, the ids of its Space and its request, and its time in UTC."""

EVENT_SPACE = sa.bindparam("event_space", type_=sa.String)
"""The Space of an event; another name than that of the column, which SQLAlchemy keeps for itself in an INSERT."""

_listeners: list[tuple[Listener, sa.ColumnElement[bool]]] = []


@dataclass(frozen=True)
class NewEvent:
    """An event to append.

    Args:
        type: the event type.
        request_id: the request it belongs to, or None.
        message: description for people.
        data: details.
    """

    type: str
    request_id: str | None = None
    message: str | None = None
    data: Mapping[str, Any] | None = None


def listen(listener: Listener, concerned: sa.ColumnElement[bool]) -> None:
    """Registers a function that is called for events, in the transaction that appends them.

    Args:
        listener: called after the event is written; its own writes are committed with the event, or not at all.
        concerned: condition with the parameter EVENT_SPACE: whether the listener is called. It is evaluated in the
            statement that inserts the event, so that an event that concerns no listener costs no further statement.
    """
    if all(known is not listener for known, _ in _listeners):
        _listeners.append((listener, concerned))
        _inserting.cache_clear()


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
    if not counted:
        session.connection().execute(_COUNT_EVENT, {"space_id": space_id})
    append_events(session, space_id, [NewEvent(type, request_id, message, data)])


def count_event_of(session: Session, request_id: str) -> bool:
    """Counts an event of a request before it is appended, which locks the row of its Space.

    Args:
        session: the session; the caller appends the event and commits, or rolls back.
        request_id: the request.
    Returns:
        False if the request does not exist.
    """
    return session.connection().execute(_COUNT_EVENT_OF, {"request_id": request_id}).rowcount == 1


def append_events(session: Session, space_id: str, events: Sequence[NewEvent]) -> None:
    """Appends events that the current transaction has already counted in the row of the Space; see `record_event`.

    Args:
        session: the session; the caller commits.
        space_id: the Space.
        events: the events, in their order.
    Raises:
        RuntimeError: no listener is registered.
    """
    check_listeners()
    connection, insert = session.connection(), _inserting()
    for event in events:
        now = utcnow()
        values: dict[str, Any] = {"type": event.type, "request_id": event.request_id, "message": event.message}
        values |= {"data": dict(event.data or {}), "space_id": space_id, "created_at": now, "event_space": space_id}
        event_id, *concerned = connection.execute(insert, values).one()
        for (listener, _), is_concerned in zip(_listeners, concerned, strict=True):
            if is_concerned:
                listener(session, event_id, event.type, space_id, event.request_id, now)


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


_EVENTS: Any = Event.__table__


# Prebuilt: constructing these statements costs more than executing them.
@cache
def _inserting() -> Any:
    concerned = (condition.label(f"concerned_{number}") for number, (_, condition) in enumerate(_listeners))
    return sa.insert(_EVENTS).returning(_EVENTS.c.id, *concerned)


_counted = sa.update(SPACES).values(event_count=SPACES.c.event_count + 1, updated_at=SPACES.c.updated_at)
_COUNT_EVENT = _counted.where(SPACES.c.id == SPACE_ID)
_COUNT_EVENT_OF = _counted.where(
    SPACES.c.id == sa.select(REQUESTS.c.space_id).where(REQUESTS.c.id == REQUEST_ID).scalar_subquery()
)
