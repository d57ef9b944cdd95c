"""`python -m tests.support.fuzz --minutes N [--seed S]`, or `invoke fuzz`.

Starts a service and a Hub of its own, and sends to the service, in rounds: calls made from its OpenAPI document, odd
calls, mutated archives and front matter, and Spaces for a Hub whose answers are hostile. It ends with 1 after a status
of 500 or more (502 and 503 are right for calls that need the Hub), a response that the document does not describe,
growth by more than 300 MB, an answer after more than 20 s, or the end of the service; what was sent and the seed are
printed.
"""

from __future__ import annotations

import argparse
import random
import re
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import httpx

from assembler_runner.devhub import StandInHub
from tests.support.fuzz import document
from tests.support.fuzz.hostile_hub import OF_THE_HUB, HostileHub
from tests.support.fuzz.odd_calls import Fuzzer
from tests.support.services import PASSWORD, Client, Process

READY = r"Assembler is ready at (http://\S+)"
MAX_GROWTH_MB = 300
ROUND_SECONDS = 120.0


def memory(pid: int) -> float:
    """Returns the memory of a process in MB."""
    found = re.search(r"VmRSS:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    return int(found[1]) / 1000 if found else 0.0


def main() -> int:
    """Fuzzes for some minutes; returns the exit code."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--minutes", type=float, default=5.0)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(2**32))
    wanted = parser.parse_args()
    print(f"seed {wanted.seed}", flush=True)
    seconds = 60 * wanted.minutes
    with (
        tempfile.TemporaryDirectory() as folder,
        StandInHub() as hub,
        Process(
            *("-m", "assembler_runner", "serve", "--port", "0", "--instance", f"{folder}/instance"),
            ADMIN_PASSWORD=PASSWORD,
            HF_ENDPOINT=hub.url,
            HF_TOKEN="hf_alice",
            ACCESS_TOKEN_SECONDS=str(int(seconds) + 3600),
            # Shorter than the longest time that an answer may take.
            CREATE_SPACE_WAIT="5",
        ) as process,
    ):
        url = process.wait_for_line(READY)[1]
        with Client(url) as client:
            token = client.token
        run = Run(process, hub, url, token, wanted.seed, Path(folder))
        try:
            return run.run(seconds)
        except Failed as problem:
            print(f"{problem}\n{process.log[-3000:]}")
            return 1


class Failed(Exception):
    """The service did what it must not do."""


class Run:
    """One run: its service, its fuzzers, and what they counted."""

    def __init__(self, process: Process, hub: StandInHub, url: str, token: str, seed: int, folder: Path) -> None:
        headers = {"Authorization": f"Bearer {token}"}
        self.process, self.url, self.token, self.seed, self.folder = process, url, token, seed, folder
        self.fuzzers = [Fuzzer(url, headers, seed)] * 4 + [HostileHub(hub, url, headers, seed)]
        self.random = random.Random(seed)
        self.statuses: Counter[int] = Counter()

    def run(self, seconds: float) -> int:
        """Runs rounds until the time is over."""
        for _ in range(50):
            self._send()
        before, end = memory(self.process.pid), time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            self._round(min(left, ROUND_SECONDS))
            growth = memory(self.process.pid) - before
            if growth > MAX_GROWTH_MB:
                raise Failed(f"{growth:.0f} MB more")
            print(
                f"{sum(self.statuses.values())} calls, {dict(sorted(self.statuses.items()))}, {growth:+.0f} MB",
                flush=True,
            )
        return 0

    def _round(self, seconds: float) -> None:
        self.seed += 1
        calls = document.start(self.url, self.token, seconds, self.seed, self.folder)
        try:
            end = time.monotonic() + seconds
            while time.monotonic() < end:
                self._send()
            output, _ = calls.communicate(timeout=120)
        finally:
            calls.kill()
        if calls.returncode:
            raise Failed(f"schemathesis, seed {self.seed}:\n{output}")

    def _send(self) -> None:
        fuzzer = self.random.choice(self.fuzzers)
        try:
            status = fuzzer.once()
        except httpx.TransportError as problem:
            raise Failed(f"no answer ({type(problem).__name__}) to: {fuzzer.last}") from problem
        self.statuses[status] += 1
        if status >= 500 and not (status in OF_THE_HUB and isinstance(fuzzer, HostileHub)):
            raise Failed(f"status {status}, after: {fuzzer.last}")


sys.exit(main())
