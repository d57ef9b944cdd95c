"""A failed start outside `assembler serve` prints one clear message and no traceback."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from assembler_runner.app import create_app
from assembler_runner.core.database import db
from assembler_runner.core.errors import SettingsError
from assembler_runner.core.settings import load, public_values
from tests.conftest import SECRETS

ROOT = Path(__file__).parent.parent.parent
GOOD = "a-long-and-varied-key-for-tests-0123456789"
STARTS = {
    "flask run": ["-m", "flask", "--app", "assembler_runner.app:create_app", "run", "--port", "0"],
    "wsgi": ["-c", "import assembler_runner.wsgi"],
    "worker": ["-c", "import assembler_runner.ops.celery_worker"],
}


@pytest.mark.parametrize("start", sorted(STARTS))
@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({}, "SECRET_KEY and JWT_SECRET_KEY must be set"),
        ({"SECRET_KEY": GOOD, "JWT_SECRET_KEY": "x" * 40}, "JWT_SECRET_KEY is too weak"),
        ({"SECRET_KEY": GOOD, "JWT_SECRET_KEY": GOOD, "ADMIN_PASSWORD": "short"}, "ADMIN_PASSWORD is too short"),
        ({"SECRET_KEY": GOOD, "JWT_SECRET_KEY": GOOD, "CONCURRENCY": "many"}, "CONCURRENCY must be a whole number"),
    ],
)
def test_a_failed_start_prints_one_message(start: str, settings: dict[str, str], message: str) -> None:
    clean = {name: value for name, value in os.environ.items() if name in ("PATH", "HOME", "LANG")}
    command = [sys.executable, *STARTS[start]]
    done = subprocess.run(
        command, check=False, cwd=ROOT, env=clean | settings, capture_output=True, text=True, timeout=60
    )
    assert done.returncode != 0
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    assert "x" * 40 not in done.stderr


def test_the_database_is_private_where_the_folder_existed(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    database = tmp_path / "assembler.db"
    before = os.umask(0)
    try:
        database.touch(0o644)
        app = create_app(load({}, **SECRETS), tmp_path)
    finally:
        os.umask(before)
    assert stat.S_IMODE(database.stat().st_mode) == 0o600
    with app.app_context():
        db.create_all()
        assert {stat.S_IMODE(path.stat().st_mode) for path in tmp_path.glob("assembler.db*")} == {0o600}
        db.engine.dispose()


ISSUER = {"OIDC_ISSUER": "https://id.example.org", "OIDC_CLIENT_ID": "assembler"}


@pytest.mark.parametrize(
    ("given", "named"),
    [
        ({"OIDC_ISSUER": "https://id.example.org"}, ["OIDC_CLIENT_ID"]),
        ({"OIDC_CLIENT_ID": "x", "OIDC_CLIENT_SECRET": "y"}, ["OIDC_CLIENT_ID", "OIDC_CLIENT_SECRET"]),
        (ISSUER | {"OIDC_ISSUER": "http://id.example.org"}, ["OIDC_ISSUER"]),
        (ISSUER | {"OIDC_ISSUER": "https://10.0.0.1"}, ["OIDC_ISSUER"]),
        (ISSUER | {"OIDC_ISSUER": "https://id.example.org/?a=b"}, ["OIDC_ISSUER"]),
        (ISSUER | {"OIDC_SCOPES": "profile"}, ["OIDC_SCOPES"]),
        (ISSUER | {"OIDC_REALM": "", "OIDC_DEFAULT_ROLE": "admin"}, ["OIDC_DEFAULT_ROLE", "OIDC_REALM"]),
        (ISSUER | {"OIDC_REALM": "{hd"}, ["OIDC_REALM"]),
        (ISSUER | {"OIDC_ALLOWED_NETWORKS": "home", "MAX_FILES": "x"}, ["MAX_FILES", "OIDC_ALLOWED_NETWORKS"]),
    ],
)
def test_settings_of_the_sign_in_are_checked_together(given: dict[str, str], named: list[str]) -> None:
    with pytest.raises(SettingsError) as problem:
        load(given)
    assert [issue.path for issue in problem.value.issues] == named


def test_the_client_secret_is_not_shown() -> None:
    settings = load(ISSUER | {"OIDC_CLIENT_SECRET": GOOD, "OIDC_REALM": "team-{hd}"})
    assert GOOD not in str(dict(public_values(settings)))
    assert settings.oidc_name == "Single sign-on"
    assert load(ISSUER | {"OIDC_ISSUER": "https://huggingface.co"}).oidc_name == "Hugging Face"
