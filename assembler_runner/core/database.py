"""What all tables share: types of columns, the base of the models, the database's clock, and who waits for a change."""

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
    """Of the result."""
    inherit_cache = True
    """It has no state of its own."""


@compiles(database_now)
def _now_sqlite(element: Any, compiler: Any, **kw: Any) -> str:
    return "((julianday('now') - 2440587.5) * 86400.0)"


@compiles(database_now, "postgresql")
def _now_postgresql(element: Any, compiler: Any, **kw: Any) -> str:
    # Not clock_timestamp(): it may differ from row to row, so no index is used for what is compared with it.
    return "extract(epoch from statement_timestamp())::double precision"


@compiles(database_now, "mysql", "mariadb")
def _now_mariadb(element: Any, compiler: Any, **kw: Any) -> str:
    return "(unix_timestamp(now(6)) + 0e0)"


def plain(column: Any) -> sa.ColumnElement[Any]:
    """Returns a column that is not looked up in an index, for what another condition finds faster.

    PostgreSQL takes an index of the status for the better one until it has counted a table that has just grown, and
    reads all that waits to look at one Space.
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


IDLE_SECONDS = 0.1
"""From here on a connection of the pool is looked at before it is used; no database restarts faster."""

_IDLE_SINCE = "rests_since"

READ_ONLY = "read_only"
"""Execution option of a connection that only reads; it takes no write lock on SQLite."""


def configure_engine(engine: sa.Engine, read_only: Callable[[], bool], patience: Callable[[], float]) -> None:
    """Sets what each database needs: immediate write transactions on SQLite, live connections and good plans elsewhere.

    Args:
        engine: the engine.
        read_only: tells whether the present work only reads; such work takes no write lock on SQLite.
        patience: tells how many seconds the present work waits for the write lock of SQLite.
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
            opened.begin_writing(patience())
        except sqlite3.OperationalError as problem:
            raise OperationalError("BEGIN IMMEDIATE", None, problem) from None


def _keep_index_order(engine: sa.Engine) -> None:
    """Keeps PostgreSQL from reading all that waits to find what comes first.

    Until it has counted a table that has just grown, it expects a handful of rows, and collects them in a bitmap rather
    than in the order of an index: with 6,000 waiting requests the next one took 0.8 s.
    """

    @sa.event.listens_for(engine, "connect")
    def connected(connection: Any, record: Any) -> None:
        with connection.cursor() as cursor:
            cursor.execute("SET enable_bitmapscan = off")
        connection.commit()


def _ping_idle_connections(engine: sa.Engine) -> None:
    """Replaces connections that were lost while they rested, so that nobody hears of a restart of the database.

    One that was in use a moment ago is taken as it is: to ask each time, as `pool_pre_ping` does, is a sixth of all
    that is sent. See docs.sqlalchemy.org/en/21/core/pooling.html#custom-legacy-pessimistic-ping.
    """

    @sa.event.listens_for(engine, "checkin")
    def rests(connection: Any, record: Any) -> None:
        record.info[_IDLE_SINCE] = time.monotonic()

    @sa.event.listens_for(engine, "checkout")
    def goes_out(connection: Any, record: Any, proxy: Any) -> None:
        since = record.info.get(_IDLE_SINCE)
        if since is None or time.monotonic() - since < IDLE_SECONDS:
            return
        try:
            engine.dialect.do_ping(connection)
        except engine.dialect.loaded_dbapi.Error:
            raise InvalidatePoolError from None


def violated_constraint(problem: IntegrityError) -> str | None:
    """Returns the name of the constraint that a statement has violated, by the naming convention of :class:`Base`.

    Args:
        problem: what the statement raised.
    Returns:
        The name, such as `uq_spaces_slot`; None where the database does not give it.
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
        default: what holds outside of :func:`read_transaction` and :func:`write_transaction`.
    """
    declared = _only_reads.get()
    return default if declared is None else declared


@contextmanager
def read_transaction(*, keep_open: bool = False) -> Iterator[None]:
    """Reads without the write lock of SQLite, and ends the transaction; a transaction that is already open goes on.

    Args:
        keep_open: leave the transaction open where a reader can go on as a writer, which SQLite does not allow; saves
            two round trips.
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
    """Commits at the end, and rolls back if the block raises.

    Args:
        durable: False for what may be lost when the power fails, though never with a killed process: SQLite does not
            wait for the disk then.
    """
    token = _only_reads.set(False)
    try:
        yield
        # The block may have rolled back, and found nothing to write.
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
    """Lets the database end the transaction of a worker that has gone silent: its locks would stop all the others.

    Args:
        engine: the engine, before its first connection.
        seconds: how long a transaction may do nothing.
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
