"""How much an installation carries: a simulation, driven by measured service times.

Every stage is a queue with some servers, each of which takes a time that was measured: an API process, a worker's
threads, the processor of a worker, the database, and for each Hub account the creations, which take turns. Requests
arrive at random moments. The simulation tells how long requests take and which stage is busiest.
"""

from __future__ import annotations

import heapq
import itertools
import json
import random
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

from benchmarks.measuring import RESULTS, Goal, Result, percentile

WHAT = (
    "The requests of one day at random times, through API processes, a database, worker processes and Hub accounts. "
    "`busiest` is the stage with the highest utilization, `used` its utilization; the seconds are from POST to "
    "commit."
)
DAY = 86_400.0
HUB_CALL = 0.3
"""Seconds a call of the Hub is taken to last; measured times of the real Hub lie between 0.1 and 1."""
CREATION_CALLS, OTHER_CALLS = 1, 2
RATE_LIMIT = 2500 / 300
"""Requests a second of a PRO account (huggingface.co/docs/hub/rate-limits)."""
CALLS = 4


@dataclass(frozen=True)
class Times:
    """Measured service times in seconds.

    Args:
        accept: processor time of an API process for one request.
        work: processor time of a worker process for one request.
        database: time of the database for one request, from accept to end.
    """

    accept: float = 0.020
    work: float = 0.040
    database: float = 0.010


@dataclass(frozen=True)
class Installation:
    """What is installed.

    Args:
        name: its name.
        per_day: requests a day.
        api: API processes.
        workers: worker processes.
        threads: requests that one of them publishes at the same time.
        accounts: Hub accounts.
        creates: part of the requests that make a Space; the others change one.
    """

    name: str
    per_day: int
    api: int = 1
    workers: int = 1
    threads: int = 32
    accounts: int = 1
    creates: float = 1.0


@dataclass
class _Stage:
    """Servers that take what comes in order."""

    free_at: list[float]
    busy: float = 0.0

    @classmethod
    def of(cls, servers: int) -> _Stage:
        return cls([0.0] * servers)

    def serve(self, now: float, seconds: float) -> float:
        """Returns when what comes now is done."""
        begun = max(now, heapq.heappop(self.free_at))
        heapq.heappush(self.free_at, begun + seconds)
        self.busy += seconds
        return begun + seconds

    def used(self, seconds: float) -> float:
        """How much of its time it was busy."""
        return self.busy / (seconds * len(self.free_at))


@dataclass
class Outcome:
    """What a simulation found.

    Args:
        seconds: from arrival to commit, one number a request.
        used: stage → how much of its time it was busy.
        left: requests that were not done when the last one had come.
    """

    seconds: list[float] = field(default_factory=list)
    used: dict[str, float] = field(default_factory=dict)
    left: int = 0


def simulate(installation: Installation, times: Times, hours: float = 2.0, seed: int = 1) -> Outcome:
    """Lets requests arrive for some hours.

    Args:
        installation: what is installed.
        times: how long each stage takes.
        hours: for how long.
        seed: decides the moments.
    """
    dice = random.Random(seed)
    end = hours * 3600
    stages = {
        "API": _Stage.of(installation.api),
        "database": _Stage.of(1),
        "worker threads": _Stage.of(installation.workers * installation.threads),
        "worker processor": _Stage.of(installation.workers),
    }
    creating = [_Stage.of(1) for _ in range(installation.accounts)]
    limits = [_Stage.of(1) for _ in range(installation.accounts)]
    outcome = Outcome()
    # Events in the order of their time: each request goes on where its last stage ended.
    number = itertools.count()
    events: list[tuple[float, int, Iterator[float]]] = []

    def way(arrived: float) -> Iterator[float]:
        account = dice.randrange(installation.accounts)
        now = yield_at = stages["API"].serve(arrived, dice.expovariate(1 / times.accept))
        yield yield_at
        now = stages["database"].serve(now, times.database)
        yield now
        # A thread is held until the end; its time is known only there, so the wait for one is taken first.
        threads = stages["worker threads"]
        begun = max(now, heapq.heappop(threads.free_at))
        now = stages["worker processor"].serve(begun, times.work)
        now = limits[account].serve(now, CALLS / RATE_LIMIT)
        if dice.random() < installation.creates:
            now = creating[account].serve(now, HUB_CALL * dice.uniform(0.7, 1.3))
        now += OTHER_CALLS * HUB_CALL * dice.uniform(0.7, 1.3)
        heapq.heappush(threads.free_at, now)
        threads.busy += now - begun
        yield now
        outcome.seconds.append(now - arrived)
        outcome.left += now > end

    moment = 0.0
    while (moment := moment + dice.expovariate(installation.per_day / DAY)) < end:
        heapq.heappush(events, (moment, next(number), way(moment)))
    while events:
        _, order, request = heapq.heappop(events)
        for at in request:
            heapq.heappush(events, (at, order, request))
            break
    outcome.used = {name: stage.used(end) for name, stage in stages.items()}
    outcome.used["creations of an account"] = max(stage.used(end) for stage in creating)
    outcome.used["rate limit of an account"] = max(stage.used(end) for stage in limits)
    return outcome


INSTALLATIONS = (
    Installation("one machine, one account", 10_000),
    Installation("the same, busier", 100_000),
    Installation("the same, too much", 250_000),
    Installation("2 API, 2 workers, 4 accounts", 400_000, api=2, workers=2, accounts=4),
    Installation("4 API, 4 workers, 8 accounts", 1_000_000, api=4, workers=4, accounts=8),
)


def measured() -> Times:
    """Returns the times of the newest results; what was not measured keeps its default."""
    times = Times()
    accept, start = RESULTS / "accept.json", RESULTS / "drain.json"
    if accept.exists():
        rows = json.loads(accept.read_text())["rows"]
        times = replace(times, accept=1 / max(row["service /s"] for row in rows if row["callers"] > 1))
    if start.exists():
        rows = json.loads(start.read_text())["rows"]
        times = replace(times, work=1 / max(row["service /s"] / row["processes"] for row in rows))
    return times


def run(quick: bool) -> Result:
    """Runs the simulations."""
    times = measured()
    result = Result("capacity", WHAT)
    for installation in INSTALLATIONS[:2] if quick else INSTALLATIONS:
        outcome = simulate(installation, times, hours=0.05 if quick else 2.0)
        result.rows.append(_row(installation, outcome))
    if not quick:
        used = result.rows[-1]["used"]
        result.goals = [Goal("a million requests a day: the busiest stage is used", used, 0.9, at_least=False)]
    return result


def _row(installation: Installation, outcome: Outcome) -> dict[str, Any]:
    busiest = max(outcome.used, key=lambda name: outcome.used[name])
    return {
        "installation": installation.name,
        "requests a day": installation.per_day,
        "p50 s": round(percentile(outcome.seconds, 0.5), 2),
        "p95 s": round(percentile(outcome.seconds, 0.95), 2),
        "left at the end": outcome.left,
        "busiest": busiest,
        "used": round(outcome.used[busiest], 3),
    }
