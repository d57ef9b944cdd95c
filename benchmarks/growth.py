"""What happens to lists, submitting and claiming as the tables grow."""

from __future__ import annotations

import tempfile
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from flask import Flask
from flask.testing import FlaskClient

from assembler_runner.accounts.auth import ensure_admin
from assembler_runner.app import create_app
from assembler_runner.core.database import db
from assembler_runner.core.settings import load
from assembler_runner.publishing import claims, pipeline
from assembler_runner.publishing.queue import next_requests
from assembler_runner.publishing.tasks import wakeups
from assembler_runner.services import EXTENSION
from assembler_runner.spaces.models import Event, RequestFile, Space, SpaceRequest
from benchmarks import stage
from benchmarks.measuring import Goal, Result, Runs, timed

WHAT = (
    "Milliseconds of one call with the given number of requests (each with its Space, one file and one event) in the "
    "database, created by bulk SQL; the calls run the complete application, without a network. `÷` compares with the "
    "smallest table of the same database."
)
SPACES_AT_ONCE = 50_000


def run(quick: bool) -> Result:
    """Runs the benchmark."""
    databases, sizes, rounds = (
        (["sqlite"], [20, 40], 2) if quick else (["sqlite", "postgresql"], [1000, 100_000, 1_000_000], 15)
    )
    result = Result("growth", WHAT)
    for database in databases:
        with stage.database(database) as uri:
            grown = Grown(uri)
            for size in sizes:
                grown.grow_to(size)
                result.rows += grown.measure(database, size, rounds)
            grown.close()
    smallest = {(row["database"], row["call"]): row["ms"] for row in result.rows if row["requests"] == sizes[0]}
    for row in result.rows:
        row["÷"] = round(row["ms"] / smallest[row["database"], row["call"]], 2)
        if row["requests"] == 1_000_000 and (row["call"].startswith("list") or row["call"] == "claim"):
            goal = f"growth, {row['database']}, {row['call']}: 10⁶ requests ÷ 10³"
            result.goals.append(Goal(goal, row["÷"], 2, at_least=False))
    return result


class Grown:
    """An application on a database that is filled by bulk SQL."""

    def __init__(self, uri: str) -> None:
        made = {"SQLALCHEMY_DATABASE_URI": uri, "MAX_QUEUE": 10**9, "MAX_QUEUE_WAIT": 1e9}
        self.app: Flask = create_app(load({}, **(stage.KEYS | made)), Path(tempfile.mkdtemp(prefix="assembler-bench-")))
        self.size = 0
        with self.app.app_context():
            ensure_admin(stage.PASSWORD)
        self.client: FlaskClient = self.app.test_client()
        body = {"grant_type": "password", "username": "admin", "password": stage.PASSWORD}
        token = self.client.post("/auth/token", json=body).get_json()["access_token"]
        self.headers = {"Authorization": f"Bearer {token}"}
        wakeups.send = lambda request_id: None  # type: ignore[method-assign]  # nobody works here
        made = self._submit()
        self.first = {"space": made["id"], "request": made["latest_request"]["id"]}
        with self.app.app_context():
            assert pipeline.run(self.app.extensions[EXTENSION], self.first["request"])

    def grow_to(self, size: int) -> None:
        """Adds Spaces with one request each, copies of the first."""
        with self.app.app_context():
            statements = [sa.text(text) for text in _copies(db.engine.dialect.name)]
            while self.size < size:
                more = min(SPACES_AT_ONCE, size - self.size)
                with db.engine.begin() as connection:
                    for statement in statements:
                        values = {"first": self.size, "last": self.size + more - 1, **self.first}
                        used = {name: values[name] for name in statement.compile().params}
                        connection.execute(statement, used)
                self.size += more
            with db.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
                # What the database does by itself some time after so many rows have come.
                connection.exec_driver_sql("ANALYZE" if db.engine.dialect.name == "sqlite" else "VACUUM ANALYZE")

    def measure(self, database: str, size: int, rounds: int) -> list[dict[str, Any]]:
        """Times each call."""
        calls: dict[str, Callable[[], Any]] = {
            "list requests": lambda: self._get("/requests?page[limit]=50"),
            "list spaces": lambda: self._get("/spaces?page[limit]=50"),
            # One request in fifty has failed: the smallest table has twenty rows to show, so no table shows more.
            "list failed requests": lambda: self._get("/requests?filter[status]=failed&page[limit]=20"),
            "list by name": lambda: self._get("/spaces?filter[name]=bench-7"),
            "one Space": lambda: self._get(f"/spaces/{_id('s', 7)}"),
            "events of one": lambda: self._get(f"/requests/{_id('r', 7)}/events"),
            "submit": self._submit,
            "claim": self._claim,
            "sweep": self._sweep,
        }
        rows = []
        for name, call in calls.items():
            call()
            runs = Runs([self._timed(call) for _ in range(rounds)])
            rows.append({"database": database, "call": name, "requests": size, "ms": runs.median * 1000})
        with self.app.app_context():
            db.session.execute(
                sa.text("UPDATE space_requests SET status = 'failed' WHERE status IN ('queued', 'running')")
            )
            db.session.commit()
        return rows

    def close(self) -> None:
        """Gives the connections back."""
        with self.app.app_context():
            db.engine.dispose()

    def _timed(self, call: Callable[[], Any]) -> float:
        begun = time.perf_counter()
        result = call()
        # Some prepare something first, and measure the rest themselves.
        return result if isinstance(result, float) else time.perf_counter() - begun

    def _get(self, path: str) -> None:
        answer = self.client.get(path, headers=self.headers)
        assert answer.status_code == 200, answer.get_data(as_text=True)

    def _submit(self) -> dict[str, Any]:
        body = {"space_type": "static", "target": "local", "files": {"index.html": uuid.uuid4().hex}}
        answer = self.client.post("/spaces", json=body, headers=self.headers)
        assert answer.status_code == 202, answer.get_data(as_text=True)
        return dict(answer.get_json())

    def _claim(self) -> float:
        self._submit()
        with self.app.app_context():

            def claim() -> None:
                waiting = next_requests(db.session(), 1)
                assert claims.claim(self.app.extensions[EXTENSION], waiting[0])

            return timed(claim)

    def _sweep(self) -> None:
        with self.app.app_context():
            claims.take_due(600)


def _id(kind: str, number: int) -> str:
    return f"{kind}{number:011d}-0000-4000-8000-00000000"


def _copies(dialect: str) -> list[str]:
    """Returns the statements that copy the first Space with its request for each number."""
    name = "lpad(CAST(n.i AS varchar), 11, '0')" if dialect == "postgresql" else "printf('%011d', n.i)"
    ids = {kind: f"'{kind}' || {name} || '-0000-4000-8000-00000000'" for kind in "sr"}
    if dialect == "postgresql":
        numbers = "(SELECT generate_series(CAST(:first AS integer), CAST(:last AS integer)) AS i) AS n"
        moment = "CAST('2026-01-01' AS timestamp) + n.i * interval '1 second'"
    else:
        counted = "SELECT :first AS i UNION ALL SELECT i + 1 FROM counted WHERE i < :last"
        numbers = f"(WITH RECURSIVE counted(i) AS ({counted}) SELECT i FROM counted) AS n"
        moment = "strftime('%Y-%m-%d %H:%M:%S.000000', '2026-01-01', n.i || ' seconds')"
    status = "CASE WHEN n.i % 50 = 0 THEN 'failed' ELSE 'succeeded' END"
    label = "'bench-' || n.i"
    own = {
        Space: {"id": ids["s"], "name": label, "slot": "'local:admin/bench-' || n.i", "created_at": moment},
        SpaceRequest: {
            "id": ids["r"],
            "space_id": ids["s"],
            "status": status,
            "created_at": moment,
            "finished_at": moment,
        },
        RequestFile: {"request_id": ids["r"]},
        Event: {"space_id": ids["s"], "request_id": ids["r"], "created_at": moment},
    }
    which = {Space: "id = :space", SpaceRequest: "id = :request", RequestFile: "request_id = :request AND position = 0"}
    which[Event] = "id = (SELECT min(id) FROM events WHERE request_id = :request)"
    statements = []
    for model, values in own.items():
        table = sa.inspect(model).local_table
        names = [column.name for column in table.columns if not (model is Event and column.name == "id")]
        taken = ", ".join(values.get(column, f"t.{column}") for column in names)
        first = f"(SELECT * FROM {table.name} WHERE {which[model]}) AS t"
        statements.append(f"INSERT INTO {table.name} ({', '.join(names)}) SELECT {taken} FROM {first}, {numbers}")
    return statements
