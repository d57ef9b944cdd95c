"""An application whose tables are filled by bulk SQL, with copies of one row of each table."""

from __future__ import annotations

import json
import shutil
import tempfile
import uuid
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from flask import Flask
from flask.testing import FlaskClient

from assembler_runner.accounts import models as accounts
from assembler_runner.accounts.auth import ensure_admin
from assembler_runner.app import create_app
from assembler_runner.core.database import db, utcnow
from assembler_runner.core.settings import load
from assembler_runner.files.models import Blob
from assembler_runner.publishing import pipeline
from assembler_runner.publishing.tasks import wakeups
from assembler_runner.runtime.models import AppWatch
from assembler_runner.services import EXTENSION
from assembler_runner.spaces.models import Event, IdempotencyKey, RequestFile, Space, SpaceRequest
from assembler_runner.targets.local.apps_table import APPS, LocalApp
from assembler_runner.webhooks.models import DELIVERED, Webhook, WebhookDelivery
from benchmarks import stage

AT_ONCE = 50_000
SMALL, MEMBER = "small", "member"
"""A realm with few rows in a large database, and its account."""
OF_SMALL = 10
PER_USER, PER_REALM = 10, 1000
FAILED = 20
"""One request of so many has failed, one Space of so many has a build error, and one is deleted."""
PAGE = {"Sec-Fetch-Site": "same-origin", "Accept": "text/html"}

_ERROR = {"code": "target_unavailable", "message": "No response.", "hint": None}
_FINDINGS = [
    {"code": f"finding_{number}", "message": "Something to look at.", "severity": "warning", "path": "index.html",
     "line": number, "hint": "Look at it.", "values": {}, "fix": None}
    for number in range(3)
]  # fmt: skip
_SETTINGS = {
    "MAX_QUEUE": 10**9,
    "MAX_QUEUE_WAIT": 1e9,
    "KEEP_REQUESTS_DAYS": 365.0,
    "KEEP_EVENTS_DAYS": 365.0,
    "KEEP_DELIVERIES_DAYS": 365.0,
    "APPS": "sandbox",
}


class Grown:
    """An application on a database that is filled by bulk SQL.

    Args:
        uri: the address of the database, empty and migrated.
    """

    def __init__(self, uri: str) -> None:
        made = {**stage.KEYS, **_SETTINGS, "SQLALCHEMY_DATABASE_URI": uri}
        self._instance = Path(tempfile.mkdtemp(prefix="assembler-bench-"))
        self.app: Flask = create_app(load({}, **made), self._instance)
        self.size = 0
        with self.app.app_context():
            ensure_admin(stage.PASSWORD)
        self.client: FlaskClient = self.app.test_client()
        self.headers = self.log_in("admin")
        wakeups.send = lambda request_id: None  # type: ignore[method-assign]  # no worker runs
        first = self.submit()
        self.first = {"space": first["id"], "request": first["latest_request"]["id"]}
        with self.app.app_context():
            assert pipeline.run(self.app.extensions[EXTENSION], self.first["request"])
        small = self.send("/auth/realms", {"name": SMALL}, 201)["id"]
        body = {"name": MEMBER, "password": stage.PASSWORD, "realm_id": small, "roles": ["realm_admin"]}
        self.send("/auth/users", body, 201)
        self.member = self.log_in(MEMBER, SMALL)
        self.browser: FlaskClient = self.app.test_client()
        entered = self.browser.post("/ui/login", data={"name": "admin", "password": stage.PASSWORD}, headers=PAGE)
        assert entered.status_code == 303, entered.get_data(as_text=True)
        with self.app.app_context():
            self.ids = _add_first_rows(self.first, small)
            db.session.remove()

    def log_in(self, name: str, realm: str = "master") -> dict[str, str]:
        """Returns the headers of calls by an account."""
        body = {"grant_type": "password", "username": name, "password": stage.PASSWORD, "realm": realm}
        answer = self.client.post("/auth/token", json=body)
        assert answer.status_code == 200, answer.get_data(as_text=True)
        return {"Authorization": f"Bearer {answer.get_json()['access_token']}"}

    def send(self, path: str, body: Any, status: int = 200, **headers: str) -> Any:
        """Sends a call with a body as admin; returns the response."""
        answer = self.client.post(path, json=body, headers={**self.headers, **headers})
        assert answer.status_code == status, answer.get_data(as_text=True)
        return answer.get_json()

    def submit(self, **headers: str) -> dict[str, Any]:
        """Sends a request for a new Space, which stays queued."""
        body = {"space_type": "static", "target": "local", "files": {"index.html": uuid.uuid4().hex}}
        return dict(self.send("/spaces", body, 202, **headers))

    def grow_to(self, size: int) -> None:
        """Adds Spaces with one request each, and rows of all other tables that grow, as copies of the first."""
        with self.app.app_context():
            statements = [sa.text(text) for text in _copies(db.engine.dialect.name)]
            engine = _fast_engine(db.engine.url)
            while self.size < size:
                more = min(AT_ONCE, size - self.size)
                with engine.begin() as connection:
                    for statement in statements:
                        values = {"first": self.size, "last": self.size + more - 1, "few": OF_SMALL, **self.ids}
                        connection.execute(statement, {name: values[name] for name in statement.compile().params})
                self.size += more
            engine.dispose()
            self.settle()

    def queue_up(self, count: int) -> None:
        """Makes the newest requests wait in the queue, as if one account had sent them."""
        first, last = identify("r", self.size - count), identify("r", self.size)
        text = (
            "UPDATE space_requests SET status = 'queued', turn_round = CAST(substr(id, 2, 11) AS integer), "
            "turn_at = 2000000000.0 + CAST(substr(id, 2, 11) AS integer), due_at = 9000000000.0, finished_at = NULL, "
            "error = NULL WHERE id >= :first AND id < :last"
        )
        with self.app.app_context():
            with db.engine.begin() as connection:
                connection.execute(sa.text(text), {"first": first, "last": last})
            self.settle()

    def settle(self) -> None:
        """Runs what autovacuum of PostgreSQL runs some time after many inserts; on SQLite nothing."""
        if db.engine.dialect.name == "postgresql":
            with db.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
                connection.exec_driver_sql("VACUUM ANALYZE")

    def empty_queue(self) -> None:
        """Ends what waits, so that no measurement inherits another's queue."""
        with self.app.app_context():
            text = "UPDATE space_requests SET status = 'cancelled' WHERE status IN ('queued', 'running')"
            db.session.execute(sa.text(text))
            db.session.commit()

    def close(self) -> None:
        """Gives the connections back, and removes the instance folder."""
        with self.app.app_context():
            db.session.remove()
            db.engine.dispose()
        shutil.rmtree(self._instance)


def identify(kind: str, number: int) -> str:
    """Returns the id of the copy with a number."""
    return f"{kind}{number:011d}-0000-4000-8000-00000000"


def _fast_engine(url: sa.URL) -> sa.Engine:
    """Returns an engine that neither checks foreign keys nor waits for the disk."""
    engine = sa.create_engine(url)
    fast = {
        "sqlite": ("PRAGMA synchronous=OFF", "PRAGMA cache_size=-500000"),
        "postgresql": ("SET session_replication_role = replica", "SET synchronous_commit = off"),
    }

    @sa.event.listens_for(engine, "connect")
    def connected(connection: Any, record: Any) -> None:
        cursor = connection.cursor()
        for statement in fast[engine.dialect.name]:
            cursor.execute(statement)
        cursor.close()
        connection.commit()

    return engine


def _add_first_rows(first: dict[str, str], small: str) -> dict[str, Any]:
    """Adds the rows that are copied, and returns the ids of all of them."""
    session, now = db.session, utcnow()
    admin = session.scalars(sa.select(accounts.User).where(accounts.User.name == "admin")).one()
    space = session.get_one(Space, first["space"])
    changed = sa.update(SpaceRequest).where(SpaceRequest.id == first["request"])
    session.execute(changed.values(findings=_FINDINGS))
    hook = Webhook(url="https://example.org/", realm_id=admin.realm_id, owner_id=admin.id, event_types=["deleted"])
    hook.encrypted_secret = "none"
    other = accounts.User(name="template", realm_id=admin.realm_id)
    realm = accounts.Realm(name="template")
    session.add_all((hook, other, realm))
    session.flush()
    event = session.scalars(sa.select(sa.func.min(Event.id)).where(Event.request_id == first["request"])).one()
    sent = WebhookDelivery(webhook_id=hook.id, event_id=event, status=DELIVERED, attempts=1, created_at=now)
    sent.finished_at = now
    login = accounts.LoginSession(account_kind="user", account_id=admin.id, generation=0)
    login.expires_at = now.replace(year=now.year + 2)
    key = IdempotencyKey(account_id=admin.id, key="template", body_digest="0" * 64, request_id=first["request"])
    key.answer = {"id": "x" * 1000}
    session.add_all((sent, login, key))
    session.flush()
    session.add_all(
        (
            accounts.RefreshToken(token_hash="r" * 64, session_id=login.id, expires_at=login.expires_at),
            accounts.BrowserSession(token_hash="b" * 64, session_id=login.id, address="::1", browser="Browser/1.0"),
            accounts.SavedView(user_id=other.id, name="template", line="state:running"),
            accounts.GitCredential(
                realm_id=realm.id, host="template", username="git", encrypted_password="none", key_id="none"
            ),
        )
    )
    app = {
        "id": "template",
        "place": "template",
        "namespace": space.namespace,
        "name": "template",
        "host": "template",
        "visibility": "public",
        "desired": "paused",
        "generation": 0,
        "fresh": False,
        "stage": "PAUSED",
        "stage_generation": 0,
        "commit_oid": "0" * 40,
        "changed_at": 0.0,
    }
    session.execute(sa.insert(APPS).values(**app))
    file = session.scalars(sa.select(RequestFile.sha256).where(RequestFile.request_id == first["request"])).first()
    entry = session.scalars(sa.select(sa.func.min(accounts.AuditEntry.id))).one()
    if session.get(AppWatch, first["space"]) is None:
        session.add(AppWatch(space_id=first["space"], since=0.0, is_open=False))
    session.commit()
    ids = {"hook": hook.id, "delivery": sent.id, "login": login.id, "user": other.id, "realm": realm.id}
    return {**first, **ids, "event": event, "entry": entry, "sha256": file, "admin": admin.id, "small": small}


def _copies(dialect: str) -> list[str]:
    """Returns the statements that copy the first row of each table for each number."""
    postgresql = dialect == "postgresql"
    name = "lpad(CAST(n.i AS varchar), 11, '0')" if postgresql else "printf('%011d', n.i)"

    def numbered(kind: str, of: str = name) -> str:
        return f"'{kind}' || {of} || '-0000-4000-8000-00000000'"

    def group(size: int) -> str:
        """The number of the group that a number belongs to, as a part of an id."""
        first = f"(n.i / {size}) * {size}"
        return f"lpad(CAST({first} AS varchar), 11, '0')" if postgresql else f"printf('%011d', {first})"

    if postgresql:
        numbers = "(SELECT generate_series(CAST(:first AS integer), CAST(:last AS integer)) AS i) AS n"
        moment = "CAST(CURRENT_DATE - 30 AS timestamp) + n.i * interval '1 second'"
    else:
        counted = "SELECT :first AS i UNION ALL SELECT i + 1 FROM counted WHERE i < :last"
        numbers = f"(WITH RECURSIVE counted(i) AS ({counted}) SELECT i FROM counted) AS n"
        moment = "strftime('%Y-%m-%d %H:%M:%S.000000', date('now', '-30 days'), n.i || ' seconds')"

    def where(condition: str, use: dict[int, str], otherwise: str) -> str:
        cases = " ".join(f"WHEN {rest} THEN {value}" for rest, value in use.items())
        return f"CASE {condition} {cases} ELSE {otherwise} END"

    kind, label = f"n.i % {FAILED}", "'bench-' || n.i"
    in_small = "CASE WHEN n.i < :few THEN :small ELSE t.realm_id END"
    error = f"'{json.dumps(_ERROR)}'"
    digest = f"'{'0' * 53}' || {name}"
    times = {"created_at": moment}
    ids = {"space_id": numbered("s"), "request_id": numbered("r")}
    user = numbered("u", group(PER_USER))
    realm = numbered("m", group(PER_REALM))
    every: dict[Any, tuple[dict[str, str], str, str]] = {
        Blob: ({"sha256": digest, "used_at": moment}, "sha256 = :sha256", ""),
        Space: (
            {
                "id": numbered("s"),
                "name": label,
                "slot": where(kind, {2: "NULL"}, f"'local:admin/' || {label}"),
                "state": where(kind, {1: "'build_error'", 2: "'deleted'"}, "'paused'"),
                "realm_id": in_small,
                **times,
            },
            "id = :space",
            "",
        ),
        SpaceRequest: (
            {
                "id": numbered("r"),
                "space_id": numbered("s"),
                "status": where(kind, {0: "'failed'"}, "'succeeded'"),
                "error": where(kind, {0: error}, "NULL"),
                "realm_id": in_small,
                "finished_at": moment,
                **times,
            },
            "id = :request",
            "",
        ),
        RequestFile: ({"request_id": numbered("r"), "sha256": digest}, "request_id = :request AND position = 0", ""),
        Event: ({**ids, **times}, "id = :event", ""),
        AppWatch: ({"space_id": numbered("s")}, "space_id = :space", ""),
        LocalApp: (
            {
                "id": numbered("a"),
                "place": f"'admin/' || {label}",
                "name": label,
                "host": f"'admin-' || {label}",
                "stage": where(kind, {1: "'BUILD_ERROR'", 2: "'STORED'"}, "'PAUSED'"),
            },
            "id = 'template'",
            "",
        ),
        accounts.LoginSession: ({"id": numbered("l"), "account_id": ":admin", **times}, "id = :login", ""),
        accounts.RefreshToken: (
            {"token_hash": digest, "session_id": numbered("l")},
            f"token_hash = '{'r' * 64}'",
            "n.i % 2 = 0",
        ),
        accounts.BrowserSession: (
            {"token_hash": digest, "session_id": numbered("l"), "seen_at": moment},
            f"token_hash = '{'b' * 64}'",
            "n.i % 2 = 1",
        ),
        accounts.AuditEntry: ({"realm_id": in_small, **times}, "id = :entry", ""),
        accounts.User: (
            {"id": numbered("u"), "name": f"'user-' || {name}", **times},
            "id = :user",
            f"n.i % {PER_USER} = 0",
        ),
        accounts.Realm: (
            {"id": numbered("m"), "name": f"'realm-' || {name}", **times},
            "id = :realm",
            f"n.i % {PER_REALM} = 0",
        ),
        accounts.SavedView: ({"user_id": user, "name": label}, "user_id = :user", ""),
        accounts.GitCredential: ({"realm_id": realm, "host": label, **times}, "realm_id = :realm", ""),
        IdempotencyKey: ({"key": label, "created_at": moment}, "key = 'template'", ""),
        # Each tenth request has a callback.
        Webhook: ({"id": numbered("w"), **ids, **times}, "id = :hook", "n.i % 10 = 0"),
        WebhookDelivery: (
            {
                "id": numbered("d"),
                "status": where(kind, {0: "'dead'"}, "'delivered'"),
                "finished_at": moment,
                **times,
            },
            "id = :delivery",
            "",
        ),
    }
    return [_copy(model, values, which, some, numbers) for model, (values, which, some) in every.items()]


def _copy(model: Any, own: dict[str, str], which: str, some: str, numbers: str) -> str:
    """Returns the statement that copies one row, with values of its own for each number."""
    table: sa.Table = sa.inspect(model).local_table
    counts = model in (Event, accounts.AuditEntry)
    names = [column.name for column in table.columns if not (counts and column.name == "id")]
    taken = ", ".join(own.get(column, f"t.{column}") for column in names)
    first = f"(SELECT * FROM {table.name} WHERE {which}) AS t"
    condition = f" WHERE {some}" if some else ""
    return f"INSERT INTO {table.name} ({', '.join(names)}) SELECT {taken} FROM {first}, {numbers}{condition}"
