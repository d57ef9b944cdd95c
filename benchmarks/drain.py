"""How fast workers empty the queue."""

from __future__ import annotations

import statistics
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from flask import Flask
from huggingface_hub import CommitOperationAdd, HfApi

from assembler_runner.accounts.models import HubCredential, Realm
from assembler_runner.accounts.permissions import PERMISSIONS, Account
from assembler_runner.app import create_app
from assembler_runner.core.database import db, utcnow
from assembler_runner.core.settings import load
from assembler_runner.core.validation import Fields
from assembler_runner.requests import prepare, submit
from assembler_runner.services import EXTENSION, Services
from assembler_runner.spaces.models import SpaceRequest
from benchmarks import stage
from benchmarks.measuring import Goal, Result, in_turn, timed
from benchmarks.stage import Started
from tests.support.chaos.stage import Hub
from tests.support.services import wait_until

WHAT = (
    "Jobs per second that workers finish from a full queue, PostgreSQL and Redis, by latency of a Hub call in "
    "milliseconds and by number of concurrent jobs (`CONCURRENCY` summed over all worker processes). Each job creates"
    " a Space of three files. The Hub creates one Space at a time per account, so the jobs belong to {accounts} "
    "realms with an account each. `floor` is the number of concurrent jobs ÷ ({calls} sequential calls × their "
    "latency); `bare script` creates the same Spaces with huggingface_hub in as many threads of one process, and "
    "records nothing. `processor ms` is the processor time of all worker processes for each job."
)
WHY = (
    "the floor is three sequential calls with no work in between; the worker, PostgreSQL, Redis and the stand-in Hub "
    "share two processors, and what is left in the worker is 23 statements in five transactions, four calls through "
    "huggingface_hub, and one Celery message for each job"
)
CALLS = 3
ACCOUNTS = 128
ROUNDS_EACH, MOST_JOBS = 12, 512
"""Jobs for each place, so that the start, where all begin at once, weighs little; and for all places together."""
CASES = [
    (1, 1, 0.1), (1, 8, 0.1), (1, 32, 0.1), (1, 128, 0.1), (2, 32, 0.1), (2, 128, 0.1), (1, 32, 0.3), (2, 32, 0.3)
]  # fmt: skip
"""Processes, jobs at once, seconds per call; 0.3 is what docs/capacity.md assumes."""
PART_OF_FLOOR = {(1, 100): 0.75, (2, 100): 0.85, (1, 300): 0.9, (2, 300): 0.9}
"""By processes and milliseconds per call: what 32 jobs at once have to reach."""
PROCESSOR_MS = 5.0


def run(quick: bool) -> Result:
    """Runs the benchmark."""
    accounts = 4 if quick else ACCOUNTS
    cases = CASES[:1] if quick else CASES
    what = WHAT.format(accounts=accounts, calls=CALLS)
    result = Result("drain", what)
    with stage.hub() as hub, stage.database("postgresql") as database:
        tokens = [f"hf_bench_{number}" for number in range(accounts)]
        for number, token in enumerate(tokens):
            hub.ask("POST", "accounts", {"token": token, "name": f"bench-{number}"})
        filler = _Filler(database, hub, tokens)
        for processes, parallel, latency in cases:
            hub.ask("POST", "latency", {"seconds": latency})
            result.rows.append(_row(filler, hub, processes, parallel, latency, 1 if quick else 3))
    for row in result.rows:
        if row["jobs at once"] == 32:
            text = f"drain with 32 jobs at once in {row['processes']} process(es), {row['ms per call']} ms per call: "
            part = PART_OF_FLOOR[row["processes"], row["ms per call"]]
            result.goals.append(Goal(text + "part of the floor", row["÷ floor"], part, why=WHY))
            spent = text + "ms of processor time for each job"
            result.goals.append(Goal(spent, row["processor ms"], PROCESSOR_MS, at_least=False, why=WHY))
    return result


class _Filler:
    """Fills the queue as the API would, in this process, and tells when it is empty."""

    def __init__(self, database: str, hub: Hub, tokens: list[str]) -> None:
        self.settings = {
            "SQLALCHEMY_DATABASE_URI": database,
            "HF_ENDPOINT": hub.url,
            "HF_TOKEN": "hf_alice",
            "RESEND_SECONDS": "600",
        }
        settings = load({}, **(stage.KEYS | {"SQLALCHEMY_DATABASE_URI": database, "RESEND_SECONDS": 600.0}))
        self.app: Flask = create_app(settings, Path(tempfile.mkdtemp(prefix="assembler-bench-")))
        self.services: Services = self.app.extensions[EXTENSION]
        self.tokens = tokens
        with self.app.app_context():
            self.accounts = [self._account(number, token) for number, token in enumerate(tokens)]

    def fill(self, jobs: int) -> list[str]:
        """Puts jobs into the queue, without a message to a worker."""
        submit.wakeups.send = lambda request_id: None  # type: ignore[method-assign]  # sent later, all at once
        found = []
        with self.app.app_context():
            for number in range(jobs):
                account = self.accounts[number % len(self.accounts)]
                files = {path: text.encode() for path, text in stage.files(2).items()}
                data = {"space_type": "static", "files": files, "target": "huggingface"}
                prepared = prepare.prepare(self.services, account, Fields(data, [], frozenset()))
                answer = submit.submit(self.services, account, prepared, lambda space: {"id": space.latest_request.id})
                found.append(answer["id"])
                db.session.remove()
        return found

    def seconds(self, request_ids: list[str]) -> float:
        """Waits until all are done; returns the time from the first claim to the last end."""
        mine = SpaceRequest.id.in_(request_ids)

        def left() -> int:
            with self.app.app_context():
                count = sa.select(sa.func.count()).where(mine, SpaceRequest.finished_at.is_(None))
                return db.session.scalar(count) or 0

        wait_until(lambda: left() == 0, "the queue is empty", 300, every=0.2)
        with self.app.app_context():
            status = db.session.scalars(sa.select(SpaceRequest.status).where(mine).distinct()).all()
            assert list(status) == ["succeeded"], status
            first, last = db.session.execute(
                sa.select(sa.func.min(SpaceRequest.started_at), sa.func.max(SpaceRequest.finished_at)).where(mine)
            ).one()
            return float((last - first).total_seconds())

    def _account(self, number: int, token: str) -> Account:
        name = f"bench-{number}"
        realm = Realm(name=name, display_name=name)
        db.session.add(realm)
        db.session.flush()
        known = {"account_name": name, "plan": "pro", "role": "write", "orgs": [], "namespaces": [name]}
        sealed = self.services.vault.encrypt({"token": token})
        db.session.add(
            HubCredential(
                realm_id=realm.id,
                encrypted_token=sealed,
                key_id=self.services.vault.key_id,
                default_namespace=name,
                checked_at=utcnow(),
                **known,
            )
        )
        account = Account(f"account-{number}", name, realm.id, name, "user", frozenset(PERMISSIONS))
        db.session.commit()
        return account


def _row(filler: _Filler, hub: Hub, processes: int, parallel: int, latency: float, rounds: int) -> dict[str, Any]:
    jobs = min(ROUNDS_EACH * parallel, MOST_JOBS)
    floor = parallel / (CALLS * latency)
    spent: list[float] = []
    with _workers(filler, processes, parallel) as (queue, workers):

        def service(count: int) -> float:
            waiting = filler.fill(count)
            before = sum(stage.processor_of(worker.pid) for worker in workers)
            stage.send(queue, waiting)
            seconds = filler.seconds(waiting)
            spent.append((sum(stage.processor_of(worker.pid) for worker in workers) - before) / count)
            return seconds

        service(parallel)
        spent.clear()
        _bare(hub, filler.tokens, parallel, parallel)
        runs = in_turn(
            {
                "service": lambda: jobs / service(jobs),
                "bare script": lambda: jobs / _bare(hub, filler.tokens, jobs, parallel),
            },
            rounds,
            warm=False,
        )
    row: dict[str, Any] = {"ms per call": round(latency * 1000), "processes": processes, "jobs at once": parallel}
    row |= {f"{name} /s": round(side.median, 1) for name, side in runs.items()}
    row["floor /s"] = round(floor, 1)
    row["÷ floor"] = round(runs["service"].median / floor, 2)
    row["÷ bare script"] = round(runs["service"].median / runs["bare script"].median, 2)
    row["processor ms"] = round(statistics.median(spent) * 1000, 1)
    return row


@contextmanager
def _workers(filler: _Filler, processes: int, parallel: int) -> Iterator[tuple[dict[str, str], list[Started]]]:
    with ExitStack() as stack:
        queue = stack.enter_context(stage.queue())
        settings = filler.settings | queue | {"CONCURRENCY": str(-(-parallel // processes))}
        yield queue, [stack.enter_context(stage.worker(**settings)) for _ in range(processes)]


def _bare(hub: Hub, tokens: list[str], jobs: int, parallel: int) -> float:
    apis = [HfApi(endpoint=hub.url, token=token) for token in tokens]
    tree = {path: text.encode() for path, text in stage.files(2).items()}
    tree["README.md"] = b"---\nsdk: static\n---\n"

    def publish(number: int) -> None:
        api = apis[number % len(apis)]
        repo = f"bench-{number % len(apis)}/bare-{stage.new_name()}"
        api.create_repo(repo, repo_type="space", space_sdk="static")
        operations = [CommitOperationAdd(path, content) for path, content in tree.items()]
        api.create_commit(repo, operations, commit_message="Publish", repo_type="space")

    with ThreadPoolExecutor(parallel) as pool:
        return timed(lambda: list(pool.map(publish, range(jobs))))
