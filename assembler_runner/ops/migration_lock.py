"""Migration lock: of several processes that start at once, one migrates the database while the others wait."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import sqlalchemy as sa

LOCK_NAME, LOCK_NUMBER = "assembler migrations", 5512093341
LOCK_SECONDS = 600


@contextmanager
def only_one_migrates(engine: sa.Engine) -> Iterator[None]:
    """Holds an advisory lock for the duration of the block; the database releases it if the process dies.

    Args:
        engine: the engine. SQLite needs no lock: each migration is a write transaction, and only one service uses the
            file.
    """
    statements = {
        "postgresql": (f"SELECT pg_advisory_lock({LOCK_NUMBER})", f"SELECT pg_advisory_unlock({LOCK_NUMBER})"),
        "mariadb": (f"SELECT GET_LOCK('{LOCK_NAME}', {LOCK_SECONDS})", f"SELECT RELEASE_LOCK('{LOCK_NAME}')"),
    }.get(engine.dialect.name)
    if statements is None:
        yield
        return
    acquire, release = statements
    # Autocommit: the limit on idle transactions must not end this connection.
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.exec_driver_sql(acquire)
        try:
            yield
        finally:
            connection.exec_driver_sql(release)


def is_at_newest(engine: sa.Engine, migrations: Path) -> bool:
    """Checks without Alembic, which is slow to import, whether a database has the newest migration.

    Args:
        engine: the engine.
        migrations: the folder of the migrations; each file name begins with its revision, in order.
    Returns:
        True if it has; False also if unknown, so that Alembic decides or reports the problem.
    Raises:
        OperationalError: the database cannot be opened.
    """
    newest = max(path.name for path in (migrations / "versions").glob("*.py")).partition("_")[0]
    with engine.connect() as connection:
        try:
            return connection.scalars(sa.text("SELECT version_num FROM alembic_version")).all() == [newest]
        except sa.exc.DBAPIError:
            return False
