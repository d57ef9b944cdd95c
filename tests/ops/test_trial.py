"""`assembler try`: assembles as the service does, and runs the app on this machine."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from assembler_runner.apps.process_tree import descendants
from tests.conftest import MakeService
from tests.support.services import free_port, wait_until

pytestmark = pytest.mark.slow

SERVER = """\
import http.server, os, subprocess, sys

class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(f"{PARAMS['user']} {os.environ['MODE']} {os.environ.get('OTHER')}".encode())

print("The key is", os.environ["KEY"], flush=True)
subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"], start_new_session=True)
http.server.HTTPServer(("127.0.0.1", int(os.environ["PORT"])), Handler).serve_forever()
"""


class Trial:
    """A running command; its output is one JSON object a line."""

    def __init__(self, cache: Path, *arguments: str) -> None:
        code = "from assembler_client.cli import main; main()"
        self.process = subprocess.Popen(
            [sys.executable, "-c", code, "try", "--json", *arguments],
            env={**os.environ, "XDG_CACHE_HOME": str(cache), "TMPDIR": str(cache), "OTHER": "of the caller"},
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        self.seen: dict[str, list[Any]] = {}

    def until(self, wanted: str) -> Any:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            ((kind, data),) = json.loads(line).items()
            self.seen.setdefault(kind, []).append(data)
            if kind == wanted:
                return data
        raise AssertionError(f"it ended without {wanted}: {self.seen}")

    def end(self) -> int:
        """Reads the rest and returns the exit code."""
        output, _ = self.process.communicate(timeout=60)
        for line in output.splitlines():
            ((kind, data),) = json.loads(line).items()
            self.seen.setdefault(kind, []).append(data)
        return self.process.returncode


@contextmanager
def trial(cache: Path, *arguments: str) -> Iterator[Trial]:
    cache.mkdir(exist_ok=True)
    made = Trial(cache, *arguments)
    try:
        yield made
    finally:
        if made.process.poll() is None:
            made.process.kill()
            made.process.communicate()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "app"
    made.mkdir()
    (made / "app.py").write_text(SERVER)
    (made / "requirements.txt").write_text("")
    return made


def options(port: int) -> list[str]:
    return ["-t", "docker", "-p", "user=x", "-s", "KEY=a secret value", "-v", "MODE=test", "--port", str(port)]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_app_runs_and_leaves_nothing(tmp_path: Path, folder: Path, number: int) -> None:
    port = free_port()
    before = sorted(folder.iterdir())
    with trial(tmp_path / "cache", str(folder), *options(port)) as running:
        assert running.until("ready") == f"http://127.0.0.1:{port}"
        assert httpx.get(f"http://127.0.0.1:{port}").text == "x test None"
        below = descendants(running.process.pid)
        assert len(below) >= 2
        running.process.send_signal(number)
        assert running.end() == 130
    assert "The key is [secret]" in running.seen["log"]
    assert sorted(folder.iterdir()) == before
    assert [path.name for path in (tmp_path / "cache").iterdir()] == ["assembler"]
    wait_until(lambda: not [pid for pid in below if Path(f"/proc/{pid}").exists()], "all processes have ended")
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"http://127.0.0.1:{port}")


def test_what_runs_is_what_the_service_would_publish(tmp_path: Path, folder: Path, make_service: MakeService) -> None:
    (folder / "app.py").write_text(
        "import hashlib, http.server, json, os, pathlib\n"
        "files = [path for path in pathlib.Path('.').rglob('*') if path.is_file()]\n"
        "hashes = {str(path): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}\n"
        "print('tree', json.dumps(hashes))\nprint(PARAMS)\nraise SystemExit(3)\n"
    )
    archive = tmp_path / "app.tar.gz"
    with tarfile.open(archive, "w:gz") as packed:
        packed.add(folder, "app")
    files = {path.name: path.read_text() for path in folder.iterdir()}
    body = {"space_type": "docker", "files": files, "parameters": {"user": "x"}, "target": "local"}
    shown = make_service().post("/spaces/preview", body).json
    for source in (folder, archive):
        with trial(tmp_path / "cache", str(source), *options(free_port())) as running:
            problem = running.until("problem")
            assert running.end() == 4
        (line,) = [line for line in running.seen["log"] if line.startswith("tree ")]
        assert json.loads(line[5:]) == {file["path"]: file["sha256"] for file in shown["files"]}
        assert problem["code"] != "unknown" or problem["message"]


def test_a_failure_is_diagnosed(tmp_path: Path, folder: Path) -> None:
    (folder / "app.py").write_text("import cv2\n")
    with trial(tmp_path / "cache", str(folder), *options(free_port())) as running:
        problem = running.until("problem")
        assert running.end() == 4
    assert problem["code"] == "missing_module" and problem["fix"]["edits"][0]["path"] == "requirements.txt"
    assert (problem["path"], problem["excerpt"]["kind"]) == ("requirements.txt", "run")


def test_requirements_that_cannot_be_installed(tmp_path: Path, folder: Path) -> None:
    (folder / "requirements.txt").write_text("./bad-1.0-py3-none-any.whl\n")
    (folder / "bad-1.0-py3-none-any.whl").write_text("no archive")
    with trial(tmp_path / "cache", str(folder), *options(free_port())) as running:
        problem = running.until("problem")
        assert running.end() == 4
    assert problem["excerpt"]["kind"] == "build"
    environments = tmp_path / "cache" / "assembler" / "environments"
    assert [path for path in environments.iterdir() if path.is_dir() and (path / "bin").exists()] == []
    assert list((environments / "aside").iterdir()) == []


def test_a_static_space_is_served(tmp_path: Path) -> None:
    port = free_port()
    with trial(tmp_path / "cache", "-t", "static", "--template", "landing", "--port", str(port)) as running:
        address = running.until("ready")
        assert "Welcome" in httpx.get(f"{address}/params.js").text
        assert httpx.get(address).status_code == 200
        running.process.send_signal(signal.SIGINT)
        assert running.end() == 130


def test_invalid_input_is_refused(tmp_path: Path, folder: Path) -> None:
    with trial(tmp_path / "cache", str(folder), "-t", "nonsense") as running:
        findings = running.until("findings")
        assert running.end() == 3
    assert [finding["code"] for finding in findings] == ["unknown_space_type"]


def test_what_needs_a_container_is_not_run(tmp_path: Path) -> None:
    with trial(tmp_path / "cache", "-t", "docker", "--template", "node") as running:
        assert running.until("problem")["code"] == "needs_container"
        assert running.end() == 4


def test_a_port_in_use_is_named(tmp_path: Path, folder: Path) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        with trial(tmp_path / "cache", str(folder), *options(other.getsockname()[1])) as running:
            assert running.until("problem")["code"] == "port_in_use"
            assert running.end() == 4
