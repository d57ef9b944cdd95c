"""Spaces that are published to a Hub whose answers are hostile."""

from __future__ import annotations

import random
from typing import Any

import httpx

from assembler_runner.devhub import Fault, StandInHub
from tests.support.fuzz.odd_calls import MAX_SECONDS, ODD

DEEP = "[" * 50_000
HUGE = "x" * 20_000_000
KINDS = ("status", "status", "status", "garbage", "truncate", "drop_before", "drop_after")
HEADERS: tuple[dict[str, str], ...] = ({}, {"Location": "http://127.0.0.1:1/"}, {"Retry-After": "1"}, {"Link": "<x>"})
OF_THE_HUB = (502, 503)
"""Statuses that report what the Hub did."""
PATHS = ("", "/api/repos/create", "/commit/", "/preupload/", "/api/spaces/", "/runtime", "/whoami", "/secrets", "/logs")


class HostileHub:
    """Declares faults of a Hub at random, and makes the service use it."""

    def __init__(self, hub: StandInHub, url: str, headers: dict[str, str], seed: int) -> None:
        self.hub = hub
        self.random = random.Random(seed)
        self.http = httpx.Client(base_url=url, headers=headers, timeout=MAX_SECONDS)
        self.spaces: list[str] = []
        self.last = ""

    def once(self) -> int:
        """Declares a fault, makes one call that needs the Hub, and returns its status."""
        if self.random.random() < 0.7:
            self.hub.faults.clear()
            self.hub.faults.add(self._fault())
        if not self.spaces or self.random.random() < 0.3:
            return self._create()
        space = self.random.choice(self.spaces)
        path = self.random.choice((f"/spaces/{space}?refresh=true", f"/spaces/{space}/logs", f"/spaces/{space}"))
        self.last = f"GET {path}, faults: {self._faults()}"
        return self.http.get(path).status_code

    def _create(self) -> int:
        body = {
            "space_type": self.random.choice(("static", "gradio", "docker")),
            "files": {"index.html": "<h1>x</h1>", "app.py": "print(1)\n"},
            "target": "huggingface",
            "name": f"fuzz-{self.random.randrange(10**9)}",
        }
        self.last = f"POST /spaces {body}, faults: {self._faults()}"
        response = self.http.post("/spaces", json=body)
        if response.status_code == 202:
            self.spaces = [*self.spaces[-20:], response.json()["id"]]
        return response.status_code

    def _fault(self) -> Fault:
        kind: Any = self.random.choice(
            ("status", "status", "status", "garbage", "truncate", "drop_before", "drop_after")
        )
        return Fault(
            kind,
            path=self.random.choice(PATHS),
            times=self.random.choice((1, 2, 5)),
            status=self.random.choice((200, 200, 200, 301, 400, 401, 403, 404, 409, 418, 429, 500, 503)),
            body=self.random.choice((*ODD, DEEP, HUGE, {"error": HUGE[:100_000]}, {"runtime": {"stage": DEEP}})),
            headers=self.random.choice(
                ({}, {"Location": "http://127.0.0.1:1/"}, {"Retry-After": "1"}, {"Link": "<x>"})
            ),
        )

    def _faults(self) -> str:
        return "; ".join(f"{f.kind} {f.status} {f.path} {str(f.body)[:80]!r}" for f in self.hub.faults.all())
