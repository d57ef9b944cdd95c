"""What the service adds to a publish: from POST to commit, without the time in which the Hub was at work."""

from __future__ import annotations

import statistics
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime

import httpx

from benchmarks import stage
from benchmarks.measuring import Goal, Result, percentile
from tests.support.chaos.stage import Hub
from tests.support.services import wait_until

WHAT = (
    "Milliseconds from sending `POST /spaces` (10 files, empty queue) to the end of the request, minus the time in "
    "which at least one call was in progress inside the Hub (50 ms each, measured by the Hub). The rest is the "
    "service, its database, the broker, and HTTP on both sides."
)
LATENCY = 0.05
WHY = "60 statements in 8 transactions on a busy machine; the disk alone takes 30 ms of it"


def run(quick: bool) -> Result:
    """Runs the benchmark."""
    result = Result("overhead", WHAT)
    modes = {"embedded, SQLite": _embedded} | ({} if quick else {"PostgreSQL, Redis, one worker": _distributed})
    with stage.hub(LATENCY) as hub, ExitStack() as stack:
        clients = {name: stage.logged_in(stack.enter_context(start(hub))) for name, start in modes.items()}
        found: dict[str, list[float]] = {name: [] for name in clients}
        for number in range(1 if quick else 63):
            for name, client in clients.items():
                overhead = _once(hub, client)
                # The first ones load modules and fill pools.
                if quick or number >= 3:
                    found[name].append(overhead * 1000)
    for name, values in found.items():
        row = {"service": name, "runs": len(values), "p50 ms": statistics.median(values)}
        row |= {"p95 ms": percentile(values, 0.95), "max ms": max(values)}
        result.rows.append(row)
        result.goals.append(
            Goal(f"overhead p95 in ms, {name}", round(percentile(values, 0.95), 1), 100, at_least=False, why=WHY)
        )
    return result


def _once(hub: Hub, client: httpx.Client) -> float:
    hub.ask("DELETE", "requests")
    begun = datetime.now(UTC)
    body = {"space_type": "static", "name": stage.new_name(), "files": stage.files(10)}
    answer = client.post("/spaces", json=body)
    assert answer.status_code == 202, answer.text
    request = answer.json()["latest_request"]

    def done() -> bool:
        request.update(client.get(f"/requests/{request['id']}").json())
        return bool(request["finished_at"])

    wait_until(done, "it is published", every=0.1)
    assert request["status"] == "succeeded", request
    return (datetime.fromisoformat(request["finished_at"]) - begun).total_seconds() - _busy(hub)


def _busy(hub: Hub) -> float:
    """Returns the seconds in which at least one call was under way."""
    calls = sorted((call["time"], call["ended"]) for call in hub.ask("GET", "requests"))
    busy, until = 0.0, 0.0
    for begun, ended in calls:
        busy += max(0.0, ended - max(begun, until))
        until = max(until, ended)
    return busy


@contextmanager
def _embedded(hub: Hub) -> Iterator[str]:
    with stage.embedded(HF_ENDPOINT=hub.url, HF_TOKEN="hf_alice") as url:
        yield url


@contextmanager
def _distributed(hub: Hub) -> Iterator[str]:
    with stage.database("postgresql") as database, stage.queue() as queue:
        settings = {"SQLALCHEMY_DATABASE_URI": database, "HF_ENDPOINT": hub.url, "HF_TOKEN": "hf_alice", **queue}
        with stage.worker(**settings), stage.served("assembler_runner.wsgi:app", **settings) as url:
            yield url
