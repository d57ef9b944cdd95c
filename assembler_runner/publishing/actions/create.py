"""Create a Space: one create call, one commit."""

from __future__ import annotations

from contextlib import ExitStack
from functools import partial

from assembler_runner.core.database import utcnow
from assembler_runner.core.errors import AssemblerError, HeadMoved, NameTaken, TargetNotFound, TargetUnavailable
from assembler_runner.files.tree import Tree
from assembler_runner.publishing import checkpoints, manifests
from assembler_runner.publishing import job as jobs
from assembler_runner.publishing.actions.base import HEAD_TRIES, Done, own_commit, published
from assembler_runner.publishing.actions.verify import verify
from assembler_runner.publishing.creation_lock import CreationTurn, creation_lock
from assembler_runner.publishing.job import Job
from assembler_runner.targets import CommitInfo, FirstCommit, PublishedSpace, Target

COMMIT_TITLE = "Publish with Assembler"


def create(job: Job) -> Done:
    """Creates the Space and publishes its files."""
    target = job.usable_target()
    untouched = job.space is None and job.create_sent_at is None
    # The transaction that reads the files goes on to write that the Space is created, if nothing comes in between.
    tree = manifests.read_tree(job, keep_open=untouched and not job.change.verify)
    job = verify(job, tree)
    space, commit = (_first_time if untouched else _again)(job, target, tree)
    return Done(
        space=published(space, commit),
        state=target.state_after_commit(job.spec.sdk),
        request={"commit_oid": commit.oid, "commit_url": commit.url, "encrypted_secrets": None},
        summary=f"published {space.namespace}/{space.name}",
    )


def _first_time(job: Job, target: Target, tree: Tree) -> tuple[PublishedSpace, CommitInfo]:
    with ExitStack() as calls:
        with creation_lock(target.account, job.owner) as turn:
            space = _create(job, target, turn)
            begun = calls.enter_context(target.first_commit(space, tree))
            _record(job, space, turn)
        return space, _commit(job, target, space, tree, begun)


def _again(job: Job, target: Target, tree: Tree) -> tuple[PublishedSpace, CommitInfo]:
    space, commit = job.space, None
    if space is not None:
        try:
            commit = own_commit(job, target, space)
        except TargetNotFound:
            # Deleted by a clean-up whose response was lost, before the request was retried.
            job, space = checkpoints.forget_space(job), None
    if space is None:
        space = _find_or_create(job, target)
        commit = own_commit(job, target, space)
    begun = FirstCommit(partial(target.head, space), partial(target.commit, space, tree))
    return space, commit or _commit(job, target, space, tree, begun)


def _find_or_create(job: Job, target: Target) -> PublishedSpace:
    if job.create_sent_at:
        checkpoints.check_cancelled(job)
        if space := jobs.lost_creation(job, target):
            checkpoints.record_space(job, space)
            return space
    with creation_lock(target.account, job.owner) as turn:
        space = _create(job, target, turn)
        _record(job, space, turn)
    return space


def _record(job: Job, space: PublishedSpace, turn: CreationTurn) -> None:
    checkpoints.record_space(job, space, also=turn.release)
    turn.leave(released=True)


def _commit(job: Job, target: Target, space: PublishedSpace, tree: Tree, begun: FirstCommit) -> CommitInfo:
    for _ in range(HEAD_TRIES):
        head = begun.head()
        surplus = head.paths - set(tree) - target.own_files
        if head.created_at is not None and head.created_at != job.made_at:
            # Not durable: it can be read from the target again.
            checkpoints.write(job, {}, space={"made_at": head.created_at}, unless_cancelled=True, durable=False)
        else:
            checkpoints.check_cancelled(job)
        try:
            return begun.commit(frozenset(surplus), COMMIT_TITLE, job.marker, head.oid)
        except HeadMoved:
            # The head is this request's own commit whose response was lost, or a foreign commit.
            if done := own_commit(job, target, space):
                return done
            # From now on, read head and files anew: foreign commits may come between the calls.
            begun = FirstCommit(partial(target.head, space), partial(target.commit, space, tree))
    raise HeadMoved


def _create(job: Job, target: Target, turn: CreationTurn) -> PublishedSpace:
    sent_at = {"create_sent_at": job.create_sent_at or utcnow()}
    checkpoints.write(job, sent_at, unless_cancelled=True, also=turn.try_acquire)
    spec = job.spec_with_secrets()
    try:
        turn.acquire()
        return target.create(spec)
    except TargetUnavailable:
        raise
    except AssemblerError as problem:
        turn.leave()
        if job.create_sent_at is None:
            # The first create call was rejected: nothing was created, and a Space of this name is another one.
            checkpoints.write(job, {"create_sent_at": None})
        elif isinstance(problem, NameTaken) and (space := jobs.lost_creation(job, target)):
            return space
        if isinstance(problem, NameTaken):
            raise _taken(job) from None
        raise


def _taken(job: Job) -> NameTaken:
    """Returns the error for a name that a Space outside of this service has."""
    shown = f"{job.spec.namespace or 'NAMESPACE'}/{job.spec.name}"
    target = job.usable_target().name
    hint = (
        f"To manage that Space from now on, adopt it (assembler adopt {shown} --target {target}, or POST "
        "/spaces/adopt), then update it. Otherwise choose another name, or leave the name out."
    )
    return NameTaken(f"A Space named {job.spec.name} already exists on the target {target}.", hint=hint)
