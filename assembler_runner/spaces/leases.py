"""Who works on what: the requests this process holds, their leases renewed by one thread."""

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

_HEARD_WITHIN = 0.5
"""Seconds after which a signal is heard at the latest while a process waits for its work to end."""


class Leases:
    """The claims of this process.

    Args:
        engine: gives the database engine; asked in the renewing thread.
        seconds: how long a claim holds without a renewal.
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
        """Renews the claim while the body runs."""
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
        """Whether no new work may be taken up."""
        return self._draining

    def drain(self, timeout: float) -> list[str]:
        """Takes up nothing new and waits until what is held has ended.

        Args:
            timeout: seconds to wait at most.
        Returns:
            The claims that still run.
        """
        with self._changed:
            self._draining = True
            end = time.monotonic() + timeout
            while self._held and (left := end - time.monotonic()) > 0:
                # In pieces: a signal that arrives just before a wait would be heard only after it.
                self._changed.wait(min(left, _HEARD_WITHIN))
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
        # If the database is away the next round tries again. Another worker takes over a claim that has expired, and
        # this one can commit nothing for it any more.
        with self._engine().begin() as connection:
            connection.execute(renewed)
