"""Credentials in the addresses of GIT_PLUGINS: used by git, and shown nowhere."""

from __future__ import annotations

import base64
import logging
import shutil
import subprocess
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from assembler_runner.assembly.git_source import PluginSourceError, parse, shown
from assembler_runner.assembly.registry import Registry
from assembler_runner.core.database import db
from assembler_runner.ops.doctor import examine
from tests.assembly.test_git_source import Repository
from tests.conftest import MakeService
from tests.support.people import make_realm, make_user

WORD, TOKEN = "pass" + "word-4711", "tok" + "en-0815"
PROTOCOLS = frozenset({"https", "http", "ssh", "file", "git"})


class GuardedServer:
    """A repository over HTTP (git's dumb protocol) that wants a user name and a password."""

    def __init__(self, folder: Path, user: str, password: str) -> None:
        wanted = "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()
        self.command_lines: list[str] = []
        server = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                if self.headers["Authorization"] != wanted:
                    self.send_response(401)
                    self.send_header("WWW-Authenticate", 'Basic realm="x"')
                    self.send_header("Content-Length", "0")
                    self.end_headers()
                    return
                server.command_lines += command_lines()
                file = folder / self.path.partition("?")[0].lstrip("/")
                found = file.is_file()
                content = file.read_bytes() if found else b""
                self.send_response(200 if found else 404)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, *_: Any) -> None:
                pass

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.address = f"127.0.0.1:{self.http.server_address[1]}"
        self.thread = threading.Thread(target=self.http.serve_forever)
        self.thread.start()


def command_lines() -> list[str]:
    """The command lines of git's processes, as every user of the machine sees them."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            line = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:  # it has ended
            continue
        if "git" in line:
            found.append(line)
    return found


@pytest.fixture
def guarded(tmp_path: Path) -> Iterator[GuardedServer]:
    repository = Repository(tmp_path / "repository")
    served = tmp_path / "served"
    shutil.copytree(repository.folder / ".git", served / "r.git")
    subprocess.run(["git", "--git-dir", str(served / "r.git"), "update-server-info"], check=True)
    server = GuardedServer(served, "u/ser", WORD)
    yield server
    server.http.shutdown()
    server.http.server_close()
    server.thread.join()


def test_git_gets_the_credentials_and_no_command_line_shows_them(guarded: GuardedServer, tmp_path: Path) -> None:
    line = f"git+http://u%2Fser:{WORD}@{guarded.address}/r.git@main#subdirectory=plugins"
    registry = Registry()
    registry.load_git([line], tmp_path / "kept", PROTOCOLS)
    (record,) = registry.records
    assert record.state == "loaded", record.error
    assert guarded.address in record.source
    assert any("fetch" in command for command in guarded.command_lines)
    assert not [command for command in guarded.command_lines if WORD in command]
    assert WORD not in repr(registry.records)
    kept = [path for path in (tmp_path / "kept").rglob("*") if path.is_file() and WORD.encode() in path.read_bytes()]
    assert kept == []


def test_wrong_credentials_are_not_in_the_error(guarded: GuardedServer, tmp_path: Path) -> None:
    registry = Registry()
    registry.load_git([f"git+http://{TOKEN}@{guarded.address}/r.git"], tmp_path / "kept", PROTOCOLS)
    (record,) = registry.records
    assert record.state == "broken"
    assert TOKEN not in repr(record)


LINES = [
    f"git+https://user:{WORD}@127.0.0.1:1/r.git@v1",
    f"git+https://{WORD}@127.0.0.1:1/r.git",
    f"git+https://user:{WORD}@127.0.0.1:1",
    f"git+https://user:a@{WORD}@127.0.0.1:1/r.git",
    f"git+https://user:a/{WORD}@127.0.0.1:1/r.git",
    f"git+https://user:{WORD}@/r.git",
    f"git+https://user:{WORD}@-host/r.git",
    f"git+https://user:{WORD}%0A@127.0.0.1:1/r.git",
    f"git+https://user:{WORD}@127.0.0.1:1/r.git@--upload-pack=x",
    f"git+https://user:{WORD}@127.0.0.1:1/r.git#subdirectory=../x",
    f"git+https://127.0.0.1:1/r.git?private_token={WORD}",
    f"git+https://user:{WORD} x@127.0.0.1:1/r.git",
    f"git+ftp://user:{WORD}@127.0.0.1:1/r.git",
    f"git+ssh://git:{WORD}@127.0.0.1:1/r.git",
    f"https://user:{WORD}@127.0.0.1:1/r.git",
    f"user:{WORD}@127.0.0.1:r.git",
]


@pytest.mark.parametrize("line", LINES)
def test_no_form_of_line_shows_its_credentials(line: str, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    registry = Registry()
    registry.load_git([line], tmp_path / "kept", PROTOCOLS)
    assert registry.records
    told = repr(registry.records) + caplog.text + shown(line)
    assert WORD not in told
    try:
        assert WORD not in parse(line, PROTOCOLS).shown
    except PluginSourceError as problem:
        assert WORD not in problem.message


def test_sources_are_shown_only_to_who_manages_realms(
    make_service: MakeService, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.DEBUG):
        service = make_service(GIT_PLUGINS=LINES[0], HF_TOKEN="")
    assert WORD not in caplog.text
    answer = service.get("/plugins")
    assert WORD not in answer.text
    assert "127.0.0.1:1/r.git" in answer.text
    with service.app.app_context():
        found = list(examine(service.services, db.engine))
    assert any("127.0.0.1:1/r.git" in entry.message for entry in found)
    assert WORD not in repr(found)
    seen = make_user(service, "ann", make_realm(service, "other")).get("/plugins")
    assert seen.status_code == 200
    assert "127.0.0.1" not in seen.text
    assert {record["source"] for record in seen.json["data"]} == {None}
