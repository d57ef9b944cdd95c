"""Make a Space: one create call, one commit."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from functools import partial

from assembler_runner import job as jobs
from assembler_runner import manifests
from assembler_runner.actions.base import HEAD_TRIES, Done, own_commit, published
from assembler_runner.creation import creation_turn
from assembler_runner.database import utcnow
from assembler_runner.errors import AssemblerError, HeadMoved, NameTaken, TargetNotFound, TargetUnavailable
from assembler_runner.job import Job
from assembler_runner.targets import CommitInfo, PublishedSpace, Target
from assembler_runner.tree import Tree

COMMIT_TITLE = "Publish with Assembler"


def create(job: Job) -> Done:
    """Makes the Space and publishes its files."""
    target = job.usable_target()
    tree = manifests.read_tree(job)
    space = job.space or _make(job, target)
    commit = None
    if job.attempts > 1:
        try:
            commit = own_commit(job, target, space)
        except TargetNotFound:
            # Removed by a clean-up whose answer was lost, before the request was tried again.
            space = _make(jobs.forget_space(job), target)
    commit = commit or _commit(job, target, space, tree)
    return Done(
        space=published(space, commit),
        state=target.state_after_commit(job.spec.sdk),
        request={"commit_oid": commit.oid, "commit_url": commit.url, "sealed_secrets": None},
        told=f"published {space.namespace}/{space.name}",
    )


def _commit(job: Job, target: Target, space: PublishedSpace, tree: Tree) -> CommitInfo:
    again = partial(target.commit, space, tree)
    # Later there may be somebody else who changes files between the two questions.
    begun: AbstractContextManager[Callable[..., CommitInfo]]
    begun = target.sending(space, tree) if job.attempts == 1 else nullcontext(again)
    with begun as first:
        tries: list[Callable[..., CommitInfo]] = [first, *[again] * (HEAD_TRIES - 1)]
        for commit in tries:
            head = target.head(space)
            surplus = head.paths - set(tree) - target.own_files
            if head.created_at is not None and head.created_at != job.made_at:
                jobs.write(job, {}, space={"made_at": head.created_at}, unless_cancelled=True)
            else:
                jobs.check_cancelled(job)
            try:
                return commit(frozenset(surplus), COMMIT_TITLE, job.marker, head.oid)
            except HeadMoved:
                # Our own commit whose answer was lost, or somebody else's.
                if done := own_commit(job, target, space):
                    return done
    raise HeadMoved


def _make(job: Job, target: Target) -> PublishedSpace:
    space = None
    if job.create_sent_at:
        jobs.check_cancelled(job)
        space = jobs.lost_creation(job, target)
    if space is None:
        jobs.write(job, {"create_sent_at": job.create_sent_at or utcnow()}, unless_cancelled=True)
        space = _send(job, target)
    jobs.remember_space(job, space)
    return space


def _send(job: Job, target: Target) -> PublishedSpace:
    spec = job.spec_with_secrets()
    try:
        with creation_turn(target.account, job.owner):
            return target.create(spec)
    except TargetUnavailable:
        raise
    except AssemblerError as problem:
        if job.create_sent_at is None:
            # A plain refusal: nothing was made, and what has this name is not ours.
            jobs.write(job, {"create_sent_at": None})
        elif isinstance(problem, NameTaken) and (space := jobs.lost_creation(job, target)):
            return space
        raise
