"""The sweeper: finds requests whose wake-up was lost or whose worker has stopped, and sends wake-ups for them."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from flask import Flask

from assembler_runner.core.database import db
from assembler_runner.core.loops import Loop
from assembler_runner.publishing import claims, tasks
from assembler_runner.publishing.tasks import wakeups
from assembler_runner.services import current_services

log = logging.getLogger(__name__)

MISSED_WAKEUPS = 3
"""Number of resend periods without a message after which a process runs due requests without the broker."""


class Sweeper(Loop):
    """Finds requests without a wake-up or with an expired lease, and sends wake-ups for them.

    If wake-ups are sent but none arrives in this process, the broker is unreachable or does not deliver. Then the
    process runs the due requests without the broker, one after the other.

    Args:
        app: the application.
        resend_seconds: seconds until an unanswered wake-up is sent again.
        alive_file: touched each time the database has responded; None for no file.
        chores: further work of each round, run in the application's context.
        hourly: work run at the start and then once an hour, in the application's context.
    """

    def __init__(
        self,
        app: Flask,
        resend_seconds: float,
        alive_file: Path | None = None,
        chores: Sequence[Callable[[], None]] = (),
        hourly: Sequence[Callable[[], None]] = (),
    ) -> None:
        super().__init__("sweeper", resend_seconds / 4)
        self._alive_file = alive_file
        self._chores, self._hourly = chores, hourly
        self._app = app
        self._resend_seconds = resend_seconds
        self._helper: threading.Thread | None = None
        self._next_hour = time.monotonic()

    def work(self) -> None:
        """Runs one round."""
        with self._app.app_context():
            due = claims.take_due(self._resend_seconds)
            for chore in self._chores:
                chore()
            db.session.remove()
        if self._alive_file:
            self._alive_file.touch()
        for request_id in due:
            wakeups.send(request_id)
        self._do_hourly()
        if due and tasks.last_message.age > MISSED_WAKEUPS * self._resend_seconds:
            self._help(due)

    def _do_hourly(self) -> None:
        if time.monotonic() < self._next_hour:
            return
        self._next_hour = time.monotonic() + 3600
        with self._app.app_context():
            for chore in self._hourly:
                chore()

    def _help(self, due: list[str]) -> None:
        if self._helper is None or not self._helper.is_alive():
            log.warning(
                "no message for %.0f s; running %d due requests without the broker", tasks.last_message.age, len(due)
            )
            self._helper = threading.Thread(target=self._do, args=[due], name="helper", daemon=True)
            self._helper.start()

    def _do(self, due: list[str]) -> None:
        from assembler_runner.publishing import pipeline

        for request_id in due:
            if self.stopped.is_set():
                return
            try:
                with self._app.app_context():
                    pipeline.run_next(current_services(), request_id)
            except Exception as problem:  # noqa: BLE001 - the next round retries it
                log.warning("request %s could not be run: %s", request_id, type(problem).__name__)
