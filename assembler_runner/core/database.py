"""Shared by all tables: column types, the base class of the models, the database's clock, and transactions."""

from __future__ import annotations

import json
import math
import re
import sqlite3
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa
from flask_sqlalchemy import SQLAlchemy
from sqlalchemy.dialects import mysql
from sqlalchemy.exc import IntegrityError, InvalidatePoolError, OperationalError
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from assembler_runner.core import sqlite


class JsonText(sa.TypeDecorator[Any]):
    """Any JSON value as ASCII text: native JSON types reject or change NUL, lone surrogates, depth and key order."""

    impl = sa.Text
    cache_ok = True

    def load_dialect_impl(self, dialect: sa.Dialect) -> sa.types.TypeEngine[Any]:
        """Uses a text type without a small length limit."""
        return dialect.type_descriptor(mysql.LONGTEXT() if dialect.name in ("mysql", "mariadb") else sa.Text())

    def process_bind_param(self, value: Any, dialect: sa.Dialect) -> str | None:
        """Serializes the value as JSON."""
        return None if value is None else json.dumps(value, separators=(",", ":"))

    def process_result_value(self, value: Any, dialect: sa.Dialect) -> Any:
        """Parses the stored JSON."""
        return None if value is None else json.loads(value)


class UtcDateTime(sa.TypeDecorator[datetime]):
    """A timestamp in UTC with microseconds, timezone-aware in Python on every database."""

    impl = sa.DateTime
    cache_ok = True

    def load_dialect_impl(self, dialect: sa.Dialect) -> sa.types.TypeEngine[Any]:
        """Keeps microseconds on MariaDB, which drops them by default."""
        if dialect.name in ("mysql", "mariadb"):
            return dialect.type_descriptor(mysql.DATETIME(fsp=6))
        return dialect.type_descriptor(sa.DateTime())

    def process_bind_param(self, value: datetime | None, dialect: sa.Dialect) -> datetime | None:
        """Stores the timestamp as UTC without a time zone."""
        return None if value is None else value.astimezone(UTC).replace(tzinfo=None)

    def process_result_value(self, value: Any, dialect: sa.Dialect) -> datetime | None:
        """Returns the stored timestamp as UTC."""
        return None if value is None else value.replace(tzinfo=UTC)


class database_now(sa.sql.functions.GenericFunction[float]):  # noqa: N801 - it is an SQL function
    """The database's clock as seconds since 1970: one clock for all hosts."""

    type = sa.Double()
    """Type of the result."""
    inherit_cache = True
    """Allows SQLAlchemy to cache statements: the function has no state."""


@compiles(database_now)
def _now_sqlite(element: Any, compiler: Any, **kw: Any) -> str:
    return "((julianday('now') - 2440587.5) * 86400.0)"


@compiles(database_now, "postgresql")
def _now_postgresql(element: Any, compiler: Any, **kw: Any) -> str:
    # Not clock_timestamp(): it may differ from row to row, so comparisons with it cannot use an index.
    return "extract(epoch from statement_timestamp())::double precision"


@compiles(database_now, "mysql", "mariadb")
def _now_mariadb(element: Any, compiler: Any, **kw: Any) -> str:
    return "(unix_timestamp(now(6)) + 0e0)"


def without_index(column: Any) -> sa.ColumnElement[Any]:
    """Hides a column from the planner's choice of indexes, where another condition is more selective.

    Until PostgreSQL has analyzed a table that has just grown, it prefers the index on the status and reads all queued
    rows to find those of one Space.
    """
    return sa.func.coalesce(column, "")


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
    # Without "nopad", trailing spaces would still be ignored.
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
    """Returns the current time in UTC."""
    return datetime.now(UTC)


def new_id() -> str:
    """Returns a new random id."""
    return str(uuid.uuid4())


def id_column() -> Any:
    """Returns the column of a primary key."""
    return mapped_column(sa.String(36), primary_key=True, default=new_id, doc="Id, a UUID.")


class Timestamps:
    """When a row was created and last changed."""

    created_at: Mapped[datetime] = mapped_column(UtcDateTime, default=utcnow, index=True, doc="Creation time, UTC.")
    updated_at: Mapped[datetime] = mapped_column(
        UtcDateTime, default=utcnow, onupdate=utcnow, doc="Time of the last change, UTC."
    )


IDLE_SECONDS = 0.1
"""A pooled connection that was idle for longer is pinged before it is used; no database restarts faster."""

_IDLE_SINCE = "idle_since"

READ_ONLY = "read_only"
"""Execution option of a connection that only reads; it takes no write lock on SQLite."""


def configure_engine(engine: sa.Engine, read_only: Callable[[], bool], lock_timeout: Callable[[], float]) -> None:
    """Configures an engine: immediate write transactions on SQLite; live connections and stable plans elsewhere.

    Args:
        engine: the engine.
        read_only: returns whether the current work only reads; such work takes no write lock on SQLite.
        lock_timeout: returns how many seconds the current work waits for the write lock of SQLite.
    """
    if engine.dialect.name != "sqlite":
        _ping_idle_connections(engine)
        if engine.dialect.name == "postgresql":
            _keep_index_order(engine)
        return

    @sa.event.listens_for(engine, "connect")
    def connected(connection: sqlite.Connection, record: Any) -> None:
        connection.set_up()

    @sa.event.listens_for(engine, "begin")
    def began(connection: sa.Connection) -> None:
        if read_only() or connection.get_execution_options().get(READ_ONLY):
            connection.exec_driver_sql("BEGIN")
            return
        opened = connection.connection.driver_connection
        assert isinstance(opened, sqlite.Connection)
        try:
            opened.begin_writing(lock_timeout())
        except sqlite3.OperationalError as problem:
            raise OperationalError("BEGIN IMMEDIATE", None, problem) from None


def _keep_index_order(engine: sa.Engine) -> None:
    """Keeps PostgreSQL from reading the whole queue to find its first row.

    Until PostgreSQL has analyzed a table that has just grown, it expects a handful of rows and collects them in a
    bitmap instead of reading them in the order of an index: with 6,000 queued requests, finding the next one took
    0.8 s.
    """

    @sa.event.listens_for(engine, "connect")
    def connected(connection: Any, record: Any) -> None:
        with connection.cursor() as cursor:
            cursor.execute("SET enable_bitmapscan = off")
        connection.commit()


def _ping_idle_connections(engine: sa.Engine) -> None:
    """Replaces connections that were lost while idle, so that a restart of the database causes no errors.

    A connection that was in use within IDLE_SECONDS is not pinged: pinging on every checkout, as `pool_pre_ping` does,
    is a sixth of all statements. See docs.sqlalchemy.org/en/21/core/pooling.html#custom-legacy-pessimistic-ping.
    """

    @sa.event.listens_for(engine, "checkin")
    def checked_in(connection: Any, record: Any) -> None:
        record.info[_IDLE_SINCE] = time.monotonic()

    @sa.event.listens_for(engine, "checkout")
    def checked_out(connection: Any, record: Any, proxy: Any) -> None:
        since = record.info.get(_IDLE_SINCE)
        if since is None or time.monotonic() - since < IDLE_SECONDS:
            return
        try:
            engine.dialect.do_ping(connection)
        except engine.dialect.loaded_dbapi.Error:
            raise InvalidatePoolError from None


def violated_constraint(problem: IntegrityError) -> str | None:
    """Returns the name of the constraint that a statement violated, by the naming convention of :class:`Base`.

    Args:
        problem: the error that the statement raised.
    Returns:
        The name, such as `uq_spaces_slot`; None if the database does not report it.
    """
    if (diagnostics := getattr(problem.orig, "diag", None)) is not None:
        return str(diagnostics.constraint_name)
    text = str(problem.orig)
    if found := re.search(r"UNIQUE constraint failed: (\w+)\.(\w+)", text):  # SQLite
        return f"uq_{found[1]}_{found[2]}"
    found = re.search(r"for key '(?:\w+\.)?(\w+)'", text)  # MariaDB
    return found[1] if found else None


_only_reads: ContextVar[bool | None] = ContextVar("assembler_only_reads", default=None)


def only_reads(default: bool) -> bool:
    """Returns whether the current work only reads.

    Args:
        default: returned outside of :func:`read_transaction` and :func:`write_transaction`.
    """
    declared = _only_reads.get()
    return default if declared is None else declared


@contextmanager
def read_transaction(*, keep_open: bool = False) -> Iterator[None]:
    """Reads without the write lock of SQLite, then ends the transaction; an already open transaction is joined.

    Args:
        keep_open: leave the transaction open on databases where a reader can become a writer, that is, all except
            SQLite; saves two round trips.
    """
    if _only_reads.get() or db.session().in_transaction():
        yield
        return
    token = _only_reads.set(True)
    try:
        yield
    finally:
        _only_reads.reset(token)
        if not keep_open or db.session().get_bind().dialect.name == "sqlite":
            db.session.rollback()


@contextmanager
def write_transaction(*, durable: bool = True) -> Iterator[None]:
    """Commits at the end; rolls back if the block raises.

    Args:
        durable: False if the commit may be lost on a power failure (never when a process is killed): SQLite then does
            not wait for fsync.
    """
    token = _only_reads.set(False)
    try:
        yield
        # The block may have rolled back because there was nothing to write.
        if db.session().in_transaction():
            if not durable:
                opened = db.session.connection().connection.driver_connection
                if isinstance(opened, sqlite.Connection):
                    opened.skip_next_fsync = True
            db.session.commit()
    except BaseException:
        db.session.rollback()
        raise
    finally:
        _only_reads.reset(token)


def limit_idle_transactions(engine: sa.Engine, seconds: float) -> None:
    """Makes the database abort transactions of workers that no longer respond: their locks would block all others.

    Args:
        engine: the engine, before its first connection.
        seconds: how long a transaction may be idle.
    """
    statements = {
        "postgresql": f"SET idle_in_transaction_session_timeout = {math.ceil(seconds) * 1000}",
        "mariadb": f"SET SESSION idle_transaction_timeout = {math.ceil(seconds)}",
    }
    statement = statements.get(engine.dialect.name)
    if statement is None:
        return

    @sa.event.listens_for(engine, "connect")
    def connected(connection: Any, record: Any) -> None:
        with connection.cursor() as cursor:
            cursor.execute(statement)
        connection.commit()
