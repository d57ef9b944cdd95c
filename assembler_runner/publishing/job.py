"""A request in a worker's hands: what is read of it once, and the fence around everything written for it."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa

from assembler_runner.core.database import db, read_transaction
from assembler_runner.core.errors import Conflict, NameTaken
from assembler_runner.core.vault import UnreadableSecret
from assembler_runner.services import Services
from assembler_runner.spaces.change import Change
from assembler_runner.spaces.models import Space, SpaceRequest
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
        encrypted_secrets: the secrets, sealed.
        space: the Space on its target; None if it was not made yet, as far as is known.
        attempts: how often it was taken up, this time included.
        errors: how often it was put back because of an error.
        accepted_at: when it was accepted.
        create_sent_at: when a create call was first sent, or None.
        finished_at: when it ended, or None.
        on_failure: what becomes of an empty Space: `keep`, `private` or `delete`.
        action: what is asked for.
        number: its number among the requests of the Space.
        change: what else is asked for.
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
    encrypted_secrets: str | None
    space: PublishedSpace | None
    attempts: int
    errors: int
    accepted_at: datetime
    create_sent_at: datetime | None
    finished_at: datetime | None
    on_failure: str
    action: str
    number: int
    change: Change
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
        return self.services.vault.decrypt(self.encrypted_secrets) if self.encrypted_secrets else {}

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


@read_transaction()
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
        encrypted_secrets=request.encrypted_secrets,
        space=published,
        attempts=request.attempts,
        errors=request.errors,
        accepted_at=request.created_at,
        create_sent_at=request.create_sent_at,
        finished_at=request.finished_at,
        on_failure=request.on_failure,
        action=request.action,
        number=request.number,
        change=request.change,
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


_BOTH = (
    sa.select(SpaceRequest, Space)
    .join(Space, Space.id == SpaceRequest.space_id)
    .where(SpaceRequest.id == sa.bindparam("request_id", type_=sa.String))
)
