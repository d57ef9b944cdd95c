"""The worker side of a process: the embedded Celery worker, and whether broker and workers answer."""

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
        concurrency: how many requests it runs at the same time.
    """

    def __init__(self, celery: Celery, concurrency: int) -> None:
        self._ready = threading.Event()
        # The argument is named pool; pool_cls is ignored.
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
        """Starts it and waits until it takes messages.

        Raises:
            RuntimeError: it does not come up.
        """
        self._thread.start()
        if not self._ready.wait(_START_SECONDS):
            raise RuntimeError("the embedded worker did not start")

    def stop(self) -> None:
        """Takes no more messages; running work is not waited for."""
        self._controller.should_stop = True
        self._controller.signal_consumer_close()

    @property
    def alive(self) -> bool:
        """Whether it still takes messages."""
        return self._thread.is_alive()


_embedded: list[EmbeddedWorker] = []


def embed(worker: EmbeddedWorker) -> None:
    """Tells the health check which worker lives in this process."""
    _embedded[:] = [worker]


def broker_answers() -> bool:
    """Returns whether the broker takes a connection within a second or two."""
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
    """Returns whether at least one worker lives."""
    if _embedded:
        return _embedded[0].alive
    if current_app.conf.broker_url.startswith("memory:"):
        return False
    try:
        return bool(current_app.control.ping(timeout=PING_SECONDS, limit=1))
    except (OperationalError, OSError):
        return False
