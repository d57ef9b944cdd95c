"""Rename a Space on its target. The new name is reserved in the database before the call to the target."""

from __future__ import annotations

from sqlalchemy.exc import IntegrityError

from assembler_runner.core.database import db
from assembler_runner.core.errors import AssemblerError, NameTaken, TargetNotFound, TargetUnavailable
from assembler_runner.publishing import checkpoints
from assembler_runner.publishing.actions.base import Done, is_own_commit
from assembler_runner.publishing.job import Job
from assembler_runner.spaces.change import Slots
from assembler_runner.targets import PublishedSpace, Target


def move(job: Job) -> Done:
    """Moves the Space to its new name."""
    target, space = job.usable_target(), job.published()
    namespace, name, slots = _place(job)
    moved = _moved(job, target, space) if job.sent_at else None
    if moved is None:
        checkpoints.check_cancelled(job)
        _reserve(job, slots.new)
        job = checkpoints.mark_sent(job)
        try:
            moved = target.move(space, namespace, name)
        except TargetUnavailable:
            raise
        except AssemblerError:
            if (moved := _moved(job, target, space)) is None:
                _reserve(job, slots.old)
                raise
    shown = f"{moved.namespace}/{moved.name}"
    return Done(
        space={"namespace": moved.namespace, "name": moved.name, "url": moved.url},
        event=("moved", f"The Space {space.namespace}/{space.name} was moved to {shown}."),
        summary=f"moved to {shown}",
    )


def took_effect(job: Job, target: Target) -> bool:
    """Returns whether the Space has its new name on the target."""
    return job.space is not None and _moved(job, target, job.space) is not None


def _place(job: Job) -> tuple[str, str, Slots]:
    change = job.change
    assert change.namespace is not None
    assert change.name is not None
    assert change.slots is not None
    return change.namespace, change.name, change.slots


def _moved(job: Job, target: Target, space: PublishedSpace) -> PublishedSpace | None:
    """Returns the Space under its new name; None if it does not have that name."""
    found = target.find(*_place(job)[:2])
    if found is None:
        return None
    try:
        head = target.head(found)
        ours = is_own_commit(job, target, found, head)
    except TargetNotFound:
        return None
    # If the names differ only in case, the search also finds the Space under its old name.
    moved = (found.namespace, found.name) != (space.namespace, space.name)
    return found if moved and ours else None


def _reserve(job: Job, slot: str | None) -> None:
    try:
        checkpoints.write(job, {}, space={"slot": slot})
    except IntegrityError:
        db.session.rollback()
        raise NameTaken from None
