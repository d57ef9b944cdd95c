"""What the worker does after the queue: claim one request, publish its tree, record the result.

Whatever is killed in between, the next attempt looks at the target before it repeats anything: each commit carries the
request's id, and the row says whether a create call was sent.
"""

from __future__ import annotations

import logging
import random
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

import sqlalchemy as sa

from assembler_runner.errors import (
    AssemblerError,
    Conflict,
    HeadMoved,
    NameTaken,
    RateLimited,
    TargetNotFound,
    TargetUnavailable,
)
from assembler_runner.host import Host
from assembler_runner.models import (
    CANCELLED,
    FAILED,
    QUEUED,
    RUNNING,
    SUCCEEDED,
    RequestFile,
    Space,
    SpaceRequest,
    database_now,
    db,
    new_id,
    record_event,
    utcnow,
)
from assembler_runner.plugin import SpaceFile, Tree
from assembler_runner.targets import CommitInfo, PublishedSpace, SpaceSpec, Target
from assembler_runner.vault import UnreadableSecret

log = logging.getLogger(__name__)

COMMIT_TITLE = "Publish with Assembler"
MARKER = "Assembler-Request: {}"
FIRST_DELAY, LONGEST_DELAY = 1.0, 300.0
CLOCK_TOLERANCE = timedelta(minutes=10)
GIVE_UP_AFTER = timedelta(hours=24)
HEAD_TRIES = 3


class LeaseLost(Exception):
    """Another worker holds the request now; this one must stop."""


class Cancelled(Exception):
    """The request was cancelled while it ran."""


def run(host: Host, request_id: str) -> None:
    """Runs one request to its end, or back into the queue.

    Args:
        host: the process.
        request_id: the request; one that is not there, not due or held by another worker is left alone.
    """
    if host.leases.draining:
        return
    owner = claim(request_id, host.leases.seconds)
    if owner is None:
        return
    with host.leases.hold(request_id, owner):
        job = _load(host, request_id, owner)
        try:
            space, commit = _publish(job)
            _succeed(job, space, commit)
        except LeaseLost:
            log.info("request %s is held by another worker now", request_id)
        except Cancelled:
            _clean_up(job)
            _finish(job, CANCELLED)
        except AssemblerError as problem:
            _settle(job, problem)
        # Whatever a target or a database does: the request must not stay claimed without a word.
        except Exception:
            log.exception("request %s failed in an unforeseen way", request_id)
            db.session.rollback()
            _settle(job, AssemblerError())


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
    """Returns requests that have to be woken: never sent, waited long enough, or left by a silent worker.

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
    db.session.commit()
    return found


def hand_back(owners: list[str] | None = None) -> int:
    """Puts running requests back into the queue.

    Args:
        owners: the claims to give up; None for all, which only the single holder of an instance may do.
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
    db.session.commit()
    return len(rows)


@dataclass(frozen=True)
class _Job:
    """A claimed request, read once; no row is kept open while the target is asked."""

    host: Host
    request_id: str
    owner: str
    space_id: str
    target: Target | None
    spec: SpaceSpec
    sealed_secrets: str | None
    created: bool
    url: str | None
    attempts: int
    errors: int
    accepted_at: Any
    create_sent_at: Any

    @property
    def marker(self) -> str:
        return MARKER.format(self.request_id)


def _load(host: Host, request_id: str, owner: str) -> _Job:
    request = db.session.get_one(SpaceRequest, request_id)
    space = db.session.get_one(Space, request.space_id)
    environment = request.environment or {}
    spec = SpaceSpec(
        namespace=space.namespace,
        name=space.name,
        sdk=request.sdk,
        visibility=space.visibility,
        hardware=environment.get("hardware"),
        sleep_time=environment.get("sleep_time"),
        variables=environment.get("variables") or {},
    )
    job = _Job(
        host=host,
        request_id=request_id,
        owner=owner,
        space_id=space.id,
        target=_target_of(host, space),
        spec=spec,
        sealed_secrets=request.sealed_secrets,
        created=space.created_on_target,
        url=space.url,
        attempts=request.attempts,
        errors=request.errors,
        accepted_at=request.created_at,
        create_sent_at=request.create_sent_at,
    )
    db.session.rollback()
    return job


def _target_of(host: Host, space: Space) -> Target | None:
    try:
        return host.targets.find(space.realm_id, space.target)
    except UnreadableSecret:
        log.error("the Hub token of realm %s cannot be read: SECRET_KEY has changed", space.realm_id)
        return None


def _publish(job: _Job) -> tuple[PublishedSpace, CommitInfo]:
    target = _target(job)
    tree = _tree(job)
    space = _present_space(job) or _create(job, target)
    if job.attempts > 1 and (done := _own_commit(job, target, space)):
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


def _target(job: _Job) -> Target:
    if job.target is None:
        raise Conflict(
            "The realm has no access to the Space's target any more.",
            hint="Set a Hub token for the realm; the operator has to give all workers the same settings (HF_TOKEN).",
        )
    return job.target


def _tree(job: _Job) -> Tree:
    query = sa.select(RequestFile).where(RequestFile.request_id == job.request_id)
    rows = list(db.session.scalars(query))
    files = {
        row.path: SpaceFile(row.path, job.host.files.get(db.session(), row.sha256), row.origin)  # type: ignore[arg-type]  # written from an Origin
        for row in rows
    }
    db.session.rollback()
    return Tree(files)


def _present_space(job: _Job) -> PublishedSpace | None:
    if not job.created:
        return None
    assert job.spec.namespace is not None  # written together with created_on_target
    assert job.url is not None
    return PublishedSpace(job.spec.namespace, job.spec.name, job.url)


def _create(job: _Job, target: Target) -> PublishedSpace:
    _check_cancelled(job)
    space = _lost_creation(job, target) if job.create_sent_at else None
    if space is None:
        _write(job, {"create_sent_at": job.create_sent_at or utcnow()})
        space = _send_create(job, target)
    _write(
        job,
        {},
        space={"created_on_target": True, "namespace": space.namespace, "name": space.name, "url": space.url},
        event=("created", f"The Space {space.namespace}/{space.name} was created."),
    )
    return space


def _send_create(job: _Job, target: Target) -> PublishedSpace:
    secrets = job.host.vault.open(job.sealed_secrets) if job.sealed_secrets else {}
    try:
        return target.create(replace(job.spec, secrets=secrets))
    except TargetUnavailable:
        raise
    except AssemblerError as problem:
        if job.create_sent_at is None:
            # A plain refusal: nothing was made, and what has this name is not ours.
            _write(job, {"create_sent_at": None})
        elif isinstance(problem, NameTaken) and (space := _lost_creation(job, target)):
            return space
        raise


def _lost_creation(job: _Job, target: Target) -> PublishedSpace | None:
    """Looks for the Space that an earlier attempt may have made without hearing of it.

    Raises:
        NameTaken: there is one, but it is not ours.
    """
    space = target.find(job.spec.namespace, job.spec.name)
    if space is None:
        return None
    made_by_us = target.head(space).created_at
    fresh = made_by_us is not None and made_by_us >= job.create_sent_at - CLOCK_TOLERANCE
    commits = target.commits(space)
    untouched = len(commits) <= 1 or any(job.marker in commit.message for commit in commits)
    if not (fresh and untouched):
        raise NameTaken
    return space


def _own_commit(job: _Job, target: Target, space: PublishedSpace) -> CommitInfo | None:
    return next((commit for commit in target.commits(space) if job.marker in commit.message), None)


def _succeed(job: _Job, space: PublishedSpace, commit: CommitInfo) -> None:
    assert job.target is not None
    state = job.target.state_after_commit(job.spec.sdk)
    values = {"commit_oid": commit.oid, "commit_url": commit.url, "error": None, "sealed_secrets": None}
    _finish(job, SUCCEEDED, space={"state": state, "url": space.url}, **values)
    log.info("request %s published %s/%s", job.request_id, space.namespace, space.name)


def _settle(job: _Job, problem: AssemblerError) -> None:
    """Back into the queue where a repeat can help, else failed with what is known."""
    limited = isinstance(problem, RateLimited)
    errors = job.errors + (0 if limited else 1)
    if problem.retryable and errors < job.host.settings.MAX_ERRORS and utcnow() - job.accepted_at < GIVE_UP_AFTER:
        delay = problem.retry_after or min(LONGEST_DELAY, FIRST_DELAY * 2**errors) * random.uniform(0.5, 1.0)  # noqa: S311 - spreads load
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
        if moved:
            data = {"error": problem.to_json(), "retry_in": round(delay, 1)}
            record_event(db.session(), job.request_id, "retrying", f"{problem.message} Trying again.", data)
        db.session.commit()
        log.info("request %s is tried again in %.1f s: %s", job.request_id, delay, problem.code)
        return
    _clean_up(job)
    _finish(job, FAILED, space={"state": "failed"}, errors=errors, error=problem.to_json())
    log.info("request %s failed: %s", job.request_id, problem.code)


def _clean_up(job: _Job) -> None:
    """Deletes a Space that this request made and that has no content of ours; nothing else is ever deleted."""
    row = db.session.get_one(Space, job.space_id)
    created, namespace, name, url = row.created_on_target, row.namespace, row.name, row.url
    db.session.rollback()
    if not created or job.target is None or namespace is None or url is None:
        return
    space = PublishedSpace(namespace, name, url)
    try:
        if len(job.target.commits(space)) <= 1:
            job.target.delete(space)
    except TargetNotFound:
        pass
    except AssemblerError as problem:
        message = f"The empty Space {namespace}/{name} could not be removed: {problem.message}"
        record_event(db.session(), job.request_id, "cleanup_failed", message)
        db.session.commit()
        return
    _write(
        job,
        {},
        space={"created_on_target": False, "url": None},
        event=("cleaned_up", f"The empty Space {namespace}/{name} was removed."),
    )


def _finish(job: _Job, status: str, *, space: dict[str, Any] | None = None, **values: Any) -> None:
    moved = SpaceRequest.move_to(db.session(), job.request_id, status, owner=job.owner, lease_owner=None, **values)
    if moved:
        row = db.session.get_one(Space, job.space_id)
        for name, value in (space or {}).items():
            setattr(row, name, value)
        if status != SUCCEEDED and not row.created_on_target:
            row.slot = None
    db.session.commit()


def _write(
    job: _Job, values: dict[str, Any], *, space: dict[str, Any] | None = None, event: tuple[str, str] | None = None
) -> None:
    """Writes what an attempt has learnt, only while the claim holds.

    Raises:
        LeaseLost: it does not.
    """
    held = sa.update(SpaceRequest).where(
        SpaceRequest.id == job.request_id, SpaceRequest.lease_owner == job.owner, SpaceRequest.status == RUNNING
    )
    written = db.session.execute(
        held.values(due_at=database_now() + job.host.leases.seconds, **values),
        execution_options={"synchronize_session": False},
    )
    if written.rowcount != 1:  # type: ignore[attr-defined]  # an UPDATE always gives a CursorResult
        db.session.rollback()
        raise LeaseLost
    if space:
        db.session.execute(sa.update(Space).where(Space.id == job.space_id).values(**space))
    if event:
        record_event(db.session(), job.request_id, *event)
    db.session.commit()


def _check_cancelled(job: _Job) -> None:
    asked = db.session.scalar(sa.select(SpaceRequest.cancel_requested).where(SpaceRequest.id == job.request_id))
    db.session.rollback()
    if asked:
        raise Cancelled
