"""Events as a list, with long polling, and as a stream."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import Any

import sqlalchemy as sa
from flask import Response, current_app, request, stream_with_context

from assembler_runner.accounts import tokens
from assembler_runner.accounts.auth import current_account
from assembler_runner.api.schemas.spaces import EventSchema
from assembler_runner.core.database import db, read_transaction
from assembler_runner.core.errors import Finding
from assembler_runner.core.listing import InvalidQuery, Listing, read_page
from assembler_runner.services import current_services
from assembler_runner.spaces.event_feed import Subscription
from assembler_runner.spaces.models import FINISHED, Event

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


def answer_events(space_id: str, request_id: str | None, ended: Callable[[], bool]) -> Any:
    """Answers a call for events with a list, or with a stream if `Accept` requests one.

    Args:
        space_id: the Space of the events.
        request_id: the request of the events; None for all events of the Space.
        ended: returns whether no event will follow.
    Returns:
        A page of a list, or the response with the stream.
    Raises:
        InvalidQuery: `after` or `wait` is not a number.
        TooManyReaders: too many streams are open.
    """
    after = int(_number("after", request.headers.get("Last-Event-ID") or "0"))
    if request.accept_mimetypes.best_match(["application/json", "text/event-stream"]) == "text/event-stream":
        return _stream(after, space_id, request_id, ended)
    wait = min(_number("wait", "0"), LONGEST_WAIT)
    newer = sa.and_(_chosen(space_id, request_id), Event.id > after)
    if wait:
        _wait_for(newer, wait, space_id, ended)
    arguments = {name: value for name, value in request.args.items() if name not in ("after", "wait")}
    page = read_page(db.session(), sa.select(Event).where(newer), EVENTS, arguments)
    return {"data": page.rows, "meta": page.meta()}


def _chosen(space_id: str, request_id: str | None) -> sa.ColumnElement[bool]:
    return Event.space_id == space_id if request_id is None else Event.request_id == request_id


def _number(name: str, default: str) -> float:
    text = request.args.get(name, default)
    if text.replace(".", "", 1).isdecimal() and len(text) < 19:
        return float(text) if name == "wait" else int(text.partition(".")[0] or 0)
    raise InvalidQuery(issues=[Finding("invalid_query", f"{name} must be a number from 0.", path=name)])


def _wait_for(newer: sa.ColumnElement[bool], seconds: float, space_id: str, ended: Callable[[], bool]) -> None:
    """Returns when there is an event, no event will follow, or the time is over."""
    end = time.monotonic() + seconds
    with _subscribe(space_id) as subscription:
        last = 0
        while not subscription.closed:
            # Each poll needs a new transaction; the same one would see the same snapshot again.
            db.session.rollback()
            if db.session.scalar(sa.select(sa.exists().where(newer))) or ended():
                return
            last = db.session.scalar(sa.select(sa.func.max(Event.id)).where(Event.space_id == space_id)) or last
            db.session.rollback()
            left = end - time.monotonic()
            if left <= 0:
                return
            subscription.read(last, left)


def _subscribe(space_id: str) -> AbstractContextManager[Subscription]:
    account = current_account()
    return current_services().feed.subscribe(space_id, account.id, account.realm_id)


def _stream(after: int, space_id: str, request_id: str | None, ended: Callable[[], bool]) -> Response:
    subscribed = _subscribe(space_id)
    # Entered here: too many subscribers are refused with an error response, not in the middle of a stream.
    events = _EventStream(space_id, request_id, ended, subscribed.__enter__())
    headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
    # The host name of the service is known from the request context only.
    text = stream_with_context(events.text(after))
    response = Response(text, mimetype="text/event-stream", headers=headers)
    response.call_on_close(lambda: subscribed.__exit__(None, None, None))
    return response


class _EventStream:
    """The events of a Space or a request as Server-Sent Events, from the database and then from the feed.

    Args:
        space_id: the Space.
        request_id: the request; None for all events of the Space.
        ended: whether no event will follow.
        subscription: the feed's subscription to the Space.
    """

    def __init__(
        self, space_id: str, request_id: str | None, ended: Callable[[], bool], subscription: Subscription
    ) -> None:
        self._chosen, self._request_id = _chosen(space_id, request_id), request_id
        self._ended, self._subscription = ended, subscription
        self._session_id = current_account().session_id
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
                rows, over = self._stored(last)
                behind = len(rows) == BATCH
            else:
                rows, last, behind = self._live(last)
            for row in rows:
                last = max(last, row.id)
                yield f"id: {row.id}\nevent: {row.type}\ndata: {json.dumps(_event.dump(row))}\n\n"
            if over:
                return
            # A request may have ended; check in the database.
            behind = behind or any(row.type in FINISHED for row in rows)
            if not rows and not behind:
                yield ": keep-alive\n\n"
            if time.monotonic() - checked >= KEEP_ALIVE_SECONDS:
                # The stream ends with the session of its caller.
                checked, behind = time.monotonic(), True
                if not self._is_allowed():
                    return

    def _stored(self, last: int) -> tuple[list[Any], bool]:
        """Reads the events after one from the database, and whether none will follow."""
        with self._app.app_context(), read_transaction():
            # Check this before reading events, so that no event is appended in between.
            over = self._ended()
            query = sa.select(*Event.__table__.columns).where(self._chosen, Event.id > last).order_by(Event.id)
            rows = list(db.session.execute(query.limit(BATCH)))
            return rows, over and len(rows) < BATCH

    def _live(self, last: int) -> tuple[list[Any], int, bool]:
        """Waits for events of the feed; returns them, the last id seen, and whether the feed has dropped some."""
        news = self._subscription.read(last, KEEP_ALIVE_SECONDS)
        rows = [row for row in news or [] if self._request_id in (None, row.request_id)]
        return rows, max([last, *(row.id for row in news or [])]), news is None

    def _is_allowed(self) -> bool:
        with self._app.app_context(), read_transaction():
            return self._session_id is None or tokens.is_active(self._session_id)
