"""How fast requests are accepted."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from assembler_runner.core.places import PROJECT
from benchmarks import stage
from benchmarks.load import MARK, Load, send
from benchmarks.measuring import Goal, Plot, Result, in_turn, percentile

WHAT = (
    "`POST /spaces` with a JWT, 10 files and 100 kB of new content: requests per second, and response time in "
    "milliseconds, by number of callers. One gunicorn process with 32 threads and Redis as broker. `inline` is the "
    "same application, but sends the message to the broker inside the request and waits for the disk separately for "
    "each commit; `before` is the service at commit {before}, with seven statements more, and with tokens, rules, rows "
    "and digests handled one by one; `bare WSGI` parses the JSON and responds. `processor ms` is the processor time of "
    "the service for each request. The layers are requests to the same process with one caller: each line includes "
    "all of the lines above."
)
SERVICE = "assembler_runner.wsgi:app"
SIDES = {"service": SERVICE, "inline": "benchmarks.opponents:inline_app", "before": SERVICE}
BEFORE = "e7a8d2b"
BARE = "bare WSGI"
WHY = (
    "this machine takes {before} ms for the version before, which took 7.2 (SQLite) or 9 to 13 ms (PostgreSQL) on the "
    "machine of the goal; 15 statements through SQLAlchemy, the commit, the checks and JSON share what is left, and "
    "the profile has no single large part"
)
_MOST_PROCESSOR_MS = {"sqlite": 4.5, "postgresql": 6.0}
_LESS_PROCESSOR = {"sqlite": 1.6, "postgresql": 1.5}
"""The goals above in relation to what the version before took on the machine of the goals."""
_FASTER = {"sqlite": 1.5, "postgresql": 1.8}
"""Requests per second with eight callers, in relation to the version before."""


def run(quick: bool) -> Result:
    """Runs the benchmark."""
    databases, callers, rounds, seconds = ["sqlite"], [2], 1, 0.2
    if not quick:
        databases, callers, rounds, seconds = ["sqlite", "postgresql"], [1, 8, 32], 3, 1.0
    result = Result(
        "accept", WHAT.format(before=BEFORE), plot=Plot("callers", ["service /s", "inline /s", "bare WSGI /s"], "/s")
    )
    layers: list[dict[str, Any]] = []
    for database in databases:
        with ExitStack() as stack:
            before = PROJECT if quick else stack.enter_context(stage.version(BEFORE))
            sides = {
                name: _Side(stack, module, database, before if name == "before" else PROJECT)
                for name, module in SIDES.items()
            }
            bare = stack.enter_context(stage.served("benchmarks.opponents:bare"))
            for count in callers:
                result.rows.append(_row(sides, bare, database, count, rounds, seconds))
            layers.append(_layers(sides["service"], bare, database, rounds, seconds))
    result.more = layers
    if not quick:
        result.goals = _goals(result.rows)
    return result


class _Side:
    """A service under load."""

    def __init__(self, stack: ExitStack, module: str, database: str, project: Path) -> None:
        uri = stack.enter_context(stage.database(database, project))
        settings = {"SQLALCHEMY_DATABASE_URI": uri, "MAX_QUEUE": "1000000000", "MAX_QUEUE_WAIT": "1000000000"}
        settings |= stack.enter_context(stage.queue())
        self.process, self.url = stack.enter_context(stage.gunicorn(module, project=project, **settings))
        self.engine = sa.create_engine(uri, poolclass=sa.NullPool)
        client = stage.logged_in(self.url)
        self.headers = {"Authorization": client.headers["Authorization"]}
        client.close()
        self.processor_ms: list[float] = []
        """Milliseconds of processor time of the process for each request, one for each run."""

    def _processor_seconds(self) -> float:
        return sum(map(stage.processor_of, self.process.pids))

    def load(self, path: str, callers: int, seconds: float, status: int = 202) -> Load:
        """Sends requests to it; then what waits is taken out of the queue, so that no run inherits another's."""
        before = self._processor_seconds()
        load = send(self.url + path, _body(), self.headers, callers, seconds, status)
        self.processor_ms.append(1000 * (self._processor_seconds() - before) / len(load.latencies))
        with self.engine.begin() as connection:
            connection.execute(sa.text("UPDATE space_requests SET status = 'cancelled' WHERE status = 'queued'"))
        return load


def _body() -> bytes:
    files = {f"page-{number}.html": f"<p>{MARK.decode()}-{number}</p>\n".ljust(10_000, "x") for number in range(9)}
    files["index.html"] = f"<h1>{MARK.decode()}</h1>\n".ljust(10_000, "x")
    return json.dumps({"space_type": "static", "target": "local", "files": files}).encode()


def _row(
    sides: dict[str, _Side], bare: str, database: str, callers: int, rounds: int, seconds: float
) -> dict[str, Any]:
    latencies: dict[str, list[float]] = {name: [] for name in (*sides, BARE)}

    def measured(name: str, load: Callable[[], Load]) -> Callable[[], float]:
        def once() -> float:
            found = load()
            latencies[name] += found.latencies
            return found.rate

        return once

    runs = {
        name: measured(name, lambda side=side: side.load("/spaces", callers, seconds)) for name, side in sides.items()
    }  # type: ignore[misc]  # mypy cannot infer the lambda
    runs[BARE] = measured(BARE, lambda: send(bare + "/", _body(), {}, callers, seconds, 202))
    for side in sides.values():
        side.processor_ms.clear()
    found = in_turn(runs, rounds)
    row: dict[str, Any] = {"database": database, "callers": callers}
    row |= {f"{name} /s": round(found[name].median, 1) for name in runs}
    for name in ("inline", "before"):
        row[f"÷ {name}"] = round(found["service"].median / found[name].median, 2)
    for name in ("service", "inline"):
        row[f"{name} p50 ms"] = round(percentile(latencies[name], 0.5) * 1000, 1)
        row[f"{name} p99 ms"] = round(percentile(latencies[name], 0.99) * 1000, 1)
    row["processor ms"] = round(percentile(sides["service"].processor_ms, 0.5), 2)
    row["before, processor ms"] = round(percentile(sides["before"].processor_ms, 0.5), 2)
    return row


def _layers(side: _Side, bare: str, database: str, rounds: int, seconds: float) -> dict[str, Any]:
    """Milliseconds of one caller at four depths."""

    def preview() -> float:
        return 1000 / side.load("/spaces/preview", 1, seconds, 200).rate

    found = in_turn(
        {
            "server and JSON": lambda: 1000 / send(bare + "/", _body(), {}, 1, seconds, 202).rate,
            "+ Flask, JWT, checks, assembling": preview,
            "+ database": lambda: 1000 / side.load("/spaces", 1, seconds).rate,
        },
        rounds,
    )
    return {"database": database} | {f"{name} ms": round(runs.median, 2) for name, runs in found.items()}


def _goals(rows: list[dict[str, Any]]) -> list[Goal]:
    goals = []
    for row in rows:
        about = f"{row['database']}, {row['callers']} callers"
        if row["callers"] == 1:
            most = _MOST_PROCESSOR_MS[row["database"]]
            goals.append(
                Goal(
                    f"accept, {about}: ms of processor time for each request",
                    row["processor ms"],
                    most,
                    at_least=False,
                    why=WHY.format(before=row["before, processor ms"]),
                )
            )
            less = round(row["before, processor ms"] / row["processor ms"], 2)
            text = f"accept, {about}: times less processor time than before"
            goals.append(Goal(text, less, _LESS_PROCESSOR[row["database"]]))
        if row["callers"] == 8:
            goals.append(
                Goal(f"accept, {about}: times the requests of before", row["÷ before"], _FASTER[row["database"]])
            )
        ratio = round(row["service p99 ms"] / row["service p50 ms"], 2)
        goals.append(Goal(f"accept, {about}: p99 ÷ p50", ratio, 4, at_least=False))
    return goals
