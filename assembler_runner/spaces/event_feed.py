"""Live event streams: one poll of the database serves every subscriber in this process."""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import sqlalchemy as sa
from flask import Flask

from assembler_runner.core.commit_signals import changes
from assembler_runner.core.database import db, read_transaction
from assembler_runner.core.errors import AssemblerError
from assembler_runner.core.loops import Loop, OnDemand
from assembler_runner.core.shares import Shares
from assembler_runner.spaces.events import settled_event_id
from assembler_runner.spaces.models import Event, Space

log = logging.getLogger(__name__)

KEPT = 1000
"""Number of recent events of a Space in memory; a subscriber that is further behind reads the database."""

BATCH_SIZE = 500

ALL_SPACES = ""
"""Subscribes to the events of all Spaces; the subscriber chooses those it may see by `realm_id`."""


class TooManyReaders(AssemblerError):
    """The process has reached its maximum number of live event streams."""

    status = 503
    code = "too_many_readers"
    retryable = True
    default_message = "Too many live event streams are open."
    default_hint = "Try again shortly, or poll the list of events."


class _Topic:
    """A Space with subscribers: its events after the number `since`."""

    def __init__(self) -> None:
        self.subscribers = 0
        self.count: int | None = None
        self.since: int | None = None
        self.newest = 0
        self.events: deque[Any] = deque()

    def add(self, events: list[Any]) -> None:
        self.events.extend(events)
        self.newest = events[-1].id
        while len(self.events) > KEPT:
            self.since = self.events.popleft().id


class Subscription:
    """One subscriber's view of a Space.

    Args:
        changed: guards the topic; notified of new events.
        topic: the events of the Space.
        feed: the feed it belongs to.
    """

    def __init__(self, changed: threading.Condition, topic: _Topic, feed: EventFeed) -> None:
        self._changed = changed
        self._topic = topic
        self._feed = feed

    def read(self, after: int, timeout: float) -> list[Any] | None:
        """Waits for events.

        Args:
            after: number of the last event the subscriber has.
            timeout: maximum seconds to wait.
        Returns:
            Rows of the table of events after that one, in order; empty on timeout; None if the subscriber is so far
            behind that it has to read the database first.
        """
        topic = self._topic

        def ready() -> bool:
            return self._feed.closed or (topic.since is not None and (topic.newest > after or after < topic.since))

        with self._changed:
            self._changed.wait_for(ready, timeout)
            if topic.since is None or after < topic.since:
                return None if topic.since is not None else []
            return [event for event in topic.events if event.id > after]

    @property
    def closed(self) -> bool:
        """Whether the process is shutting down, so that the subscriber has to stop."""
        return self._feed.closed


class EventFeed:
    """Polls for new events of Spaces with subscribers and distributes them.

    Events committed by this process arrive at once, those of other processes within a quarter of a second.

    Args:
        app: the application.
        most: maximum number of simultaneous subscribers.
    """

    def __init__(self, app: Flask, most: int) -> None:
        self._app = app
        self._most = most
        self._shares = Shares()
        self._changed = threading.Condition()
        self._topics: dict[str, _Topic] = {}
        # No pause: each round waits for subscribers and for commits.
        self._polling = OnDemand(lambda: Loop("event feed", 0.0, self._poll))
        self._seen = 0
        self.closed = False

    @property
    def subscribers(self) -> int:
        """Number of current subscribers."""
        return self._shares.open

    @contextmanager
    def subscribe(self, space_id: str, account_id: str, realm_id: str) -> Iterator[Subscription]:
        """Subscribes to a Space for the duration of the block.

        Args:
            space_id: the Space, or :data:`ALL_SPACES`.
            account_id: account that reads.
            realm_id: realm of the account.
        Raises:
            TooManyReaders: the maximum number of subscribers is reached, or the share of the account or the realm.
        """
        with self._shares.take(self._most, account_id, realm_id) as taken:
            if not taken:
                raise TooManyReaders(retry_after=10)
            with self._changed:
                topic = self._topics.setdefault(space_id, _Topic())
                topic.subscribers += 1
                self._changed.notify_all()
            self._polling.ensure()
            try:
                yield Subscription(self._changed, topic, self)
            finally:
                with self._changed:
                    topic.subscribers -= 1
                    if not topic.subscribers:
                        del self._topics[space_id]

    def close(self) -> None:
        """Ends all subscriptions: the process is shutting down."""
        with self._changed:
            self.closed = True
            self._changed.notify_all()
        self._polling.stop()

    def _poll(self) -> float:
        with self._changed:
            self._changed.wait_for(lambda: self._topics or self.closed)
            watched = dict(self._topics)
        try:
            self._fetch(watched)
        finally:
            self._seen = changes.wait(self._seen, changes.poll_seconds)
        return 0.0

    def _fetch(self, watched: dict[str, _Topic]) -> None:
        ids = [space_id for space_id in watched if space_id != ALL_SPACES]
        with self._app.app_context(), read_transaction():
            if everything := watched.get(ALL_SPACES):
                self._read_all(everything)
            for start in range(0, len(ids), BATCH_SIZE):
                query = sa.select(Space.id, Space.event_count).where(Space.id.in_(ids[start : start + BATCH_SIZE]))
                for space_id, count in db.session.execute(query).all():
                    if watched[space_id].count != count:
                        self._read(space_id, count, watched[space_id])

    def _read(self, space_id: str, count: int, topic: _Topic) -> None:
        of_space = Event.space_id == space_id
        newest, events = 0, []
        if topic.since is None:
            newest = db.session.scalar(sa.select(sa.func.max(Event.id)).where(of_space)) or 0
        else:
            query = sa.select(*Event.__table__.columns).where(of_space, Event.id > topic.newest).order_by(Event.id)
            events = list(db.session.execute(query))
        self._add(topic, newest, events, count)

    def _read_all(self, topic: _Topic) -> None:
        newest, events = settled_event_id(db.session()), []
        if topic.since is not None and newest > topic.newest:
            query = sa.select(*Event.__table__.columns, Space.realm_id).join(Space, Space.id == Event.space_id)
            new = query.where(Event.id > topic.newest, Event.id <= newest).order_by(Event.id)
            events = list(db.session.execute(new))
        self._add(topic, newest, events, None)

    def _add(self, topic: _Topic, newest: int, events: list[Any], count: int | None) -> None:
        with self._changed:
            topic.count = count
            if topic.since is None:
                topic.since = topic.newest = newest
            elif events:
                topic.add(events)
            self._changed.notify_all()
