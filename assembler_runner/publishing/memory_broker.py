"""A broker in memory for the worker of `assembler serve`; its consumer is notified when a message arrives.

kombu's own memory transport polls fifty times a second, which adds a delay of 10 ms and uses CPU time when idle.
"""

from __future__ import annotations

import time
from queue import Empty
from typing import Any

from kombu.transport import memory

from assembler_runner.core.commit_signals import Changes

TRANSPORT = f"{__name__}:Transport"
"""The name by which kombu loads the transport."""

POLL_SECONDS = 1.0

_arrivals = Changes(POLL_SECONDS)


class Channel(memory.Channel):
    """Notifies consumers of a new message, and of an acknowledgement, which allows them one more message."""

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
        """Delivers one message.

        Args:
            connection: the connection; unused.
            timeout: seconds to wait for a message; None to wait forever.
        Raises:
            TimeoutError: no message arrived in time.
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
