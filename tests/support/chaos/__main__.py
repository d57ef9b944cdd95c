"""Run the fault tests: python -m tests.support.chaos --rounds 1 --kills 20."""

from __future__ import annotations

import argparse
import random
import signal
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import sqlalchemy as sa
from kombu import Connection

from tests.support.services import PROJECT, mariadb_database, postgres_database, rabbitmq_url, redis_url

from .model import Result
from .report import page, table
from .run import BROKERS, DATABASES, ENOUGH, run_chaos

PAGE = PROJECT / "docs" / "chaos.md"


def main() -> int:
    """Runs all combinations; returns 1 if anything was wrong."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=1, help="how often each combination is run")
    parser.add_argument("--kills", type=int, default=20, help="kills in one run")
    parser.add_argument("--databases", default=",".join(DATABASES))
    parser.add_argument("--brokers", default=",".join(BROKERS))
    parser.add_argument("--seed", type=int, default=None, help="a random one if left out")
    parser.add_argument("--parallel", type=int, default=1, help="combinations at the same time")
    parser.add_argument("--page", type=Path, default=None, help="Markdown file for the results")
    given = parser.parse_args()
    seed = random.SystemRandom().randrange(10**6) if given.seed is None else given.seed
    runs = [
        (database, broker, given.kills, seed + number)
        for number in range(given.rounds)
        for database in given.databases.split(",")
        for broker in given.brokers.split(",")
    ]
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: ENOUGH.set())
    print(f"seed {seed}", flush=True)
    with ThreadPoolExecutor(given.parallel) as pool:
        results = [result for result in pool.map(_run, runs) if result]
    if not results:
        return 1
    print(table(results))
    if given.page and len(results) == len(runs):
        given.page.write_text(page(results, seed, _servers(results)), encoding="utf-8")
    return 0 if len(results) == len(runs) and all(result.clean for result in results) else 1


def _run(run: tuple[str, str, int, int]) -> Result | None:
    if ENOUGH.is_set():
        return None
    try:
        result = run_chaos(*run)
    except pytest.skip.Exception as missing:
        print(f"{run[0]} {run[1]}: {missing}", flush=True)
        return None
    print(table([result]).splitlines()[2], dict(sorted(result.answers.items())), flush=True)
    for text in (result.report, *result.bad_answers[:5]):
        if text:
            print(text, flush=True)
    return result


def _servers(results: Sequence[Result]) -> list[str]:
    """The versions of the servers that took part."""
    used = {name for result in results for name in (result.database, result.broker)}
    found = []
    if "sqlite" in used:
        found.append(f"SQLite {sa.create_engine('sqlite://').connect().scalar(sa.text('SELECT sqlite_version()'))}")
    for name, title, database, query in (
        ("postgresql", "PostgreSQL", postgres_database, "SHOW server_version"),
        ("mariadb", "MariaDB", mariadb_database, "SELECT version()"),
    ):
        if name in used:
            with database() as url:
                engine = sa.create_engine(url, poolclass=sa.NullPool)
                with engine.connect() as connection:
                    found.append(f"{title} {connection.scalar(sa.text(query))}".partition(" (")[0])
    if "redis" in used:
        with Connection(redis_url()) as connection:
            found.append(f"Redis {connection.default_channel.client.info('server')['redis_version']}")
    if "rabbitmq" in used:
        with Connection(rabbitmq_url()) as connection:
            connection.connect()
            found.append(f"RabbitMQ {connection.connection.server_properties['version']}")
    return found


if __name__ == "__main__":
    sys.exit(main())
