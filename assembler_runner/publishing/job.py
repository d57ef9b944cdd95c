"""A request in a worker's hands: what is read of it once, and the fence around everything written for it."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa

from assembler_runner.core.database import commit_lightly, database_now, db, reading, utcnow
from assembler_runner.core.errors import Conflict, NameTaken
from assembler_runner.core.vault import UnreadableSecret
from assembler_runner.services import Services
from assembler_runner.spaces.events import record_event
from assembler_runner.spaces.models import REQUESTS, RUNNING, SPACES, Space, SpaceRequest
from assembler_runner.spaces.transitions import hold_space, move_to
from assembler_runner.targets import PublishedSpace, SpaceSpec, Target

log = logging.getLogger(__name__)

MARKER = "Assembler-Request: {}"
CLOCK_TOLERANCE = timedelta(minutes=10)
GIVE_UP_AFTER = timedelta(hours=24)


class Cancelled(Exception):  # no error: it was asked for
    """The request was cancelled while it ran."""


class LeaseLost(Exception):  # no error: somebody else goes on with the request
    """Another worker holds the request now; this one must stop."""


@dataclass(frozen=True)
class Job:
    """A claimed request, read once; no row is kept open while the target is asked.

    Args:
        services: what the process holds.
        request_id: the request.
        owner: the claim.
        space_id: its Space.
        target: where it goes; None if this process cannot use it.
        spec: what a create call carries, without the secrets.
        sealed_secrets: the secrets, sealed.
        space: the Space on its target; None if it was not made yet, as far as is known.
        attempts: how often it was taken up, this time included.
        errors: how often it was put back because of an error.
        accepted_at: when it was accepted.
        create_sent_at: when a create call was first sent, or None.
        finished_at: when it ended, or None.
        on_failure: what becomes of an empty Space: `keep`, `private` or `delete`.
        action: what is asked for.
        number: its number among the requests of the Space.
        change: what else is asked for; see `changing`.
        environment: what is asked for beside the files.
        published_oid: the newest commit of ours, as far as is known.
        made_at: when the target made the Space, by its clock; None if not known.
        visibility: who sees the Space now.
        sent_at: when the first call that changes the target was sent, of actions that do not make a Space.
        steps_done: the steps that are known to be done; grows as the job goes on.
    """

    services: Services
    request_id: str
    owner: str
    space_id: str
    target: Target | None
    spec: SpaceSpec
    sealed_secrets: str | None
    space: PublishedSpace | None
    attempts: int
    errors: int
    accepted_at: datetime
    create_sent_at: datetime | None
    finished_at: datetime | None
    on_failure: str
    action: str
    number: int
    change: Mapping[str, Any]
    environment: Mapping[str, Any]
    published_oid: str | None
    made_at: datetime | None
    visibility: str
    sent_at: datetime | None
    steps_done: list[str] = field(default_factory=list)

    @property
    def marker(self) -> str:
        """The text by which a commit of this request is known."""
        return MARKER.format(self.request_id)

    def spec_with_secrets(self) -> SpaceSpec:
        """Returns what the create call carries.

        Raises:
            UnreadableSecret: the secrets were sealed with another key.
        """
        return replace(self.spec, secrets={key: value for key, value in self.secrets().items() if value is not None})

    def secrets(self) -> Mapping[str, str | None]:
        """Returns the secrets; one that is None is to be removed.

        Raises:
            UnreadableSecret: the secrets were sealed with another key.
        """
        return self.services.vault.open(self.sealed_secrets) if self.sealed_secrets else {}

    def published(self) -> PublishedSpace:
        """Returns the Space on its target.

        Raises:
            Conflict: it was never published there.
        """
        if self.space is None or self.published_oid is None:
            hint = "Retry the request that makes the Space, then this one; or send a new Space request."
            raise Conflict("The Space was never published on its target.", hint=hint)
        return self.space

    def usable_target(self) -> Target:
        """Returns the target.

        Raises:
            Conflict: this process cannot use it.
        """
        if self.target is None:
            raise Conflict(
                "The realm has no access to the Space's target any more.",
                hint="Set a Hub token for the realm; all workers need the same settings (HF_TOKEN).",
            )
        return self.target


@reading()
def load(services: Services, request_id: str, owner: str) -> Job:
    """Reads a claimed request."""
    request, space = db.session.execute(_BOTH, {"request_id": request_id}).one()
    environment = request.environment or {}
    published = None
    if space.created_on_target and space.namespace is not None and space.url is not None:
        published = PublishedSpace(space.namespace, space.name, space.url)
    job = Job(
        services=services,
        request_id=request_id,
        owner=owner,
        space_id=space.id,
        target=_target_of(services, space),
        spec=SpaceSpec(
            namespace=space.namespace,
            name=space.name,
            sdk=request.sdk,
            visibility=space.visibility,
            hardware=environment.get("hardware"),
            sleep_time=environment.get("sleep_time"),
            variables=environment.get("variables") or {},
        ),
        sealed_secrets=request.sealed_secrets,
        space=published,
        attempts=request.attempts,
        errors=request.errors,
        accepted_at=request.created_at,
        create_sent_at=request.create_sent_at,
        finished_at=request.finished_at,
        on_failure=request.on_failure,
        action=request.action,
        number=request.number,
        change=request.change or {},
        environment=environment,
        published_oid=space.published_oid,
        made_at=space.made_at,
        visibility=space.visibility,
        sent_at=request.sent_at,
        steps_done=list(request.steps_done or []),
    )
    db.session.rollback()
    return job


def _target_of(services: Services, space: Space) -> Target | None:
    try:
        return services.targets.find(space.realm_id, space.target)
    except UnreadableSecret:
        log.error("the Hub token of realm %s cannot be read: SECRET_KEY has changed", space.realm_id)
        return None


def write(
    job: Job,
    values: dict[str, Any],
    *,
    space: dict[str, Any] | None = None,
    event: tuple[str, str] | None = None,
    unless_cancelled: bool = False,
    lightly: bool = False,
) -> None:
    """Writes what an attempt has learnt, only while the claim holds.

    Args:
        job: the claimed request.
        values: columns of the request to set.
        space: columns of its Space to set.
        event: type and message of an event to append.
        unless_cancelled: write nothing if the request was cancelled.
        lightly: it may be lost when the power fails.
    Raises:
        LeaseLost: it does not hold any more.
        Cancelled: it was cancelled, and that was asked about.
    """
    if space or event:
        hold_space(db.session(), job.space_id)
    claim = {"claimed": job.request_id, "claimant": job.owner, "lease": job.services.leases.seconds}
    written = db.session.execute(_HELD_AND_WANTED if unless_cancelled else _HELD, claim | values)
    if written.rowcount != 1:  # type: ignore[attr-defined]  # an UPDATE always gives a CursorResult
        db.session.rollback()
        if unless_cancelled:
            check_cancelled(job)
        raise LeaseLost
    write_space(job, space)
    if event:
        type, message = event
        record_event(db.session(), type, space_id=job.space_id, request_id=job.request_id, message=message)
    if lightly:
        commit_lightly()
    else:
        db.session.commit()


@reading()
def is_cleaned_up_after(job: Job) -> bool:
    """Returns whether what another request of the Space half made is still to be dealt with."""
    due = (SpaceRequest.space_id == job.space_id) & SpaceRequest.cleanup_due_at.is_not(None)
    found = db.session.scalar(sa.select(sa.func.count()).select_from(SpaceRequest).where(due))
    db.session.rollback()
    return bool(found)


@reading()
def check_cancelled(job: Job) -> None:
    """Ends the work where that was asked for.

    Raises:
        Cancelled: it was.
    """
    asked = db.session.scalar(sa.select(SpaceRequest.cancel_requested).where(SpaceRequest.id == job.request_id))
    db.session.rollback()
    if asked:
        raise Cancelled


def will_send(job: Job) -> Job:
    """Writes down that a call is about to be sent that changes the target; returns the job that knows it.

    Raises:
        LeaseLost: the claim does not hold any more.
    """
    sent_at = job.sent_at or utcnow()
    write(job, {"sent_at": sent_at})
    return replace(job, sent_at=sent_at)


def step(job: Job, name: str, act: Callable[[], object], told: str, *, space: dict[str, Any] | None = None) -> Job:
    """Does one step that may be repeated, unless it is known to be done.

    Args:
        job: the claimed request.
        name: name of the step.
        act: does it.
        told: what was done, for people; never a value.
        space: columns of the Space to set when it is done.
    Returns:
        The job that knows it.
    Raises:
        Cancelled: the request was cancelled.
        LeaseLost: the claim does not hold any more.
    """
    if name in job.steps_done:
        return job
    check_cancelled(job)
    job = will_send(job)
    act()
    job.steps_done.append(name)
    write(job, {"steps_done": list(job.steps_done)}, space=space, event=("changed", told))
    return job


def remember_space(job: Job, space: PublishedSpace) -> Job:
    """Writes down that the Space was made; returns the job that knows it.

    Raises:
        LeaseLost: the claim does not hold any more.
    """
    names = {"created_on_target": True, "namespace": space.namespace, "name": space.name, "url": space.url}
    told = ("created", f"The Space {space.namespace}/{space.name} was created.")
    # Lost with the power it is found again: that the call was sent is on the disk.
    write(job, {}, space=names, event=told, lightly=True)
    return replace(job, space=space)


def forget_space(job: Job) -> Job:
    """Writes down that the Space is not there any more; returns the job that knows it.

    Raises:
        LeaseLost: the claim does not hold any more.
    """
    write(job, {}, space={"created_on_target": False, "made_at": None, "url": None})
    return replace(job, space=None, made_at=None)


def finish(
    job: Job,
    status: str,
    *,
    space: dict[str, Any] | None = None,
    event: tuple[str, str] | None = None,
    then: Callable[[], None] | None = None,
    **values: Any,
) -> bool:
    """Ends the request, if the claim still holds.

    Args:
        job: the claimed request.
        status: how it ended.
        space: columns of its Space to set.
        event: type and message of an event that comes before the end.
        then: what else is to be written in the same transaction.
        values: columns of the request to set.
    Returns:
        Whether it was ended here.
    """
    hold_space(db.session(), job.space_id)
    if event:
        type, message = event
        record_event(db.session(), type, space_id=job.space_id, request_id=job.request_id, message=message)
    moved = move_to(
        db.session(), job.request_id, status, space_id=job.space_id, owner=job.owner, lease_owner=None, **values
    )
    if not moved:
        db.session.rollback()
        return False
    write_space(job, space)
    if then is not None:
        then()
    db.session.commit()
    return True


def secrets_of(job: Job) -> Mapping[str, str]:
    """Returns the secrets of the request, to be known in logs; none where they cannot be read any more."""
    try:
        return job.spec_with_secrets().secrets
    except UnreadableSecret:
        return {}


def lost_creation(job: Job, target: Target) -> PublishedSpace | None:
    """Looks for the Space that an earlier create call may have made without the answer being heard.

    Returns:
        The Space; None if there is none.
    Raises:
        NameTaken: there is one, but it is not ours.
    """
    assert job.create_sent_at is not None
    space = target.find(job.spec.namespace, job.spec.name)
    if space is None:
        return None
    created_at = target.head(space).created_at
    fresh = created_at is not None and created_at >= job.create_sent_at - CLOCK_TOLERANCE
    commits = target.commits(space)
    untouched = len(commits) <= target.initial_commits or any(job.marker in commit.message for commit in commits)
    if not (fresh and untouched):
        raise NameTaken
    return space


def write_space(job: Job, values: Mapping[str, Any] | None) -> None:
    """Sets columns of the Space of a request, in the present transaction."""
    if values:
        db.session.execute(_ITS_SPACE, {"of_job": job.space_id, **values})


# Made once: to put a statement together takes longer than to send it. What is set comes with the parameters.
_HELD = (
    sa.update(REQUESTS)
    .where(
        REQUESTS.c.id == sa.bindparam("claimed", type_=sa.String),
        REQUESTS.c.lease_owner == sa.bindparam("claimant", type_=sa.String),
        REQUESTS.c.status == RUNNING,
    )
    .values(due_at=database_now() + sa.bindparam("lease", type_=sa.Double))
)
_HELD_AND_WANTED = _HELD.where(~REQUESTS.c.cancel_requested)
_ITS_SPACE = sa.update(SPACES).where(SPACES.c.id == sa.bindparam("of_job", type_=sa.String))
_BOTH = (
    sa.select(SpaceRequest, Space)
    .join(Space, Space.id == SpaceRequest.space_id)
    .where(SpaceRequest.id == sa.bindparam("request_id", type_=sa.String))
)
