"""Who reads events as they happen: one look at the database serves all readers of this process."""

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
from assembler_runner.spaces.models import Event, Space

log = logging.getLogger(__name__)

KEPT = 1000
"""Newest events of a Space that are kept for its readers; who is further behind reads the database."""

AT_ONCE = 500


class TooManyReaders(AssemblerError):
    """As many read events live as this process may serve."""

    status = 503
    code = "too_many_readers"
    retryable = True
    default_message = "Too many callers read events live."
    default_hint = "Try again shortly, or ask for the list of events now and then."


class _Topic:
    """A Space that is read live: its events after the number `since`."""

    def __init__(self) -> None:
        self.readers = 0
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
    """One reader's view of a Space.

    Args:
        changed: guards the topic, and is told of new events.
        topic: what is known of the Space.
        feed: the feed.
    """

    def __init__(self, changed: threading.Condition, topic: _Topic, feed: EventFeed) -> None:
        self._changed = changed
        self._topic = topic
        self._feed = feed

    def read(self, after: int, timeout: float) -> list[Any] | None:
        """Waits for events.

        Args:
            after: number of the last one the reader knows.
            timeout: seconds to wait at most.
        Returns:
            Rows of the table of events after that one, in order, none if none came in time; None if the reader is so
            far behind that it has to read the database first.
        """
        topic = self._topic

        def there() -> bool:
            return self._feed.closed or (topic.since is not None and (topic.newest > after or after < topic.since))

        with self._changed:
            self._changed.wait_for(there, timeout)
            if topic.since is None or after < topic.since:
                return None if topic.since is not None else []
            return [event for event in topic.events if event.id > after]

    @property
    def over(self) -> bool:
        """Whether the process is about to end, and the reader has to let go."""
        return self._feed.closed


class EventFeed:
    """Looks which of the Spaces that are read live have new events, and hands them to their readers.

    A change committed by this process is seen at once, one of another process after a quarter of a second.

    Args:
        app: the application.
        most: how many may read at the same time.
    """

    def __init__(self, app: Flask, most: int) -> None:
        self._app = app
        self._most = most
        self._shares = Shares()
        self._changed = threading.Condition()
        self._topics: dict[str, _Topic] = {}
        # The work itself waits for subscribers and for commits.
        self._polling = OnDemand(lambda: Loop("event feed", 0.0, self._poll))
        self._seen = 0
        self.closed = False

    @property
    def readers(self) -> int:
        """How many read along."""
        return self._shares.open

    @contextmanager
    def subscribe(self, space_id: str, account_id: str, realm_id: str) -> Iterator[Subscription]:
        """Reads along while the body runs.

        Args:
            space_id: the Space.
            account_id: account that reads.
            realm_id: realm of the account.
        Raises:
            TooManyReaders: the process serves as many as it may, or the account or the realm has its share.
        """
        with self._shares.take(self._most, account_id, realm_id) as taken:
            if not taken:
                raise TooManyReaders(retry_after=10)
            with self._changed:
                topic = self._topics.setdefault(space_id, _Topic())
                topic.readers += 1
                self._changed.notify_all()
            self._polling.ensure()
            try:
                yield Subscription(self._changed, topic, self)
            finally:
                with self._changed:
                    topic.readers -= 1
                    if not topic.readers:
                        del self._topics[space_id]

    def close(self) -> None:
        """Lets all readers go: the process is about to end."""
        with self._changed:
            self.closed = True
            self._changed.notify_all()
        self._polling.stop()

    def _poll(self) -> float:
        with self._changed:
            self._changed.wait_for(lambda: self._topics or self.closed)
            watched = dict(self._topics)
        try:
            self._look(watched)
        finally:
            self._seen = changes.wait(self._seen, changes.poll_seconds)
        return 0.0

    def _look(self, watched: dict[str, _Topic]) -> None:
        names = list(watched)
        with self._app.app_context(), read_transaction():
            for start in range(0, len(names), AT_ONCE):
                query = sa.select(Space.id, Space.event_count).where(Space.id.in_(names[start : start + AT_ONCE]))
                for space_id, count in db.session.execute(query).all():
                    if watched[space_id].count != count:
                        self._read(space_id, count, watched[space_id])

    def _read(self, space_id: str, count: int, topic: _Topic) -> None:
        of_space = Event.space_id == space_id
        events: list[Any] = []
        if topic.since is None:
            newest = db.session.scalar(sa.select(sa.func.max(Event.id)).where(of_space)) or 0
        else:
            query = sa.select(*Event.__table__.columns).where(of_space, Event.id > topic.newest).order_by(Event.id)
            events = list(db.session.execute(query))
        with self._changed:
            topic.count = count
            if topic.since is None:
                topic.since = topic.newest = newest
            elif events:
                topic.add(events)
            self._changed.notify_all()
