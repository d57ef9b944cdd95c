"""Databases of released versions are upgraded and lose nothing; and go back, where an operator must."""

from __future__ import annotations

import gzip
import json
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
import sqlalchemy as sa

from assembler_runner.app import create_app
from assembler_runner.core.database import db
from assembler_runner.core.settings import load
from assembler_runner.devhub import StandInHub
from tests.ops.released.fill import ADA, KEYS, LISTS, call
from tests.support.services import (
    FINISHED,
    PASSWORD,
    Client,
    Process,
    mariadb_database,
    postgres_database,
    run_flask,
    wait_until,
)

RELEASED = Path(__file__).parent / "released"
VERSIONS = {"0.1.0": "0010"}
"""Version → its newest migration; docs/upgrading.md lists the same."""
KINDS = ["sqlite", "postgresql", "mariadb"]


@contextmanager
def restored(version: str, kind: str, folder: Path) -> Iterator[tuple[Path, str]]:
    """What a version left behind; yields the instance folder, and the URI of the database."""
    instance = folder / "instance"
    instance.mkdir()
    if kind == "sqlite":
        with tarfile.open(RELEASED / version / "instance.tar.gz") as archive:
            archive.extractall(instance, filter="data")
        yield instance, f"sqlite:///{instance / 'assembler.db'}"
        return
    (instance / "secrets.json").write_text(json.dumps(KEYS))
    script = gzip.decompress((RELEASED / version / f"{kind}.sql.gz").read_bytes()).decode()
    with (postgres_database if kind == "postgresql" else mariadb_database)() as uri:
        engine = sa.create_engine(uri, poolclass=sa.NullPool)
        with engine.begin() as connection:
            for statement in _statements(script, kind):
                connection.exec_driver_sql(statement)
        yield instance, uri


def _statements(script: str, kind: str) -> list[str]:
    if kind == "postgresql":
        # Lines with a backslash are for psql.
        return ["".join(line for line in script.splitlines(True) if not line.startswith("\\"))]
    return [part.strip().replace("%", "%%") for part in script.split(";\n") if part.strip()]


def rows(uri: str) -> dict[str, list[tuple[Any, ...]]]:
    """All rows of all tables, apart from the version of the schema."""
    engine = sa.create_engine(uri, poolclass=sa.NullPool)
    found = {}
    with engine.connect() as connection:
        for table in sa.inspect(engine).get_table_names():
            if table != "alembic_version":
                quoted = engine.dialect.identifier_preparer.quote(table)
                listed = connection.exec_driver_sql(f"SELECT * FROM {quoted}").mappings()
                found[table] = sorted(
                    tuple(sorted((name, str(value)) for name, value in row.items())) for row in listed
                )
    return found


def migrate(instance: Path, uri: str, *command: str) -> None:
    app = create_app(load({}, **KEYS, SQLALCHEMY_DATABASE_URI=uri), instance)
    done = run_flask(app, "db", *command)
    assert done.exit_code == 0, (done.output, done.exception)
    with app.app_context():
        db.session.remove()
        db.engine.dispose()


def test_every_released_version_is_documented() -> None:
    page = (Path(__file__).parents[2] / "docs" / "upgrading.md").read_text(encoding="utf-8")
    assert {path.name for path in RELEASED.iterdir() if path.name[0].isdigit()} == set(VERSIONS)
    for version, migration in VERSIONS.items():
        assert f"| {version} | `{migration}` |" in page


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("version", VERSIONS)
def test_a_released_database_goes_up_and_back_without_a_loss(version: str, kind: str, tmp_path: Path) -> None:
    with restored(version, kind, tmp_path) as (instance, uri):
        before = rows(uri)
        assert len(before["spaces"]) == 4
        migrate(instance, uri, "upgrade")
        assert {table: len(found) for table, found in rows(uri).items() if table in before} == {
            table: len(found) for table, found in before.items()
        }
        migrate(instance, uri, "downgrade", VERSIONS[version])
        assert rows(uri) == before


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("version", VERSIONS)
def test_the_service_carries_on_with_a_released_database(
    version: str, kind: str, tmp_path: Path, hub: StandInHub
) -> None:
    kept = json.loads((RELEASED / version / f"{kind}.json").read_text())
    with restored(version, kind, tmp_path) as (instance, uri):
        settings = {"HF_ENDPOINT": hub.url, "HF_TOKEN": "hf_alice", "DEFAULT_TARGET": "local", "RESEND_SECONDS": "1"}
        if kind != "sqlite":
            settings["SQLALCHEMY_DATABASE_URI"] = uri
        arguments = ("-m", "assembler_runner", "serve", "--port", "0", "--instance", str(instance))
        with Process(*arguments, **settings) as service:
            url = service.wait_for_line(r"ready at (\S+)")[1]
            old = kept["login"]["access_token"]
            assert {path: call(url, old, "GET", path)["meta"]["total"] for path in LISTS} == kept["totals"]
            renewed = {"grant_type": "refresh_token", "refresh_token": kept["ada"]["refresh_token"]}
            assert call(url, "", "POST", "/auth/token", renewed)["access_token"]
            assert call(url, "", "POST", "/auth/token", ADA)["access_token"]
            robot = {"grant_type": "robot_credentials", **kept["robot"]}
            assert call(url, "", "POST", "/auth/token", robot)["access_token"]
            with Client(url, PASSWORD) as admin:
                waiting = wait_until(lambda: _ended(admin, kept["waiting"]), "the waiting request has ended")
                assert waiting["status"] == "succeeded", waiting["error"]
                _check_site(admin, url, kept["site"], kind)
            assert service.stop() == 0
    repo = hub.state.repos["space", "alice/waiting"]
    assert repo.secrets["API_KEY"].value == "kept through the upgrade"


def _ended(admin: Client, space: str) -> dict[str, Any] | None:
    found: dict[str, Any] = admin.get(f"/spaces/{space}")["latest_request"]
    return found if found["status"] in FINISHED else None


def _check_site(admin: Client, url: str, site: str, kind: str) -> None:
    space = admin.get(f"/spaces/{site}")
    assert (space["state"], space["labels"]) == ("running", ["kept"])
    releases = admin.get(f"/spaces/{site}/requests")["data"]
    assert sorted(release["number"] for release in releases) == [1, 2]
    if kind != "sqlite":
        return
    assert "Two" in httpx.get(f"{url}/local/admin/site/live/").text
    first = min(releases, key=lambda release: release["number"])
    sent = admin.post(f"/spaces/{site}/command", {"command": "rollback", "request_id": first["id"]})
    assert admin.wait(sent["id"])["status"] == "succeeded"
    assert "One" in httpx.get(f"{url}/local/admin/site/live/").text
