"""The queue: a fair order between realms and accounts, positions, and a maximum length.

The turn of a request is a point in time, assigned when the request is accepted: now, plus one slice for each request of
its realm that comes before it in the fair order. Within a realm, the first waiting request of every account is in the
first round, the second one in the second, and so on. So an account with a thousand requests does not delay others, and
because turns are points in time, no request waits forever.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import accumulate

import sqlalchemy as sa
from sqlalchemy.orm import Session
from sqlalchemy.orm.attributes import set_committed_value

from assembler_runner.core.database import database_now, utcnow, without_index
from assembler_runner.core.errors import AssemblerError
from assembler_runner.core.recent import Recent
from assembler_runner.spaces.models import FINISHED, QUEUED, REQUEST_ID, REQUESTS, RUNNING, SpaceRequest

SLICE_SECONDS = 5.0
COUNTED = 10_000
"""As many requests are counted for a turn or a position; those behind them get the same. The default of MAX_QUEUE."""
COUNTED_EACH_TIME = 1000
"""Longest queue that is counted for each new request."""
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


def _count(*conditions: sa.ColumnElement[bool], most: int) -> sa.Select[int]:
    """Counts requests, at most a number of them: an accepted request costs the same however long the queue is."""
    some = sa.select(sa.literal(1)).select_from(REQUESTS).where(*conditions).limit(most)
    return sa.select(sa.func.count()).select_from(some.subquery())


_own = _count(
    _unfinished, REQUESTS.c.owner_id == sa.bindparam("owner_id", type_=sa.String), most=COUNTED
).scalar_subquery()
_ahead = _count(
    _unfinished,
    REQUESTS.c.realm_id == sa.bindparam("realm_id", type_=sa.String),
    REQUESTS.c.fair_round <= _own,
    most=COUNTED,
).scalar_subquery()
_TURN = sa.select(_own, _ahead, database_now())
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
_queued = REQUESTS.c.status == QUEUED
_WAITING = sa.select(sa.func.count()).where(_queued)
_SOME_WAITING = _count(_queued, most=COUNTED_EACH_TIME + 1)
_BEFORE = _count(_queued, REQUESTS.c.turn_at < sa.bindparam("turn_at", type_=sa.Double), most=COUNTED)
_LAST_COUNTED = sa.select(REQUESTS.c.turn_at).where(_queued).order_by(REQUESTS.c.turn_at).offset(COUNTED).limit(1)
_mine = (
    sa.select(
        REQUESTS.c.id,
        REQUESTS.c.turn_at,
        # MariaDB knows no third argument of lag().
        sa.func.coalesce(
            sa.func.lag(REQUESTS.c.turn_at).over(order_by=(REQUESTS.c.turn_at, REQUESTS.c.id)), -1.0
        ).label("previous"),
    )
    .where(REQUESTS.c.id.in_(sa.bindparam("ids", expanding=True)))
    .subquery()
)
# Each counts from the one before it, so that all of them together read the queue once.
_BETWEEN = sa.select(
    _mine.c.id,
    sa.select(sa.func.count())
    .where(_other.c.status == QUEUED, _other.c.turn_at >= _mine.c.previous, _other.c.turn_at < _mine.c.turn_at)
    .scalar_subquery(),
).order_by(_mine.c.turn_at, _mine.c.id)


@dataclass(frozen=True)
class Turn:
    """The position of a request in the fair order.

    Args:
        round: number of earlier unfinished requests of the same account.
        at: its turn, in seconds since 1970 by the database's clock.
        now: the current time by the same clock.
    """

    round: int
    at: float
    now: float


def assign_queue_position(session: Session, realm_id: str, owner_id: str) -> Turn:
    """Computes the turn of a new request.

    Args:
        session: the session.
        realm_id: the realm of the request.
        owner_id: the account of the request.
    """
    round_, before, now = session.execute(_TURN, {"realm_id": realm_id, "owner_id": owner_id}).one()
    return Turn(round_, float(now) + SLICE_SECONDS * before, float(now))


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
    """Returns the position of a request in the queue, from 1 to COUNTED + 1; None if it is not queued."""
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
    last = session.scalar(_LAST_COUNTED)
    near = [request.id for request in waiting.values() if last is None or request.turn_at < last]
    before = dict.fromkeys(waiting, COUNTED)
    counts = session.execute(_BETWEEN, {"ids": near}).all() if near else []
    before |= dict(zip((row[0] for row in counts), accumulate(row[1] for row in counts), strict=True))
    for request_id, request in waiting.items():
        set_committed_value(request, "queue_position", 1 + before[request_id])


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
    waiting = _length(session)
    rate = _rate(session)
    wait = waiting / rate if rate else 0.0
    if waiting >= most:
        raise QueueFull(
            f"{waiting} requests are queued; nothing was stored.", retry_after=max(5.0, min(wait / 2, 600.0))
        )
    if wait > longest_wait:
        text = f"The request would have to wait about {wait / 60:.0f} minutes; nothing was stored."
        raise QueueFull(text, retry_after=min(wait - longest_wait + 1, 3600.0))


_rates: Recent[float | None] = Recent(1.0)
_lengths: Recent[int] = Recent(1.0)


def _rate(session: Session) -> float | None:
    """Returns the requests finished per second, measured at most once a second."""
    return _rates.get(_address(session), lambda: _measure(session))


def _length(session: Session) -> int:
    """Returns the length of the queue; that of a long one is counted at most once a second."""
    some = session.scalar(_SOME_WAITING) or 0
    if some <= COUNTED_EACH_TIME:
        return some
    return _lengths.get(_address(session), lambda: session.scalar(_WAITING) or 0)


def _address(session: Session) -> str:
    return str(session.get_bind().url)  # type: ignore[union-attr]  # the bind of a session is an engine


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
