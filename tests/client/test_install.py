"""Both distributions as installed: the client alone, and with the server."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

import httpx
import pytest

from tests.support.services import PASSWORD, PROJECT, Client, Process

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


@pytest.fixture
def wheels(tmp_path: Path) -> list[Path]:
    """Both wheels, built from this clone."""
    folder, source = tmp_path / "dist", tmp_path / "source"
    for name in ("assembler_runner", "client", "plugins", "migrations"):
        shutil.copytree(
            PROJECT / name, source / name, ignore=shutil.ignore_patterns("build", "__pycache__", "*.egg-info")
        )
    for name in ("pyproject.toml", "setup.py", "MANIFEST.in", "README.md", "LICENSE"):
        shutil.copy(PROJECT / name, source)
    for path in PROJECT.glob("requirements*.in"):
        shutil.copy(path, source)
    options = ("--quiet", "--disable-pip-version-check", "--no-build-isolation", "--no-deps", "--no-index")
    command = [sys.executable, "-m", "pip", "wheel", *options, "--wheel-dir", str(folder), str(source / "client")]
    subprocess.run([*command, str(source)], check=True, timeout=300)
    return sorted(folder.glob("*.whl"))


def test_wheels_need_no_clone(environment: Path, wheels: list[Path], tmp_path: Path) -> None:
    assert [wheel.name.partition("-")[0] for wheel in wheels] == ["assembler_client", "assembler_runner"]
    run(environment, "python", "-m", "pip", "install", "--quiet", "--no-deps", "--no-index", *map(str, wheels))
    assert run(environment, "assembler", "--version").startswith("assembler")
    empty = tmp_path / "empty"
    empty.mkdir()
    program = str(environment / "bin" / "assembler")
    with Process("serve", "--port", "0", program=program, folder=empty, ADMIN_PASSWORD=PASSWORD) as service:
        url = service.wait_for_line(r"Assembler is ready at (http://\S+)")[1]
        assert {path.name for path in empty.iterdir()} == {"instance"}
        with Client(url) as client:
            types = {each["name"]: each for each in client.get("/space-types")["data"]}
            assert set(types) == {"docker", "gradio", "static", "streamlit"}
            assert {each["name"] for each in types["gradio"]["templates"]} == {"chat", "image", "text"}
            body = {"space_type": "static", "files": {"index.html": "x"}, "name": "built"}
            made = client.post("/spaces", body)
            assert client.wait(made["latest_request"]["id"])["status"] == "succeeded"
        german = httpx.get(f"{url}/ui/login", headers={"Accept-Language": "de"})
        assert "Anmelden" in german.text
        style = re.search(r'href="(/[^"]+\.css)"', german.text)
        assert style
        assert httpx.get(f"{url}{style[1]}").status_code == 200
        assert service.stop() == 0
    assert "assembler/SKILL.md" in run(environment, "assembler", "skill", "install")
