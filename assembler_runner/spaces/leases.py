"""Leases of the requests claimed by this process, renewed by one thread."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import sqlalchemy as sa

from assembler_runner.core.database import database_now
from assembler_runner.core.loops import Loop, OnDemand
from assembler_runner.spaces.models import RUNNING, SpaceRequest

log = logging.getLogger(__name__)

_SIGNAL_CHECK_SECONDS = 0.5
"""Maximum delay in seconds until a signal is handled while a process waits for its work to end."""


class Leases:
    """The claims of this process.

    Args:
        engine: returns the database engine; called in the renewal thread.
        seconds: duration of a lease.
    """

    def __init__(self, engine: Callable[[], sa.Engine], seconds: float) -> None:
        self.seconds = seconds
        self._engine = engine
        self._held: dict[str, str] = {}
        self._changed = threading.Condition()
        self._renewals = OnDemand(lambda: Loop("leases", seconds / 4, self._renew))
        self._draining = False

    @contextmanager
    def hold(self, request_id: str, owner: str) -> Iterator[None]:
        """Renews the lease of a claim for the duration of the block."""
        with self._changed:
            self._held[owner] = request_id
        self._renewals.ensure()
        try:
            yield
        finally:
            with self._changed:
                self._held.pop(owner, None)
                self._changed.notify_all()

    @property
    def draining(self) -> bool:
        """Whether no new work may be claimed."""
        return self._draining

    def drain(self, timeout: float) -> list[str]:
        """Stops claiming new work and waits until the running work has ended.

        Args:
            timeout: maximum seconds to wait.
        Returns:
            The claims that are still running.
        """
        with self._changed:
            self._draining = True
            end = time.monotonic() + timeout
            while self._held and (left := end - time.monotonic()) > 0:
                # In short waits: a signal that arrives just before a wait would be handled only after it.
                self._changed.wait(min(left, _SIGNAL_CHECK_SECONDS))
            return list(self._held)

    def _renew(self) -> None:
        owners = list(self._held)
        if not owners:
            return
        renewed = (
            sa.update(SpaceRequest)
            .where(SpaceRequest.lease_owner.in_(owners), SpaceRequest.status == RUNNING)
            .values(due_at=database_now() + self.seconds)
        )
        # If the database is unreachable, the next round retries. If a lease expires, another worker takes over the
        # request, and the fence prevents this one from committing to it.
        with self._engine().begin() as connection:
            connection.execute(renewed)
