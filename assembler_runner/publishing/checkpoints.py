"""Checkpoints of a running request: each is a transaction that only the holder of the claim can commit."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import sqlalchemy as sa

from assembler_runner.core.database import database_now, db, read_transaction, utcnow, write_transaction
from assembler_runner.publishing.job import Cancelled, Job, LeaseLost
from assembler_runner.spaces.events import record_event
from assembler_runner.spaces.models import REQUESTS, RUNNING, SPACES, SpaceRequest
from assembler_runner.spaces.transitions import hold_space, move_to
from assembler_runner.targets import PublishedSpace


def write(
    job: Job,
    values: dict[str, Any],
    *,
    space: dict[str, Any] | None = None,
    event: tuple[str, str] | None = None,
    unless_cancelled: bool = False,
    durable: bool = True,
) -> None:
    """Stores the progress of an attempt if the claim still holds, and renews the lease.

    Args:
        job: the claimed request.
        values: columns of the request to set.
        space: columns of its Space to set.
        event: type and message of an event to append.
        unless_cancelled: write nothing if the request was cancelled.
        durable: False if the write may be lost on power failure.
    Raises:
        LeaseLost: the claim was lost.
        Cancelled: the request was cancelled, and `unless_cancelled` is set.
    """
    with write_transaction(durable=durable):
        if space or event:
            hold_space(db.session(), job.space_id)
        claim = {"claimed": job.request_id, "claimant": job.owner, "lease": job.services.leases.seconds}
        written = db.session.execute(_HELD_AND_WANTED if unless_cancelled else _HELD, claim | values)
        if written.rowcount != 1:  # type: ignore[attr-defined]  # an UPDATE always gives a CursorResult
            db.session.rollback()
            if unless_cancelled:
                check_cancelled(job)
            raise LeaseLost
        write_space(job, space)
        if event:
            type, message = event
            record_event(db.session(), type, space_id=job.space_id, request_id=job.request_id, message=message)


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
    cancelled = db.session.scalar(sa.select(SpaceRequest.cancel_requested).where(SpaceRequest.id == job.request_id))
    if cancelled:
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


def record_space(job: Job, space: PublishedSpace) -> Job:
    """Records that the Space was created on its target.

    Returns:
        The job with `space` set.
    Raises:
        LeaseLost: the claim was lost.
    """
    names = {"created_on_target": True, "namespace": space.namespace, "name": space.name, "url": space.url}
    event = ("created", f"The Space {space.namespace}/{space.name} was created.")
    # Safe to lose on power failure: create_sent_at is durable, so the Space is found again.
    write(job, {}, space=names, event=event, durable=False)
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


def finish(
    job: Job,
    status: str,
    *,
    space: dict[str, Any] | None = None,
    event: tuple[str, str] | None = None,
    then: Callable[[], None] | None = None,
    **values: Any,
) -> bool:
    """Ends the request if the claim still holds.

    Args:
        job: the claimed request.
        status: the final status.
        space: columns of its Space to set.
        event: type and message of an event to record before the final one.
        then: further writes in the same transaction.
        values: columns of the request to set.
    Returns:
        False if the claim was lost and nothing was written.
    """
    hold_space(db.session(), job.space_id)
    if event:
        type, message = event
        record_event(db.session(), type, space_id=job.space_id, request_id=job.request_id, message=message)
    moved = move_to(
        db.session(), job.request_id, status, space_id=job.space_id, owner=job.owner, lease_owner=None, **values
    )
    if not moved:
        db.session.rollback()
        return False
    write_space(job, space)
    if then is not None:
        then()
    db.session.commit()
    return True


def write_space(job: Job, values: Mapping[str, Any] | None) -> None:
    """Sets columns of the Space of a request in the current transaction."""
    if values:
        db.session.execute(_ITS_SPACE, {"of_job": job.space_id, **values})


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


_ITS_SPACE = sa.update(SPACES).where(SPACES.c.id == sa.bindparam("of_job", type_=sa.String))
