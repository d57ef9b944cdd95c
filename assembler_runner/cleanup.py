"""After a failure: what the request half made on its target is dealt with, again and again until it is done.

Only a Space that this request made, and that has no content of ours, is ever touched.
"""

from __future__ import annotations

import logging
from typing import Any

import sqlalchemy as sa

from assembler_runner import job as jobs
from assembler_runner.errors import AssemblerError, NameTaken, TargetNotFound
from assembler_runner.host import Host
from assembler_runner.job import Job
from assembler_runner.models import (
    CANCELLED,
    FAILED,
    Space,
    SpaceRequest,
    database_now,
    db,
    new_id,
    record_event,
    utcnow,
)
from assembler_runner.targets import PublishedSpace, Target

log = logging.getLogger(__name__)

FIRST_DELAY, LONGEST_DELAY = 2.0, 600.0


def clean_up(host: Host, request_id: str) -> None:
    """Deals with what a failed or cancelled request left, if something is left and it is time.

    Args:
        host: the process.
        request_id: the request.
    """
    owner = new_id()
    due = (SpaceRequest.id == request_id) & SpaceRequest.status.in_((FAILED, CANCELLED))
    claimed = _update(
        due & (SpaceRequest.cleanup_due_at <= database_now()),
        cleanup_owner=owner,
        cleanup_due_at=database_now() + host.leases.seconds,
    )
    db.session.commit()
    if not claimed:
        return
    job = jobs.load(host, request_id, owner)
    try:
        event, message = _compensate(job)
    except AssemblerError as problem:
        _again_or_never(job, problem)
        return
    _done(job, event, message)


def _compensate(job: Job) -> tuple[str | None, str]:
    """Does it; returns type and message of the event to record."""
    target = job.usable_target()
    try:
        space = job.space or (jobs.lost_creation(job, target) if job.create_sent_at else None)
    except NameTaken:
        return None, ""
    if space is None:
        return None, ""
    shown = f"{space.namespace}/{space.name}"
    try:
        if len(target.commits(space)) > target.initial_commits:
            return "kept", f"The Space {shown} has content and was left as it is."
        return _act(job, target, space, shown)
    except TargetNotFound:
        return "cleaned_up", f"The Space {shown} is not there any more."


def _act(job: Job, target: Target, space: PublishedSpace, shown: str) -> tuple[str, str]:
    if job.on_failure == "keep":
        return "kept", f"The empty Space {shown} was kept."
    if job.on_failure == "private":
        target.make_private(space)
        return "made_private", f"The empty Space {shown} was made private."
    target.delete(space)
    return "cleaned_up", f"The empty Space {shown} was removed."


def _again_or_never(job: Job, problem: AssemblerError) -> None:
    age = utcnow() - job.accepted_at
    if problem.retryable and age < jobs.GIVE_UP_AFTER:
        delay = problem.retry_after or min(LONGEST_DELAY, max(FIRST_DELAY, age.total_seconds() / 4))
        _update(_mine(job), cleanup_owner=None, cleanup_due_at=database_now() + delay)
        db.session.commit()
        log.info("cleaning up after request %s is tried again in %.0f s: %s", job.request_id, delay, problem.code)
        return
    if _update(_mine(job), cleanup_owner=None, cleanup_due_at=None):
        message = f"What was half made could not be cleaned up: {problem.message}"
        record_event(db.session(), job.request_id, "cleanup_failed", message, {"error": problem.to_json()})
    db.session.commit()


def _done(job: Job, event: str | None, message: str) -> None:
    if _update(_mine(job), cleanup_owner=None, cleanup_due_at=None):
        kept = event in ("kept", "made_private")
        space = sa.update(Space).where(Space.id == job.space_id)
        values: dict[str, Any] = {} if kept else {"slot": None, "created_on_target": False, "url": None}
        if values:
            db.session.execute(space.values(**values), execution_options={"synchronize_session": False})
        if event:
            record_event(db.session(), job.request_id, event, message)
    db.session.commit()


def _mine(job: Job) -> Any:
    return (SpaceRequest.id == job.request_id) & (SpaceRequest.cleanup_owner == job.owner)


def _update(condition: Any, **values: Any) -> bool:
    statement = sa.update(SpaceRequest).where(condition).values(updated_at=SpaceRequest.updated_at, **values)
    done = db.session.execute(statement, execution_options={"synchronize_session": False})
    return bool(done.rowcount == 1)  # type: ignore[attr-defined]  # an UPDATE always gives a CursorResult
