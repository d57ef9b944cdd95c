"""Events as a list, with long polling, and as a stream."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from flask import Response, current_app, request, stream_with_context

from assembler_runner.accounts import tokens
from assembler_runner.accounts.permissions import Account
from assembler_runner.api.schemas.spaces import EventSchema
from assembler_runner.core.database import db, read_transaction
from assembler_runner.core.errors import Finding
from assembler_runner.core.listing import InvalidQuery, Listing, read_page
from assembler_runner.services import current_services
from assembler_runner.spaces.event_feed import ALL_SPACES, Subscription
from assembler_runner.spaces.events import settled_event_id
from assembler_runner.spaces.models import FINISHED, Event, Space

EVENTS = Listing({"id": Event.id, "type": Event.type, "created_at": Event.created_at}, Event.id, default_sort="id")
KEEP_ALIVE_SECONDS = 15.0
RETRY_MILLISECONDS = 1000
LONGEST_WAIT = 60.0
BATCH = 500

PARAMETERS = [
    {
        "in": "header",
        "name": "Last-Event-ID",
        "schema": {"type": "integer"},
        "description": "Only events after this one.",
    },
    {"in": "query", "name": "after", "schema": {"type": "integer"}, "description": "The same as a query parameter."},
    {
        "in": "query",
        "name": "wait",
        "schema": {"type": "number", "maximum": LONGEST_WAIT},
        "description": "Seconds to wait for an event if there is none yet; ignored for a stream.",
    },
]
"""Documentation of the parameters of an event list."""

_event = EventSchema()


@dataclass(frozen=True)
class Scope:
    """Which events a caller reads.

    Args:
        account: the caller.
        space_id: the Space; None for all Spaces that the caller may see.
        request_id: the request; None for all events.
        ended: returns whether no event will follow.
        named: whether a stream names the type of each event in its field `event`; a page listens to all types alike.
    """

    account: Account
    space_id: str | None = None
    request_id: str | None = None
    ended: Callable[[], bool] = lambda: False
    named: bool = True

    def newer(self, after: int) -> sa.ColumnElement[bool]:
        """Returns the condition for its events after a number; see :func:`settled_event_id`."""
        if self.request_id is not None:
            return sa.and_(Event.request_id == self.request_id, Event.id > after)
        if self.space_id is not None:
            return sa.and_(Event.space_id == self.space_id, Event.id > after)
        ids = sa.select(Space.id).where(Space.realm_id == self.account.realm_id)
        seen = sa.true() if self.account.everywhere else Event.space_id.in_(ids)
        return sa.and_(seen, Event.id > after, Event.id <= settled_event_id(db.session()))

    def newest(self) -> int:
        """Returns the number of the newest event that can be read."""
        if self.space_id is None:
            return settled_event_id(db.session())
        return db.session.scalar(sa.select(sa.func.max(Event.id)).where(Event.space_id == self.space_id)) or 0

    def contains(self, row: Any) -> bool:
        """Returns whether an event of the feed belongs to it."""
        if self.space_id is None:
            return self.account.sees(row.realm_id)
        return self.request_id in (None, row.request_id)

    def subscribe(self) -> AbstractContextManager[Subscription]:
        """Subscribes to the feed."""
        topic = ALL_SPACES if self.space_id is None else self.space_id
        return current_services().feed.subscribe(topic, self.account.id, self.account.realm_id)


def answer_events(scope: Scope) -> Any:
    """Answers a call for events with a list, or with a stream if `Accept` requests one.

    Args:
        scope: the events.
    Returns:
        A page of a list, or the response with the stream.
    Raises:
        InvalidQuery: `after` or `wait` is not a number.
        TooManyReaders: too many streams are open.
    """
    # A browser repeats the URL when it reconnects, and adds the header.
    resumed = _number("Last-Event-ID", request.headers.get("Last-Event-ID", "0"))
    after = int(max(_number("after", request.args.get("after", "0")), resumed))
    if request.accept_mimetypes.best_match(["application/json", "text/event-stream"]) == "text/event-stream":
        return _stream(after, scope)
    wait = min(_number("wait", request.args.get("wait", "0")), LONGEST_WAIT)
    if wait:
        _wait_for(scope, after, wait)
    arguments = {name: value for name, value in request.args.items() if name not in ("after", "wait")}
    page = read_page(db.session(), sa.select(Event).where(scope.newer(after)), EVENTS, arguments)
    return {"data": page.rows, "meta": page.meta()}


def _number(name: str, text: str) -> float:
    if text.replace(".", "", 1).isdecimal() and len(text) < 19:
        return float(text) if name == "wait" else int(text.partition(".")[0] or 0)
    raise InvalidQuery(issues=[Finding("invalid_query", f"{name} must be a number from 0.", path=name)])


def _wait_for(scope: Scope, after: int, seconds: float) -> None:
    """Returns when there is an event, no event will follow, or the time is over."""
    end = time.monotonic() + seconds
    with scope.subscribe() as subscription:
        last = 0
        while not subscription.closed:
            # Each poll needs a new transaction; the same one would see the same snapshot again.
            db.session.rollback()
            if db.session.scalar(sa.select(sa.exists().where(scope.newer(after)))) or scope.ended():
                return
            last = scope.newest() or last
            db.session.rollback()
            left = end - time.monotonic()
            if left <= 0:
                return
            subscription.read(last, left)


def _stream(after: int, scope: Scope) -> Response:
    subscribed = scope.subscribe()
    # Entered here: too many subscribers are refused with an error response, not in the middle of a stream.
    events = _EventStream(scope, subscribed.__enter__())
    headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
    # The host name of the service is known from the request context only.
    text = stream_with_context(events.text(after))
    response = Response(text, mimetype="text/event-stream", headers=headers)
    response.call_on_close(lambda: subscribed.__exit__(None, None, None))
    return response


class _EventStream:
    """The events of a scope as Server-Sent Events, from the database and then from the feed.

    Args:
        scope: the events.
        subscription: the feed's subscription to them.
    """

    def __init__(self, scope: Scope, subscription: Subscription) -> None:
        self._scope, self._subscription = scope, subscription
        self._session_id = scope.account.session_id
        self._app = current_app._get_current_object()  # type: ignore[attr-defined]  # it outlives the request's context

    def text(self, after: int) -> Iterator[str]:
        """Generates the text of the stream.

        Args:
            after: id of the last event before the stream.
        """
        last, behind, checked = after, True, time.monotonic()
        yield f"retry: {RETRY_MILLISECONDS}\n\n"
        while not self._subscription.closed:
            over = False
            if behind:
                rows, last, over = self._stored(last)
                behind = len(rows) == BATCH
            else:
                rows, last, behind = self._live(last)
            for row in rows:
                last = max(last, row.id)
                name = f"event: {row.type}\n" if self._scope.named else ""
                yield f"id: {row.id}\n{name}data: {json.dumps(_event.dump(row))}\n\n"
            if over:
                return
            # A request or a Space may have ended; check in the database.
            behind = behind or (self._scope.space_id is not None and any(row.type in FINISHED for row in rows))
            if not rows and not behind:
                yield ": keep-alive\n\n"
            if time.monotonic() - checked >= KEEP_ALIVE_SECONDS:
                # The stream ends with the session of its caller.
                checked, behind = time.monotonic(), True
                if not self._is_allowed():
                    return

    def _stored(self, last: int) -> tuple[list[Any], int, bool]:
        """Reads events from the database; returns them, the last id seen, and whether none will follow."""
        with self._app.app_context(), read_transaction():
            # Check these before reading events, so that no event is appended in between.
            over, newest = self._scope.ended(), self._scope.newest()
            query = sa.select(*Event.__table__.columns).where(self._scope.newer(last)).order_by(Event.id)
            rows = list(db.session.execute(query.limit(BATCH)))
            complete = len(rows) < BATCH
            # Events of other requests and realms are passed, too: the feed is asked for what comes after them.
            return rows, max(last, newest) if complete else last, over and complete

    def _live(self, last: int) -> tuple[list[Any], int, bool]:
        """Waits for events of the feed; returns them, the last id seen, and whether the feed has dropped some."""
        news = self._subscription.read(last, KEEP_ALIVE_SECONDS)
        rows = [row for row in news or [] if self._scope.contains(row)]
        return rows, max([last, *(row.id for row in news or [])]), news is None

    def _is_allowed(self) -> bool:
        with self._app.app_context(), read_transaction():
            return self._session_id is None or tokens.is_active(self._session_id)
