"""Runs migrations on the database of the present Flask application."""

from collections.abc import Iterator
from contextlib import contextmanager

import sqlalchemy as sa
from alembic import context
from flask import current_app

from assembler_runner.core.database import Base, db


@contextmanager
def foreign_keys_unchecked(connection: sa.Connection) -> Iterator[None]:
    """Lets SQLite replace a table by a changed copy.

    SQLite deletes the rows of a table that is dropped one by one, and with them, or instead of them, all that refer to
    it (https://www.sqlite.org/lang_altertable.html, section 7).

    Args:
        connection: a connection that has no transaction yet; it is closed afterwards, not used again.
    Raises:
        RuntimeError: rows refer to rows that a migration has removed.
    """
    if connection.dialect.name != "sqlite":
        yield
        return
    # Not by the engine's connection: it would begin a transaction, in which the setting has no effect.
    opened = connection.connection.driver_connection
    opened.execute("PRAGMA foreign_keys=OFF")
    try:
        before = set(opened.execute("PRAGMA foreign_key_check").fetchall())
        yield
        broken = set(opened.execute("PRAGMA foreign_key_check").fetchall()) - before
    finally:
        # The setting stays with the connection, so that it must not return to the pool.
        connection.invalidate()
    if broken:
        raise RuntimeError(f"Migration leaves rows without the row they refer to: {sorted(broken)[:5]}")


def run_migrations() -> None:
    """Runs them in one transaction, where the database has transactions for such changes."""
    arguments = current_app.extensions["migrate"].configure_args
    with db.engine.connect() as connection:
        context.configure(connection=connection, target_metadata=Base.metadata, **arguments)
        with foreign_keys_unchecked(connection), context.begin_transaction():
            context.run_migrations()


if context.is_offline_mode():
    context.configure(url=str(db.engine.url), target_metadata=Base.metadata, literal_binds=True)
    with context.begin_transaction():
        context.run_migrations()
else:
    run_migrations()
