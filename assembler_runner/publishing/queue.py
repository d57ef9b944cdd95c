"""The queue: a fair order between realms and accounts, positions, and a maximum length.

The turn of a request is a point in time, assigned when the request is accepted: now, plus one slice for each request of
its realm that comes before it in the fair order. Within a realm, the first waiting request of every account is in the
first round, the second one in the second, and so on. So an account with a thousand requests does not delay others, and
because turns are points in time, no request waits forever.
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
from assembler_runner.spaces.models import FINISHED, QUEUED, REQUEST_ID, REQUESTS, RUNNING, SpaceRequest

SLICE_SECONDS = 5.0
RATE_SAMPLE = 50
RATE_AGE = timedelta(minutes=15)


class QueueFull(AssemblerError):
    """The queue has reached its maximum length."""

    status = 503
    code = "queue_full"
    retryable = True
    default_message = "The queue is full; nothing was stored."
    default_hint = "Send the request again after the time in Retry-After."


# Prebuilt: constructing these statements costs more than executing them.
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
_WAITING = sa.select(sa.func.count()).where(REQUESTS.c.status == QUEUED)
_BEFORE = _WAITING.where(REQUESTS.c.turn_at < sa.bindparam("turn_at", type_=sa.Double))
_place = sa.select(_own.label("round"), _ahead.label("ahead"), database_now().label("now")).subquery()
_TURN = sa.select(
    _place.c.round,
    _place.c.now,
    (_place.c.now + SLICE_SECONDS * _place.c.ahead).label("at"),
    _WAITING.where(REQUESTS.c.turn_at < _place.c.now + SLICE_SECONDS * _place.c.ahead)
    .correlate(_place)
    .scalar_subquery()
    .label("before"),
)
_other = REQUESTS.alias()
EARLIER_UNFINISHED = (
    sa.exists()
    .where(
        _other.c.space_id == REQUESTS.c.space_id,
        _other.c.number < REQUESTS.c.number,
        without_index(_other.c.status).in_((QUEUED, RUNNING)),
    )
    .correlate(REQUESTS)
)
"""Condition on a request: an earlier one of its Space has not ended."""
_NEXT = (
    sa.select(REQUESTS.c.id)
    .where(REQUESTS.c.status == QUEUED, REQUESTS.c.not_before <= database_now(), ~EARLIER_UNFINISHED)
    # Always true; makes PostgreSQL use the index on status and turn even without statistics on the queue's length.
    .where(REQUESTS.c.turn_at >= 0)
    .order_by(REQUESTS.c.turn_at)
    .limit(sa.bindparam("limit", type_=sa.Integer))
)
_WOKEN = sa.select(
    sa.select(REQUESTS.c.status).where(REQUESTS.c.id == REQUEST_ID).scalar_subquery(),
    _NEXT.limit(1).scalar_subquery(),
)


@dataclass(frozen=True)
class Turn:
    """The position of a request in the fair order.

    Args:
        round: number of earlier unfinished requests of the same account.
        at: its turn, in seconds since 1970 by the database's clock.
        now: the current time by the same clock.
        place: its position in the queue, from 1.
    """

    round: int
    at: float
    now: float
    place: int


def assign_queue_position(session: Session, realm_id: str, owner_id: str) -> Turn:
    """Computes the turn of a new request.

    Args:
        session: the session.
        realm_id: the realm of the request.
        owner_id: the account of the request.
    """
    round_, now, at, before = session.execute(_TURN, {"realm_id": realm_id, "owner_id": owner_id}).one()
    return Turn(round_, float(at), float(now), 1 + before)


def next_requests(session: Session, limit: int) -> list[str]:
    """Returns the ids of the next due requests in fair order; only the first unfinished one of each Space."""
    return list(session.scalars(_NEXT, {"limit": limit}))


def woken(session: Session, request_id: str) -> tuple[str | None, str | None]:
    """Returns the status of a request, and the id of the first request of :func:`next_requests`; None if there is none.

    Args:
        session: the session.
        request_id: the request.
    """
    status, following = session.connection().execute(_WOKEN, {"request_id": request_id}).one()
    return status, following


def position(session: Session, request: SpaceRequest) -> int | None:
    """Returns the position of a request in the queue, from 1; None if it is not queued."""
    if request.status != QUEUED:
        return None
    if request.queue_position is not None:
        return request.queue_position
    place = 1 + (session.scalar(_BEFORE, {"turn_at": request.turn_at}) or 0)
    set_committed_value(request, "queue_position", place)
    return place


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
    """Estimates when a queued request will start, from the rate of recently finished requests.

    Args:
        session: the session.
        request: the request.
        place: its position in the queue, or None.
    Returns:
        The estimated time; None if it is not queued, or no request has finished recently.
    """
    rate = _rate(session)
    if place is None or rate is None:
        return None
    by_queue = utcnow() + timedelta(seconds=place / rate)
    earliest = datetime.fromtimestamp(request.not_before, tz=by_queue.tzinfo)
    return max(by_queue, earliest)


def refuse_if_full(session: Session, most: int, longest_wait: float) -> None:
    """Rejects a new request if the queue is too long.

    Args:
        session: the session.
        most: maximum number of queued requests.
        longest_wait: maximum expected wait, in seconds.
    Raises:
        QueueFull: the queue is too long; `retry_after` says when to retry.
    """
    waiting = session.scalar(_WAITING) or 0
    rate = _rate(session)
    wait = waiting / rate if rate else 0.0
    if waiting >= most:
        raise QueueFull(
            f"{waiting} requests are queued; nothing was stored.", retry_after=max(5.0, min(wait / 2, 600.0))
        )
    if wait > longest_wait:
        text = f"The request would have to wait about {wait / 60:.0f} minutes; nothing was stored."
        raise QueueFull(text, retry_after=min(wait - longest_wait + 1, 3600.0))


class _Rate:
    """Requests finished per second, measured at most once a second."""

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
