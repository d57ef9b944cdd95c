"""Wakes threads of this process when a transaction is committed."""

from __future__ import annotations

import threading

import sqlalchemy as sa
from sqlalchemy.orm import Session


class Changes:
    """Wakes those who wait for the database to change; changes made by other processes are seen by looking again."""

    def __init__(self, poll_seconds: float = 0.25) -> None:
        self._condition = threading.Condition()
        self._count = 0
        self.poll_seconds = poll_seconds

    def notify(self) -> None:
        """Tells everybody who waits that something was committed."""
        with self._condition:
            self._count += 1
            self._condition.notify_all()

    def wait(self, seen: int, timeout: float) -> int:
        """Waits until something was committed here since `seen`, or it is time to look again.

        Args:
            seen: the number returned before; 0 at first.
            timeout: seconds to wait at most.
        Returns:
            The number to pass next time.
        """
        with self._condition:
            self._condition.wait_for(lambda: self._count != seen, timeout=max(0.0, min(timeout, self.poll_seconds)))
            return self._count


changes = Changes()
"""Anything was committed."""


endings = Changes()
"""A request has ended."""


deliveries = Changes()
"""Something is to be sent to a webhook."""


_TOLD = "told"


def notify_after_commit(session: Session, whom: Changes) -> None:
    """Wakes those who wait for a certain change once the present transaction is committed."""
    session.info.setdefault(_TOLD, set()).add(whom)


@sa.event.listens_for(Session, "after_commit")
def _committed(session: Session) -> None:
    for whom in (changes, *session.info.pop(_TOLD, ())):
        whom.notify()


@sa.event.listens_for(Session, "after_rollback")
def _rolled_back(session: Session) -> None:
    session.info.pop(_TOLD, None)
