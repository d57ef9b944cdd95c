"""Whose turn it is: a fair order between realms and users, a truthful place in the queue, and an end to the queue.

A request's turn is fixed when it is accepted: now, plus one slice for each request of its realm that comes before it in
a round of turns. Within a realm every user's first waiting request comes in the first round, every second one in the
second, and so on; so nobody who sends a thousand requests keeps others waiting, and since turns are moments in time,
nobody waits for ever.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

import sqlalchemy as sa
from sqlalchemy.orm import Session, aliased
from sqlalchemy.orm.attributes import set_committed_value

from assembler_runner.core.database import database_now, utcnow, without_index
from assembler_runner.core.errors import AssemblerError
from assembler_runner.spaces.models import FINISHED, QUEUED, REQUESTS, RUNNING, SpaceRequest

SLICE_SECONDS = 5.0
RATE_SAMPLE = 50
RATE_AGE = timedelta(minutes=15)


class QueueFull(AssemblerError):
    """The queue is as long as it may be."""

    status = 503
    code = "queue_full"
    retryable = True
    default_message = "The queue is full; nothing was stored."
    default_hint = "Send the request again after the time in Retry-After."


# Made once: to put a statement together takes longer than to send it.
_unfinished = REQUESTS.c.status.in_((QUEUED, RUNNING))
_own = (
    sa.select(sa.func.count())
    .where(_unfinished, REQUESTS.c.owner_id == sa.bindparam("owner_id", type_=sa.String))
    .scalar_subquery()
)
_ahead = (
    sa.select(sa.func.count())
    .where(
        _unfinished,
        REQUESTS.c.realm_id == sa.bindparam("realm_id", type_=sa.String),
        REQUESTS.c.fair_round <= _own,
    )
    .scalar_subquery()
)
_TURN = sa.select(_own, _ahead, database_now())
_other = REQUESTS.alias()
_earlier_unfinished = (
    sa.exists()
    .where(
        _other.c.space_id == REQUESTS.c.space_id,
        _other.c.number < REQUESTS.c.number,
        without_index(_other.c.status).in_((QUEUED, RUNNING)),
    )
    .correlate(REQUESTS)
)
_NEXT = (
    sa.select(REQUESTS.c.id)
    .where(REQUESTS.c.status == QUEUED, REQUESTS.c.not_before <= database_now(), ~_earlier_unfinished)
    # True of all, and leads PostgreSQL to the index of status and turn also where it does not know how many wait.
    .where(REQUESTS.c.turn_at >= 0)
    .order_by(REQUESTS.c.turn_at)
    .limit(sa.bindparam("limit", type_=sa.Integer))
)
_FIRST = sa.select(REQUESTS.c.id).where(
    REQUESTS.c.id == sa.bindparam("request_id", type_=sa.String), ~_earlier_unfinished
)
_WAITING = sa.select(sa.func.count()).where(REQUESTS.c.status == QUEUED)
_BEFORE = _WAITING.where(REQUESTS.c.turn_at < sa.bindparam("turn_at", type_=sa.Double))


@dataclass(frozen=True)
class Turn:
    """When a request is to be taken up.

    Args:
        round: how many unfinished requests of the same account were there before it.
        at: its turn, in seconds since 1970 by the database's clock.
        now: the present moment by that clock.
    """

    round: int
    at: float
    now: float


def assign_queue_position(session: Session, realm_id: str, owner_id: str) -> Turn:
    """Returns the turn of a new request."""
    round_, before, now = session.execute(_TURN, {"realm_id": realm_id, "owner_id": owner_id}).one()
    return Turn(round_, float(now) + SLICE_SECONDS * before, float(now))


def next_requests(session: Session, limit: int) -> list[str]:
    """Returns the waiting requests whose turn it is, in order; of each Space the first one only."""
    return list(session.scalars(_NEXT, {"limit": limit}))


def is_first(session: Session, request_id: str) -> bool:
    """Returns whether no other request of the same Space comes before one."""
    return session.scalar(_FIRST, {"request_id": request_id}) is not None


def position(session: Session, request: SpaceRequest) -> int | None:
    """Returns the place of a request in the queue, from 1; None if it does not wait."""
    if request.status != QUEUED:
        return None
    if request.queue_position is not None:
        return request.queue_position
    return 1 + (session.scalar(_BEFORE, {"turn_at": request.turn_at}) or 0)


def load_positions(session: Session, requests: Iterable[SpaceRequest]) -> None:
    """Loads the attribute `queue_position` of several requests at once."""
    waiting = {request.id: request for request in requests if request.status == QUEUED}
    if not waiting:
        return
    other = aliased(SpaceRequest)
    ahead = sa.select(sa.func.count()).where(other.status == QUEUED, other.turn_at < SpaceRequest.turn_at)
    query = sa.select(SpaceRequest.id, ahead.scalar_subquery()).where(SpaceRequest.id.in_(waiting))
    for request_id, number in session.execute(query).all():
        set_committed_value(waiting[request_id], "queue_position", 1 + number)


def expected_start(session: Session, request: SpaceRequest, place: int | None) -> datetime | None:
    """Returns when a waiting request will be taken up, judged by how fast the last ones were finished.

    Returns:
        The moment; None if it does not wait, or nothing was finished lately to judge by.
    """
    rate = _rate(session)
    if place is None or rate is None:
        return None
    by_queue = utcnow() + timedelta(seconds=place / rate)
    earliest = datetime.fromtimestamp(request.not_before, tz=by_queue.tzinfo)
    return max(by_queue, earliest)


def refuse_if_full(session: Session, most: int, longest_wait: float) -> None:
    """Refuses a request that would have to wait too long.

    Args:
        session: the session.
        most: how many may wait.
        longest_wait: seconds a request may be expected to wait.
    Raises:
        QueueFull: with the seconds after which to try again.
    """
    waiting = session.scalar(_WAITING) or 0
    rate = _rate(session)
    wait = waiting / rate if rate else 0.0
    if waiting >= most:
        raise QueueFull(
            f"{waiting} requests wait already; nothing was stored.", retry_after=max(5.0, min(wait / 2, 600.0))
        )
    if wait > longest_wait:
        text = f"The request would have to wait about {wait / 60:.0f} minutes; nothing was stored."
        raise QueueFull(text, retry_after=min(wait - longest_wait + 1, 3600.0))


class _Rate:
    """Requests finished per second, looked up at most once a second."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._known: dict[str, tuple[float, float | None]] = {}

    def get(self, session: Session) -> float | None:
        database = str(session.get_bind().url)  # type: ignore[union-attr]  # the bind of a session is an engine
        with self._lock:
            at, rate = self._known.get(database, (0.0, None))
            if time.monotonic() - at < 1.0:
                return rate
        rate = _measure(session)
        with self._lock:
            self._known[database] = (time.monotonic(), rate)
        return rate


_rate = _Rate().get


def _measure(session: Session) -> float | None:
    finished = SpaceRequest.status.in_(FINISHED) & (SpaceRequest.finished_at > utcnow() - RATE_AGE)
    query = (
        sa.select(SpaceRequest.started_at, SpaceRequest.finished_at)
        .where(finished, SpaceRequest.started_at.is_not(None))
        .order_by(SpaceRequest.finished_at.desc())
        .limit(RATE_SAMPLE)
    )
    rows = session.execute(query).all()
    if not rows:
        return None
    first = min(row.started_at for row in rows)
    seconds = (rows[0].finished_at - first).total_seconds()
    return len(rows) / max(float(seconds), 0.05)
