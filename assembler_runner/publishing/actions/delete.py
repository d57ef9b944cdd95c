"""Delete a Space on its target, only if it is the one that this service published."""

from __future__ import annotations

from assembler_runner.core.errors import TargetNotFound, TargetUnavailable
from assembler_runner.publishing import checkpoints
from assembler_runner.publishing.actions.base import Done, is_own_commit
from assembler_runner.publishing.job import Job
from assembler_runner.spaces.app_state import DELETED
from assembler_runner.targets import Target

GONE = {"url": None, "created_on_target": False, "published_oid": None, "foreign_oid": None}


def delete(job: Job) -> Done:
    """Deletes the Space and frees its name."""
    if job.space is None:
        return _done(job, "The Space did not exist on the target.")
    shown = f"{job.space.namespace}/{job.space.name}"
    if job.target is None and job.publisher_id is not None:
        return _done(job, f"The Space {shown} was left on the target: the account of the person was deleted.")
    target, space = job.usable_target(), job.space
    try:
        head = target.head(space)
        ours = is_own_commit(job, target, space, head)
    except TargetNotFound:
        # It may have been deleted on the target, or by the clean-up after the request that created it.
        return _done(job, f"The Space {shown} no longer existed.")
    if not ours:
        return _done(job, f"The name {shown} belongs to another Space now, which was not deleted.")
    # It may have been renamed on the target.
    current = head.space or space
    checkpoints.check_cancelled(job)
    job = checkpoints.mark_sent(job)
    target.delete(current)
    if target.find(current.namespace, current.name) is not None:
        # Something between this service and the target, such as a cache, has answered.
        raise TargetUnavailable("The Space still exists after it was deleted.")
    return _done(job, f"The Space {current.namespace}/{current.name} was deleted.")


def took_effect(job: Job, target: Target) -> bool:
    """Returns whether the Space no longer exists on its target."""
    return job.space is not None and target.find(job.space.namespace, job.space.name) is None


def _done(job: Job, message: str) -> Done:
    # A pending clean-up after a create call holds the name until it is done.
    free = {} if checkpoints.is_cleaned_up_after(job) else {"slot": None}
    return Done(space=GONE | free, state=DELETED, event=("deleted", message), summary=message)
