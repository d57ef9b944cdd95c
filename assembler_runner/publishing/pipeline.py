"""The pipeline of a worker: claim one request, perform its action, record the result.

The actions are in `actions`; claim, fence and error handling are the same for all. The requests of one Space are
processed one after the other, in the order in which they were accepted.
"""

from __future__ import annotations

import logging
import random
from dataclasses import dataclass
from functools import partial
from typing import Any

import sqlalchemy as sa
from sqlalchemy.exc import InterfaceError, InternalError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from assembler_runner.core import metrics, tracing
from assembler_runner.core.database import database_now, db, utcnow
from assembler_runner.core.errors import AssemblerError, RateLimited
from assembler_runner.core.request_ids import call_id, space_request_id, working_on
from assembler_runner.publishing import checkpoints
from assembler_runner.publishing import job as jobs
from assembler_runner.publishing.actions import ACTIONS, TOOK_EFFECT, Done, variables
from assembler_runner.publishing.checkpoints import Ending, Surroundings
from assembler_runner.publishing.claims import claim, successor
from assembler_runner.publishing.cleanup import clean_up, schedule_cleanup
from assembler_runner.publishing.job import Cancelled, Job, LeaseLost
from assembler_runner.publishing.queue import next_requests, woken
from assembler_runner.runtime import watches
from assembler_runner.services import Services
from assembler_runner.spaces.app_state import DELETED
from assembler_runner.spaces.events import record_event
from assembler_runner.spaces.models import (
    CANCELLED,
    FAILED,
    MAKING,
    QUEUED,
    RUNNING,
    SUCCEEDED,
    Space,
    SpaceRequest,
)
from assembler_runner.spaces.transitions import move_to

log = logging.getLogger(__name__)

FIRST_DELAY, LONGEST_DELAY = 1.0, 300.0

CANDIDATES = 32
"""Queued requests that a worker chooses from after other workers have claimed the first one."""

# The database is unreachable, locked or full, or has no free connection.
DATABASE_AWAY = (OperationalError, InterfaceError, InternalError, PoolTimeoutError)


def run_next(services: Services, woken_for: str) -> str | None:
    """Processes the next request of the queue; each wake-up processes one.

    Args:
        services: the services of this process.
        woken_for: the request that the wake-up names. It is processed first if it is running with an expired lease, or
            if its clean-up is due; else the first request of the queue is.
    Returns:
        The next request of the same Space, which needs a wake-up; None if there is none.
    """
    # The first claim continues in the transaction of this query.
    status, following = woken(db.session(), woken_for)
    if status in (FAILED, CANCELLED):
        db.session.rollback()
        clean_up(services, woken_for)
    waiting = [woken_for] if status == RUNNING else []
    waiting += [following] if following else []
    while waiting and not services.leases.draining:
        for request_id in waiting:
            if attempt := run(services, request_id):
                return attempt.successor
        # Other workers have claimed these. A wake-up without effect would leave a request waiting, so query again;
        # the shuffle makes workers that query at the same time begin with different requests.
        waiting = next_requests(db.session(), CANDIDATES)
        random.shuffle(waiting)
    db.session.rollback()
    return None


@dataclass(frozen=True)
class Attempt:
    """One attempt of a request that has ended.

    Args:
        outcome: a status, `retrying`, or `lost` if another worker or a later attempt continues.
        successor: the next queued request of the same Space, or None.
    """

    outcome: str
    successor: str | None


def run(services: Services, request_id: str) -> Attempt | None:
    """Runs one attempt of a request: it ends, or returns to the queue.

    Args:
        services: the services of this process.
        request_id: the request; ignored if it does not exist, is not due or is claimed by another worker.
    Returns:
        The attempt; None if the request was not claimed.
    """
    if services.leases.draining:
        return None
    job = claim(services, request_id)
    if job is None:
        return None
    # The call id belongs to the request that the wake-up names, which may be another one.
    call = call_id.get() if space_request_id.get() == request_id else None
    outcome, known = "lost", None
    with services.leases.hold(request_id, job.owner), working_on(request_id, call), metrics.attempt() as outcomes:
        try:
            with tracing.span("publish", "consumer") as entered:
                outcome, known = _work(job)
                outcomes.append(outcome)
                seen = {"assembler.space_request_id": request_id, "assembler.outcome": outcome}
                tracing.describe(entered, "publish", **seen)
        except LeaseLost:
            log.info("request %s was taken over by another worker", request_id)
            schedule_cleanup(request_id)
        except DATABASE_AWAY as problem:
            # The lease expires, and the request is claimed again when the database is back.
            db.session.rollback()
            log.warning("request %s waits for the database: %s", request_id, type(problem).__name__)
    return Attempt(outcome, known.successor if known else successor(request_id))


def _work(job: Job) -> tuple[str, Surroundings | None]:
    """Performs the action; returns the outcome, and what is known at the end if it has succeeded."""
    try:
        job = jobs.with_target(job)
        return SUCCEEDED, _succeed(job, ACTIONS[job.action](job))
    except Cancelled:
        _end(job, CANCELLED, None)
        return CANCELLED, None
    except (LeaseLost, *DATABASE_AWAY):
        raise
    except AssemblerError as problem:
        return _settle(job, problem), None
    # A request must not stay claimed after an unexpected error of a target.
    except Exception:
        log.exception("request %s failed unexpectedly", job.request_id)
        db.session.rollback()
        return _settle(job, AssemblerError()), None


def _succeed(job: Job, done: Done) -> Surroundings | None:
    """Ends a request whose action is complete; returns None if the claim was lost."""
    secrets = jobs.secrets_of(job)
    settings = variables.recorded(job, job.target, succeeded=True) if job.target is not None else {}

    def ending(known: Surroundings) -> Ending:
        if known.overtaken:
            return Ending(settings)
        space = {**settings, **done.space}
        if done.state is None:
            return Ending(space)
        if done.state == DELETED:
            return Ending(space, DELETED, lambda session: watches.stop(session, job.space_id))
        oid = None if done.request.get("unchanged") else done.request.get("commit_oid")
        watch = partial(
            watches.schedule,
            job.services,
            space_id=job.space_id,
            commit_oid=oid,
            target=job.usable_target(),
            state=done.state,
            secrets=secrets,
        )
        return Ending(space, done.state, watch)

    known = checkpoints.finish(job, SUCCEEDED, ending, event=done.event, **{"error": None, **done.request})
    if known is not None:
        log.info("request %s: %s", job.request_id, done.summary)
    return known


def _settle(job: Job, problem: AssemblerError) -> str:
    """Returns the request to the queue if a retry can help, else fails it; returns the outcome."""
    errors = job.errors + (0 if isinstance(problem, RateLimited) else 1)
    young = utcnow() - job.accepted_at < jobs.GIVE_UP_AFTER
    if problem.retryable and errors < job.services.settings.MAX_ERRORS and young:
        _requeue(job, problem, errors)
        return "retrying"
    log.info("request %s failed: %s", job.request_id, problem.code)
    _end(job, FAILED, problem.to_json(), errors=errors)
    return FAILED


def _requeue(job: Job, problem: AssemblerError, errors: int) -> None:
    spread = random.uniform(0.5, 1.0)  # noqa: S311 - spreads load, guards nothing
    delay = problem.retry_after or min(LONGEST_DELAY, FIRST_DELAY * 2**errors) * spread
    again = database_now() + delay
    moved = move_to(
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
    message = f"{problem.message} The request is retried."
    record_event(db.session(), "retrying", space_id=job.space_id, request_id=job.request_id, message=message, data=data)
    db.session.commit()
    log.info("request %s is retried in %.1f s: %s", job.request_id, delay, problem.code)


def _end(job: Job, status: str, error: dict[str, Any] | None, **values: Any) -> None:
    """Ends a request that failed or was cancelled, and schedules its clean-up if one is needed."""
    left = db.session.execute(
        sa.select(SpaceRequest.create_sent_at, SpaceRequest.sent_at, Space.created_on_target)
        .join(Space, Space.id == SpaceRequest.space_id)
        .where(SpaceRequest.id == job.request_id)
    ).one()
    db.session.rollback()
    making = job.action in MAKING
    space: dict[str, Any] = {}
    if making:
        something = left.created_on_target or left.create_sent_at is not None
        # If nothing was created on the target, the name is free at once.
        space = {} if something and job.target is not None else {"slot": None}
    else:
        something = left.sent_at is not None and job.action in TOOK_EFFECT
    due: dict[str, Any] = {"cleanup_due_at": 0.0} if something and job.target is not None else {}

    settings = variables.recorded(job, job.target, succeeded=False) if job.target is not None else {}

    ending = Ending({**space, **settings}, status if making else None)
    if checkpoints.finish(job, status, lambda known: ending, error=error, **due, **values) and due:
        clean_up(job.services, job.request_id)
