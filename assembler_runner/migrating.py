"""Migrations that several processes may start at once: one does them, the others wait and find nothing left to do."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

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
