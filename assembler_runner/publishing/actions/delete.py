"""Delete a Space on its target, and only if it is the one that was made there."""

from __future__ import annotations

from assembler_runner.core.errors import TargetNotFound, TargetUnavailable
from assembler_runner.publishing import checkpoints
from assembler_runner.publishing.actions.base import Done, is_own_commit
from assembler_runner.publishing.job import Job
from assembler_runner.spaces.app_state import DELETED
from assembler_runner.targets import Target

GONE = {"url": None, "created_on_target": False, "published_oid": None, "foreign_oid": None}


def delete(job: Job) -> Done:
    """Deletes the Space; the name is free again."""
    if job.space is None:
        return _done(job, "There was nothing on the target.")
    target, space = job.usable_target(), job.space
    shown = f"{space.namespace}/{space.name}"
    try:
        head = target.head(space)
        ours = is_own_commit(job, target, space, head)
    except TargetNotFound:
        # A clean-up after the request that made it may be at it, too.
        return _done(job, f"The Space {shown} was not there any more.")
    if not ours:
        return _done(job, f"Another Space is named {shown} by now; it was left alone.")
    # Somebody may have renamed it on the target.
    there = head.space or space
    checkpoints.check_cancelled(job)
    job = checkpoints.mark_sent(job)
    target.delete(there)
    if target.find(there.namespace, there.name) is not None:
        # Something between the target and us has answered in its place.
        raise TargetUnavailable("The Space is still there after it was deleted.")
    return _done(job, f"The Space {there.namespace}/{there.name} was removed.")


def happened(job: Job, target: Target) -> bool:
    """Returns whether the Space is gone after all."""
    return job.space is not None and target.find(job.space.namespace, job.space.name) is None


def _done(job: Job, told: str) -> Done:
    # What a create call may still bring is dealt with by its own clean-up, which holds the name until then.
    free = {} if checkpoints.is_cleaned_up_after(job) else {"slot": None}
    return Done(space=GONE | free, state=DELETED, event=("deleted", told), told=told)
