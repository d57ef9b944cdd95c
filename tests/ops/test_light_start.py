"""A fast start with little memory: a ready service has imported only the modules it uses."""

from __future__ import annotations

import gc
import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier

import pytest
import sqlalchemy as sa
from alembic.script import ScriptDirectory
from click.testing import CliRunner
from flask import Flask
from flask_migrate import upgrade

from assembler_runner.app import MIGRATIONS, create_app
from assembler_runner.core.database import db
from assembler_runner.core.settings import load
from assembler_runner.ops.cli.main import cli
from assembler_runner.ops.migration_lock import is_at_newest
from tests.conftest import SECRETS, MakeService
from tests.support.services import PASSWORD, Process

NOT_LOADED = {
    "ahocorasick_rs": "for the first files that are checked",
    "alembic": "for migrations",
    "assembler_runner.mcp.protocol": "for the first message of an agent",
    "assembler_runner.publishing.pipeline": "for the first request that is published",
    "boto3": "for contents in S3",
    "dulwich": "for the first Space in this service's own folder",
    "flask_migrate": "for migrations",
    "httpx": "for the first container",
    "httpx2": "for the first call of the Hub",
    "huggingface_hub": "for the first call of the Hub",
    "mako": "for migrations",
    "opentelemetry": "for traces, where they are asked for",
    "psycopg": "for PostgreSQL",
    "pymysql": "for MariaDB",
    "redis": "for Redis",
    "tree_sitter": "for the first Python files that are checked",
    "urllib3": "for the first webhook",
}
"""Module → the feature that imports it."""
READY = "Assembler is ready at"
NEWEST = max(path.name for path in (MIGRATIONS / "versions").glob("*.py"))[:4]


def serve(instance: Path, *options: str, **settings: str) -> Process:
    command = (*options, "-m", "assembler_runner", "serve", "--port", "0", "--instance", str(instance))
    return Process(*command, ADMIN_PASSWORD=PASSWORD, **settings)


def loaded(log: str) -> set[str]:
    """Returns the modules in the log of `python -X importtime`."""
    return set(re.findall(r"^import time:[ \d|]*\| +(\S+)$", log, re.MULTILINE))


def test_a_ready_service_has_imported_only_used_modules(tmp_path: Path) -> None:
    with serve(tmp_path) as first:
        first.wait_for_line(READY)
    with serve(tmp_path, "-X", "importtime") as second:
        second.wait_for_line(READY)
        modules = loaded(second.log)
    assert {"flask", "celery", "assembler_runner.ops.serve"} <= modules
    assert modules & set(NOT_LOADED) == set()


@pytest.fixture
def app(tmp_path: Path) -> Iterator[Flask]:
    """An application on the database of a new instance folder."""
    app = create_app(load({}, **SECRETS), tmp_path)
    with app.app_context():
        yield app
        db.session.remove()
        db.engine.dispose()


def revisions() -> list[str]:
    with db.engine.connect() as connection:
        return list(connection.scalars(sa.text("SELECT version_num FROM alembic_version")))


def stand_at(*names: str) -> None:
    with db.engine.begin() as connection:
        connection.exec_driver_sql("DELETE FROM alembic_version")
        for name in names:
            connection.exec_driver_sql(f"INSERT INTO alembic_version VALUES ('{name}')")


def test_names_of_migrations_begin_with_their_revisions_in_order() -> None:
    scripts = ScriptDirectory(str(MIGRATIONS))
    in_order = [script.revision for script in scripts.walk_revisions()][::-1]
    assert in_order == sorted(path.name.partition("_")[0] for path in (MIGRATIONS / "versions").glob("*.py"))
    assert scripts.get_heads() == [NEWEST]


def test_only_a_database_at_the_newest_revision_needs_no_alembic(app: Flask) -> None:
    assert not is_at_newest(db.engine, MIGRATIONS)
    upgrade(revision="0008")
    assert not is_at_newest(db.engine, MIGRATIONS)
    upgrade()
    assert is_at_newest(db.engine, MIGRATIONS)
    for names in ([], ["0001"], ["9999"], ["0008", NEWEST]):
        stand_at(*names)
        assert not is_at_newest(db.engine, MIGRATIONS), names


def test_a_database_that_cannot_be_opened_is_reported(tmp_path: Path) -> None:
    with serve(tmp_path, SQLALCHEMY_DATABASE_URI=f"sqlite:///{tmp_path / 'not' / 'there.db'}") as process:
        assert process.wait() == 1
        assert "Error: The database cannot be used: unable to open database file" in process.log


def test_an_older_database_is_migrated_by_the_start(app: Flask, tmp_path: Path) -> None:
    upgrade(revision="0008")
    with serve(tmp_path) as process:
        process.wait_for_line(READY)
        assert revisions() == [NEWEST]


def test_a_database_of_a_newer_version_is_rejected(app: Flask, tmp_path: Path) -> None:
    upgrade()
    stand_at("9999")
    with serve(tmp_path) as process:
        assert process.wait() == 1
        assert "Can't locate revision identified by '9999'" in process.log
    assert revisions() == ["9999"]


def test_garbage_collection_is_enabled_after_a_failed_start(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    done = CliRunner().invoke(cli, ["serve", "--instance", str(tmp_path / "file" / "folder")])
    assert (done.exit_code, gc.isenabled()) == (1, True)


def test_concurrent_first_calls_get_the_whole_document(make_service: MakeService) -> None:
    service, callers = make_service(), 4
    together = Barrier(callers)

    def ask(_: int) -> bytes:
        client = service.app.test_client()
        together.wait()
        return bytes(client.get("/api-spec.json").data)

    with ThreadPoolExecutor(callers) as pool:
        first, *others = pool.map(ask, range(callers))
    assert b'"/spaces/{space_id}"' in first
    assert b'"GradioOptions"' in first
    assert all(other == first for other in others)
