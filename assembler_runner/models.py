"""What the database holds: Spaces, their requests, files and events, and the one table of transitions.

The row of a request is the truth; a Celery message is only a wake-up.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.hybrid import hybrid_property
from sqlalchemy.orm import Mapped, Session, mapped_column, relationship

from assembler_runner.database import (
    Base,
    JsonText,
    Timestamps,
    UtcDateTime,
    db,
    deliveries,
    endings,
    id_column,
    tell_when_committed,
    utcnow,
)
from assembler_runner.webhook_models import PENDING, Webhook, WebhookDelivery

QUEUED, RUNNING, SUCCEEDED, FAILED, CANCELLED = "queued", "running", "succeeded", "failed", "cancelled"

TRANSITIONS: dict[str, frozenset[str]] = {
    QUEUED: frozenset({RUNNING, CANCELLED}),
    RUNNING: frozenset({RUNNING, QUEUED, SUCCEEDED, FAILED, CANCELLED}),
    SUCCEEDED: frozenset(),
    FAILED: frozenset({QUEUED}),
    CANCELLED: frozenset({QUEUED}),
}
"""Status of a request → what may follow. running → running is the take-over of a silent worker's request."""

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
    url: Mapped[str | None] = mapped_column(sa.String(512), doc="Where it can be seen; null until it is published.")
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

    __table_args__ = (sa.Index("ix_spaces_realm_id_created_at", "realm_id", "created_at"), Base.__table_args__)

    @property
    def latest_request(self) -> SpaceRequest:
        """The request made last."""
        if (known := self.__dict__.get("_latest_request")) is not None:
            return known  # type: ignore[no-any-return]  # put there by know_latest
        query = sa.select(SpaceRequest).where(SpaceRequest.space_id == self.id)
        return db.session.scalars(query.order_by(SpaceRequest.number.desc()).limit(1)).one()

    def know_latest(self, request: SpaceRequest) -> None:
        """Spares a query where the request made last is at hand."""
        self.__dict__["_latest_request"] = request

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
    # What else is asked for; see changing.py.
    change: Mapped[Any] = mapped_column(JsonText, nullable=True, default=dict)
    # Hardware, sleep time, visibility and variables; in an update a variable that is null is removed.
    environment: Mapped[Any] = mapped_column(JsonText, default=dict)
    sealed_secrets: Mapped[str | None] = mapped_column(JsonText)
    tree_digest: Mapped[str] = mapped_column(sa.String(64), doc="Digest over paths and contents of all files.")
    commit_oid: Mapped[str | None] = mapped_column(sa.String(64))
    commit_url: Mapped[str | None] = mapped_column(sa.String(512))
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
    turn_round: Mapped[int] = mapped_column(default=0)
    turn_at: Mapped[float] = mapped_column(sa.Double, default=0.0)

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

    @staticmethod
    def move_to(
        session: Session,
        request_id: str,
        status: str,
        *,
        space_id: str | None = None,
        owner: str | None = None,
        condition: Any = None,
        **values: Any,
    ) -> bool:
        """Changes the status, if the present one allows it; the only place where that is done.

        The change is one conditional UPDATE, so of two who try only one succeeds; the event is written with it. The row
        of the Space is held before that of the request, everywhere, so that nobody waits in a circle.

        Args:
            session: the session; the caller commits.
            request_id: the request.
            status: the new status.
            space_id: its Space, where the caller holds that row already; None where it is to be held here.
            owner: the claim that must still hold it, for changes made by a worker.
            condition: what else must be true of the row.
            values: other columns to set.
        Returns:
            Whether it was changed.
        """
        space_id = space_id or hold_space_of(session, request_id)
        if space_id is None:
            return False
        sources = [source for source, targets in TRANSITIONS.items() if status in targets]
        where = [REQUESTS.c.id == request_id, REQUESTS.c.status.in_(sources)]
        if owner is not None:
            where.append(REQUESTS.c.lease_owner == owner)
        if condition is not None:
            where.append(condition)
        if status in FINISHED:
            values.setdefault("finished_at", utcnow())
            tell_when_committed(session, endings)
        changed = sa.update(REQUESTS).where(*where).values(status=status, **values)
        if session.execute(changed).rowcount != 1:  # type: ignore[attr-defined]  # it is a CursorResult
            return False
        session.expire_all()
        record_event(session, status, space_id=space_id, request_id=request_id, data=_status_data(values))
        return True


def hold_space(session: Session, space_id: str) -> None:
    """Holds the row of a Space until the transaction ends: what is decided about it is decided by one at a time."""
    session.execute(_HELD, {"space_id": space_id})


def hold_space_of(session: Session, request_id: str) -> str | None:
    """Holds the row of the Space of a request, see :func:`hold_space`; returns its id, None without such a request."""
    return session.scalar(_HELD_OF, {"request_id": request_id})


def _status_data(values: dict[str, Any]) -> dict[str, Any]:
    data: dict[str, Any] = {}
    if values.get("error"):
        data["error"] = values["error"]
    if values.get("commit_oid"):
        data["commit"] = {"oid": values["commit_oid"], "url": values.get("commit_url")}
    return data


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


class CreationTurn(Base):
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


def record_event(
    session: Session,
    type: str,
    *,
    space_id: str,
    request_id: str | None = None,
    message: str | None = None,
    data: dict[str, Any] | None = None,
) -> None:
    """Appends an event; the caller commits, soon: the row of the Space is held until then.

    Args:
        session: the session.
        type: what happened.
        space_id: the Space.
        request_id: the request it is about, if it is about one.
        message: the same for people.
        data: details.
    """
    session.execute(_COUNTED, {"space_id": space_id})
    now, about = utcnow(), {"space_id": space_id, "request_id": request_id}
    event = {**about, "type": type, "message": message, "data": data or {}, "created_at": now}
    (event_id,) = session.execute(_RECORDED, event).inserted_primary_key  # type: ignore[attr-defined]  # a CursorResult
    # It is sent if, and only if, the event has happened: so what is to be sent is written with it.
    for webhook_id, event_types in session.execute(_TOLD, about).all():
        if not event_types or type in event_types:
            tell_when_committed(session, deliveries)
            given = {"webhook_id": webhook_id, "event_id": event_id, "status": PENDING}
            session.add(WebhookDelivery(**given, created_at=now))


REQUESTS: Any = SpaceRequest.__table__
SPACES: Any = Space.__table__
"""The tables: to change a row by them is twice as fast as by the classes, and flushes nothing before."""

# Made once: these are most of what a worker and a call of the API send to the database, and to put a statement together
# takes longer than to send it.
_EVENTS: Any = Event.__table__
_WEBHOOKS: Any = Webhook.__table__
_space_id, _request_id = sa.bindparam("space_id", type_=sa.String), sa.bindparam("request_id", type_=sa.String)

_RECORDED = sa.insert(_EVENTS)
_HELD = sa.select(SPACES.c.id).where(SPACES.c.id == _space_id).with_for_update()
_HELD_OF = (
    sa.select(SPACES.c.id)
    .where(SPACES.c.id == sa.select(REQUESTS.c.space_id).where(REQUESTS.c.id == _request_id).scalar_subquery())
    .with_for_update()
)
_COUNTED = (
    sa.update(SPACES)
    .where(SPACES.c.id == _space_id)
    .values(event_count=SPACES.c.event_count + 1, updated_at=SPACES.c.updated_at)
)
# What becomes of a Space is told to the callback of the request that was its last.
_of_space = sa.select(REQUESTS.c.id).where(REQUESTS.c.space_id == _space_id)
_LAST = _of_space.order_by(REQUESTS.c.created_at.desc(), REQUESTS.c.id).limit(1).scalar_subquery()
_TOLD = sa.select(_WEBHOOKS.c.id, _WEBHOOKS.c.event_types).where(
    _WEBHOOKS.c.realm_id == sa.select(SPACES.c.realm_id).where(SPACES.c.id == _space_id).scalar_subquery(),
    _WEBHOOKS.c.active,
    _WEBHOOKS.c.space_id.is_(None) | (_WEBHOOKS.c.space_id == _space_id),
    _WEBHOOKS.c.request_id.is_(None) | (_WEBHOOKS.c.request_id == sa.func.coalesce(_request_id, _LAST)),
)
