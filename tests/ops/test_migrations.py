"""Migrations create the tables of the models and preserve values, on every database."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from flask import Flask

from assembler_runner.accounts.models import Realm, User
from assembler_runner.app import MIGRATIONS, create_app
from assembler_runner.core.database import Base, db, limit_idle_transactions
from assembler_runner.core.settings import load
from assembler_runner.files.content import content_of
from assembler_runner.files.models import Blob
from assembler_runner.ops.migration_lock import is_at_newest
from assembler_runner.services import current_services
from assembler_runner.spaces.models import Space, SpaceRequest
from tests.support.services import digest, mariadb_database, postgres_database, run_flask

pytestmark = pytest.mark.slow

SETTINGS = {"SECRET_KEY": "secret-key-of-the-tests-0123456789", "JWT_SECRET_KEY": "jwt-key-of-the-tests-0123456789ab"}
MODELS = set(Base.metadata.tables)


@contextmanager
def sqlite_database(folder: Path) -> Iterator[str]:
    yield f"sqlite:///{folder / 'test.db'}"


@pytest.fixture(params=["sqlite", "postgresql", "mariadb"])
def app(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Flask]:
    makers = {"sqlite": lambda: sqlite_database(tmp_path), "postgresql": postgres_database, "mariadb": mariadb_database}
    with makers[request.param]() as uri:
        app = create_app(load({**SETTINGS, "SQLALCHEMY_DATABASE_URI": uri}), tmp_path)
        with app.app_context():
            yield app
            db.session.remove()
            db.engine.dispose()


def flask(app: Flask, command: str) -> str:
    """Runs a `flask` command as typed."""
    done = run_flask(app, *command.split())
    assert done.exit_code == 0, done.output + repr(done.exception)
    return done.output


def tables() -> set[str]:
    return set(sa.inspect(db.engine).get_table_names())


def users() -> list[str]:
    found = list(db.session.scalars(sa.select(User.name)))
    db.session.remove()
    return found


def schema() -> dict[str, Any]:
    """Returns the reflected schema of all tables."""
    inspector = sa.inspect(db.engine)
    return {
        table: {
            "columns": {
                column["name"]: (column["type"].compile(db.engine.dialect), column["nullable"], column["default"])
                for column in inspector.get_columns(table)
            },
            "primary key": inspector.get_pk_constraint(table),
            "foreign keys": sorted(map(str, inspector.get_foreign_keys(table))),
            "unique": sorted(map(str, inspector.get_unique_constraints(table))),
            "indexes": sorted(map(str, inspector.get_indexes(table))),
            "options": {
                key: value for key, value in inspector.get_table_options(table).items() if "auto_increment" not in key
            },
        }
        for table in tables()
    }


def test_migrations_match_the_models(app: Flask) -> None:
    flask(app, "db upgrade")
    assert tables() == MODELS | {"alembic_version"}
    flask(app, "db check")
    migrated = schema()
    flask(app, "drop-db")
    assert tables() == set()
    db.create_all()
    assert {name: table for name, table in migrated.items() if name in MODELS} == schema()


def test_a_table_that_differs_from_the_models_is_detected(app: Flask) -> None:
    flask(app, "db upgrade")
    with db.engine.begin() as connection:
        connection.exec_driver_sql("ALTER TABLE spaces ADD COLUMN surplus INTEGER")
    assert run_flask(app, "db", "check").exit_code == 1


def test_migrations_work_after_create_db(app: Flask) -> None:
    assert "Created the database" in flask(app, "create-db")
    assert users() == ["admin"]
    flask(app, "db upgrade")
    flask(app, "db check")
    flask(app, "create-admin")
    assert users() == ["admin"]
    flask(app, "drop-db")
    assert tables() == set()
    flask(app, "db upgrade")
    flask(app, "create-admin")
    assert users() == ["admin"]


def test_down_and_up_again(app: Flask) -> None:
    assert not is_at_newest(db.engine, MIGRATIONS)
    flask(app, "db upgrade")
    assert is_at_newest(db.engine, MIGRATIONS)
    flask(app, "db downgrade base")
    assert tables() == {"alembic_version"}
    assert not is_at_newest(db.engine, MIGRATIONS)
    flask(app, "db upgrade")
    flask(app, "db check")


def nested(depth: int) -> Any:
    value: Any = None
    for _ in range(depth):
        value = {"in": [value]}
    return value


VALUES: list[Any] = [
    {"nul": "\0", "nul\0key": 1, "surrogate": "\ud800", "emoji": "🤗", "order": {"z": 1, "a": 2}},
    nested(100),
    {"text": "x" * 3_000_000},
    [1e308, -0.0, 2**70, True, None, "", {}],
    "text",
    0,
]
MOMENT = datetime(2026, 2, 28, 23, 59, 59, 999999, tzinfo=UTC)


def make_request(parameters: Any) -> SpaceRequest:
    realm = Realm(name=os.urandom(8).hex())
    db.session.add(realm)
    db.session.flush()
    space = Space(name="greeter", target="local", space_type="gradio", visibility="public", realm_id=realm.id)
    space.owner_id = realm.id
    request = SpaceRequest(action="create", space_type="gradio", plugin_version="1", sdk="gradio", tree_digest="")
    request.realm_id, request.owner_id, request.space = realm.id, realm.id, space
    request.parameters, request.options = parameters, {}
    request.started_at = MOMENT
    request.due_at = 1795272821.890463
    db.session.add(request)
    db.session.commit()
    db.session.expire_all()
    return request


def test_values_are_preserved(app: Flask) -> None:
    flask(app, "db upgrade")
    for value in VALUES:
        request = make_request(value)
        assert repr(request.parameters) == repr(value)
        assert request.started_at == MOMENT
        assert request.due_at == 1795272821.890463
        assert request.created_at.tzinfo is UTC
    found = db.session.scalar(sa.select(sa.func.count(SpaceRequest.id)).where(SpaceRequest.started_at == MOMENT))
    assert found == len(VALUES)


def test_contents_are_preserved(app: Flask) -> None:
    flask(app, "db upgrade")
    contents = [b"", b"\0\xff" * 10, os.urandom(3 * 2**20), os.urandom(2**20)]
    by_digest = {digest(content): content for content in contents}
    files = current_services().files
    for _ in range(2):
        files.put(db.session(), map(content_of, contents))
        db.session.commit()
    db.session.remove()
    assert {name: files.content(name, 0).read() for name in by_digest} == by_digest
    assert db.session.scalar(sa.select(sa.func.count(Blob.sha256))) == len(contents)


def test_names_are_compared_by_bytes(app: Flask) -> None:
    flask(app, "db upgrade")
    names = ["strasse", "STRASSE", "straße", "strasse ", "résumé", "resume", "🤗"]
    db.session.add_all(Realm(name=name) for name in names)
    db.session.commit()
    for name in names:
        assert db.session.scalars(sa.select(Realm.name).where(Realm.name == name)).all() == [name]


def test_an_idle_transaction_loses_its_locks(app: Flask) -> None:
    if db.engine.dialect.name == "sqlite":
        return  # its locks end with the process
    flask(app, "create-db")
    change = sa.update(User).values(active=False)
    engine = sa.create_engine(db.engine.url, poolclass=sa.NullPool)
    limit_idle_transactions(engine, 1)
    with engine.connect() as frozen:
        frozen.execute(change)
        begun = time.monotonic()
        with db.engine.begin() as other:
            other.execute(change)
        assert time.monotonic() - begun < 30
        with pytest.raises(sa.exc.DBAPIError):
            frozen.execute(change)
        frozen.invalidate()
