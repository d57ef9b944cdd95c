"""Background threads that repeat a task until they are stopped."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

log = logging.getLogger(__name__)


class Loop(threading.Thread):
    """A daemon thread that repeats a task.

    A round that raises, for example while the database is unreachable, is logged and retried after the pause.

    Args:
        name: name of the thread, for the log.
        pause: seconds between two rounds, unless a round returns another number.
        work: one round; returns the seconds until the next one, or None for the pause. Subclasses override :meth:`work`
            instead.
    """

    def __init__(self, name: str, pause: float, work: Callable[[], float | None] | None = None) -> None:
        super().__init__(name=name, daemon=True)
        self.pause = pause
        self.stopped = threading.Event()
        self._work = work

    def work(self) -> float | None:
        """Runs one round; see the class."""
        assert self._work is not None
        return self._work()

    def rest(self, seconds: float) -> None:
        """Waits between two rounds; returns early when the thread is stopped."""
        self.stopped.wait(seconds)

    def run(self) -> None:
        """Repeats the work until the thread is stopped."""
        while not self.stopped.is_set():
            try:
                seconds = self.work()
            except Exception as problem:  # noqa: BLE001 - an unreachable database or broker must not end the thread
                log.warning("%s: a round failed: %s", self.name, type(problem).__name__)
                seconds = None
            self.rest(self.pause if seconds is None else seconds)

    def stop(self) -> None:
        """Ends the thread after the current round; returns at once."""
        self.stopped.set()


class OnDemand:
    """Starts a loop on first use, and again after a fork: threads do not survive a fork.

    Args:
        make: creates the loop.
    """

    def __init__(self, make: Callable[[], Loop]) -> None:
        self._make = make
        self._lock = threading.Lock()
        self._loop: Loop | None = None

    def ensure(self) -> None:
        """Starts the loop unless it is running."""
        with self._lock:
            if self._loop is None or not self._loop.is_alive():
                self._loop = self._make()
                self._loop.start()

    def stop(self) -> None:
        """Stops the loop if it was started."""
        with self._lock:
            if self._loop is not None:
                self._loop.stop()
