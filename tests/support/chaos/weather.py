"""What is wrong with the Hub: a new fault every second or so, and a latency that changes."""

from __future__ import annotations

import random
import threading
from typing import Any, Self

from .stage import HUB_TIMEOUT, Hub

CREATE = ("POST", "/api/repos/create$")
COMMIT = ("POST", "/commit/")
DELETE = ("DELETE", "/api/repos/delete$")
PREUPLOAD = ("POST", "/preupload/")
INFO = ("GET", "/api/spaces/[^/]+/[^/]+$")
HISTORY = ("GET", "/commits/")
LARGE = (None, "/_large/|/info/lfs/")
VARIABLES = (None, "/variables$")
CALLS = (VARIABLES, CREATE, COMMIT, COMMIT, DELETE, PREUPLOAD, INFO, HISTORY, LARGE)
STEPS = (CREATE, COMMIT, COMMIT, PREUPLOAD, INFO, ("POST", "/variables$"), DELETE)
"""Calls at which a kill is aimed."""

BUSY = "Cannot create repo: another conflicting operation is in progress"


class Weather:
    """Adds faults until it is left, then clears all of them."""

    def __init__(self, hub: Hub, seed: int) -> None:
        self.fired = 0
        self._hub = hub
        self._chance = random.Random(f"{seed}/weather")
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._rage)

    def __enter__(self) -> Self:
        self._hub.ask("POST", "settings", {"one_creation_at_a_time": True, "create_seconds": 0.03, "latency": 0.04})
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._stop.set()
        self._thread.join()
        self.fired = sum(fault["fired"] for fault in self._hub.ask("GET", "faults"))
        self._hub.ask("DELETE", "faults")

    def _rage(self) -> None:
        while not self._stop.wait(self._chance.uniform(0.3, 1.7)):
            self._hub.ask("POST", "latency", {"seconds": self._chance.uniform(0.02, 0.06)})
            self._hub.ask("POST", "faults", invent(self._chance))


def invent(chance: random.Random) -> dict[str, Any]:
    """One fault that hits one call."""
    method, path = chance.choice(CALLS)
    fault: dict[str, Any] = {"method": method, "path": path, "applied": chance.random() < 0.5}
    kind = chance.choice(["drop_before", "drop_after", "drop_after", "status", "status", "hang", "garbage", "truncate"])
    if kind == "garbage" and (method, path) == LARGE:
        # A store that says it has taken what it has not taken: nothing can be done about that.
        fault["applied"] = True
    if kind == "hang":
        fault["seconds"] = HUB_TIMEOUT + chance.uniform(-1.0, 1.5)
    if kind == "status":
        fault |= chance.choice(
            [
                {"status": chance.choice([500, 502, 503, 504])},
                {"status": 429, "headers": {"Retry-After": "1"}, "applied": False},
                {"status": 429, "applied": False},
                *([{"status": 409, "body": {"error": BUSY}, "applied": False}] if (method, path) == CREATE else []),
                *([{"status": 412, "applied": False}] if (method, path) == COMMIT else []),
            ]
        )
    return {**fault, "kind": kind}
