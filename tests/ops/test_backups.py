"""A backup of the running service, restored completely into every database."""

from __future__ import annotations

import gzip
import json
import os
import re
import tarfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from click.testing import CliRunner, Result

from assembler_runner.app import create_app
from assembler_runner.core.database import db
from assembler_runner.core.settings import SETTINGS
from assembler_runner.ops.cli.main import cli
from assembler_runner.ops.serve import settings_of
from assembler_runner.publishing.pipeline import run
from assembler_runner.services import EXTENSION
from assembler_runner.spaces.models import Event, SpaceRequest
from tests.support.services import PASSWORD, Client, Process, mariadb_database, postgres_database

SERVE = ("-m", "assembler_runner", "serve", "--port", "0", "--instance")
KEYS = {
    "SECRET_KEY": "the key of the backup tests, 0123456789",
    "JWT_SECRET_KEY": "another key of the backup tests, 987654",
    "ADMIN_PASSWORD": PASSWORD,
}


@contextmanager
def sqlite_database() -> Iterator[str]:
    yield ""


DATABASES = {"sqlite": sqlite_database, "postgresql": postgres_database, "mariadb": mariadb_database}


@pytest.fixture
def assembler(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    """The command, isolated from the environment."""
    for row in SETTINGS:
        monkeypatch.delenv(row.name, raising=False)

    def call(*arguments: str, code: int = 0, **settings: str) -> Result:
        result = CliRunner().invoke(cli, arguments, env=settings, catch_exceptions=code != 0)
        assert result.exit_code == code, result.output or result.exception
        return result

    return call


def fill(client: Client) -> dict[str, Any]:
    """Creates objects of most kinds; returns their representation in the API."""
    one = client.submit("one-static")
    client.wait(one)
    bucket = client.post("/storage/buckets", {"name": "kept"})
    client.post("/auth/robots", {"name": "bot"})
    client.post("/webhooks", {"url": "https://example.org/hook", "event_types": ["failed"]})
    assert bucket["name"] == "kept"
    return look(client)


def look(client: Client) -> dict[str, Any]:
    """Returns the representation of all objects in the API."""
    shown = {}
    for path in ("/spaces", "/requests", "/storage/buckets", "/auth/robots", "/auth/users", "/webhooks"):
        shown[path] = client.get(path)["data"]
    for request in shown["/requests"]:
        shown[request["id"]] = client.get(f"/requests/{request['id']}/events")["data"]
    for each in shown["/spaces"]:
        # Changed by the poller.
        each.pop("state_checked_at", None)
    return shown


def without_address(shown: Any) -> str:
    """Returns the value without the port, which changes with every start."""
    return re.sub(r"http://127\.0\.0\.1:\d+", "", json.dumps(shown))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("source", "goal"),
    [("sqlite", "postgresql"), ("postgresql", "mariadb"), ("mariadb", "sqlite"), ("sqlite", "sqlite")],
)
def test_everything_is_restored_into_any_database(
    assembler: Callable[..., Result], tmp_path: Path, source: str, goal: str
) -> None:
    file, first, second = tmp_path / "all.backup", tmp_path / "first", tmp_path / "second"
    with DATABASES[source]() as from_url, DATABASES[goal]() as to_url:
        from_settings = KEYS | ({"SQLALCHEMY_DATABASE_URI": from_url} if from_url else {})
        to_settings = KEYS | ({"SQLALCHEMY_DATABASE_URI": to_url} if to_url else {})
        with Process(*SERVE, str(first), **from_settings) as process:
            url = process.wait_for_line(r"Assembler is ready at (http://\S+)")[1]
            with Client(url) as client:
                before = fill(client)
            page = before["/spaces"][0]["url"].replace(url, "")
            output = assembler("backup", str(file), "--instance", str(first), **from_settings).output
            assert re.match(r"Wrote .*: \d+ rows, \d+ contents, \d+ files of local Spaces", output)
            assert process.stop() == 0
        assert file.stat().st_mode & 0o777 == 0o600
        assert KEYS["SECRET_KEY"] not in gzip.decompress(file.read_bytes()).decode("latin-1")
        # Also into another file store: contents are copied by digest.
        to_settings |= {"DEFAULT_FILE_STORE": "local_filesystem"}
        assembler("restore", str(file), "--instance", str(second), **to_settings)
        with Process(*SERVE, str(second), **to_settings) as process:
            url = process.wait_for_line(r"Assembler is ready at (http://\S+)")[1]
            with Client(url) as client:
                after = look(client)
                assert {key: without_address(value) for key, value in after.items()} == {
                    key: without_address(value) for key, value in before.items()
                }
                assert client._http.get(f"{page}/live/").status_code == 200
                # New event numbers follow the old ones, and all tables can be written.
                assert client.wait(client.submit("two-static"))["status"] == "succeeded"
            assert process.stop() == 0


@pytest.fixture
def kept(tmp_path: Path, assembler: Callable[..., Result]) -> Path:
    """A backup of a small installation, without a running service."""
    instance = tmp_path / "first"
    assembler("user", "create", "ann", "--instance", str(instance), **KEYS)
    file = tmp_path / "all.backup"
    assembler("backup", str(file), "--instance", str(instance), **KEYS)
    return file


def test_existing_data_is_not_overwritten(assembler: Callable[..., Result], kept: Path, tmp_path: Path) -> None:
    refused = assembler("restore", str(kept), "--instance", str(tmp_path / "first"), code=1, **KEYS)
    assert "not empty" in refused.output
    folder = tmp_path / "second" / "spaces" / "somebody"
    folder.mkdir(parents=True)
    refused = assembler("restore", str(kept), "--instance", str(tmp_path / "second"), code=1, **KEYS)
    assert "There are local Spaces" in refused.output


def test_another_key_is_detected(assembler: Callable[..., Result], kept: Path, tmp_path: Path) -> None:
    other = KEYS | {"SECRET_KEY": "quite another key of the tests 0123456789"}
    goal = ("--instance", str(tmp_path / "second"))
    assert "SECRET_KEY is not that" in assembler("restore", str(kept), *goal, code=1, **other).output
    rotated = other | {"OLD_SECRET_KEYS": KEYS["SECRET_KEY"]}
    assembler("restore", str(kept), *goal, **rotated)
    assert "--other-key" not in assembler("restore", "--help").output.partition("Options")[0]
    assembler("restore", str(kept), "--instance", str(tmp_path / "third"), "--other-key", **other)


@pytest.mark.parametrize("damage", ["cut", "noise", "changed", "empty", "other"])
def test_a_damaged_backup_is_rejected(
    assembler: Callable[..., Result], kept: Path, tmp_path: Path, damage: str
) -> None:
    data = kept.read_bytes()
    if damage == "cut":
        kept.write_bytes(data[: len(data) // 2])
    elif damage == "noise":
        kept.write_bytes(os.urandom(2000))
    elif damage == "changed":
        middle = len(data) // 2
        kept.write_bytes(
            data[:middle] + bytes(byte ^ 0xFF for byte in data[middle : middle + 20]) + data[middle + 20 :]
        )
    elif damage == "empty":
        kept.write_bytes(b"")
    else:
        with tarfile.open(kept, "w:gz") as archive:
            archive.add(__file__, "something.py")
    refused = assembler("restore", str(kept), "--instance", str(tmp_path / "second"), code=1, **KEYS)
    assert refused.output.startswith("Error: "), refused.output
    assert not (tmp_path / "second" / "assembler.db").exists() or "Traceback" not in refused.output


def test_restoring_into_a_running_service_is_rejected(
    assembler: Callable[..., Result], kept: Path, tmp_path: Path
) -> None:
    with Process(*SERVE, str(tmp_path / "second"), **KEYS) as process:
        process.wait_for_line("Assembler is ready")
        refused = assembler("restore", str(kept), "--instance", str(tmp_path / "second"), code=1, **KEYS)
        assert "Another Assembler is using" in refused.output
        process.stop()


def test_doctor_reports_problems(assembler: Callable[..., Result], tmp_path: Path) -> None:
    instance = ("--instance", str(tmp_path / "own"))
    output = assembler("doctor", *instance, code=1, **KEYS).output
    assert "ERROR   migrations: the database is without tables" in output
    assert "flask db upgrade" in output
    assembler("user", "create", "ann", *instance, **KEYS)
    output = assembler("doctor", *instance, **KEYS).output
    assert output.endswith(("Everything works.\n", "It works; see the warnings.\n"))
    assert "ERROR" not in output
    for part in ("settings", "database", "migrations", "queue", "file store", "broker", "plugins", "hub"):
        assert f"ok      {part}: " in output
    broken = tmp_path / "plugins" / "broken"
    broken.mkdir(parents=True)
    (broken / "__init__.py").write_text("import nothing_of_that_name\n")
    settings = {
        "PLUGIN_FOLDERS": str(broken.parent),
        "BROKER_URL": "redis://127.0.0.1:1/0",
        "HF_TOKEN": "hf_nobodynobody",
        "HF_ENDPOINT": "http://127.0.0.1:1",
        "HUB_TIMEOUT": "1",
    }
    output = assembler("doctor", *instance, code=1, **KEYS, **settings).output
    assert "ERROR   broker: redis does not respond" in output
    assert "ERROR   plugins: broken (" in output
    assert "ERROR   hub: http://127.0.0.1:1: The Hub did not respond." in output
    assert "hf_nobodynobody" not in output
    away = {"SQLALCHEMY_DATABASE_URI": "postgresql+psycopg://me:opensesame@127.0.0.1:1/none"}
    output = assembler("doctor", *instance, code=1, **KEYS, **away).output
    assert "ERROR   database: postgresql+psycopg://me:***@127.0.0.1:1/none does not respond" in output


def test_requests_are_listed_and_queued_again(assembler: Callable[..., Result], tmp_path: Path) -> None:
    instance = tmp_path / "own"
    options = ("--instance", str(instance))
    assembler("user", "create", "ann", *options, **KEYS)
    os.environ.update(KEYS)
    try:
        app = create_app(settings_of(instance), instance)
    finally:
        for name in KEYS:
            del os.environ[name]
    client = app.test_client()
    body = {"grant_type": "password", "username": "admin", "password": PASSWORD}
    token = client.post("/auth/token", json=body).json["access_token"]
    asked = client.post(
        "/spaces",
        json={"files": {"index.html": "x"}, "space_type": "static", "name": "one"},
        headers={"Authorization": f"Bearer {token}"},
    ).json["latest_request"]["id"]
    with app.app_context():
        failed = {"status": "failed", "error": {"code": "payment_required", "message": "It costs.", "hint": None}}
        db.session.execute(sa.update(SpaceRequest).values(failed))
        db.session.commit()
    output = assembler("requests", "list", *options, **KEYS).output
    assert re.fullmatch(rf"{asked}  failed     \S+  local/one  payment_required: It costs.\n", output)
    assert assembler("requests", "list", "--status", "queued", *options, **KEYS).output == ""
    assert assembler("requests", "list", "--code", "other", *options, **KEYS).output == ""
    assert assembler("requests", "requeue", "--code", "other", *options, **KEYS).output == ""
    assert assembler("requests", "requeue", "--failed", *options, **KEYS).output == f"{asked}  queued again\n"
    assert assembler("requests", "requeue", asked, *options, **KEYS).output == f"{asked}  runs now\n"
    with app.app_context():
        assert run(app.extensions[EXTENSION], asked)
        assert "succeeded" in db.session.scalars(sa.select(Event.type)).all()
    output = assembler("requests", "requeue", asked, "nothing", *options, code=1, **KEYS).output
    assert f"{asked}  refused: The request is succeeded." in output
    assert "nothing  refused: There is no request with this id." in output
    assembler("requests", "requeue", *options, code=2, **KEYS)
    with app.app_context():
        db.session.remove()
        db.engine.dispose()
