"""What the database holds: Spaces, their requests, files and events, and the one table of transitions.

The row of a request is the truth; a Celery message is only a wake-up.
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
"""Actions that make a Space."""

RELEASES = MAKING | {"update", "rollback"}
"""Actions whose result is a tree that can be returned to."""


class Space(Timestamps, Base):
    """The long-lived thing: one app on one target."""

    __tablename__ = "spaces"

    id: Mapped[str] = id_column()
    name: Mapped[str] = mapped_column(sa.String(96), index=True, doc="Name on its target.")
    namespace: Mapped[str | None] = mapped_column(
        sa.String(96), doc="User or organisation that owns it on its target; null until known."
    )
    url: Mapped[str | None] = mapped_column(
        sa.String(512), doc="Where it is or will be published; null if not known yet."
    )
    target: Mapped[str] = mapped_column(sa.String(32), doc="Where it is published: huggingface or local.")
    space_type: Mapped[str] = mapped_column(sa.String(50), doc="Its type.")
    visibility: Mapped[str] = mapped_column(sa.String(16), doc="public, private or protected.")
    state: Mapped[str] = mapped_column(sa.String(32), default="creating", doc="What is known of the running app.")
    state_since: Mapped[datetime | None] = mapped_column(UtcDateTime, default=utcnow, doc="Since when, UTC.")
    state_checked_at: Mapped[datetime | None] = mapped_column(
        UtcDateTime, doc="When its target was last asked, UTC; null if it was not yet."
    )
    state_source: Mapped[str] = mapped_column(
        sa.String(16),
        default="service",
        server_default="service",
        doc="How the state was learnt: service (from what was done here), target (it said so), assumed (it said so, "
        "but not for certain about the newest commit) or timeout.",
    )
    stage: Mapped[str | None] = mapped_column(sa.String(64), doc="The same in the target's own word.")
    problem: Mapped[Any] = mapped_column(JsonText, nullable=True, doc="Why the app does not run, or null.")
    labels: Mapped[list[str]] = mapped_column(JsonText, default=list, doc="Words to find it by.")
    realm_id: Mapped[str] = mapped_column(sa.ForeignKey("realms.id"), index=True, doc="Realm it belongs to.")
    owner_id: Mapped[str] = mapped_column(sa.String(36), index=True, doc="Account that made it.")
    # Target and name while the Space holds them, else null: one unique index that works on all databases.
    slot: Mapped[str | None] = mapped_column(sa.String(255), unique=True)
    created_on_target: Mapped[bool] = mapped_column(default=False)
    # When its target made it, by the target's clock: tells it from another one that took its name.
    made_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    # The newest commit of ours, and the newest one of somebody else on top of it, as far as is known.
    published_oid: Mapped[str | None] = mapped_column(sa.String(64))
    foreign_oid: Mapped[str | None] = mapped_column(sa.String(64))
    expires_at: Mapped[datetime | None] = mapped_column(
        UtcDateTime, index=True, doc="When it is deleted by itself, UTC; null for never."
    )
    expiry_warnings: Mapped[int] = mapped_column(default=0, server_default="0")
    # Counts its requests; their numbers are the order in which they are worked on.
    request_count: Mapped[int] = mapped_column(default=0, server_default="0")
    # Counts its events. Whoever writes one holds this row, so their numbers rise in the order of the commits.
    event_count: Mapped[int] = mapped_column(default=0, server_default="0")

    requests: Mapped[list[SpaceRequest]] = relationship(back_populates="space", order_by="SpaceRequest.created_at")
    latest_request: Mapped[SpaceRequest] = relationship(
        primaryjoin="(Space.id == foreign(SpaceRequest.space_id)) & (Space.request_count == SpaceRequest.number)",
        viewonly=True,
        uselist=False,
    )

    __table_args__ = (sa.Index("ix_spaces_realm_id_created_at", "realm_id", "created_at"), Base.__table_args__)

    @property
    def commit_oid(self) -> str | None:
        """The live commit, as last seen."""
        return self.foreign_oid or self.published_oid

    @hybrid_property
    def alive(self) -> bool:
        """Whether it was not deleted here; one that is only gone on its target still holds its name."""
        return self.state != "deleted" or self.slot is not None

    @alive.inplace.expression
    @classmethod
    def _alive(cls) -> sa.ColumnElement[bool]:
        return sa.or_(cls.state != "deleted", cls.slot.is_not(None))


class SpaceRequest(Timestamps, Base):
    """One asked-for change of a Space; a succeeded one is an immutable release."""

    __tablename__ = "space_requests"

    id: Mapped[str] = id_column()
    space_id: Mapped[str] = mapped_column(sa.ForeignKey("spaces.id"), doc="Its Space.")
    realm_id: Mapped[str] = mapped_column(sa.ForeignKey("realms.id"), doc="Realm it belongs to.")
    owner_id: Mapped[str] = mapped_column(sa.String(36), doc="Account that made it.")
    number: Mapped[int] = mapped_column(
        default=1,
        server_default="1",
        doc="Number among the requests of its Space; they are done in this order.",
    )
    action: Mapped[str] = mapped_column(sa.String(16), doc="What is asked for: create, update, rollback, delete …")
    status: Mapped[str] = mapped_column(
        sa.String(16), default=QUEUED, doc="queued, running, succeeded, failed or cancelled."
    )
    space_type: Mapped[str] = mapped_column(sa.String(50), doc="Type of the Space.")
    plugin_version: Mapped[str] = mapped_column(sa.String(64))
    sdk: Mapped[str] = mapped_column(sa.String(16))
    parameters: Mapped[Any] = mapped_column(JsonText, doc="The parameters, as given.")
    options: Mapped[Any] = mapped_column(JsonText, doc="The options of the type, as given.")
    change: Mapped[Change] = mapped_column(ChangeJson, nullable=True, default=Change)
    # Hardware, sleep time, visibility and variables; in an update a variable that is null is removed.
    environment: Mapped[Any] = mapped_column(JsonText, default=dict)
    encrypted_secrets: Mapped[str | None] = mapped_column("sealed_secrets", JsonText, key="encrypted_secrets")
    tree_digest: Mapped[str] = mapped_column(sa.String(64), doc="Digest over paths and contents of all files.")
    commit_oid: Mapped[str | None] = mapped_column(sa.String(64))
    commit_url: Mapped[str | None] = mapped_column(sa.String(512))
    findings: Mapped[Any] = mapped_column(
        JsonText, nullable=True, default=list, doc="What was found in the tree: warnings and notes."
    )
    unchanged: Mapped[bool] = mapped_column(
        default=False, server_default="0", doc="Whether all files were so already, so that no commit was made."
    )
    attempts: Mapped[int] = mapped_column(default=0, doc="How often a worker took it up.")
    errors: Mapped[int] = mapped_column(default=0)
    error: Mapped[Any] = mapped_column(JsonText, nullable=True, doc="Why it failed: code, message, hint; or null.")
    on_failure: Mapped[str] = mapped_column(
        sa.String(16), default="delete", doc="What becomes of a new Space without content: keep, private or delete."
    )
    cancel_requested: Mapped[bool] = mapped_column(default=False)
    create_sent_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    # Of other actions: when the first call was sent that changes the target, and which steps are known to be done.
    sent_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    steps_done: Mapped[Any] = mapped_column(JsonText, nullable=True)
    started_at: Mapped[datetime | None] = mapped_column(UtcDateTime, doc="When a worker first took it up, UTC.")
    finished_at: Mapped[datetime | None] = mapped_column(UtcDateTime, doc="When it ended, UTC.")
    # The claim: who works on it, until when (running) or when to wake it again (queued), not before which moment.
    lease_owner: Mapped[str | None] = mapped_column(sa.String(36))
    due_at: Mapped[float] = mapped_column(sa.Double, default=0.0)
    not_before: Mapped[float] = mapped_column(sa.Double, default=0.0)
    # A failed or cancelled request whose half-made Space is still to be dealt with: when, and who is at it.
    cleanup_due_at: Mapped[float | None] = mapped_column(sa.Double, index=True)
    cleanup_owner: Mapped[str | None] = mapped_column(sa.String(36))
    # Its turn among those that wait.
    fair_round: Mapped[int] = mapped_column("turn_round", default=0, key="fair_round")
    turn_at: Mapped[float] = mapped_column(sa.Double, default=0.0)

    queue_position: Mapped[int | None] = query_expression()
    """Its position among the waiting requests, from 1, where a query has loaded it; see `publishing.queue`."""

    space: Mapped[Space] = relationship(back_populates="requests")
    files: Mapped[list[RequestFile]] = relationship(order_by="RequestFile.position", cascade="all, delete-orphan")

    __table_args__ = (
        sa.Index("ix_space_requests_space_id_number", "space_id", "number"),
        sa.Index("ix_space_requests_status_due_at", "status", "due_at"),
        sa.Index("ix_space_requests_status_turn_at", "status", "turn_at"),
        sa.Index("ix_space_requests_status_finished_at", "status", "finished_at"),
        sa.Index("ix_space_requests_owner_id_status", "owner_id", "status"),
        sa.Index("ix_space_requests_realm_id_status", "realm_id", "status"),
        sa.Index("ix_space_requests_realm_id_created_at", "realm_id", "created_at"),
        sa.Index("ix_space_requests_status_created_at", "status", "created_at"),
        Base.__table_args__,
    )

    @property
    def plugin(self) -> dict[str, str]:
        """Name and version of the plugin that assembled it."""
        return {"name": self.space_type, "version": self.plugin_version}

    @property
    def commit(self) -> dict[str, str | None] | None:
        """Id and address of the resulting commit, or None."""
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
    # What the caller sent, where the published bytes differ from it.
    given_sha256: Mapped[str | None] = mapped_column(sa.String(64), index=True)


class Event(Base):
    """One thing that happened to a Space, mostly for a request; append-only."""

    __tablename__ = "events"

    id: Mapped[int] = mapped_column(
        sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True, doc="Rising number."
    )
    space_id: Mapped[str] = mapped_column(sa.ForeignKey("spaces.id", ondelete="CASCADE"), doc="Its Space.")
    request_id: Mapped[str | None] = mapped_column(
        sa.ForeignKey("space_requests.id", ondelete="CASCADE"),
        index=True,
        doc="Its request; null if it is of none.",
    )
    type: Mapped[str] = mapped_column(sa.String(32), doc="What happened.")
    message: Mapped[str | None] = mapped_column(sa.Text, doc="The same for people.")
    data: Mapped[Any] = mapped_column(JsonText, default=dict, doc="Details.")
    created_at: Mapped[datetime] = mapped_column(UtcDateTime, default=utcnow, doc="When, UTC.")

    __table_args__ = (sa.Index("ix_events_space_id_id", "space_id", "id"), Base.__table_args__)


class CreationLock(Base):
    """Who may send a create call for an account of a target: the Hub refuses creations of one account that overlap."""

    __tablename__ = "creation_turns"

    account: Mapped[str] = mapped_column(sa.String(64), primary_key=True)
    owner: Mapped[str | None] = mapped_column(sa.String(36), doc="The claim of the request that creates.")


class IdempotencyKey(Base):
    """The answer that was given for a key, to be given again."""

    __tablename__ = "idempotency_keys"

    account_id: Mapped[str] = mapped_column(sa.String(36), primary_key=True)
    key: Mapped[str] = mapped_column(sa.String(255), primary_key=True)
    body_digest: Mapped[str] = mapped_column(sa.String(64))
    request_id: Mapped[str] = mapped_column(sa.String(36))
    answer: Mapped[Any] = mapped_column(JsonText)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime, default=utcnow, index=True)


REQUESTS: Any = SpaceRequest.__table__
SPACES: Any = Space.__table__
"""The tables: changing a row by them is twice as fast as by the classes, and flushes nothing before."""

SPACE_ID, REQUEST_ID = sa.bindparam("space_id", type_=sa.String), sa.bindparam("request_id", type_=sa.String)
"""Parameters of prebuilt statements."""
