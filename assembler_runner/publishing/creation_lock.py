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

# Prebuilt: constructing these statements costs more than executing them.
_LOCKS: Any = CreationLock.__table__
_alive = sa.exists().where(
    REQUESTS.c.lease_owner == _LOCKS.c.owner, REQUESTS.c.status == RUNNING, REQUESTS.c.due_at > database_now()
)
_of_account = sa.update(_LOCKS).where(_LOCKS.c.account == sa.bindparam("of", type_=sa.String))
_ACQUIRE = _of_account.where(_LOCKS.c.owner.is_(None) | ~_alive)
_RELEASE = _of_account.where(_LOCKS.c.owner == sa.bindparam("holder", type_=sa.String)).values(owner=None)

_locks: dict[str, threading.Lock] = {}
_locks_guard = threading.Lock()


@contextmanager
def creation_lock(account: str | None, claim: str) -> Iterator[None]:
    """Holds the creation lock of an account while the body runs; the lock expires with the claim that acquired it.

    Args:
        account: the account on the target; None if its creations may overlap.
        claim: the id of the claim of the request that creates a Space.
    Raises:
        RateLimited: the lock was not free within `PATIENCE_SECONDS`; the request must be retried.
    """
    if account is None:
        yield
        return
    with _locks_guard:
        lock = _locks.setdefault(account, threading.Lock())
    # Threads of this process wait for each other here; only one of them polls the database.
    if not lock.acquire(timeout=PATIENCE_SECONDS):
        raise _busy()
    try:
        _acquire(account, claim)
        try:
            yield
        finally:
            _release(account, claim)
    finally:
        lock.release()


def _acquire(account: str, claim: str) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    known = False
    while True:
        # Not durable: no process of this claim survives a power failure.
        with write_transaction(durable=False):
            taken = db.session.execute(_ACQUIRE, {"of": account, "owner": claim})
            acquired = taken.rowcount == 1  # type: ignore[attr-defined]  # an UPDATE always gives a CursorResult
            if not acquired and not known:
                insert_rows(db.session(), CreationLock, [{"account": account, "owner": None}])
        if acquired:
            return
        if not known:
            known = True
            continue
        if time.monotonic() > deadline:
            raise _busy()
        # Another process releases the lock, without a notification to this one.
        time.sleep(POLL_SECONDS)


def _release(account: str, claim: str) -> None:
    # An open transaction of the body must not be committed here.
    db.session.rollback()
    with write_transaction(durable=False):
        db.session.execute(_RELEASE, {"of": account, "holder": claim})


def _busy() -> RateLimited:
    return RateLimited("Other Spaces are being created for this account.", retry_after=1)
