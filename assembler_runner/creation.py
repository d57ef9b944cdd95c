"""One creation at a time for each account of a target, over all threads and all workers."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import sqlalchemy as sa
from sqlalchemy.orm import Session

from assembler_runner.errors import RateLimited
from assembler_runner.models import CreationTurn, database_now, db, new_id
from assembler_runner.storage import insert_new

PATIENCE_SECONDS = 20.0
LOOK_AGAIN_SECONDS = 0.05

_locks: dict[str, threading.Lock] = {}
_making = threading.Lock()


@contextmanager
def creation_turn(account: str | None, longest: float) -> Iterator[None]:
    """Holds the turn to create for an account while the body runs.

    Args:
        account: the account; None if its creations may overlap.
        longest: seconds after which the turn of a holder that went silent is over.
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
        owner = new_id()
        _take(account, owner, longest)
        try:
            yield
        finally:
            _give_back(account, owner)
    finally:
        lock.release()


def free_turns(session: Session) -> None:
    """Ends all turns, because nobody lives who could hold one; the caller commits."""
    session.execute(sa.update(CreationTurn).values(owner=None), execution_options={"synchronize_session": False})


def _take(account: str, owner: str, longest: float) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    free = (CreationTurn.account == account) & (CreationTurn.owner.is_(None) | (CreationTurn.until < database_now()))
    insert_new(db.session(), CreationTurn, [{"account": account, "owner": None, "until": 0.0}])
    while True:
        taken = db.session.execute(
            sa.update(CreationTurn).where(free).values(owner=owner, until=database_now() + longest),
            execution_options={"synchronize_session": False},
        )
        db.session.commit()
        if taken.rowcount == 1:  # type: ignore[attr-defined]  # an UPDATE always gives a CursorResult
            return
        if time.monotonic() > deadline:
            raise _busy()
        # Another worker's process gives it back; nothing here is told of it.
        time.sleep(LOOK_AGAIN_SECONDS)


def _give_back(account: str, owner: str) -> None:
    # What the body had begun is its own; it must not be committed here.
    db.session.rollback()
    mine = (CreationTurn.account == account) & (CreationTurn.owner == owner)
    db.session.execute(
        sa.update(CreationTurn).where(mine).values(owner=None), execution_options={"synchronize_session": False}
    )
    db.session.commit()


def _busy() -> RateLimited:
    return RateLimited("Other Spaces are being created for this account.", retry_after=1)
