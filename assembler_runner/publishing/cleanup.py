"""Clean-up after a failure: deals with what a request left on its target, with retries until it is done.

A change may have taken effect although its response was lost: then the request is resumed, with an event that says so.
Only a Space that this request created, and that has no published content, is ever changed. If the response to a create
call was lost, the Space is searched for once more when the call can no longer be in flight.
"""

from __future__ import annotations

import logging
from datetime import timedelta
from typing import Any

import sqlalchemy as sa

from assembler_runner.core.database import database_now, db, new_id, utcnow
from assembler_runner.core.errors import AssemblerError, NameTaken, TargetNotFound, TargetUnavailable
from assembler_runner.publishing import job as jobs
from assembler_runner.publishing.actions import TOOK_EFFECT
from assembler_runner.publishing.job import Job, LeaseLost
from assembler_runner.services import Services
from assembler_runner.spaces.app_state import CREATING, set_state
from assembler_runner.spaces.events import record_event
from assembler_runner.spaces.models import CANCELLED, FAILED, MAKING, QUEUED, Space, SpaceRequest
from assembler_runner.spaces.transitions import move_to
from assembler_runner.targets import PublishedSpace, Target

log = logging.getLogger(__name__)

FIRST_DELAY, LONGEST_DELAY = 2.0, 600.0


def clean_up(services: Services, request_id: str) -> None:
    """Deals with what a failed or cancelled request left on its target, if a clean-up is due.

    Args:
        services: the services of this process.
        request_id: the request.
    """
    owner = new_id()
    due = (SpaceRequest.id == request_id) & SpaceRequest.status.in_((FAILED, CANCELLED))
    claimed = _update(
        due & (SpaceRequest.cleanup_due_at <= database_now()),
        cleanup_owner=owner,
        cleanup_due_at=database_now() + services.leases.seconds,
    )
    db.session.commit()
    if not claimed:
        return
    job = jobs.load(services, request_id, owner)
    try:
        event, message = _compensate(job)
    except LeaseLost:
        log.info("the clean-up after request %s was taken over by another worker", request_id)
    except AssemblerError as problem:
        _retry_or_fail(job, problem)
    else:
        _done(job, event, message)


def schedule_cleanup(request_id: str) -> None:
    """Schedules a clean-up for anything created by a worker that lost its lease after the request ended."""
    ended = (SpaceRequest.id == request_id) & SpaceRequest.status.in_((FAILED, CANCELLED))
    sent = SpaceRequest.create_sent_at.is_not(None) | SpaceRequest.sent_at.is_not(None)
    _update(ended & sent, cleanup_due_at=0.0)
    db.session.commit()


def _compensate(job: Job) -> tuple[str | None, str]:
    """Performs the clean-up; returns type and message of the event to record."""
    job = jobs.with_target(job)
    target = job.usable_target()
    if job.action not in MAKING:
        return _recheck(job, target)
    try:
        space = job.space or (jobs.lost_creation(job, target) if job.create_sent_at else None)
    except NameTaken:
        return None, ""
    if space is None or _belongs_to_another(job, target, space):
        return None, ""
    shown = f"{space.namespace}/{space.name}"
    try:
        commits = target.commits(space)
        if any(job.marker in commit.message for commit in commits):
            return "resumed", f"The commit is in the Space {shown} after all."
        if len(commits) > target.initial_commits:
            return "kept", f"The Space {shown} has content and was left as it is."
        # If the claim was lost, another worker may have finished, and the caller may have retried the request.
        if not _update(_mine(job), cleanup_due_at=database_now() + job.services.leases.seconds):
            raise LeaseLost
        db.session.commit()
        return _act(job, target, space, shown)
    except TargetNotFound:
        return "cleaned_up", f"The Space {shown} no longer exists."


def _recheck(job: Job, target: Target) -> tuple[str | None, str]:
    try:
        took_effect = job.action in TOOK_EFFECT and TOOK_EFFECT[job.action](job, target)
    except TargetNotFound:
        took_effect = False
    return ("resumed", "The requested change has taken effect after all.") if took_effect else (None, "")


def _act(job: Job, target: Target, space: PublishedSpace, shown: str) -> tuple[str, str]:
    if job.on_failure == "keep":
        return "kept", f"The empty Space {shown} was kept."
    if job.on_failure == "private":
        target.set_visibility(space, "private")
        return "made_private", f"The empty Space {shown} was made private."
    target.delete(space)
    if target.find(space.namespace, space.name) is not None:
        # Something between this service and the Hub, such as a cache, has answered.
        raise TargetUnavailable("The Space still exists after it was deleted.")
    return "cleaned_up", f"The empty Space {shown} was removed."


def _retry_or_fail(job: Job, problem: AssemblerError) -> None:
    # The age counts from the end of the request, so that a long request does not start with a long delay.
    age = utcnow() - (job.finished_at or job.accepted_at)
    if problem.retryable and age < jobs.GIVE_UP_AFTER:
        delay = problem.retry_after or min(LONGEST_DELAY, max(FIRST_DELAY, age.total_seconds() / 4))
        _update(_mine(job), cleanup_owner=None, cleanup_due_at=database_now() + delay)
        db.session.commit()
        log.info("clean-up after request %s is retried in %.0f s: %s", job.request_id, delay, problem.code)
        return
    if _update(_mine(job), cleanup_owner=None, cleanup_due_at=None):
        message = f"The clean-up failed: {problem.message}"
        _record(job, "cleanup_failed", message, {"error": problem.to_json()})
    db.session.commit()


def _done(job: Job, event: str | None, message: str) -> None:
    if event == "resumed":
        _resume(job, message)
        return
    kept = event in ("kept", "made_private")
    wait = 0.0 if kept else _uncertain_seconds(job)
    if _update(_mine(job), cleanup_owner=None, cleanup_due_at=database_now() + wait if wait else None):
        if not kept and job.action in MAKING:
            _write_space(job, created_on_target=False, made_at=None, url=None, **({} if wait else {"slot": None}))
        if event:
            _record(job, event, message)
    db.session.commit()


def _resume(job: Job, message: str) -> None:
    """Returns the request to the queue: the next attempt finds that it has taken effect and ends it."""
    fresh: dict[str, Any] = {"error": None, "cancel_requested": False, "finished_at": None}
    fresh |= {"cleanup_owner": None, "cleanup_due_at": None, "due_at": 0.0, "not_before": 0.0}
    if move_to(db.session(), job.request_id, QUEUED, condition=_mine(job), **fresh):
        if job.action in MAKING:
            set_state(db.session(), job.space_id, CREATING)
        _record(job, "resumed", message)
    db.session.commit()


def _uncertain_seconds(job: Job) -> float:
    """Returns for how many seconds a call without a response may still be in flight; 0 if there is none."""
    if job.finished_at is None or (job.action in MAKING and job.space is not None and job.attempts == 1):
        return 0.0
    settled_at = job.finished_at + timedelta(seconds=2 * job.services.settings.HUB_TIMEOUT)
    return max(0.0, (settled_at - utcnow()).total_seconds())


def _belongs_to_another(job: Job, target: Target, space: PublishedSpace) -> bool:
    """Returns whether another Space holds this name by now."""
    names = (Space.target == target.name) & (sa.func.lower(Space.name) == space.name.lower())
    owners = Space.namespace.is_(None) | (sa.func.lower(Space.namespace) == space.namespace.lower())
    holders = set(db.session.scalars(sa.select(Space.id).where(names, owners, Space.slot.is_not(None))))
    db.session.rollback()
    return bool(holders) and job.space_id not in holders


def _write_space(job: Job, **values: Any) -> None:
    statement = sa.update(Space).where(Space.id == job.space_id).values(**values)
    db.session.execute(statement, execution_options={"synchronize_session": False})


def _record(job: Job, type: str, message: str, data: dict[str, Any] | None = None) -> None:
    record_event(db.session(), type, space_id=job.space_id, request_id=job.request_id, message=message, data=data)


def _mine(job: Job) -> Any:
    return (SpaceRequest.id == job.request_id) & (SpaceRequest.cleanup_owner == job.owner)


def _update(condition: Any, **values: Any) -> bool:
    statement = sa.update(SpaceRequest).where(condition).values(updated_at=SpaceRequest.updated_at, **values)
    done = db.session.execute(statement, execution_options={"synchronize_session": False})
    return bool(done.rowcount == 1)  # type: ignore[attr-defined]  # an UPDATE always gives a CursorResult
