"""A claimed request, as a worker reads it once."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa

from assembler_runner.accounts.hub_tokens import SignInAgain, person_exists
from assembler_runner.core.database import db, read_transaction
from assembler_runner.core.errors import Conflict, NameTaken
from assembler_runner.core.vault import UnreadableSecret
from assembler_runner.services import Services
from assembler_runner.spaces.change import Change
from assembler_runner.spaces.models import REQUEST_ID, REQUESTS, SPACES
from assembler_runner.targets import PublishedSpace, SpaceSpec, Target
from assembler_runner.targets.realm_targets import HUB

log = logging.getLogger(__name__)

MARKER = "Assembler-Request: {}"
CLOCK_TOLERANCE = timedelta(minutes=10)
GIVE_UP_AFTER = timedelta(hours=24)


class Cancelled(Exception):  # not an error: the caller requested it
    """The request was cancelled while it ran."""


class LeaseLost(Exception):  # not an error: another worker continues the request
    """The claim is no longer valid; this worker must stop."""


@dataclass(frozen=True)
class Job:
    """A claimed request, read once; no transaction stays open during calls to the target.

    Args:
        services: the services of this process.
        request_id: the request.
        owner: the id of the claim.
        space_id: its Space.
        target: its target; None if this process cannot use it.
        spec: the arguments of a create call, without the secrets.
        encrypted_secrets: the secrets, encrypted.
        space: the Space on its target; None if it does not exist yet, as far as is known.
        attempts: number of attempts, including this one.
        errors: number of attempts that ended with a retry because of an error.
        accepted_at: when the request was accepted.
        create_sent_at: when a create call was first sent, or None.
        finished_at: when the request ended, or None.
        on_failure: what to do with an empty Space after a failure: `keep`, `private` or `delete`.
        action: the requested action.
        number: its number among the requests of the Space.
        change: further arguments of the action.
        environment: the requested settings: hardware, sleep time, variables, visibility.
        published_oid: the newest commit by this service, as far as is known.
        made_at: when the target created the Space, by the target's clock; None if not known.
        visibility: the current visibility of the Space.
        sent_at: when the first call that changes the target was sent; only for actions that do not create a Space.
        steps_done: names of the completed steps; grows during the attempt.
        secret_names: names of the secrets that the Space had before.
        variables: the variables that the Space had before.
        realm_id: the realm of the Space.
        space_type: the type of the Space.
        publisher_id: the person whose own Hub token publishes the Space, or None.
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
    secret_names: frozenset[str] = frozenset()
    variables: Mapping[str, str] = field(default_factory=dict)
    realm_id: str = ""
    space_type: str = ""
    publisher_id: str | None = None

    @property
    def marker(self) -> str:
        """The text in a commit message that identifies a commit of this request."""
        return MARKER.format(self.request_id)

    def spec_with_secrets(self) -> SpaceSpec:
        """Returns the arguments of a create call, with the secrets.

        Raises:
            UnreadableSecret: the secrets were encrypted with another key.
        """
        return replace(self.spec, secrets={key: value for key, value in self.secrets().items() if value is not None})

    def secrets(self) -> Mapping[str, str | None]:
        """Returns the secrets; the value None means that the secret is to be removed.

        Raises:
            UnreadableSecret: the secrets were encrypted with another key.
        """
        return self.services.vault.decrypt(self.encrypted_secrets) if self.encrypted_secrets else {}

    def published(self) -> PublishedSpace:
        """Returns the Space on its target.

        Raises:
            Conflict: the Space was never published there.
        """
        if self.space is None or self.published_oid is None:
            hint = "Retry the request that creates the Space, then this one; or send a new Space request."
            raise Conflict("The Space was never published on its target.", hint=hint)
        return self.space

    def usable_target(self) -> Target:
        """Returns the target.

        Raises:
            Conflict: this process cannot use it.
        """
        if self.target is None and self.publisher_id is not None:
            raise SignInAgain
        if self.target is None:
            raise Conflict(
                "The realm no longer has access to the Space's target.",
                hint="Set a Hub token for the realm; all workers need the same settings (HF_TOKEN).",
            )
        return self.target


@read_transaction()
def load(services: Services, request_id: str, owner: str) -> Job:
    """Reads a claimed request.

    Args:
        services: the services of this process.
        request_id: the request.
        owner: the id of the claim.
    """
    row = db.session().connection().execute(_JOB, {"request_id": request_id}).one()
    environment = row.environment or {}
    published = None
    if row.created_on_target and row.namespace is not None and row.url is not None:
        published = PublishedSpace(row.namespace, row.name, row.url)
    return Job(
        services=services,
        request_id=request_id,
        owner=owner,
        space_id=row.space_id,
        # That of a person may need a call of the Hub, see with_target.
        target=_target_of(services, row.realm_id, row.target) if row.publisher_id is None else None,
        spec=SpaceSpec(
            namespace=row.namespace,
            name=row.name,
            sdk=row.sdk,
            visibility=row.visibility,
            hardware=environment.get("hardware"),
            sleep_time=environment.get("sleep_time"),
            variables=environment.get("variables") or {},
        ),
        encrypted_secrets=row.encrypted_secrets,
        space=published,
        attempts=row.attempts,
        errors=row.errors,
        accepted_at=row.created_at,
        create_sent_at=row.create_sent_at,
        finished_at=row.finished_at,
        on_failure=row.on_failure,
        action=row.action,
        number=row.number,
        change=row.change,
        environment=environment,
        published_oid=row.published_oid,
        made_at=row.made_at,
        visibility=row.visibility,
        sent_at=row.sent_at,
        steps_done=list(row.steps_done or []),
        secret_names=frozenset(row.secret_names or ()),
        variables=row.variables or {},
        realm_id=row.realm_id,
        space_type=row.space_type,
        publisher_id=row.publisher_id,
    )


def with_target(job: Job) -> Job:
    """Returns the job with its target, also if a person publishes; no transaction must be open.

    Returns:
        The job; without a target for the deletion of a Space of a person whose account was deleted.
    Raises:
        SignInAgain: there is no usable token of the person.
        IssuerUnavailable: the token of the person has expired, and the Hub does not answer.
    """
    if job.publisher_id is None:
        return job
    try:
        return replace(job, target=job.services.targets.find(job.realm_id, HUB, job.publisher_id))
    except SignInAgain:
        if job.action != "delete" or person_exists(job.publisher_id):
            raise
        return job


def _target_of(services: Services, realm_id: str, name: str) -> Target | None:
    try:
        return services.targets.find(realm_id, name)
    except UnreadableSecret:
        log.error("the Hub token of realm %s cannot be read: SECRET_KEY has changed", realm_id)
        return None


def secrets_of(job: Job) -> Mapping[str, str]:
    """Returns the secrets of the request, for redaction of logs; empty if they cannot be decrypted any more."""
    try:
        return job.spec_with_secrets().secrets
    except UnreadableSecret:
        return {}


def lost_creation(job: Job, target: Target) -> PublishedSpace | None:
    """Finds the Space that an earlier create call may have created although its response was lost.

    Args:
        job: the claimed request; a create call was sent.
        target: its target.
    Returns:
        The Space; None if it does not exist.
    Raises:
        NameTaken: a Space with this name exists, but was not created by this request.
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


_OF_REQUEST = (
    *("space_id", "sdk", "environment", "encrypted_secrets", "attempts", "errors", "created_at", "create_sent_at"),
    *("finished_at", "on_failure", "action", "number", "change", "sent_at", "steps_done", "space_type"),
)
_OF_SPACE = (
    *("namespace", "name", "url", "visibility", "created_on_target", "published_oid", "made_at", "secret_names"),
    *("variables", "realm_id", "target", "publisher_id"),
)
# Columns, not mapped objects, which cost several times as much.
_JOB = (
    sa.select(*(REQUESTS.c[name] for name in _OF_REQUEST), *(SPACES.c[name] for name in _OF_SPACE))
    .join(SPACES, SPACES.c.id == REQUESTS.c.space_id)
    .where(REQUESTS.c.id == REQUEST_ID)
)
