"""The embedded Celery worker of `assembler serve`, and health checks of broker and workers."""

from __future__ import annotations

import threading
from typing import Any

from celery import Celery, current_app
from celery.utils.nodenames import anon_nodename
from celery.worker import WorkController
from kombu.exceptions import OperationalError

PING_SECONDS = 1
_START_SECONDS = 30.0


class EmbeddedWorker:
    """A Celery worker in a thread of this process, for the broker `memory://`.

    Args:
        celery: the Celery application.
        concurrency: number of requests it runs at the same time.
    """

    def __init__(self, celery: Celery, concurrency: int) -> None:
        self._ready = threading.Event()
        # Despite its documentation, Celery ignores the argument pool_cls.
        self._controller: Any = WorkController(
            app=celery,
            hostname=anon_nodename(),
            pool="threads",
            concurrency=concurrency,
            ready_callback=lambda consumer: self._ready.set(),
            without_heartbeat=True,
            without_mingle=True,
            without_gossip=True,
        )
        self._thread = threading.Thread(target=self._controller.start, name="worker", daemon=True)

    def start(self) -> None:
        """Starts the worker and waits until it consumes messages.

        Raises:
            RuntimeError: it did not start within 30 seconds.
        """
        self._thread.start()
        if not self._ready.wait(_START_SECONDS):
            raise RuntimeError("the embedded worker did not start")

    def stop(self) -> None:
        """Stops consuming messages; does not wait for running requests."""
        self._controller.should_stop = True
        self._controller.signal_consumer_close()

    @property
    def alive(self) -> bool:
        """Whether the worker still consumes messages."""
        return self._thread.is_alive()


_embedded: list[EmbeddedWorker] = []


def embed(worker: EmbeddedWorker) -> None:
    """Registers the worker of this process for the health check."""
    _embedded[:] = [worker]


def broker_answers() -> bool:
    """Returns whether the broker accepts a connection within one or two seconds."""
    if current_app.conf.broker_url.startswith("memory:"):
        return True
    try:
        with current_app.connection_for_write(
            connect_timeout=PING_SECONDS, transport_options=_short_timeouts()
        ) as connection:
            connection.ensure_connection(max_retries=1, interval_start=0, timeout=PING_SECONDS)
    except (OperationalError, OSError):
        return False
    return True


def _short_timeouts() -> dict[str, int]:
    names = set(current_app.conf.broker_transport_options) - {"visibility_timeout"}
    return {name: PING_SECONDS for name in names if name.endswith("_timeout")}


def workers_answer() -> bool:
    """Returns whether at least one worker responds."""
    if _embedded:
        return _embedded[0].alive
    if current_app.conf.broker_url.startswith("memory:"):
        return False
    try:
        return bool(current_app.control.ping(timeout=PING_SECONDS, limit=1))
    except (OperationalError, OSError):
        return False
