"""Both distributions as installed: the client alone, and with the server."""

from __future__ import annotations

import os
import subprocess
import sysconfig
import venv
from pathlib import Path

import pytest

from tests.support.services import PASSWORD, PROJECT

pytestmark = pytest.mark.slow


@pytest.fixture
def environment(tmp_path: Path) -> Path:
    """An environment with the libraries of this one, but without the commands of this project."""
    made = tmp_path / "venv"
    venv.create(made, symlinks=True, with_pip=False)
    (site,) = made.glob("lib/python*/site-packages")
    for library in Path(sysconfig.get_path("purelib")).iterdir():
        if not library.name.startswith(("assembler", "__editable__")):
            (site / library.name).symlink_to(library)
    return made


def run(environment: Path, *command: str, code: int = 0, **environ: str) -> str:
    program = environment / "bin" / command[0]
    ours = {"PATH": os.environ["PATH"], "HOME": str(environment), "LANG": "C.UTF-8", **environ}
    done = subprocess.run(
        [program, *command[1:]], check=False, capture_output=True, text=True, env=ours, cwd=environment, timeout=300
    )
    assert done.returncode == code, (done.stdout, done.stderr)
    return done.stdout


def install(environment: Path, *folders: Path) -> None:
    options = ("--quiet", "--disable-pip-version-check", "--no-build-isolation", "--no-deps", "--no-index")
    named = [part for folder in folders for part in ("-e", str(folder))]
    run(environment, "python", "-m", "pip", "install", *options, *named)


def test_the_client_alone_and_then_with_the_server(environment: Path) -> None:
    install(environment, PROJECT / "client")
    alone = run(environment, "assembler", "--help")
    assert "create " in alone
    assert "serve" not in alone
    run(environment, "assembler", "serve", code=2)
    run(environment, "python", "-c", "import assembler_client, assembler_client.assembler")
    install(environment, PROJECT)
    both = run(environment, "assembler", "--help")
    assert "create " in both
    for name in ("serve", "user", "robot", "realm", "role", "secrets", "plugin"):
        assert f"  {name} " in both
    assert "Run API" in run(environment, "assembler", "serve", "--help")
    made = ("user", "create", "ada", "--password-stdin", "--instance", str(environment / "own"), "--help")
    assert "Usage: assembler user create" in run(environment, "assembler", *made)
    assert "Usage: assembler plugin" in run(environment, "assembler", "plugin", "--help")
    wrong = run(
        environment, "assembler", "user", "list", "--instance", str(environment / "own"), code=1, SECRET_KEY="x"
    )
    assert wrong == ""
    environ = {"ADMIN_PASSWORD": PASSWORD}
    users = run(environment, "assembler", "user", "list", "--instance", str(environment / "own"), **environ)
    assert "\tada\t" not in users


def test_the_server_without_the_client_has_its_commands(environment: Path) -> None:
    install(environment, PROJECT)
    assert "serve" in run(environment, "python", "-m", "assembler_runner", "--help")
