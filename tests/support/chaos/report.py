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

What [durability.md](durability.md) promises is tried out on the real service: `invoke chaos` starts it on each database
and broker, with a stand-in for the Hub as a process of its own. A short run is part of the tests.

While callers send requests of all types, some twice with an `Idempotency-Key`, cancel some and retry some, update
Spaces, roll them back and delete them, and somebody else commits to a few,

- **processes are killed** with `kill -9` at random moments, while a call is on its way to the Hub, and while they
  start: workers, API, a process of the API, everything at once. Each killed process counts once.
- **processes are stopped** past their lease and woken again.
- **the queue is deleted**, with the messages in it, and messages are **sent again** at random.
- **the Hub fails**: connections closed before and after the work was done, 5xx, 409, 412, 429 with and without
  `Retry-After`, silence, garbage, half answers, and plain refusals.

Then everything runs undisturbed until it is quiet, for two minutes at most, and is counted from outside: what the
callers were told, what the API shows, and what the Hub holds.

| Word | Means |
|---|---|
| lost | accepted, but there is no row; a succeeded request has no commit at the Hub; somebody else's Space is gone |
| doubled | two requests, two Spaces or two commits for one accepted request |
| stuck | still queued or running at the end |
| orphaned | a Space at the Hub of a request that failed or was cancelled, of one that was deleted, or of nobody |
| wrong | files, secrets, variables or visibility are not as sent; changes out of order; a foreign commit overwritten |
| untrue | an end that does not tell what happened, such as failed where the commit is there |

A request whose caller got no answer counts if there is a row. With the embedded broker no messages can be deleted or
sent again from outside.
"""
