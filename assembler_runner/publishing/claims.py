"""Claims: which worker works on which request."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

from assembler_runner.core.database import (
    database_now,
    db,
    new_id,
    read_transaction,
    utcnow,
    without_index,
    write_transaction,
)
from assembler_runner.publishing import job as jobs
from assembler_runner.publishing.job import Job
from assembler_runner.publishing.queue import EARLIER_UNFINISHED
from assembler_runner.services import Services
from assembler_runner.spaces.events import NewEvent, append_events, count_event_of
from assembler_runner.spaces.models import QUEUED, REQUESTS, RUNNING, SpaceRequest
from assembler_runner.spaces.transitions import change_status, move_to, transition

# Prebuilt: constructing these statements costs more than executing them.
_CLAIMABLE = sa.or_(
    sa.and_(REQUESTS.c.status == QUEUED, REQUESTS.c.not_before <= database_now()),
    # The lease of its worker has expired.
    sa.and_(REQUESTS.c.status == RUNNING, REQUESTS.c.due_at < database_now()),
)


_CLAIM = (
    transition(RUNNING)
    # The lock of the Space ensures that only its first unfinished request is claimed.
    .where(_CLAIMABLE, ~EARLIER_UNFINISHED)
    .values(
        attempts=REQUESTS.c.attempts + 1,
        due_at=database_now() + sa.bindparam("lease", type_=sa.Double),
        started_at=sa.func.coalesce(REQUESTS.c.started_at, sa.bindparam("now", type_=REQUESTS.c.started_at.type)),
    )
)
_space = (
    sa.select(REQUESTS.c.space_id).where(REQUESTS.c.id == sa.bindparam("request_id", type_=sa.String)).scalar_subquery()
)


_SUCCESSOR = (
    sa.select(REQUESTS.c.id)
    .where(REQUESTS.c.space_id == _space, without_index(REQUESTS.c.status) == QUEUED)
    .order_by(REQUESTS.c.number)
    .limit(1)
)


def successor(request_id: str) -> str | None:
    """Returns the id of the next queued request of the same Space, or None."""
    with read_transaction():
        found = db.session().connection().scalar(_SUCCESSOR, {"request_id": request_id})
    return None if found == request_id else found


def claim(services: Services, request_id: str) -> Job | None:
    """Claims a request that is queued or whose lease has expired, if it is the first unfinished one of its Space.

    Args:
        services: the services of this process.
        request_id: the request.
    Returns:
        The claimed request; None if it cannot be claimed.
    """
    owner = new_id()
    values: dict[str, Any] = {"lease": services.leases.seconds, "now": utcnow(), "lease_owner": owner}
    # Not durable: a claim lost on power failure leaves the request queued, and no work was done yet.
    with write_transaction(durable=False):
        session = db.session()
        if not count_event_of(session, request_id) or not change_status(session, request_id, RUNNING, _CLAIM, **values):
            session.rollback()
            return None
        job = jobs.load(services, request_id, owner)
        append_events(session, job.space_id, [NewEvent(RUNNING, request_id)])
    return job


def take_due(resend_seconds: float, limit: int = 500) -> list[str]:
    """Returns requests that need a wake-up: due ones, those with an expired lease, and those with a due clean-up.

    Args:
        resend_seconds: seconds until an unanswered wake-up is sent again.
        limit: maximum number of requests of each kind.
    """
    found: list[str] = []
    # One after the other: each is read in the order of the index on status and due_at.
    for status in (RUNNING, QUEUED):
        due = sa.and_(SpaceRequest.status == status, SpaceRequest.due_at < database_now())
        found += db.session.scalars(sa.select(SpaceRequest.id).where(due).order_by(SpaceRequest.due_at).limit(limit))
    if found:
        # A running request keeps its due_at, which says that its lease has expired.
        again = sa.update(SpaceRequest).where(SpaceRequest.id.in_(found), SpaceRequest.status == QUEUED)
        db.session.execute(
            again.values(due_at=database_now() + resend_seconds, updated_at=SpaceRequest.updated_at),
            execution_options={"synchronize_session": False},
        )
    left = SpaceRequest.cleanup_due_at < database_now()
    found += db.session.scalars(sa.select(SpaceRequest.id).where(left).limit(limit))
    db.session.commit()
    return found


def release_claims(owners: list[str] | None = None) -> int:
    """Returns running requests to the queue.

    Args:
        owners: the claims to release; None for all, and to make all queued requests due. Only the single process of
            an instance may pass None.
    Returns:
        The number of requests.
    """
    query = sa.select(SpaceRequest.id, SpaceRequest.lease_owner).where(SpaceRequest.status == RUNNING)
    if owners is not None:
        query = query.where(SpaceRequest.lease_owner.in_(owners))
    rows = db.session.execute(query).all()
    for request_id, owner in rows:
        move_to(db.session(), request_id, QUEUED, owner=owner, lease_owner=None, due_at=0.0, not_before=0.0)
    if owners is None:
        # The process that was to receive the wake-ups of the queued ones no longer exists.
        waiting = sa.update(SpaceRequest).where(SpaceRequest.status == QUEUED)
        db.session.execute(
            waiting.values(due_at=SpaceRequest.not_before, updated_at=SpaceRequest.updated_at),
            execution_options={"synchronize_session": False},
        )
    db.session.commit()
    return len(rows)
