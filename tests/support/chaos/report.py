"""The table of results, for people and for the documentation."""

from __future__ import annotations

import platform
from collections.abc import Sequence
from datetime import date
from importlib.metadata import version

from .counting import KINDS
from .model import Result

HEAD = (
    *("Database", "Broker", "Kills", "Stops", "Flushes", "Sent again", "Hub faults", "Requests", "Succeeded"),
    *("Failed", "Cancelled", "Lost", "Doubled", "Stuck", "Orphaned", "Wrong", "Untrue", "Seconds"),
)


def cells(result: Result) -> list[str | int]:
    """One line of the table."""
    ended = [result.counts.ended.get(status, 0) for status in ("succeeded", "failed", "cancelled")]
    done = [result.kills, result.stops, result.flushes, result.extra_messages, result.hub_faults]
    found = [result.counts.of(kind) for kind in KINDS]
    return [result.database, result.broker, *done, result.counts.accepted, *ended, *found, round(result.seconds)]


def table(results: Sequence[Result]) -> str:
    """The table as Markdown, with a line of sums."""
    lines = [cells(result) for result in results]
    sums = [sum(values) for values in zip(*(line[2:] for line in lines), strict=True)]  # type: ignore[arg-type]
    body = [*lines, ["**all**", "", *sums]]
    shown = [HEAD, ["---"] * 2 + ["--:"] * (len(HEAD) - 2), *body]
    return "".join(f"| {' | '.join(map(str, line))} |\n" for line in shown)


def page(results: Sequence[Result], seed: int, servers: Sequence[str]) -> str:
    """The page of the documentation."""
    packages = [f"{name} {version(name)}" for name in ("celery", "kombu", "SQLAlchemy", "Flask", "huggingface_hub")]
    software = ", ".join([f"Python {platform.python_version()}", *packages, *servers])
    return f"""{INTRODUCTION}
## Last run

{date.today().isoformat()}, seed {seed}, {software}.

{table(results)}"""


INTRODUCTION = """# Fault tests

The guarantees of [durability.md](durability.md) are tested with the real service: `invoke chaos` starts it on each
database and broker, with a stand-in Hub in a process of its own. A short run is part of the test suite.

While callers submit requests of all types, repeat some with an `Idempotency-Key`, cancel and retry some, update
Spaces, roll them back and delete them, and foreign commits are made to a few,

- **processes are killed** with `kill -9` at random times, during calls to the Hub, and while they start: workers,
  API, one process of the API, all at once. Each killed process counts once.
- **processes are suspended** past their lease and resumed.
- **the queue is deleted**, with its messages, and messages are **sent again** at random.
- **the Hub fails**: connections closed before and after the work was done, 5xx, 409, 412, 429 with and without
  `Retry-After`, timeouts, invalid and truncated responses, and plain rejections.

Then everything runs undisturbed until it is idle, for two minutes at most, and the results are counted from outside:
the responses to the callers, the API, and the contents of the Hub.

| Word | Means |
|---|---|
| lost | accepted without a row; succeeded without a commit on the Hub; a Space of another owner deleted |
| doubled | two requests, two Spaces or two commits for one accepted request |
| stuck | still queued or running at the end |
| orphaned | a Space on the Hub whose request failed or was cancelled, which was deleted, or which has no request |
| wrong | files, secrets, variables or visibility are not the input; changes out of order; a foreign commit lost |
| untrue | an inaccurate final status, such as failed although the commit exists |

A request whose caller received no response counts if its row exists. With the embedded broker, messages cannot be
deleted or sent again from outside.
"""
