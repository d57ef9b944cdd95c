"""Cold start, memory and idle processor time of each kind of process."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

from benchmarks import stage
from benchmarks.measuring import Goal, Result, in_turn

WHAT = (
    "From the start of the process until it responds or takes messages: seconds, and seconds of processor time, which"
    " do not depend on other load. Memory is the proportional set size in MiB, at rest and after ten published "
    "Spaces. `idle %` is processor time at rest. The database already exists."
)

WHY_SECONDS = (
    "to import Flask, SQLAlchemy, marshmallow, Celery, the JWT library and their extensions takes half of it; the "
    "rest is mainly tables, schemas and dataclasses of the service; what only some requests use is imported with them"
)
WHY_MEMORY = (
    "the same imports alone use 61 MiB; four fifths is code of imported modules, and fewer memory arenas save 0.3"
)


def run(quick: bool) -> Result:
    """Runs the benchmark."""
    rounds, idle = (1, 0.2) if quick else (5, 10.0)
    result = Result("start", WHAT)
    with stage.folder() as instance, stage.hub() as hub:
        embedded = {"HF_ENDPOINT": hub.url, "HF_TOKEN": "hf_alice"}
        kinds: dict[str, Callable[[], AbstractContextManager[stage.Started]]] = {
            "embedded": lambda: stage.serve(instance, **embedded)
        }
        with stage.queue() as queue, stage.database("sqlite") as database:
            shared = {**embedded, **queue, "SQLALCHEMY_DATABASE_URI": database}
            kinds["API (gunicorn, one worker)"] = lambda: _api(shared)
            kinds["worker (Celery)"] = lambda: stage.worker(**shared)
            for name, start in kinds.items():
                result.rows.append(_row(name, start, rounds, idle))
    row = result.rows[0]
    ready, rest = round(row["processor s"], 2), round(row["MiB"], 1)
    result.goals = [
        Goal("embedded mode: processor seconds until it is ready", ready, 0.5, at_least=False, why=WHY_SECONDS),
        Goal("embedded mode: MiB at rest", rest, 90, at_least=False, why=WHY_MEMORY),
    ]
    return result


def _row(
    name: str, start: Callable[[], AbstractContextManager[stage.Started]], rounds: int, idle: float
) -> dict[str, Any]:
    used: list[float] = []
    memory: list[float] = []

    def once() -> float:
        with start() as process:
            used.append(sum(map(stage.processor_of, process.pids)))
            memory.append(sum(map(stage.memory_of, process.pids)))
        return process.start_seconds

    runs = in_turn({name: once}, rounds)[name]
    row: dict[str, Any] = {"process": name, "seconds": runs.median, "processor s": sorted(used)[len(used) // 2]}
    row["MiB"] = sorted(memory)[len(memory) // 2]
    with start() as process:
        before = sum(map(stage.processor_of, process.pids))
        threading.Event().wait(idle)
        row["idle %"] = (sum(map(stage.processor_of, process.pids)) - before) / idle * 100
        row["MiB after ten Spaces"] = _used(process) if name == "embedded" else None
    return row


@contextmanager
def _api(settings: dict[str, str]) -> Iterator[stage.Started]:
    with stage.gunicorn("assembler_runner.wsgi:app", **settings) as (process, _):
        yield process


def _used(process: stage.Started) -> float:
    client = stage.logged_in(stage.address(process))
    for _ in range(10):
        body = {"space_type": "static", "name": stage.new_name(), "files": stage.files(10)}
        answer = client.post("/create-space", json=body)
        assert answer.status_code == 200, answer.text
    client.close()
    return sum(map(stage.memory_of, process.pids))
