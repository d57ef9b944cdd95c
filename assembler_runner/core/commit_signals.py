"""Wakes threads of this process when a transaction is committed."""

from __future__ import annotations

import threading

import sqlalchemy as sa
from sqlalchemy.orm import Session


class Changes:
    """Wakes threads that wait for a change in the database; changes by other processes are found by polling."""

    def __init__(self, poll_seconds: float = 0.25) -> None:
        self._condition = threading.Condition()
        self._count = 0
        self.poll_seconds = poll_seconds

    def notify(self) -> None:
        """Wakes all waiting threads: something was committed."""
        with self._condition:
            self._count += 1
            self._condition.notify_all()

    def wait(self, seen: int, timeout: float) -> int:
        """Waits until this process commits something after `seen`, or until the next poll is due.

        Args:
            seen: the number returned by the previous call; 0 at first.
            timeout: maximum seconds to wait.
        Returns:
            The number to pass to the next call.
        """
        with self._condition:
            self._condition.wait_for(lambda: self._count != seen, timeout=max(0.0, min(timeout, self.poll_seconds)))
            return self._count


changes = Changes()
"""Any commit."""


endings = Changes()
"""A request has ended."""


deliveries = Changes()
"""A webhook delivery is due."""


_PENDING = "signals_after_commit"


def notify_after_commit(session: Session, signal: Changes) -> None:
    """Wakes the threads that wait for a signal when the current transaction is committed; not after a rollback."""
    session.info.setdefault(_PENDING, set()).add(signal)


@sa.event.listens_for(Session, "after_commit")
def _committed(session: Session) -> None:
    for signal in (changes, *session.info.pop(_PENDING, ())):
        signal.notify()


@sa.event.listens_for(Session, "after_rollback")
def _rolled_back(session: Session) -> None:
    session.info.pop(_PENDING, None)
