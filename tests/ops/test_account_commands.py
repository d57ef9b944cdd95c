"""Account commands of the operator on a real instance folder, without a token."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from flask.testing import FlaskClient

from assembler_runner.app import create_app
from assembler_runner.core.database import db
from assembler_runner.core.settings import SETTINGS
from assembler_runner.ops.cli.main import cli
from assembler_runner.ops.serve import settings_of

Run = Callable[..., Result]


@pytest.fixture
def instance(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for row in SETTINGS:
        monkeypatch.delenv(row.name, raising=False)
    return tmp_path / "own"


@pytest.fixture
def run(instance: Path) -> Run:
    def run(*arguments: str, fails: bool = False, stdin: str | None = None) -> Result:
        result = CliRunner().invoke(cli, [*arguments, "--instance", str(instance)], input=stdin)
        assert (result.exit_code != 0) == fails, result.output
        return result

    return run


def logs_in(instance: Path, body: dict[str, str]) -> bool:
    app = create_app(settings_of(instance), instance)
    client: FlaskClient = app.test_client()
    answer = client.post("/auth/token", json=body)
    with app.app_context():
        db.session.remove()
        db.engine.dispose()
    return bool(answer.status_code == 200)


def password(name: str, word: str, realm: str = "master") -> dict[str, str]:
    return {"grant_type": "password", "username": name, "password": word, "realm": realm}


def shown(result: Result) -> str:
    found = re.search(r"shown only now: (\S+)", result.output, re.IGNORECASE)
    assert found, result.output
    return found[1]


def test_first_steps(run: Run, instance: Path) -> None:
    run("realm", "create", "ours")
    assert "ours" in run("realm", "list").output
    word = shown(run("user", "create", "ann", "--realm", "ours", "--role", "realm_admin"))
    assert logs_in(instance, password("ann", word, "ours"))
    listed = [line.split("\t")[1:] for line in run("user", "list").output.splitlines() if "\t" in line]
    assert listed == [["master", "admin", "active", "admin"], ["ours", "ann", "active", "realm_admin"]]
    made = run("robot", "create", "bot", "--realm", "ours").output
    robot_id = re.search(r"Id: (\S+)", made)
    assert robot_id
    secret = re.search(r"now: (\S+)", made)
    assert secret
    grant = {"grant_type": "robot_credentials", "id": robot_id[1], "secret": secret[1]}
    assert logs_in(instance, grant)
    run("robot", "set-secret", "bot", "--realm", "ours")
    assert not logs_in(instance, grant)


def test_lock_outs_can_be_repaired(run: Run, instance: Path) -> None:
    # Even the last account that can manage everything can be disabled here, and enabled again.
    run("user", "set-password", "admin", "--password-stdin", stdin="a new long password\n")
    assert logs_in(instance, password("admin", "a new long password"))
    run("user", "disable", "admin")
    assert not logs_in(instance, password("admin", "a new long password"))
    run("user", "enable", "admin")
    run("user", "revoke", "admin", "admin")
    run("user", "grant", "admin", "admin")
    assert logs_in(instance, password("admin", "a new long password"))
    assert "\tactive\tadmin" in run("user", "list").output


def test_roles(run: Run) -> None:
    run("role", "create", "looker", "--permission", "space_read", "--permission", "plugin_read")
    assert "\t*\tlooker" in run("role", "list").output
    run("user", "create", "ann", "--role", "looker")
    assert "ann\tactive\tlooker" in run("user", "list").output
    run("user", "delete", "ann")
    run("role", "delete", "looker")
    assert "looker" not in run("role", "list").output


def test_secrets_are_rotated(run: Run) -> None:
    assert "Encrypted 0 secrets" in run("secrets", "rotate").output


@pytest.mark.parametrize(("arguments", "message"), [
    (("user", "delete", "nobody"), "There is no user nobody in the realm master."),
    (("user", "create", "a/b"), "name: Must be 1 to 64 letters"),
    (("user", "create", "ann", "--realm", "none"), "There is no realm none."),
    (("user", "grant", "admin", "none"), "There is no role none."),
    (("robot", "revoke", "bot", "member"), "There is no robot bot"),
])  # fmt: skip
def test_mistakes_are_reported(run: Run, arguments: tuple[str, ...], message: str) -> None:
    assert message in run(*arguments, fails=True).output


def test_a_short_password_is_reported(run: Run) -> None:
    result = run("user", "set-password", "admin", "--password-stdin", fails=True, stdin="short\n")
    assert "password: Length must be" in result.output
