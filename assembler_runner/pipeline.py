"""What the worker does after the queue: claim one request, publish its tree, record the result.

Whatever is killed in between, the next attempt looks at the target before it repeats anything: each commit carries the
request's id, and the row says whether a create call was sent.
"""

from __future__ import annotations

import logging
import random
from typing import Any

import sqlalchemy as sa
from sqlalchemy.exc import InterfaceError, InternalError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from assembler_runner import job as jobs
from assembler_runner.cleanup import clean_up, leave_to_clean_up
from assembler_runner.creation import creation_turn
from assembler_runner.errors import (
    AssemblerError,
    HeadMoved,
    NameTaken,
    RateLimited,
    TargetNotFound,
    TargetUnavailable,
)
from assembler_runner.host import Host
from assembler_runner.job import Job, LeaseLost
from assembler_runner.models import (
    CANCELLED,
    FAILED,
    QUEUED,
    RUNNING,
    SUCCEEDED,
    Space,
    SpaceRequest,
    database_now,
    db,
    new_id,
    record_event,
    utcnow,
)
from assembler_runner.scheduling import next_requests
from assembler_runner.targets import CommitInfo, PublishedSpace, Target

log = logging.getLogger(__name__)

COMMIT_TITLE = "Publish with Assembler"
FIRST_DELAY, LONGEST_DELAY = 1.0, 300.0
HEAD_TRIES = 3

# The database does not answer, is locked or full, or has no free connection.
DATABASE_AWAY = (OperationalError, InterfaceError, InternalError, PoolTimeoutError)


class Cancelled(Exception):  # no error: it was asked for
    """The request was cancelled while it ran."""


def run_next(host: Host, woken_for: str) -> None:
    """Does the work whose turn it is; every wake-up does one piece.

    Args:
        host: the process.
        woken_for: the request that the wake-up names. It comes first if its worker has gone silent, or if something is
            to be cleaned up after it; else the request whose turn it is.
    """
    status = db.session.scalar(sa.select(SpaceRequest.status).where(SpaceRequest.id == woken_for))
    if status in (FAILED, CANCELLED):
        db.session.rollback()
        clean_up(host, woken_for)
    first = [woken_for] if status == RUNNING else []
    candidates = [*first, *next_requests(db.session())]
    db.session.rollback()
    for request_id in candidates:
        if run(host, request_id):
            return


def run(host: Host, request_id: str) -> bool:
    """Runs one request to its end, or back into the queue.

    Args:
        host: the process.
        request_id: the request; one that is not there, not due or held by another worker is left alone.
    Returns:
        Whether it was taken up.
    """
    if host.leases.draining:
        return False
    owner = claim(request_id, host.leases.seconds)
    if owner is None:
        return False
    with host.leases.hold(request_id, owner):
        try:
            _work(jobs.load(host, request_id, owner))
        except LeaseLost:
            log.info("request %s is held by another worker now", request_id)
            leave_to_clean_up(request_id)
        except DATABASE_AWAY as problem:
            # The claim runs out, and the request is taken up again when the database is back.
            db.session.rollback()
            log.warning("request %s waits for the database: %s", request_id, type(problem).__name__)
    return True


def claim(request_id: str, seconds: float) -> str | None:
    """Takes a request up, if it waits or its worker has gone silent.

    Args:
        request_id: the request.
        seconds: how long the claim holds without a renewal.
    Returns:
        The claim's id, or None if it is not to be had.
    """
    owner = new_id()
    waiting = sa.and_(SpaceRequest.status == QUEUED, SpaceRequest.not_before <= database_now())
    silent = sa.and_(SpaceRequest.status == RUNNING, SpaceRequest.due_at < database_now())
    claimed = SpaceRequest.move_to(
        db.session(),
        request_id,
        RUNNING,
        condition=sa.or_(waiting, silent),
        lease_owner=owner,
        attempts=SpaceRequest.attempts + 1,
        due_at=database_now() + seconds,
        started_at=sa.func.coalesce(SpaceRequest.started_at, utcnow()),
    )
    db.session.commit()
    return owner if claimed else None


def take_due(resend_seconds: float, limit: int = 500) -> list[str]:
    """Returns requests that have to be woken: never sent, waited long enough, left by a silent worker or half made.

    Args:
        resend_seconds: seconds after which a wake-up that led to nothing is due again.
        limit: how many at most.
    """
    due = sa.and_(SpaceRequest.status.in_((QUEUED, RUNNING)), SpaceRequest.due_at < database_now())
    query = sa.select(SpaceRequest.id).where(due).order_by(SpaceRequest.due_at).limit(limit)
    found = list(db.session.scalars(query))
    if found:
        # A running one keeps its due_at: it says that the claim has run out.
        again = sa.update(SpaceRequest).where(SpaceRequest.id.in_(found), SpaceRequest.status == QUEUED)
        db.session.execute(
            again.values(due_at=database_now() + resend_seconds, updated_at=SpaceRequest.updated_at),
            execution_options={"synchronize_session": False},
        )
    left = SpaceRequest.cleanup_due_at < database_now()
    found += db.session.scalars(sa.select(SpaceRequest.id).where(left).limit(limit))
    db.session.commit()
    return found


def hand_back(owners: list[str] | None = None) -> int:
    """Puts running requests back into the queue.

    Args:
        owners: the claims to give up; None for all, which only the single holder of an instance may do. It wakes the
            waiting ones, too.
    Returns:
        How many.
    """
    query = sa.select(SpaceRequest.id, SpaceRequest.lease_owner).where(SpaceRequest.status == RUNNING)
    if owners is not None:
        query = query.where(SpaceRequest.lease_owner.in_(owners))
    rows = db.session.execute(query).all()
    for request_id, owner in rows:
        SpaceRequest.move_to(
            db.session(), request_id, QUEUED, owner=owner, lease_owner=None, due_at=0.0, not_before=0.0
        )
    if owners is None:
        # Whoever was to be told of the waiting ones is gone, too.
        waiting = sa.update(SpaceRequest).where(SpaceRequest.status == QUEUED)
        db.session.execute(
            waiting.values(due_at=SpaceRequest.not_before, updated_at=SpaceRequest.updated_at),
            execution_options={"synchronize_session": False},
        )
    db.session.commit()
    return len(rows)


def _work(job: Job) -> None:
    try:
        space, commit = _publish(job)
        _succeed(job, space, commit)
    except Cancelled:
        _end(job, CANCELLED, None)
    except (LeaseLost, *DATABASE_AWAY):
        raise
    except AssemblerError as problem:
        _settle(job, problem)
    # Whatever a target does: the request must not stay claimed without a word.
    except Exception:
        log.exception("request %s failed in an unforeseen way", job.request_id)
        db.session.rollback()
        _settle(job, AssemblerError())


def _publish(job: Job) -> tuple[PublishedSpace, CommitInfo]:
    target = job.usable_target()
    tree = jobs.read_tree(job)
    space = job.space or _create(job, target)
    if job.attempts > 1:
        try:
            done = _own_commit(job, target, space)
        except TargetNotFound:
            # Removed by a clean-up whose answer was lost, before the request was tried again.
            space, done = _create(jobs.forget_space(job), target), None
        if done:
            return space, done
    for _ in range(HEAD_TRIES):
        _check_cancelled(job)
        head = target.head(space)
        surplus = head.paths - set(tree) - target.own_files
        try:
            made = target.commit(space, tree, frozenset(surplus), COMMIT_TITLE, job.marker, head.oid)
        except HeadMoved:
            # Our own commit whose answer was lost, or somebody else's.
            if done := _own_commit(job, target, space):
                return space, done
            continue
        return space, made
    raise HeadMoved


def _create(job: Job, target: Target) -> PublishedSpace:
    _check_cancelled(job)
    space = jobs.lost_creation(job, target) if job.create_sent_at else None
    if space is None:
        jobs.write(job, {"create_sent_at": job.create_sent_at or utcnow()})
        space = _send_create(job, target)
    jobs.remember_space(job, space)
    return space


def _send_create(job: Job, target: Target) -> PublishedSpace:
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


def _own_commit(job: Job, target: Target, space: PublishedSpace) -> CommitInfo | None:
    return next((commit for commit in target.commits(space) if job.marker in commit.message), None)


def _succeed(job: Job, space: PublishedSpace, commit: CommitInfo) -> None:
    state = job.usable_target().state_after_commit(job.spec.sdk)
    values = {"commit_oid": commit.oid, "commit_url": commit.url, "error": None, "sealed_secrets": None}
    if jobs.finish(job, SUCCEEDED, space={"state": state, "url": space.url}, **values):
        log.info("request %s published %s/%s", job.request_id, space.namespace, space.name)


def _settle(job: Job, problem: AssemblerError) -> None:
    """Back into the queue where a repeat can help, else to the end with what is known."""
    errors = job.errors + (0 if isinstance(problem, RateLimited) else 1)
    young = utcnow() - job.accepted_at < jobs.GIVE_UP_AFTER
    if problem.retryable and errors < job.host.settings.MAX_ERRORS and young:
        _requeue(job, problem, errors)
        return
    log.info("request %s failed: %s", job.request_id, problem.code)
    _end(job, FAILED, problem.to_json(), errors=errors)


def _requeue(job: Job, problem: AssemblerError, errors: int) -> None:
    spread = random.uniform(0.5, 1.0)  # noqa: S311 - spreads load, guards nothing
    delay = problem.retry_after or min(LONGEST_DELAY, FIRST_DELAY * 2**errors) * spread
    again = database_now() + delay
    moved = SpaceRequest.move_to(
        db.session(),
        job.request_id,
        QUEUED,
        owner=job.owner,
        errors=errors,
        not_before=again,
        due_at=again,
        lease_owner=None,
    )
    if not moved:
        db.session.rollback()
        raise LeaseLost
    data = {"error": problem.to_json(), "retry_in": round(delay, 1)}
    record_event(db.session(), job.request_id, "retrying", f"{problem.message} Trying again.", data)
    db.session.commit()
    log.info("request %s is tried again in %.1f s: %s", job.request_id, delay, problem.code)


def _end(job: Job, status: str, error: dict[str, Any] | None, **values: Any) -> None:
    """Ends a request that published nothing, and deals with what it half made."""
    left = db.session.execute(
        sa.select(SpaceRequest.create_sent_at, Space.created_on_target)
        .join(Space, Space.id == SpaceRequest.space_id)
        .where(SpaceRequest.id == job.request_id)
    ).one()
    db.session.rollback()
    something = job.target is not None and (left.created_on_target or left.create_sent_at is not None)
    due = {"cleanup_due_at": 0.0} if something else {}
    if jobs.finish(job, status, space={"state": status}, error=error, **due, **values) and something:
        clean_up(job.host, job.request_id)


def _check_cancelled(job: Job) -> None:
    asked = db.session.scalar(sa.select(SpaceRequest.cancel_requested).where(SpaceRequest.id == job.request_id))
    db.session.rollback()
    if asked:
        raise Cancelled
