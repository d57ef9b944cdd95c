"""One run: set up, let everything go wrong, leave it alone, count."""

from __future__ import annotations

import json
import random
import threading
import time
from collections.abc import Mapping
from typing import Any

import httpx

from .counting import Counts, Problem, count
from .model import Result
from .monkey import Monkey
from .stage import BROKERS, DATABASES, Hub, Stage, login, set_up
from .traffic import Traffic
from .weather import Weather

__all__ = ["BROKERS", "DATABASES", "ENOUGH", "run_chaos"]

SECONDS_PER_KILL, SECONDS_MORE = 8.0, 60.0
QUIET_SECONDS = 120.0
SHOWN_PROBLEMS = 5
ENOUGH = threading.Event()
"""Is set to end all runs at once; they take their processes, databases and queues with them."""


def run_chaos(database: str, broker: str, kills: int, seed: int, *, pause: float = 1.2) -> Result:
    """Runs the service on a database and a broker, kills it `kills` times, and counts what came of the requests.

    Args:
        database: one of DATABASES.
        broker: one of BROKERS; `memory` is the embedded one.
        kills: how many processes to kill.
        seed: decides what is sent and what is done when; moments still differ from run to run.
        pause: mean seconds between two requests of one of the callers.
    """
    begun = time.monotonic()
    with set_up(database, broker, random.Random(f"{seed}/stage").randint(1, 2)) as stage:
        stage.start_all()
        token = login(stage.url)
        theirs = _make_theirs(stage.hub)
        deadline = time.monotonic() + SECONDS_MORE + SECONDS_PER_KILL * kills
        with Weather(stage.hub, seed) as weather, Traffic(stage.url, token, stage.hub, seed, pause) as traffic:
            monkey = Monkey(stage, traffic.ledger, seed, kills, deadline, ENOUGH)
            monkey.run()
        with Api(stage.url, token) as api:
            counts = _count_when_quiet(traffic, api, stage.hub, theirs)
            report = "\n\n".join(_describe(problem, api, stage) for problem in counts.problems[:SHOWN_PROBLEMS])
    return Result(
        database=database,
        broker=broker,
        seed=seed,
        kills=monkey.kills,
        stops=monkey.stops,
        flushes=monkey.flushes,
        extra_messages=monkey.extra_messages,
        hub_faults=weather.fired,
        counts=counts,
        answers=dict(traffic.ledger.answers),
        bad_answers=traffic.ledger.bad,
        report=f"seed {seed}, {database}, {broker}\n{report}" if report else "",
        seconds=time.monotonic() - begun,
    )


class Api(httpx.Client):
    """Reads what the service says of itself."""

    def __init__(self, url: str, token: str) -> None:
        super().__init__(base_url=url, headers={"Authorization": f"Bearer {token}"}, timeout=30)

    def all(self, path: str) -> list[dict[str, Any]]:
        """All rows of a list."""
        rows: list[dict[str, Any]] = []
        while True:
            params = {"page[limit]": 100, "page[offset]": len(rows), "sort": "created_at"}
            answer = self.get(path, params=params).raise_for_status().json()
            rows += answer["data"]
            if not answer["data"] or len(rows) >= answer["meta"]["total"]:
                return rows


def _make_theirs(hub: Hub) -> dict[str, str]:
    """Makes Spaces that the service has nothing to do with; returns their newest commits."""
    for number in range(3):
        body = {"name": f"theirs-{number}", "type": "space", "sdk": "static"}
        headers = {"Authorization": "Bearer hf_alice"}
        httpx.post(f"{hub.url}/api/repos/create", json=body, headers=headers, timeout=30).raise_for_status()
    return {name: str(repository["head"]) for name, repository in hub.spaces().items()}


def _count_when_quiet(traffic: Traffic, api: Api, hub: Hub, theirs: Mapping[str, str]) -> Counts:
    deadline = time.monotonic() + QUIET_SECONDS
    while True:
        counts = count(traffic.ledger.sent, api.all("/requests"), api.all("/spaces"), hub.spaces(), theirs)
        # What was half made is cleaned up after the end of its request.
        waiting = counts.of("stuck") or counts.of("orphaned")
        if not waiting or time.monotonic() > deadline or ENOUGH.wait(0.5):
            return counts


def _describe(problem: Problem, api: Api, stage: Stage) -> str:
    parts = [f"{problem.kind.upper()}: {problem.text}\nrequest {problem.request_id}, repository {problem.repository}"]
    words = [word for word in (problem.request_id, problem.repository) if word]
    if problem.request_id:
        parts.append(api.get(f"/requests/{problem.request_id}").text)
        parts += [json.dumps(event) for event in api.all(f"/requests/{problem.request_id}/events")]
    if problem.repository:
        parts.append(f"the Hub: {json.dumps(stage.hub.spaces().get(problem.repository))}")
        name = problem.repository.partition("/")[2]
        parts += [json.dumps(record) for record in stage.hub.ask("GET", "requests") if name in record["path"]]
    parts.append(stage.log_of(words))
    return "\n".join(parts)
