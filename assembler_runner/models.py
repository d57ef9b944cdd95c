"""What the database holds: Spaces, their requests, files and events, and the one table of transitions.

The row of a request is the truth; a Celery message is only a wake-up.
"""

from __future__ import annotations

import json
import threading
import uuid
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa
from flask_sqlalchemy import SQLAlchemy
from sqlalchemy.dialects import mysql
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column, relationship

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


class JsonText(sa.TypeDecorator[Any]):
    """Any JSON value as ASCII text: keeps what JSON types of databases refuse (NUL, lone surrogates, depth, order)."""

    impl = sa.Text
    cache_ok = True

    def load_dialect_impl(self, dialect: sa.Dialect) -> sa.types.TypeEngine[Any]:
        """Takes the text type without a small limit."""
        return dialect.type_descriptor(mysql.LONGTEXT() if dialect.name in ("mysql", "mariadb") else sa.Text())

    def process_bind_param(self, value: Any, dialect: sa.Dialect) -> str | None:
        """Writes JSON."""
        return None if value is None else json.dumps(value, separators=(",", ":"))

    def process_result_value(self, value: Any, dialect: sa.Dialect) -> Any:
        """Reads JSON."""
        return None if value is None else json.loads(value)


class UtcDateTime(sa.TypeDecorator[datetime]):
    """A moment in UTC with microseconds, timezone-aware in Python on every database."""

    impl = sa.DateTime
    cache_ok = True

    def load_dialect_impl(self, dialect: sa.Dialect) -> sa.types.TypeEngine[Any]:
        """Takes microseconds on MariaDB, which drops them by default."""
        if dialect.name in ("mysql", "mariadb"):
            return dialect.type_descriptor(mysql.DATETIME(fsp=6))
        return dialect.type_descriptor(sa.DateTime())

    def process_bind_param(self, value: datetime | None, dialect: sa.Dialect) -> datetime | None:
        """Writes the moment as UTC without a zone."""
        return None if value is None else value.astimezone(UTC).replace(tzinfo=None)

    def process_result_value(self, value: Any, dialect: sa.Dialect) -> datetime | None:
        """Reads it back as UTC."""
        return None if value is None else value.replace(tzinfo=UTC)


class database_now(sa.sql.functions.GenericFunction[float]):  # noqa: N801 - it is an SQL function
    """The database's clock as seconds since 1970: one clock for all hosts."""

    type = sa.Double()
    inherit_cache = True


@compiles(database_now)
def _now_sqlite(element: Any, compiler: Any, **kw: Any) -> str:
    return "((julianday('now') - 2440587.5) * 86400.0)"


@compiles(database_now, "postgresql")
def _now_postgresql(element: Any, compiler: Any, **kw: Any) -> str:
    return "extract(epoch from clock_timestamp())::double precision"


@compiles(database_now, "mysql", "mariadb")
def _now_mariadb(element: Any, compiler: Any, **kw: Any) -> str:
    return "(unix_timestamp(now(6)) + 0e0)"


class Base(DeclarativeBase):
    """Base of all models."""

    metadata = sa.MetaData(
        naming_convention={
            "ix": "ix_%(column_0_label)s",
            "uq": "uq_%(table_name)s_%(column_0_name)s",
            "fk": "fk_%(table_name)s_%(column_0_name)s",
            "pk": "pk_%(table_name)s",
        }
    )
    # Bytes decide equality of text on every database; MariaDB's own default folds case and accents.
    # Without "nopad" it would still ignore blanks at the end.
    __table_args__: Any = {
        "mysql_charset": "utf8mb4",
        "mysql_collate": "utf8mb4_bin",
        "mysql_engine": "InnoDB",
        "mariadb_charset": "utf8mb4",
        "mariadb_collate": "utf8mb4_nopad_bin",
        "mariadb_engine": "InnoDB",
    }


db = SQLAlchemy(metadata=Base.metadata)


def utcnow() -> datetime:
    """Returns the present moment in UTC."""
    return datetime.now(UTC)


def new_id() -> str:
    """Returns a new random id."""
    return str(uuid.uuid4())


def id_column() -> Any:
    """Returns the column of a primary key."""
    return mapped_column(sa.String(36), primary_key=True, default=new_id, doc="Id, a UUID.")


class Timestamps:
    """When a row was made and last changed."""

    created_at: Mapped[datetime] = mapped_column(UtcDateTime, default=utcnow, index=True, doc="When it was made, UTC.")
    updated_at: Mapped[datetime] = mapped_column(
        UtcDateTime, default=utcnow, onupdate=utcnow, doc="When it was last changed, UTC."
    )


class Space(Timestamps, Base):
    """The long-lived thing: one app on one target."""

    __tablename__ = "spaces"

    id: Mapped[str] = id_column()
    name: Mapped[str] = mapped_column(sa.String(96), doc="Name on its target.")
    namespace: Mapped[str | None] = mapped_column(
        sa.String(96), doc="User or organisation that owns it on its target; null until known."
    )
    url: Mapped[str | None] = mapped_column(sa.String(512), doc="Where it can be seen; null until it is published.")
    target: Mapped[str] = mapped_column(sa.String(32), doc="Where it is published: huggingface or local.")
    space_type: Mapped[str] = mapped_column(sa.String(50), doc="Its type.")
    visibility: Mapped[str] = mapped_column(sa.String(16), doc="public, private or protected.")
    state: Mapped[str] = mapped_column(sa.String(32), default="creating", doc="What is known of the running app.")
    labels: Mapped[list[str]] = mapped_column(JsonText, default=list, doc="Words to find it by.")
    realm_id: Mapped[str] = mapped_column(sa.ForeignKey("realms.id"), index=True, doc="Realm it belongs to.")
    owner_id: Mapped[str] = mapped_column(sa.String(36), index=True, doc="Account that made it.")
    # Target and name while the Space holds them, else null: one unique index that works on all databases.
    slot: Mapped[str | None] = mapped_column(sa.String(255), unique=True)
    created_on_target: Mapped[bool] = mapped_column(default=False)

    requests: Mapped[list[SpaceRequest]] = relationship(back_populates="space", order_by="SpaceRequest.created_at")

    @property
    def latest_request(self) -> SpaceRequest:
        """The request made last."""
        query = sa.select(SpaceRequest).where(SpaceRequest.space_id == self.id)
        return db.session.scalars(query.order_by(SpaceRequest.created_at.desc(), SpaceRequest.id).limit(1)).one()


class SpaceRequest(Timestamps, Base):
    """One asked-for change of a Space; a succeeded one is an immutable release."""

    __tablename__ = "space_requests"

    id: Mapped[str] = id_column()
    space_id: Mapped[str] = mapped_column(sa.ForeignKey("spaces.id"), index=True, doc="Its Space.")
    realm_id: Mapped[str] = mapped_column(sa.ForeignKey("realms.id"), doc="Realm it belongs to.")
    owner_id: Mapped[str] = mapped_column(sa.String(36), doc="Account that made it.")
    action: Mapped[str] = mapped_column(sa.String(16), doc="What is asked for: create.")
    status: Mapped[str] = mapped_column(
        sa.String(16), default=QUEUED, doc="queued, running, succeeded, failed or cancelled."
    )
    space_type: Mapped[str] = mapped_column(sa.String(50), doc="Type of the Space.")
    plugin_version: Mapped[str] = mapped_column(sa.String(64))
    sdk: Mapped[str] = mapped_column(sa.String(16))
    parameters: Mapped[Any] = mapped_column(JsonText, doc="The parameters, as given.")
    options: Mapped[Any] = mapped_column(JsonText, doc="The options of the type, as given.")
    # Hardware, sleep time and variables; what the create call carries beside the secrets.
    environment: Mapped[Any] = mapped_column(JsonText, default=dict)
    sealed_secrets: Mapped[str | None] = mapped_column(JsonText)
    tree_digest: Mapped[str] = mapped_column(sa.String(64), doc="Digest over paths and contents of all files.")
    commit_oid: Mapped[str | None] = mapped_column(sa.String(64))
    commit_url: Mapped[str | None] = mapped_column(sa.String(512))
    attempts: Mapped[int] = mapped_column(default=0, doc="How often a worker took it up.")
    errors: Mapped[int] = mapped_column(default=0)
    error: Mapped[Any] = mapped_column(JsonText, nullable=True, doc="Why it failed: code, message, hint; or null.")
    on_failure: Mapped[str] = mapped_column(
        sa.String(16), default="delete", doc="What becomes of a new Space without content: keep, private or delete."
    )
    cancel_requested: Mapped[bool] = mapped_column(default=False)
    create_sent_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
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
        sa.Index("ix_space_requests_status_due_at", "status", "due_at"),
        sa.Index("ix_space_requests_status_turn_at", "status", "turn_at"),
        sa.Index("ix_space_requests_status_finished_at", "status", "finished_at"),
        sa.Index("ix_space_requests_owner_id_status", "owner_id", "status"),
        sa.Index("ix_space_requests_realm_id_status", "realm_id", "status"),
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
        owner: str | None = None,
        condition: Any = None,
        **values: Any,
    ) -> bool:
        """Changes the status, if the present one allows it; the only place where that is done.

        The change is one conditional UPDATE, so of two who try only one succeeds; the event is written with it.

        Args:
            session: the session; the caller commits.
            request_id: the request.
            status: the new status.
            owner: the claim that must still hold it, for changes made by a worker.
            condition: what else must be true of the row.
            values: other columns to set.
        Returns:
            Whether it was changed.
        """
        sources = [source for source, targets in TRANSITIONS.items() if status in targets]
        where = [SpaceRequest.id == request_id, SpaceRequest.status.in_(sources)]
        if owner is not None:
            where.append(SpaceRequest.lease_owner == owner)
        if condition is not None:
            where.append(condition)
        if status in FINISHED:
            values.setdefault("finished_at", utcnow())
        changed = sa.update(SpaceRequest).where(*where).values(status=status, updated_at=utcnow(), **values)
        result = session.execute(changed, execution_options={"synchronize_session": False})
        if result.rowcount != 1:  # type: ignore[attr-defined]  # an UPDATE always gives a CursorResult
            return False
        session.expire_all()
        record_event(session, request_id, status, data=_status_data(values))
        return True


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
    origin: Mapped[str] = mapped_column(sa.String(16), doc="given, default or generated.")
    # What the caller sent, where the published bytes differ from it.
    given_sha256: Mapped[str | None] = mapped_column(sa.String(64), index=True)


class Event(Base):
    """One thing that happened to a request; append-only."""

    __tablename__ = "events"

    id: Mapped[int] = mapped_column(
        sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True, doc="Rising number."
    )
    request_id: Mapped[str] = mapped_column(
        sa.ForeignKey("space_requests.id", ondelete="CASCADE"), index=True, doc="Its request."
    )
    type: Mapped[str] = mapped_column(sa.String(32), doc="What happened.")
    message: Mapped[str | None] = mapped_column(sa.Text, doc="The same for people.")
    data: Mapped[Any] = mapped_column(JsonText, default=dict, doc="Details.")
    created_at: Mapped[datetime] = mapped_column(UtcDateTime, default=utcnow, doc="When, UTC.")


class Blob(Base):
    """Content by its SHA-256; the bytes stand in the file store."""

    __tablename__ = "blobs"

    sha256: Mapped[str] = mapped_column(sa.String(64), primary_key=True)
    size: Mapped[int] = mapped_column(sa.BigInteger)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime, default=utcnow, index=True)


class BlobChunk(Base):
    """A piece of a blob, for the file store `database`."""

    __tablename__ = "blob_chunks"

    sha256: Mapped[str] = mapped_column(sa.ForeignKey("blobs.sha256", ondelete="CASCADE"), primary_key=True)
    position: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    content: Mapped[bytes] = mapped_column(sa.LargeBinary().with_variant(mysql.MEDIUMBLOB(), "mysql", "mariadb"))


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
    session: Session, request_id: str, type: str, message: str | None = None, data: dict[str, Any] | None = None
) -> None:
    """Appends an event; the caller commits."""
    session.add(Event(request_id=request_id, type=type, message=message, data=data or {}))


class Changes:
    """Wakes those who wait for the database to change; changes made by other processes are seen by looking again."""

    def __init__(self, look_again: float = 0.25) -> None:
        self._condition = threading.Condition()
        self._count = 0
        self.look_again = look_again

    def notify(self) -> None:
        """Tells everybody who waits that something was committed."""
        with self._condition:
            self._count += 1
            self._condition.notify_all()

    def wait(self, seen: int, timeout: float) -> int:
        """Waits until something was committed here since `seen`, or it is time to look again.

        Args:
            seen: the number returned before; 0 at first.
            timeout: seconds to wait at most.
        Returns:
            The number to pass next time.
        """
        with self._condition:
            self._condition.wait_for(lambda: self._count != seen, timeout=max(0.0, min(timeout, self.look_again)))
            return self._count


changes = Changes()


@sa.event.listens_for(Session, "after_commit")
def _committed(session: Session) -> None:
    changes.notify()


def configure_engine(engine: sa.Engine, read_only: Callable[[], bool], patience: Callable[[], float]) -> None:
    """Sets what each database needs: WAL and immediate write transactions on SQLite, READ COMMITTED elsewhere.

    Args:
        engine: the engine.
        read_only: tells whether the present work only reads; such work takes no write lock on SQLite.
        patience: tells how many seconds the present work waits for the write lock of SQLite.
    """
    if engine.dialect.name != "sqlite":
        return

    @sa.event.listens_for(engine, "connect")
    def connected(connection: Any, record: Any) -> None:
        connection.isolation_level = None
        for pragma in ("busy_timeout=4000", "journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON"):
            connection.execute(f"PRAGMA {pragma}")

    @sa.event.listens_for(engine, "begin")
    def began(connection: sa.Connection) -> None:
        if read_only():
            connection.exec_driver_sql("BEGIN")
            return
        connection.exec_driver_sql(f"PRAGMA busy_timeout={int(patience() * 1000)}")
        connection.exec_driver_sql("BEGIN IMMEDIATE")
