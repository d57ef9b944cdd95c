"""Celery tasks and the sending of wake-ups. A task takes an id and calls one function of the pipeline."""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from celery import shared_task
from flask import Flask

from assembler_runner.core import tracing
from assembler_runner.core.database import db
from assembler_runner.core.request_ids import HEADER, call_id, working_on
from assembler_runner.publishing import pipeline
from assembler_runner.services import current_services

log = logging.getLogger(__name__)

DEAF_AFTER = 3
"""Periods of sending wake-ups again after which a process that hears none helps itself."""


class _Ear:
    """When the last message came to this process."""

    def __init__(self) -> None:
        self._last = time.monotonic()

    def hear(self) -> None:
        """A message has come."""
        self._last = time.monotonic()

    @property
    def silent_for(self) -> float:
        """Seconds since then, or since the start."""
        return time.monotonic() - self._last


_ear = _Ear()


@shared_task(name="assembler.run_request", bind=True)
def run_request(self: Any, request_id: str) -> None:
    """Does the work whose turn it is; a message that comes twice does nothing twice."""
    _ear.hear()
    # Where Celery runs a task without a message, it leaves the headers where they are.
    sent = {**(self.request.headers or {}), **vars(self.request)}
    with working_on(request_id, sent.get(HEADER)), tracing.span("run_request", "consumer", sent):
        following = pipeline.run_next(current_services(), request_id)
    if following:
        wakeups.send(following)


class Wakeups:
    """Sends ids to the workers from a thread of its own: a broker that hangs never holds up a caller.

    What is not sent is found by the sweeper of any worker.
    """

    def __init__(self) -> None:
        self._waiting: queue.SimpleQueue[tuple[str, dict[str, str]]] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None

    def send(self, request_id: str) -> None:
        """Sends one id soon; returns at once. Call it after the commit."""
        call = call_id.get()
        self._waiting.put((request_id, tracing.headers() | ({HEADER: call} if call else {})))
        with self._lock:
            # Started late and again after a fork: a thread does not survive one.
            if self._thread is None or not self._thread.is_alive():
                self._thread = threading.Thread(target=self._send_for_ever, name="wakeups", daemon=True)
                self._thread.start()

    def _send_for_ever(self) -> None:
        while True:
            request_id, headers = self._waiting.get()
            try:
                run_request.apply_async((request_id,), headers=headers)
            except Exception as problem:  # noqa: BLE001 - each broker raises its own; the sweeper repeats the wake-up
                log.warning("request %s could not be sent to the broker: %s", request_id, type(problem).__name__)


wakeups = Wakeups()


class Sweeper(threading.Thread):
    """Finds requests that nobody was told about, or whose worker has gone silent, and wakes a worker for them.

    Where wake-ups are sent and none arrives here, the broker is away, or does not deliver to this process any more.
    Then the work is done without it, one request after the other.

    Args:
        app: the application.
        resend_seconds: seconds after which a wake-up that led to nothing is due again.
        alive_file: touched each time the database has answered; None for no file.
        chores: what else is done each time, in the application's context.
        hourly: what is done at the start and then once an hour, in the application's context.
    """

    def __init__(
        self,
        app: Flask,
        resend_seconds: float,
        alive_file: Path | None = None,
        chores: Sequence[Callable[[], None]] = (),
        hourly: Sequence[Callable[[], None]] = (),
    ) -> None:
        super().__init__(name="sweeper", daemon=True)
        self._alive_file = alive_file
        self._chores, self._hourly = chores, hourly
        self._app = app
        self._resend_seconds = resend_seconds
        self._stopped = threading.Event()
        self._helper: threading.Thread | None = None
        self._next_hour = time.monotonic()

    def run(self) -> None:
        """Sweeps until it is stopped."""
        while not self._stopped.is_set():
            try:
                with self._app.app_context():
                    due = pipeline.take_due(self._resend_seconds)
                    for chore in self._chores:
                        chore()
                    db.session.remove()
                if self._alive_file:
                    self._alive_file.touch()
                for request_id in due:
                    wakeups.send(request_id)
                self._do_hourly()
                if due and _ear.silent_for > DEAF_AFTER * self._resend_seconds:
                    self._help(due)
            except Exception as problem:  # noqa: BLE001 - it finds what was left while the database was away
                log.warning("the sweeper could not look for due requests: %s", type(problem).__name__)
            self._stopped.wait(self._resend_seconds / 4)

    def stop(self) -> None:
        """Ends the thread soon."""
        self._stopped.set()

    def _do_hourly(self) -> None:
        if time.monotonic() < self._next_hour:
            return
        self._next_hour = time.monotonic() + 3600
        with self._app.app_context():
            for chore in self._hourly:
                chore()

    def _help(self, due: list[str]) -> None:
        if self._helper is None or not self._helper.is_alive():
            log.warning("no message has come for %.0f s; %d due requests are done without", _ear.silent_for, len(due))
            self._helper = threading.Thread(target=self._do, args=[due], name="helper", daemon=True)
            self._helper.start()

    def _do(self, due: list[str]) -> None:
        for request_id in due:
            if self._stopped.is_set():
                return
            try:
                with self._app.app_context():
                    pipeline.run_next(current_services(), request_id)
            except Exception as problem:  # noqa: BLE001 - the sweeper comes again
                log.warning("request %s could not be taken up: %s", request_id, type(problem).__name__)
