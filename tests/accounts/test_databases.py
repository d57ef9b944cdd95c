"""Accounts on each supported database, with the schema of the migrations."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa
from flask import Flask
from flask_migrate import check, downgrade, upgrade

from assembler_runner.accounts.auth import ensure_admin
from assembler_runner.app import create_app
from assembler_runner.core.database import db
from assembler_runner.core.settings import load
from tests.conftest import PASSWORD, SECRETS, Service
from tests.support.people import made, make_realm, make_user

SERVERS = {
    "postgresql": ("TEST_POSTGRES_URL", "postgresql+psycopg://postgres@127.0.0.1/postgres"),
    "mariadb": ("TEST_MARIADB_URL", "mariadb+pymysql://root@127.0.0.1/mysql"),
}
NAME = f"assembler_accounts_{os.getpid()}"
FIRST = "2026-01-01 00:00:00"


@pytest.fixture(params=["sqlite", *SERVERS])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """An empty database; yields its URL."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path / 'accounts.db'}"
        return
    variable, usual = SERVERS[request.param]
    url = sa.make_url(os.environ.get(variable, usual))
    server = sa.create_engine(url, isolation_level="AUTOCOMMIT")
    try:
        with server.connect() as connection:
            connection.execute(sa.text(f"CREATE DATABASE {NAME}"))
    except sa.exc.OperationalError:
        server.dispose()
        pytest.skip(f"no {request.param} at {url.host}")
    yield url.set(database=NAME).render_as_string(hide_password=False)
    with server.connect() as connection:
        connection.execute(sa.text(f"DROP DATABASE {NAME}"))
    server.dispose()


@pytest.fixture
def app(database: str, tmp_path: Path) -> Iterator[Flask]:
    app = create_app(load({}, SQLALCHEMY_DATABASE_URI=database, **SECRETS), tmp_path / "own")
    yield app
    with app.app_context():
        db.session.remove()
        db.engine.dispose()


REALMS = "id, name, built_in, created_at, updated_at"
USERS = "id, name, active, realm_id, password_hash, token_generation, created_at, updated_at"
HELD = "SELECT u.name, r.name FROM user_roles g JOIN users u ON u.id = g.user_id JOIN roles r ON r.id = g.role_id"


def test_users_older_than_roles_keep_their_rights(app: Flask) -> None:
    with app.app_context():
        upgrade(revision="0001")
        with db.engine.begin() as connection:
            realm = (
                "INSERT INTO realms (id, name, built_in, created_at, updated_at) VALUES ('r', 'master', '1', :t, :t)"
            )
            connection.execute(sa.text(realm), {"t": FIRST})
            for name in ("admin", "ann"):
                user = f"INSERT INTO users ({USERS}) VALUES (:name, :name, '1', 'r', 'x', 0, :t, :t)"
                connection.execute(sa.text(user), {"name": name, "t": FIRST})
        upgrade()
        check()
        with db.engine.begin() as connection:
            found = {tuple(row) for row in connection.execute(sa.text(HELD))}
            rows = connection.execute(sa.text("SELECT count(*) FROM role_permissions")).scalar()
        assert found == {("admin", "admin"), ("ann", "member")}
        # The migration creates the same roles as a new installation.
        assert ensure_admin(PASSWORD) is False
        assert db.session.execute(sa.text("SELECT count(*) FROM role_permissions")).scalar() == rows
        db.session.remove()
        downgrade(revision="0001")
        upgrade()
        check()
        # Going back and forth keeps the rows that other rows refer to.
        with db.engine.begin() as connection:
            rows = connection.execute(sa.text("SELECT u.name FROM users u JOIN realms r ON r.id = u.realm_id"))
            assert sorted(rows.scalars()) == ["admin", "ann"]


def test_accounts_on_each_database(app: Flask) -> None:
    with app.app_context():
        upgrade()
        ensure_admin(PASSWORD)
        db.session.remove()
    service = Service(app)
    realm_id = make_realm(service, "ours", max_requests_per_hour=5)
    chief = make_user(service, "Ann", realm_id, "realm_admin")
    made(chief.post("/auth/robots", {"name": "bot", "description": "\u00fc\U0001f600"}))
    assert chief.post("/auth/robots", {"name": "bot"}).status_code == 409
    # Equality is by bytes; a filter for a part ignores case.
    assert chief.get("/auth/users?filter[name]=ann").json["meta"]["total"] == 0
    assert chief.get("/auth/users?filter[name]=~ann").json["meta"]["total"] == 1
    for query in (
        "filter[name]=~%5C",
        "filter[name]=~a%5C%25",
        "filter[active]=true&sort=-name,created_at",
        "filter[id]=%00",
    ):
        assert chief.get(f"/auth/users?{query}").status_code in (200, 400), query
    assert chief.get("/auth/users/%00").status_code == 404
    answers: list[int] = []

    def submit() -> None:
        client = app.test_client()
        body = {"space_type": "static", "files": {"index.html": "x"}}
        answers.append(client.post("/spaces", json=body, headers=chief.headers).status_code)

    threads = [threading.Thread(target=submit) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    # Concurrent calls get no more through than sequential ones.
    assert sorted(answers) == [202] * 5 + [429] * 3
    for space in chief.get("/requests").json["data"]:
        made(chief.post(f"/requests/{space['id']}/command", {"command": "cancel"}), 202)
    made(service.client.delete(f"/auth/realms/{realm_id}", headers=service.headers), 202)
    assert service.get("/auth/users").json["meta"]["total"] == 1
