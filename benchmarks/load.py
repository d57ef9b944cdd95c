"""Callers that send as fast as they are answered."""

from __future__ import annotations

import http.client
import threading
import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import urlsplit

MARK = b"0123456789abcdef"
"""The place in a body where each request has something of its own."""


@dataclass
class Load:
    """What callers measured.

    Args:
        seconds: how long they sent.
        latencies: seconds each answer took.
        refused: answers with 503.
    """

    seconds: float = 0.0
    latencies: list[float] = field(default_factory=list)
    refused: int = 0

    @property
    def rate(self) -> float:
        """Answers per second."""
        return len(self.latencies) / self.seconds


def send(url: str, body: bytes, headers: Mapping[str, str], callers: int, seconds: float, status: int) -> Load:
    """Lets callers send one POST after the other, each over a connection of its own.

    Args:
        url: where to.
        body: what; :data:`MARK` in it is replaced in each request.
        headers: more headers.
        callers: how many at the same time.
        seconds: for how long.
        status: the status of every answer.
    """
    load = Load()
    problems: list[str] = []
    start = threading.Barrier(callers + 1)

    def call() -> None:
        parts = urlsplit(url)
        connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=60)
        connection.connect()
        start.wait()
        while time.perf_counter() < until[0] and not problems:
            sent = body.replace(MARK, uuid.uuid4().hex[:16].encode())
            begun = time.perf_counter()
            connection.request("POST", parts.path, sent, {"Content-Type": "application/json", **headers})
            answer = connection.getresponse()
            text = answer.read()
            if answer.status == 503:
                # The service says that it cannot keep up on this machine; that is no answer to count.
                load.refused += 1
                continue
            load.latencies.append(time.perf_counter() - begun)
            if answer.status != status:
                problems.append(f"{answer.status} {text[:300]!r}")
        connection.close()

    threads = [threading.Thread(target=call, daemon=True) for _ in range(callers)]
    until = [0.0]
    for thread in threads:
        thread.start()
    begun = time.perf_counter()
    until[0] = begun + seconds
    start.wait()
    for thread in threads:
        thread.join()
    load.seconds = time.perf_counter() - begun
    assert not problems, problems[0]
    return load
