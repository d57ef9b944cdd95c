"""Tables of Spaces, their requests, files and events.

The row of a request is authoritative; a Celery message is only a wake-up.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.hybrid import hybrid_property
from sqlalchemy.orm import Mapped, mapped_column, query_expression, relationship

from assembler_runner.core.database import Base, JsonText, Timestamps, UtcDateTime, id_column, utcnow
from assembler_runner.spaces.change import Change, ChangeJson

QUEUED, RUNNING, SUCCEEDED, FAILED, CANCELLED = "queued", "running", "succeeded", "failed", "cancelled"


FINISHED = frozenset({SUCCEEDED, FAILED, CANCELLED})

MAKING = frozenset({"create", "duplicate"})
"""Actions that create a Space."""

RELEASES = MAKING | {"adopt", "update", "rollback"}
"""Actions whose result is a release: a tree that can be rolled back to."""


class Space(Timestamps, Base):
    """One app on one target."""

    __tablename__ = "spaces"

    id: Mapped[str] = id_column()
    name: Mapped[str] = mapped_column(sa.String(96), index=True, doc="Name on its target.")
    namespace: Mapped[str | None] = mapped_column(
        sa.String(96), doc="User or organisation that owns it on its target; null until known."
    )
    url: Mapped[str | None] = mapped_column(
        sa.String(512), doc="Current or future URL of the Space; null if not known yet."
    )
    target: Mapped[str] = mapped_column(sa.String(32), doc="Target it is published to: huggingface or local.")
    space_type: Mapped[str] = mapped_column(sa.String(50), doc="Space type.")
    visibility: Mapped[str] = mapped_column(sa.String(16), doc="public, private or protected.")
    state: Mapped[str] = mapped_column(sa.String(32), default="creating", doc="State of the Space and its app.")
    state_since: Mapped[datetime | None] = mapped_column(
        UtcDateTime, default=utcnow, doc="When the state last changed, UTC."
    )
    state_checked_at: Mapped[datetime | None] = mapped_column(
        UtcDateTime, doc="When the target was last probed, UTC; null if it was not probed yet."
    )
    state_source: Mapped[str] = mapped_column(
        sa.String(16),
        default="service",
        server_default="service",
        doc="How the state was determined: service (set by this service), target (reported by the target), assumed "
        "(reported by the target, but possibly for an older commit) or timeout.",
    )
    stage: Mapped[str | None] = mapped_column(sa.String(64), doc="Stage reported by the target.")
    problem: Mapped[Any] = mapped_column(JsonText, nullable=True, doc="Why the app does not run, or null.")
    labels: Mapped[list[str]] = mapped_column(JsonText, default=list, doc="Labels to filter by.")
    secret_names: Mapped[Any] = mapped_column(
        JsonText, nullable=True, doc="Names of its secrets; null if they were set before names were recorded."
    )
    variables: Mapped[Any] = mapped_column(JsonText, nullable=True, doc="Its public environment variables.")
    realm_id: Mapped[str] = mapped_column(sa.ForeignKey("realms.id"), index=True, doc="Realm it belongs to.")
    owner_id: Mapped[str] = mapped_column(sa.String(36), index=True, doc="Account that created it.")
    publisher_id: Mapped[str | None] = mapped_column(
        sa.String(36), doc="Person whose own Hub token publishes it; null: the token of its realm."
    )
    # Target and name while the Space reserves them, otherwise null: a unique index that works on all databases.
    slot: Mapped[str | None] = mapped_column(sa.String(255), unique=True)
    created_on_target: Mapped[bool] = mapped_column(default=False)
    # Creation time by the target's clock: distinguishes the Space from a later one with the same name.
    made_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    # The newest commit by this service, and the newest known foreign commit on top of it.
    published_oid: Mapped[str | None] = mapped_column(sa.String(64))
    foreign_oid: Mapped[str | None] = mapped_column(sa.String(64))
    expires_at: Mapped[datetime | None] = mapped_column(
        UtcDateTime, index=True, doc="When it is deleted automatically, UTC; null for never."
    )
    expiry_warnings: Mapped[int] = mapped_column(default=0, server_default="0")
    # Counts its requests; they are processed in the order of their numbers.
    request_count: Mapped[int] = mapped_column(default=0, server_default="0")
    # Counts its events. The writer of an event locks this row, so event numbers increase in commit order.
    event_count: Mapped[int] = mapped_column(default=0, server_default="0")

    requests: Mapped[list[SpaceRequest]] = relationship(back_populates="space", order_by="SpaceRequest.created_at")
    latest_request: Mapped[SpaceRequest] = relationship(
        primaryjoin="(Space.id == foreign(SpaceRequest.space_id)) & (Space.request_count == SpaceRequest.number)",
        viewonly=True,
        uselist=False,
    )

    __table_args__ = (
        sa.Index("ix_spaces_realm_id_created_at", "realm_id", "created_at"),
        sa.Index("ix_spaces_state_created_at", "state", "created_at"),
        Base.__table_args__,
    )

    @property
    def commit_oid(self) -> str | None:
        """The live commit, as last observed."""
        return self.foreign_oid or self.published_oid

    @hybrid_property
    def alive(self) -> bool:
        """Whether it was not deleted by this service; one deleted only on its target still reserves its name."""
        return self.state != "deleted" or self.slot is not None

    @alive.inplace.expression
    @classmethod
    def _alive(cls) -> sa.ColumnElement[bool]:
        return sa.or_(cls.state != "deleted", cls.slot.is_not(None))


class SpaceRequest(Timestamps, Base):
    """One requested change of a Space; a succeeded one that published files is an immutable release."""

    __tablename__ = "space_requests"

    id: Mapped[str] = id_column()
    space_id: Mapped[str] = mapped_column(sa.ForeignKey("spaces.id"), doc="Its Space.")
    realm_id: Mapped[str] = mapped_column(sa.ForeignKey("realms.id"), doc="Realm it belongs to.")
    owner_id: Mapped[str] = mapped_column(sa.String(36), doc="Account that sent it.")
    number: Mapped[int] = mapped_column(
        default=1,
        server_default="1",
        doc="Number among the requests of its Space; requests are processed in this order.",
    )
    action: Mapped[str] = mapped_column(sa.String(16), doc="Requested action: create, update, rollback, delete …")
    status: Mapped[str] = mapped_column(
        sa.String(16), default=QUEUED, doc="queued, running, succeeded, failed or cancelled."
    )
    space_type: Mapped[str] = mapped_column(sa.String(50), doc="Type of the Space.")
    plugin_version: Mapped[str] = mapped_column(sa.String(64))
    sdk: Mapped[str] = mapped_column(sa.String(16))
    parameters: Mapped[Any] = mapped_column(JsonText, doc="The parameters, as given.")
    options: Mapped[Any] = mapped_column(JsonText, doc="The options of the type, as given.")
    change: Mapped[Change] = mapped_column(ChangeJson, nullable=True, default=Change)
    # Hardware, sleep time, visibility and variables; in an update, null removes a variable.
    environment: Mapped[Any] = mapped_column(JsonText, default=dict)
    encrypted_secrets: Mapped[str | None] = mapped_column("sealed_secrets", JsonText, key="encrypted_secrets")
    tree_digest: Mapped[str] = mapped_column(sa.String(64), doc="Digest over paths and contents of all files.")
    commit_oid: Mapped[str | None] = mapped_column(sa.String(64))
    commit_url: Mapped[str | None] = mapped_column(sa.String(512))
    findings: Mapped[Any] = mapped_column(
        JsonText, nullable=True, default=list, doc="What was found in the tree: warnings and notes."
    )
    unchanged: Mapped[bool] = mapped_column(
        default=False, server_default="0", doc="Whether nothing changed, so that no commit was made."
    )
    attempts: Mapped[int] = mapped_column(default=0, doc="Number of attempts by workers.")
    errors: Mapped[int] = mapped_column(default=0)
    error: Mapped[Any] = mapped_column(JsonText, nullable=True, doc="Why it failed: code, message, hint; or null.")
    on_failure: Mapped[str] = mapped_column(
        sa.String(16),
        default="delete",
        doc="What to do with a new Space whose first publication fails: keep, private or delete.",
    )
    cancel_requested: Mapped[bool] = mapped_column(default=False)
    create_sent_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    # For other actions: when the first call that changes the target was sent, and the steps known to be complete.
    sent_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    steps_done: Mapped[Any] = mapped_column(JsonText, nullable=True)
    started_at: Mapped[datetime | None] = mapped_column(UtcDateTime, doc="When a worker first claimed it, UTC.")
    finished_at: Mapped[datetime | None] = mapped_column(UtcDateTime, doc="When it ended, UTC.")
    # The claim: its owner; when the lease expires (running) or the next wake-up is due (queued); the earliest start.
    lease_owner: Mapped[str | None] = mapped_column(sa.String(36))
    due_at: Mapped[float] = mapped_column(sa.Double, default=0.0)
    not_before: Mapped[float] = mapped_column(sa.Double, default=0.0)
    # Clean-up of an incomplete Space after a failed or cancelled request: when it is due, and its owner.
    cleanup_due_at: Mapped[float | None] = mapped_column(sa.Double, index=True)
    cleanup_owner: Mapped[str | None] = mapped_column(sa.String(36))
    # Its position in the fair order of queued requests.
    fair_round: Mapped[int] = mapped_column("turn_round", default=0, key="fair_round")
    turn_at: Mapped[float] = mapped_column(sa.Double, default=0.0)

    queue_position: Mapped[int | None] = query_expression()
    """Its position among the queued requests, from 1, if the query has loaded it; see `publishing.queue`."""

    space: Mapped[Space] = relationship(back_populates="requests")
    files: Mapped[list[RequestFile]] = relationship(order_by="RequestFile.position", cascade="all, delete-orphan")

    __table_args__ = (
        sa.Index("ix_space_requests_space_id_number", "space_id", "number"),
        sa.Index("ix_space_requests_status_due_at", "status", "due_at"),
        sa.Index("ix_space_requests_status_turn_at", "status", "turn_at"),
        sa.Index("ix_space_requests_status_finished_at", "status", "finished_at"),
        sa.Index("ix_space_requests_owner_id_status", "owner_id", "status"),
        sa.Index("ix_space_requests_realm_id_status_turn_round", "realm_id", "status", "fair_round"),
        sa.Index("ix_space_requests_realm_id_created_at", "realm_id", "created_at"),
        sa.Index("ix_space_requests_status_created_at", "status", "created_at"),
        Base.__table_args__,
    )

    @property
    def plugin(self) -> dict[str, str]:
        """Name and version of the plugin that assembled the files."""
        return {"name": self.space_type, "version": self.plugin_version}

    @property
    def commit(self) -> dict[str, str | None] | None:
        """Id and URL of the resulting commit, or None."""
        return None if self.commit_oid is None else {"oid": self.commit_oid, "url": self.commit_url}


class RequestFile(Base):
    """One file of the tree that a request publishes."""

    __tablename__ = "request_files"

    request_id: Mapped[str] = mapped_column(sa.ForeignKey("space_requests.id", ondelete="CASCADE"), primary_key=True)
    position: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    path: Mapped[str] = mapped_column(sa.String(1024), doc="Path in the Space.")
    size: Mapped[int] = mapped_column(sa.BigInteger, doc="Size in bytes.")
    sha256: Mapped[str] = mapped_column(sa.String(64), index=True, doc="SHA-256 of the content.")
    origin: Mapped[str] = mapped_column(sa.String(16), doc="given, default, generated or adopted.")
    # Digest of the file as sent, if the published bytes differ from it.
    given_sha256: Mapped[str | None] = mapped_column(sa.String(64), index=True)


class Event(Base):
    """An event of a Space, usually caused by a request; append-only."""

    __tablename__ = "events"

    id: Mapped[int] = mapped_column(
        sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True, doc="Increasing number."
    )
    space_id: Mapped[str] = mapped_column(sa.ForeignKey("spaces.id", ondelete="CASCADE"), doc="Its Space.")
    request_id: Mapped[str | None] = mapped_column(
        sa.ForeignKey("space_requests.id", ondelete="CASCADE"),
        index=True,
        doc="Its request; null if it belongs to none.",
    )
    type: Mapped[str] = mapped_column(sa.String(32), doc="Type of the event.")
    message: Mapped[str | None] = mapped_column(sa.Text, doc="Description for people.")
    data: Mapped[Any] = mapped_column(JsonText, default=dict, doc="Details.")
    created_at: Mapped[datetime] = mapped_column(UtcDateTime, default=utcnow, doc="Time of the event, UTC.")

    __table_args__ = (sa.Index("ix_events_space_id_id", "space_id", "id"), Base.__table_args__)


class CreationLock(Base):
    """Lock for create calls per account of a target: the Hub rejects concurrent creations by one account."""

    __tablename__ = "creation_turns"

    account: Mapped[str] = mapped_column(sa.String(64), primary_key=True)
    owner: Mapped[str | None] = mapped_column(sa.String(36), doc="Claim of the request that holds the lock.")


class IdempotencyKey(Base):
    """The response to the first call with a key, returned again for repeated calls."""

    __tablename__ = "idempotency_keys"

    account_id: Mapped[str] = mapped_column(sa.String(36), primary_key=True)
    key: Mapped[str] = mapped_column(sa.String(255), primary_key=True)
    body_digest: Mapped[str] = mapped_column(sa.String(64))
    request_id: Mapped[str] = mapped_column(sa.String(36))
    answer: Mapped[Any] = mapped_column(JsonText)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime, default=utcnow, index=True)


REQUESTS: Any = SpaceRequest.__table__
SPACES: Any = Space.__table__
"""The tables: updates by table are twice as fast as by mapped class, and do not flush the session."""

SPACE_ID, REQUEST_ID = sa.bindparam("space_id", type_=sa.String), sa.bindparam("request_id", type_=sa.String)
"""Parameters of prebuilt statements."""
