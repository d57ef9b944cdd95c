"""Celery's broker in memory, for the worker inside of `assembler serve`: its reader is woken when a message comes.

The one of kombu looks fifty times a second, which is late by 10 ms and never rests.
"""

from __future__ import annotations

import time
from queue import Empty
from typing import Any

from kombu.transport import memory

from assembler_runner.core.commit_signals import Changes

TRANSPORT = f"{__name__}:Transport"
"""The name by which kombu loads it."""

POLL_SECONDS = 1.0

_arrivals = Changes(POLL_SECONDS)


class Channel(memory.Channel):
    """Tells the readers of what they may be waiting for: a message, or leave to take one more."""

    def _put(self, queue: str, message: Any, **kwargs: Any) -> None:
        super()._put(queue, message, **kwargs)
        _arrivals.notify()

    def _put_fanout(self, exchange: str, message: Any, routing_key: str | None = None, **kwargs: Any) -> None:
        super()._put_fanout(exchange, message, routing_key, **kwargs)
        _arrivals.notify()

    def basic_ack(self, delivery_tag: str, multiple: bool = False) -> None:
        """Acknowledges a message."""
        super().basic_ack(delivery_tag, multiple)
        _arrivals.notify()


class Transport(memory.Transport):
    """The transport that Celery loads."""

    Channel = Channel

    def drain_events(self, connection: Any, timeout: float | None = None) -> None:  # type: ignore[override]  # the stubs of the two base classes contradict each other
        """Hands over one message.

        Args:
            connection: the connection, of no use here.
            timeout: seconds to wait for it; None for ever.
        Raises:
            TimeoutError: none came in time.
        """
        end = None if timeout is None else time.monotonic() + timeout
        seen = 0
        while True:
            seen = _arrivals.wait(seen, 0.0)
            try:
                self.cycle.get(self._deliver, timeout=timeout)  # type: ignore[union-attr]  # None before the start only
            except Empty:
                left = POLL_SECONDS if end is None else end - time.monotonic()
                if left <= 0:
                    raise TimeoutError from None
                _arrivals.wait(seen, left)
            else:
                return
