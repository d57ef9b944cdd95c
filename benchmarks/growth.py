"""What happens to calls and pages as the tables grow."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from assembler_runner.core.database import db
from assembler_runner.ops import retention
from assembler_runner.publishing import claims
from assembler_runner.publishing.queue import next_requests
from assembler_runner.services import EXTENSION
from benchmarks import stage
from benchmarks.grown import PAGE, Grown, identify
from benchmarks.measuring import Goal, Result, in_turn

WHAT = (
    "Milliseconds of processor time of one call, in the application and its database, by number of requests: each "
    "with its Space, app, findings, file, event, webhook delivery, audit entry, login, session of a browser, saved "
    "view and git credential; one in twenty has failed. Tables are filled by bulk SQL; calls run the complete "
    "application, without a network, on databases of all sizes in turn. The lowest of all runs counts; `÷` compares "
    "with the smallest database. The second table: 1,000 requests and, by their number, requests in the queue."
)
MOST = 2.0
WHY = {
    ("", "retention"): "once an hour; it reads up to 20 000 contents and all deleted Spaces, without a lock",
    ("", "page: accounts"): "reads the names of all realms, which grew from 1 to 1,000, and sorts 100,000 people",
}

Call = Callable[[], Any]


def run(quick: bool) -> Result:
    """Runs the benchmark."""
    databases, sizes, queues, rounds = ["sqlite"], [20, 40], [2, 4], 1
    if not quick:
        databases, rounds = ["sqlite", "postgresql"], 9
        sizes, queues = [1000, 100_000, 1_000_000], [100, 10_000, 100_000]
    result = Result("growth", WHAT)
    for database in databases:
        result.rows += _rows(database, "requests", sizes, rounds, calls, lambda grown, size: grown.grow_to(size))
        result.more += _rows(database, "queued", queues, rounds, queue_calls, _fill_queue)
    for rows, of in ((result.rows, "requests"), (result.more, "queued")):
        result.goals += [
            Goal(
                f"growth, {row['database']}, {row['call']}: {row[of]:,} {of}, ÷",
                row["÷"],
                MOST,
                at_least=False,
                why=WHY.get((row["database"], row["call"]), WHY.get(("", row["call"]), "")),
            )
            for row in rows
            if row[of] == max(row[of] for row in rows)
        ]
    return result


def _fill_queue(grown: Grown, size: int) -> None:
    grown.grow_to(1000 + size)
    grown.queue_up(size)


def _rows(
    database: str,
    what: str,
    sizes: Sequence[int],
    rounds: int,
    calls_of: Callable[[Grown], dict[str, Call]],
    fill: Callable[[Grown, int], None],
) -> list[dict[str, Any]]:
    """Measures the calls on a database of each size, in turn."""
    with ExitStack() as stack:
        sides: dict[int, Grown] = {}
        for size in sizes:
            sides[size] = Grown(stack.enter_context(stage.database(database)))
            stack.callback(sides[size].close)
            fill(sides[size], size)
        of_size = {size: calls_of(grown) for size, grown in sides.items()}
        clocks = {size: _Clock(grown) for size, grown in sides.items()}
        rows = []
        for name in of_size[sizes[0]]:
            found = in_turn({str(size): _timed(clocks[size], of_size[size][name]) for size in sizes}, rounds, repeats=0)
            lowest = min(found[str(sizes[0])].values)
            for size in sizes:
                least = min(found[str(size)].values)
                rows.append({"database": database, "call": name, what: size, "ms": 1000 * least})
                rows[-1]["÷"] = round(least / lowest, 2)
        return rows


class _Clock:
    """Processor time of this process and of the connections to a database.

    Args:
        grown: the application.
    """

    def __init__(self, grown: Grown) -> None:
        self._grown = grown

    def now(self) -> float:
        """Returns seconds that only differences of mean something."""
        spent = time.process_time()
        return spent + sum(_nanoseconds(pid) for pid in self._backends()) / 1e9

    def _backends(self) -> list[int]:
        with self._grown.app.app_context():
            if db.engine.dialect.name != "postgresql":
                return []
            pids = sa.text("SELECT pid FROM pg_stat_activity WHERE datname = current_database()")
            with db.engine.connect() as connection:
                return list(connection.scalars(pids))


def _nanoseconds(pid: int) -> int:
    try:
        return int(Path(f"/proc/{pid}/schedstat").read_text().split()[0])
    except FileNotFoundError:
        return 0


def _timed(clock: _Clock, call: Call) -> Callable[[], float]:
    def once() -> float:
        begun = clock.now()
        end = call()
        # Some prepare something first, and return what measures the rest.
        if callable(end):
            begun = clock.now()
            end()
        return clock.now() - begun

    return once


def calls(grown: Grown) -> dict[str, Call]:
    """Returns the calls that are measured as the tables grow."""
    newest = _newest_event(grown)
    hook = grown.ids["hook"]
    realm = grown.ids["small"]

    def get(path: str, headers: Mapping[str, str] = grown.headers) -> Call:
        return lambda: _check(grown.client.get(path, headers=headers))

    def page(path: str) -> Call:
        return lambda: _check(grown.browser.get(path, headers=PAGE))

    return {
        "list requests": get("/requests?page[limit]=50"),
        "list Spaces": get("/spaces?page[limit]=50"),
        # One request in twenty has failed: the smallest table has fifty rows to show, so no table shows more.
        "list failed requests": get("/requests?filter[status]=failed&page[limit]=50"),
        "list Spaces in a state": get("/spaces?filter[state]=build_error&page[limit]=50"),
        "list by name": get("/spaces?filter[name]=bench-7"),
        "list Spaces of a small realm": get("/spaces?page[limit]=50", grown.member),
        "one Space": get(f"/spaces/{identify('s', 7)}"),
        "failures by cause": get("/requests/failures"),
        "events of one": get(f"/requests/{identify('r', 7)}/events"),
        "events, late cursor": get(f"/events?after={newest - 20}"),
        "events, Last-Event-ID": get("/events", {**grown.headers, "Last-Event-ID": str(newest - 20)}),
        "events of a small realm, late cursor": get(f"/events?after={newest - 20}", grown.member),
        "events of a small realm, all": get("/events", grown.member),
        "audit log": get("/auth/audit-log?page[limit]=50"),
        "audit log of a small realm": get("/auth/audit-log?page[limit]=50", grown.member),
        "list webhooks": get("/webhooks?page[limit]=50"),
        "deliveries of a webhook": get(f"/webhooks/{hook}/deliveries?page[limit]=50"),
        "git credentials of a realm": get(f"/auth/realms/{realm}/git-credentials"),
        "metrics": get("/metrics"),
        "page: Spaces": page("/ui/spaces"),
        "page: Spaces that fail": page("/ui/spaces?q=state:build_error"),
        "page: one Space": page(f"/ui/spaces/{identify('s', 7)}"),
        "page: queue": page("/ui/queue"),
        "page: audit": page("/ui/audit"),
        "page: webhooks": page("/ui/webhooks"),
        "page: account": page("/ui/account"),
        "page: agents": page("/ui/agents"),
        "page: accounts": page("/ui/accounts"),
        "sign in": lambda: grown.log_in("admin"),
        "submit": grown.submit,
        "submit with a key": lambda: grown.submit(**{"Idempotency-Key": stage.new_name()}),
        "submit with quotas": lambda: _with_quotas(grown),
        "claim": lambda: _claim(grown),
        "sweep": lambda: _within(grown, lambda: claims.take_due(600)),
        "retention": lambda: _within(grown, retention.clean_up),
    }


def queue_calls(grown: Grown) -> dict[str, Call]:
    """Returns the calls that are measured as the queue grows."""
    return {
        "submit": grown.submit,
        "claim": lambda: _claim(grown),
        "one request": lambda: _check(
            grown.client.get(f"/requests/{identify('r', grown.size - 1)}", headers=grown.headers)
        ),
        "list requests": lambda: _check(grown.client.get("/requests?page[limit]=50", headers=grown.headers)),
        "list Spaces": lambda: _check(grown.client.get("/spaces?page[limit]=50", headers=grown.headers)),
        "metrics": lambda: _check(grown.client.get("/metrics", headers=grown.headers)),
        "page: queue": lambda: _check(grown.browser.get("/ui/queue", headers=PAGE)),
        "sweep": lambda: _within(grown, lambda: claims.take_due(600)),
    }


def _check(answer: Any) -> None:
    assert answer.status_code == 200, answer.get_data(as_text=True)


def _within(grown: Grown, work: Call) -> None:
    with grown.app.app_context():
        work()


def _newest_event(grown: Grown) -> int:
    with grown.app.app_context():
        return int(db.session.scalar(sa.text("SELECT max(id) FROM events")) or 0)


def _with_quotas(grown: Grown) -> Call:
    """Sets quotas of the realm for one call."""
    names = ("max_spaces", "max_requests_per_hour", "max_bytes")

    def set_to(value: str) -> None:
        with grown.app.app_context(), db.engine.begin() as connection:
            changes = ", ".join(f"{name} = {value}" for name in names)
            connection.execute(sa.text(f"UPDATE realms SET {changes} WHERE name = 'master'"))

    set_to("2000000000")

    def submit() -> None:
        try:
            grown.submit()
        finally:
            set_to("NULL")

    return submit


def _claim(grown: Grown) -> Call:
    grown.submit()

    def claim() -> None:
        with grown.app.app_context():
            waiting = next_requests(db.session(), 1)
            assert claims.claim(grown.app.extensions[EXTENSION], waiting[0])

    return claim
