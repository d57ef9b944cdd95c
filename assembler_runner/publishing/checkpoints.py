"""Checkpoints of a running request: each is a transaction that only the holder of the claim can commit."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from assembler_runner.core.database import (
    database_now,
    db,
    read_transaction,
    utcnow,
    without_index,
    write_transaction,
)
from assembler_runner.publishing.job import Cancelled, Job, LeaseLost
from assembler_runner.spaces.app_state import change_of_state, hold_state
from assembler_runner.spaces.events import NewEvent, append_events
from assembler_runner.spaces.models import (
    QUEUED,
    RELEASES,
    REQUEST_ID,
    REQUESTS,
    RUNNING,
    SPACE_ID,
    SPACES,
    SUCCEEDED,
    SpaceRequest,
)
from assembler_runner.spaces.transitions import change_status, status_data, transition
from assembler_runner.targets import PublishedSpace


def write(
    job: Job,
    values: dict[str, Any],
    *,
    space: dict[str, Any] | None = None,
    event: tuple[str, str] | None = None,
    unless_cancelled: bool = False,
    durable: bool = True,
    also: Callable[[], None] | None = None,
) -> None:
    """Stores the progress of an attempt if the claim still holds, and renews the lease.

    Args:
        job: the claimed request.
        values: columns of the request to set.
        space: columns of its Space to set.
        event: type and message of an event to append.
        unless_cancelled: write nothing if the request was cancelled.
        durable: False if the write may be lost on power failure.
        also: further writes in the same transaction.
    Raises:
        LeaseLost: the claim was lost.
        Cancelled: the request was cancelled, and `unless_cancelled` is set.
    """
    with write_transaction(durable=durable):
        session = db.session()
        connection = session.connection()
        # The row of the Space is always locked before that of the request.
        if space or event:
            _write_space(connection, job, space or {}, 1 if event else 0)
        claim = {"claimed": job.request_id, "claimant": job.owner, "lease": job.services.leases.seconds}
        written = connection.execute(_HELD_AND_WANTED if unless_cancelled else _HELD, claim | values)
        if written.rowcount != 1:
            session.rollback()
            if unless_cancelled:
                check_cancelled(job)
            raise LeaseLost
        if event:
            type, message = event
            append_events(session, job.space_id, [NewEvent(type, job.request_id, message)])
        if also:
            also()


@read_transaction()
def is_cleaned_up_after(job: Job) -> bool:
    """Returns whether a clean-up after a request of this Space is still pending."""
    due = (SpaceRequest.space_id == job.space_id) & SpaceRequest.cleanup_due_at.is_not(None)
    found = db.session.scalar(sa.select(sa.func.count()).select_from(SpaceRequest).where(due))
    return bool(found)


@read_transaction()
def check_cancelled(job: Job) -> None:
    """Stops the attempt if a caller has cancelled the request.

    Raises:
        Cancelled: the request was cancelled.
    """
    if db.session().connection().scalar(_CANCEL_REQUESTED, {"request_id": job.request_id}):
        raise Cancelled


def mark_sent(job: Job) -> Job:
    """Records that a call that changes the target is about to be sent.

    Returns:
        The job with `sent_at` set.
    Raises:
        LeaseLost: the claim was lost.
    """
    sent_at = job.sent_at or utcnow()
    write(job, {"sent_at": sent_at})
    return replace(job, sent_at=sent_at)


def step(job: Job, name: str, act: Callable[[], object], message: str, *, space: dict[str, Any] | None = None) -> Job:
    """Runs one idempotent step, unless it is recorded as done.

    Args:
        job: the claimed request.
        name: name of the step.
        act: performs the step.
        message: message of the event; must not contain values of variables or secrets.
        space: columns of the Space to set when the step is done.
    Returns:
        The job with the step recorded.
    Raises:
        Cancelled: the request was cancelled.
        LeaseLost: the claim was lost.
    """
    if name in job.steps_done:
        return job
    check_cancelled(job)
    job = mark_sent(job)
    act()
    job.steps_done.append(name)
    write(job, {"steps_done": list(job.steps_done)}, space=space, event=("changed", message))
    return job


def record_space(job: Job, space: PublishedSpace, also: Callable[[], None] | None = None) -> Job:
    """Records that the Space was created on its target.

    Args:
        job: the claimed request.
        space: the Space.
        also: further writes in the same transaction.
    Returns:
        The job with `space` set.
    Raises:
        LeaseLost: the claim was lost.
    """
    names = {"created_on_target": True, "namespace": space.namespace, "name": space.name, "url": space.url}
    event = ("created", f"The Space {space.namespace}/{space.name} was created.")
    # Safe to lose on power failure: create_sent_at is durable, so the Space is found again.
    write(job, {}, space=names, event=event, durable=False, also=also)
    return replace(job, space=space)


def forget_space(job: Job) -> Job:
    """Records that the Space no longer exists on its target.

    Returns:
        The job without a Space.
    Raises:
        LeaseLost: the claim was lost.
    """
    write(job, {}, space={"created_on_target": False, "made_at": None, "url": None})
    return replace(job, space=None, made_at=None)


@dataclass(frozen=True)
class Ending:
    """What the end of a request changes besides its own row.

    Args:
        space: columns of its Space to set.
        state: the new state of the Space; None if it does not change.
        then: further writes in the same transaction.
    """

    space: Mapping[str, Any] = field(default_factory=dict)
    state: str | None = None
    then: Callable[[Session], None] | None = None


@dataclass(frozen=True)
class Surroundings:
    """What else is known about the Space at the end of a request.

    Args:
        overtaken: whether a later change of the Space has succeeded, which then determines the Space's columns.
        successor: the id of the next queued request of the Space, or None.
    """

    overtaken: bool
    successor: str | None


def finish(
    job: Job,
    status: str,
    ending: Callable[[Surroundings], Ending],
    *,
    event: tuple[str, str] | None = None,
    **values: Any,
) -> Surroundings | None:
    """Ends the request if the claim still holds.

    Args:
        job: the claimed request.
        status: the final status.
        ending: returns what else to write.
        event: type and message of an event to record before the final one.
        values: columns of the request to set.
    Returns:
        What else is known about the Space; None if the claim was lost and nothing was written.
    """
    with write_transaction():
        session = db.session()
        old_state = hold_state(session, job.space_id)
        changed = transition(status, fenced=True)
        if not change_status(session, job.request_id, status, changed, owner=job.owner, lease_owner=None, **values):
            session.rollback()
            return None
        connection = session.connection()
        found = connection.execute(_SURROUNDINGS, {"space_id": job.space_id, "number": job.number}).one()
        known = Surroundings(bool(found.overtaken), found.successor)
        end = ending(known)
        events = [] if event is None else [NewEvent(event[0], job.request_id, event[1])]
        events.append(NewEvent(status, job.request_id, data=status_data(values)))
        columns = dict(end.space)
        if end.state is not None:
            of_state, changed_state = change_of_state(old_state, end.state)
            columns |= of_state
            events += [] if changed_state is None else [changed_state]
        _write_space(connection, job, columns, len(events))
        append_events(session, job.space_id, events)
        if end.then:
            end.then(session)
    return known


def _write_space(connection: sa.Connection, job: Job, values: Mapping[str, Any], events: int) -> None:
    """Sets columns of the Space of a request, and counts events that are appended to it; locks its row."""
    # A Space that only gets an event was not changed.
    statement = _ITS_SPACE if values else _ITS_EVENTS
    connection.execute(statement, {"of_job": job.space_id, "more_events": events, **values})


# Prebuilt: constructing these statements costs more than executing them. The columns to set come as parameters.
_HELD = (
    sa.update(REQUESTS)
    .where(
        REQUESTS.c.id == sa.bindparam("claimed", type_=sa.String),
        REQUESTS.c.lease_owner == sa.bindparam("claimant", type_=sa.String),
        REQUESTS.c.status == RUNNING,
    )
    .values(due_at=database_now() + sa.bindparam("lease", type_=sa.Double))
)


_HELD_AND_WANTED = _HELD.where(~REQUESTS.c.cancel_requested)


_ITS_SPACE = (
    sa.update(SPACES)
    .where(SPACES.c.id == sa.bindparam("of_job", type_=sa.String))
    .values(event_count=SPACES.c.event_count + sa.bindparam("more_events", type_=sa.Integer))
)
_ITS_EVENTS = _ITS_SPACE.values(updated_at=SPACES.c.updated_at)


_CANCEL_REQUESTED = sa.select(REQUESTS.c.cancel_requested).where(REQUESTS.c.id == REQUEST_ID)


_of_space = REQUESTS.c.space_id == SPACE_ID
_SURROUNDINGS = sa.select(
    sa.exists()
    .where(
        _of_space,
        REQUESTS.c.number > sa.bindparam("number", type_=sa.Integer),
        REQUESTS.c.status == SUCCEEDED,
        REQUESTS.c.action.in_(RELEASES | {"delete", "move"}),
    )
    .label("overtaken"),
    sa.select(REQUESTS.c.id)
    .where(_of_space, without_index(REQUESTS.c.status) == QUEUED)
    .order_by(REQUESTS.c.number)
    .limit(1)
    .scalar_subquery()
    .label("successor"),
)
