"""After a failure: what the request half made on its target is dealt with, again and again until it is done.

A request that changes a Space may have taken effect without our hearing of it: then it is taken up again, and says so.
Only a Space that this request made, and that has no content of ours, is ever touched. Where the answer to a create call
was lost, it is looked for once more when the call can no longer be on its way.
"""

from __future__ import annotations

import logging
from datetime import timedelta
from typing import Any

import sqlalchemy as sa

from assembler_runner.core.database import database_now, db, new_id, utcnow
from assembler_runner.core.errors import AssemblerError, NameTaken, TargetNotFound, TargetUnavailable
from assembler_runner.publishing import job as jobs
from assembler_runner.publishing.actions import HAPPENED
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
    """Deals with what a failed or cancelled request left, if something is left and it is time.

    Args:
        services: what the process holds.
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
        log.info("the clean-up after request %s is done by another worker now", request_id)
    except AssemblerError as problem:
        _again_or_never(job, problem)
    else:
        _done(job, event, message)


def schedule_cleanup(request_id: str) -> None:
    """Has what a worker may have made looked for that lost a request which has ended meanwhile."""
    ended = (SpaceRequest.id == request_id) & SpaceRequest.status.in_((FAILED, CANCELLED))
    sent = SpaceRequest.create_sent_at.is_not(None) | SpaceRequest.sent_at.is_not(None)
    _update(ended & sent, cleanup_due_at=0.0)
    db.session.commit()


def _compensate(job: Job) -> tuple[str | None, str]:
    """Does it; returns type and message of the event to record."""
    target = job.usable_target()
    if job.action not in MAKING:
        return _look_again(job, target)
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
        # Whoever has taken this over may have come to its end, and the caller may have tried again.
        if not _update(_mine(job), cleanup_due_at=database_now() + job.services.leases.seconds):
            raise LeaseLost
        db.session.commit()
        return _act(job, target, space, shown)
    except TargetNotFound:
        return "cleaned_up", f"The Space {shown} is not there any more."


def _look_again(job: Job, target: Target) -> tuple[str | None, str]:
    try:
        took_effect = job.action in HAPPENED and HAPPENED[job.action](job, target)
    except TargetNotFound:
        took_effect = False
    return ("resumed", "What was asked for is done after all.") if took_effect else (None, "")


def _act(job: Job, target: Target, space: PublishedSpace, shown: str) -> tuple[str, str]:
    if job.on_failure == "keep":
        return "kept", f"The empty Space {shown} was kept."
    if job.on_failure == "private":
        target.set_visibility(space, "private")
        return "made_private", f"The empty Space {shown} was made private."
    target.delete(space)
    if target.find(space.namespace, space.name) is not None:
        # Something between the Hub and us has answered in its place.
        raise TargetUnavailable("The Space is still there after it was deleted.")
    return "cleaned_up", f"The empty Space {shown} was removed."


def _again_or_never(job: Job, problem: AssemblerError) -> None:
    # Counted from the end: a request that took long must not leave what it half made for long.
    age = utcnow() - (job.finished_at or job.accepted_at)
    if problem.retryable and age < jobs.GIVE_UP_AFTER:
        delay = problem.retry_after or min(LONGEST_DELAY, max(FIRST_DELAY, age.total_seconds() / 4))
        _update(_mine(job), cleanup_owner=None, cleanup_due_at=database_now() + delay)
        db.session.commit()
        log.info("cleaning up after request %s is tried again in %.0f s: %s", job.request_id, delay, problem.code)
        return
    if _update(_mine(job), cleanup_owner=None, cleanup_due_at=None):
        message = f"What was half made could not be cleaned up: {problem.message}"
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
    """Puts the request back: the next attempt finds the commit and says so."""
    fresh: dict[str, Any] = {"error": None, "cancel_requested": False, "finished_at": None}
    fresh |= {"cleanup_owner": None, "cleanup_due_at": None, "due_at": 0.0, "not_before": 0.0}
    if move_to(db.session(), job.request_id, QUEUED, condition=_mine(job), **fresh):
        if job.action in MAKING:
            set_state(db.session(), job.space_id, CREATING)
        _record(job, "resumed", message)
    db.session.commit()


def _uncertain_seconds(job: Job) -> float:
    """Returns how long a call without an answer may still be on its way; 0 if there is none."""
    if job.finished_at is None or (job.action in MAKING and job.space is not None and job.attempts == 1):
        return 0.0
    settled_at = job.finished_at + timedelta(seconds=2 * job.services.settings.HUB_TIMEOUT)
    return max(0.0, (settled_at - utcnow()).total_seconds())


def _belongs_to_another(job: Job, target: Target, space: PublishedSpace) -> bool:
    """Returns whether the name was given up, and another Space holds it by now."""
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
