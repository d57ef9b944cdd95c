"""Whether a database is to be migrated; of several processes that start that at once one does it, the others wait and
find nothing left to do."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import sqlalchemy as sa

LOCK_NAME, LOCK_NUMBER = "assembler migrations", 5512093341
LOCK_SECONDS = 600


@contextmanager
def only_one_migrates(engine: sa.Engine) -> Iterator[None]:
    """Holds the database's lock for migrations while the body runs; the database lets go when the process dies.

    Args:
        engine: the engine. SQLite needs no lock: its migrations are one write transaction after the other, and only
            one service has it.
    """
    statements = {
        "postgresql": (f"SELECT pg_advisory_lock({LOCK_NUMBER})", f"SELECT pg_advisory_unlock({LOCK_NUMBER})"),
        "mariadb": (f"SELECT GET_LOCK('{LOCK_NAME}', {LOCK_SECONDS})", f"SELECT RELEASE_LOCK('{LOCK_NAME}')"),
    }.get(engine.dialect.name)
    if statements is None:
        yield
        return
    take, release = statements
    # Idle outside of a transaction: the time limit of idle transactions must not end it.
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.exec_driver_sql(take)
        try:
            yield
        finally:
            connection.exec_driver_sql(release)


def is_at_newest(engine: sa.Engine, migrations: Path) -> bool:
    """Tells without Alembic, which takes long to load, whether a database has had the newest migration.

    Args:
        engine: the engine.
        migrations: the folder of the migrations; the name of each file begins with its revision, in order.
    Returns:
        False also where it cannot be told: Alembic then finds out, or says what is wrong.
    Raises:
        OperationalError: the database cannot be opened.
    """
    newest = max(path.name for path in (migrations / "versions").glob("*.py")).partition("_")[0]
    with engine.connect() as connection:
        try:
            return connection.scalars(sa.text("SELECT version_num FROM alembic_version")).all() == [newest]
        except sa.exc.DBAPIError:
            return False
