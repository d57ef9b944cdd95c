"""One creation at a time for each account of a target, over all threads and all workers."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import sqlalchemy as sa

from assembler_runner.core.database import database_now, db, write_transaction
from assembler_runner.core.errors import RateLimited
from assembler_runner.core.upsert import insert_rows
from assembler_runner.spaces.models import REQUESTS, RUNNING, CreationLock

PATIENCE_SECONDS = 20.0
POLL_SECONDS = 0.05

# Made once: to put a statement together takes longer than to send it.
_TURNS: Any = CreationLock.__table__
_alive = sa.exists().where(
    REQUESTS.c.lease_owner == _TURNS.c.owner, REQUESTS.c.status == RUNNING, REQUESTS.c.due_at > database_now()
)
_of_account = sa.update(_TURNS).where(_TURNS.c.account == sa.bindparam("of", type_=sa.String))
_TAKEN = _of_account.where(_TURNS.c.owner.is_(None) | ~_alive)
_GIVEN_BACK = _of_account.where(_TURNS.c.owner == sa.bindparam("holder", type_=sa.String)).values(owner=None)

_locks: dict[str, threading.Lock] = {}
_making = threading.Lock()


@contextmanager
def creation_lock(account: str | None, claim: str) -> Iterator[None]:
    """Holds the turn to create for an account while the body runs; it ends with the claim that took it.

    Args:
        account: the account; None if its creations may overlap.
        claim: the claim of the request that creates.
    Raises:
        RateLimited: others hold it for too long; the request has to come again.
    """
    if account is None:
        yield
        return
    with _making:
        lock = _locks.setdefault(account, threading.Lock())
    # Threads of this process wait for each other here; only one of them asks the database.
    if not lock.acquire(timeout=PATIENCE_SECONDS):
        raise _busy()
    try:
        _take(account, claim)
        try:
            yield
        finally:
            _give_back(account, claim)
    finally:
        lock.release()


def _take(account: str, claim: str) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    known = False
    while True:
        # Not durable: after a power failure no process of this claim goes on creating.
        with write_transaction(durable=False):
            taken = db.session.execute(_TAKEN, {"of": account, "owner": claim})
            got_it = taken.rowcount == 1  # type: ignore[attr-defined]  # an UPDATE always gives a CursorResult
            if not got_it and not known:
                insert_rows(db.session(), CreationLock, [{"account": account, "owner": None}])
        if got_it:
            return
        if not known:
            known = True
            continue
        if time.monotonic() > deadline:
            raise _busy()
        # Another worker's process gives it back; nothing here is told of it.
        time.sleep(POLL_SECONDS)


def _give_back(account: str, claim: str) -> None:
    # What the body had begun is its own; it must not be committed here.
    db.session.rollback()
    with write_transaction(durable=False):
        db.session.execute(_GIVEN_BACK, {"of": account, "holder": claim})


def _busy() -> RateLimited:
    return RateLimited("Other Spaces are being created for this account.", retry_after=1)
