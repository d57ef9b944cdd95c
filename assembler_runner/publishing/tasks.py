"""The Celery task and the sending of wake-ups. The task takes an id and calls one function of the pipeline."""

from __future__ import annotations

import logging
import queue
import time
from typing import Any

from celery import shared_task

from assembler_runner.core import tracing
from assembler_runner.core.loops import Loop, OnDemand
from assembler_runner.core.request_ids import HEADER, call_id, working_on
from assembler_runner.services import current_services

log = logging.getLogger(__name__)


class LastMessage:
    """The time when the last message arrived in this process."""

    def __init__(self) -> None:
        self._at = time.monotonic()

    def arrived(self) -> None:
        """Records that a message has arrived."""
        self._at = time.monotonic()

    @property
    def age(self) -> float:
        """Seconds since the last message, or since the start if there was none."""
        return time.monotonic() - self._at


last_message = LastMessage()


@shared_task(name="assembler.run_request", bind=True)
def run_request(self: Any, request_id: str) -> None:
    """Processes the next request of the queue; a message that is delivered twice does no harm."""
    # Imported here: the API only sends messages, and the start of `assembler serve` needs no pipeline.
    from assembler_runner.publishing import pipeline

    last_message.arrived()
    # If Celery runs a task without a message, the headers are attributes of the task's request.
    sent = {**(self.request.headers or {}), **vars(self.request)}
    with working_on(request_id, sent.get(HEADER)), tracing.span("run_request", "consumer", sent):
        following = pipeline.run_next(current_services(), request_id)
    if following:
        wakeups.send(following)


class Wakeups:
    """Sends wake-ups to workers from a separate thread, so that a broker that hangs never blocks a caller.

    A wake-up that cannot be sent is repeated by the sweeper of any worker.
    """

    def __init__(self) -> None:
        self._waiting: queue.SimpleQueue[tuple[str, dict[str, str]]] = queue.SimpleQueue()
        self._sending = OnDemand(lambda: Loop("wakeups", 0.0, self._send_next))

    def send(self, request_id: str) -> None:
        """Queues one wake-up and returns at once. Call this after the commit."""
        call = call_id.get()
        self._waiting.put((request_id, tracing.headers() | ({HEADER: call} if call else {})))
        self._sending.ensure()

    def _send_next(self) -> None:
        request_id, headers = self._waiting.get()
        try:
            run_request.apply_async((request_id,), headers=headers)
        except Exception as problem:  # noqa: BLE001 - each broker raises its own; the sweeper repeats the wake-up
            log.warning("the wake-up for request %s could not be sent: %s", request_id, type(problem).__name__)


wakeups = Wakeups()
