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


class CreationTurn:
    """The turn of one claim to create a Space; see :func:`creation_lock`."""

    def __init__(self, account: str | None, claim: str) -> None:
        self._account, self._claim = account, claim
        self._local: threading.Lock | None = None
        self._held = False
        self._known = False

    def enter(self) -> None:
        """Waits for the other threads of this process, so that only one of them polls the database.

        Raises:
            RateLimited: the lock was not free within `PATIENCE_SECONDS`.
        """
        if self._account is None:
            return
        with _locks_guard:
            local = _locks.setdefault(self._account, threading.Lock())
        if not local.acquire(blocking=False):
            # No transaction stays open while this one waits.
            db.session.rollback()
            if not local.acquire(timeout=PATIENCE_SECONDS):
                raise _busy()
        self._local = local

    def try_acquire(self) -> None:
        """Acquires the lock in the current transaction, if it is free."""
        if self._account is None:
            return
        session = db.session()
        taken = session.connection().execute(_ACQUIRE, {"of": self._account, "owner": self._claim})
        self._held = taken.rowcount == 1
        if not self._held and not self._known:
            insert_rows(session, CreationLock, [{"account": self._account, "owner": None}])

    def acquire(self) -> None:
        """Waits for the lock, in transactions of its own.

        Raises:
            RateLimited: the lock was not free within `PATIENCE_SECONDS`.
        """
        deadline = time.monotonic() + PATIENCE_SECONDS
        while self._account is not None and not self._held:
            # Not durable: no process of this claim survives a power failure.
            with write_transaction(durable=False):
                self.try_acquire()
            if self._held:
                return
            if not self._known:
                self._known = True
                continue
            if time.monotonic() > deadline:
                raise _busy()
            # Another process releases the lock, without a notification to this one.
            time.sleep(POLL_SECONDS)

    def release(self) -> None:
        """Releases the lock in the current transaction."""
        if self._held:
            db.session().connection().execute(_RELEASE, {"of": self._account, "holder": self._claim})

    def leave(self, released: bool = False) -> None:
        """Releases the lock in a transaction of its own, unless another one has done that; may be called again.

        Args:
            released: whether a transaction that has called :meth:`release` was committed.
        """
        try:
            if self._held and not released:
                # An open transaction of the body must not be committed here.
                db.session.rollback()
                with write_transaction(durable=False):
                    self.release()
        finally:
            self._held = False
            if self._local is not None:
                self._local.release()
                self._local = None


@contextmanager
def creation_lock(account: str | None, claim: str) -> Iterator[CreationTurn]:
    """Holds the creation lock of an account; the lock expires with the claim that acquired it.

    The body acquires the lock, with a write of its own or alone. It may release it with a write of its own, and then
    says so; else the lock is released at the end.

    Args:
        account: the account on the target; None if its creations may overlap.
        claim: the id of the claim of the request that creates a Space.
    Raises:
        RateLimited: the lock was not free within `PATIENCE_SECONDS`; the request must be retried.
    """
    turn = CreationTurn(account, claim)
    turn.enter()
    try:
        yield turn
    finally:
        turn.leave()


def _busy() -> RateLimited:
    return RateLimited("Other Spaces are being created for this account.", retry_after=1)
