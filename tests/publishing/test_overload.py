"""Overload, full disks and slow dependencies: clear responses within seconds, and automatic recovery."""

from __future__ import annotations

import json
import os
import socket
import sqlite3
import subprocess
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from http.client import HTTPResponse
from pathlib import Path
from typing import Any

import httpx
import pytest
import sqlalchemy as sa

from assembler_runner.core.database import db
from assembler_runner.devhub import StandInHub
from assembler_runner.files.content import FileStoreUnavailable
from assembler_runner.files.models import Blob
from assembler_runner.publishing.sweeper import Sweeper
from assembler_runner.publishing.tasks import LastMessage
from assembler_runner.spaces.models import SpaceRequest
from tests.conftest import MakeService, Service
from tests.support.chaos.stage import forget_queue
from tests.support.services import PASSWORD, Client, Process, body_of, free_port, hub_settings, redis_url, wait_until

READY = r"Assembler is ready at (http://\S+)"
ANSWER_SECONDS = 20.0
"""Until a clear answer comes, on a busy machine; callers wait longer."""
BROKER_SECONDS = 5.0
"""What a caller would wait at least for a broker that does not respond."""
LOCKED_SECONDS = 8.0


@pytest.fixture
def hub() -> Iterator[StandInHub]:
    with StandInHub() as hub:
        yield hub


@contextmanager
def served(instance: Path, **settings: str) -> Iterator[tuple[str, Client]]:
    """A service that is ready, and its client."""
    command = ("-m", "assembler_runner", "serve", "--port", "0", "--instance", str(instance))
    with Process(*command, ADMIN_PASSWORD=PASSWORD, RESEND_SECONDS="1", LEASE_SECONDS="3", **settings) as process:
        url = process.wait_for_line(READY)[1]
        with Client(url) as client:
            yield url, client


def ask(url: str, method: str, path: str, body: dict[str, Any] | None = None) -> tuple[httpx.Response, float]:
    """Calls with a token from before the fault; returns the response and its duration in seconds."""
    headers = {"Authorization": f"Bearer {TOKENS[url]}"}
    begun = time.monotonic()
    answer = httpx.request(method, f"{url}{path}", json=body, headers=headers, timeout=30)
    return answer, time.monotonic() - begun


TOKENS: dict[str, str] = {}


def login(url: str) -> None:
    body = {"grant_type": "password", "username": "admin", "password": PASSWORD}
    TOKENS[url] = httpx.post(f"{url}/auth/token", json=body, timeout=30).json()["access_token"]


def assert_clear_503(answer: httpx.Response, seconds: float, *codes: str) -> None:
    assert (answer.status_code, answer.json()["code"] in codes) == (503, True), answer.text
    assert int(answer.headers["Retry-After"]) >= 1
    assert seconds < ANSWER_SECONDS


@pytest.mark.slow
def test_a_locked_database_is_reported_and_retried(tmp_path: Path, hub: StandInHub) -> None:
    hub.settings.latency = 0.3
    with served(tmp_path, **hub_settings(hub)) as (url, client):
        login(url)
        ids = client.submit_all(["before-gradio", "before-static"])
        wait_until(hub.spaces, "work is under way")
        with closing(sqlite3.connect(tmp_path / "assembler.db", isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            free = threading.Event()
            clock = threading.Timer(LOCKED_SECONDS, free.set)
            clock.start()
            answer, seconds = ask(url, "POST", "/spaces", body_of("meanwhile"))
            assert_clear_503(answer, seconds, "database_unavailable")
            # Readers are not affected.
            answer, _ = ask(url, "GET", "/requests")
            assert (answer.status_code, answer.json()["meta"]["total"]) == (200, 2)
            assert ask(url, "GET", "/health/ready")[0].json()["database"] == "ok"
            free.wait()
            other.execute("ROLLBACK")
        ids["after"] = client.submit("after")
        done = client.wait_all(ids)
    assert {request["status"] for request in done.values()} == {"succeeded"}
    assert sorted(hub.spaces()) == sorted(f"alice/{name}" for name in ids)
    assert [len(hub.commits(space)) for space in hub.spaces()] == [1, 1, 1]


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A folder on a disk of 12 MB."""
    if os.geteuid() != 0:
        pytest.skip("only root can mount a small disk")
    folder = tmp_path / "small"
    folder.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=12m", "tmpfs", folder], check=False)
    if mounted.returncode:
        pytest.skip("a small disk cannot be mounted here")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", folder], check=True)


def fill(folder: Path) -> Path:
    """Fills the rest of the disk."""
    filler = folder / "filler"
    with suppress(OSError), filler.open("wb", buffering=0) as file:
        while True:
            file.write(b"x" * 4096)
    return filler


@pytest.mark.slow
@pytest.mark.parametrize("store", ["database", "local_filesystem"])
def test_a_full_disk_is_reported_and_unchanged(small_disk: Path, hub: StandInHub, store: str) -> None:
    hub.settings.latency = 0.3
    big = {"name": "big", "space_type": "static", "files": {"index.html": "x" * 300_000}}
    with served(small_disk, DEFAULT_FILE_STORE=store, **hub_settings(hub)) as (url, client):
        login(url)
        ids = client.submit_all(["before-gradio"])
        wait_until(hub.spaces, "work is under way")
        filler = fill(small_disk)
        for _ in range(3):
            answer, seconds = ask(url, "POST", "/spaces", big)
            assert_clear_503(answer, seconds, "database_unavailable", "file_store_unavailable")
        answer, seconds = ask(url, "GET", "/spaces")
        assert (answer.status_code, [space["name"] for space in answer.json()["data"]]) == (200, ["before-gradio"])
        assert not list(small_disk.glob("files/**/tmp*"))
        filler.unlink()
        answer, seconds = ask(url, "POST", "/spaces", big)
        assert answer.status_code == 202, answer.text
        ids["big"] = answer.json()["latest_request"]["id"]
        done = client.wait_all(ids)
    assert {request["status"] for request in done.values()} == {"succeeded"}
    assert hub.tree("alice/big")["index.html"] == b"x" * 300_000
    assert [len(hub.commits(space)) for space in hub.spaces()] == [1, 1]


def test_a_file_store_that_cannot_be_written_leaves_nothing(
    make_service: MakeService, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    service = make_service(DEFAULT_FILE_STORE="local_filesystem")
    monkeypatch.setattr("assembler_runner.files.folder_store.os.fsync", full)
    answer = service.post("/spaces", body_of("static"))
    assert (answer.status_code, answer.json["code"]) == (503, FileStoreUnavailable.code)
    assert answer.headers["Retry-After"] == "5"
    monkeypatch.undo()
    files = [path for path in (service.services.instance / "files").rglob("*") if path.is_file()]
    assert files == []
    with service.app.app_context():
        assert db.session.query(Blob).count() == 0
    service.submit(name="static")


@contextmanager
def frozen_server() -> Iterator[int]:
    """A port that accepts every connection and never responds."""
    with socket.create_server(("127.0.0.1", 0), backlog=128) as server, ExitStack() as connections:

        def accept() -> None:
            with suppress(OSError):
                while True:
                    connections.enter_context(server.accept()[0])

        thread = threading.Thread(target=accept)
        thread.start()
        try:
            yield server.getsockname()[1]
        finally:
            server.shutdown(socket.SHUT_RDWR)
            thread.join()


@pytest.mark.slow
@pytest.mark.parametrize("scheme", ["redis", "amqp"])
def test_a_frozen_broker_blocks_no_caller(tmp_path: Path, hub: StandInHub, scheme: str) -> None:
    good = redis_url()
    queue = f"assembler-test-{uuid.uuid4().hex[:12]}"
    settings = {
        "SQLALCHEMY_DATABASE_URI": f"sqlite:///{tmp_path / 'frozen.db'}",
        "CELERY_QUEUE": queue,
        "SECRET_KEY": "secret-key-of-the-tests-0123456789",
        "JWT_SECRET_KEY": "jwt-secret-key-of-the-tests-0123456789",
        "ADMIN_PASSWORD": PASSWORD,
        "RESEND_SECONDS": "1",
        **hub_settings(hub),
    }
    address = f"127.0.0.1:{free_port()}"
    url = f"http://{address}"
    with ExitStack() as stack:
        port = stack.enter_context(frozen_server())
        settings["BROKER_URL"] = f"{scheme}://127.0.0.1:{port}//"
        with Process("-m", "flask", "create-db", **settings) as process:
            assert process.wait() == 0, process.log
        gunicorn = ("gunicorn", "--worker-class=gthread", "--threads=4", f"--bind={address}")
        api = stack.enter_context(Process("-m", *gunicorn, "assembler_runner.wsgi:app", **settings))
        api.wait_for_http(f"{url}/health/live")
        login(url)
        ids = {}
        for name in ("one-static", "two-static", "three-static"):
            answer, seconds = ask(url, "POST", "/spaces", body_of(name))
            assert answer.status_code == 202, answer.text
            assert seconds < BROKER_SECONDS
            ids[name] = answer.json()["latest_request"]["id"]
        answer, seconds = ask(url, "GET", "/health/ready")
        assert seconds < ANSWER_SECONDS
        assert (answer.status_code, answer.json()["status"]) == (200, "degraded")
        assert (answer.json()["database"], answer.json()["broker"]) == ("ok", "unavailable")
        celery = ("celery", "--app=assembler_runner.ops.celery_worker:celery", "worker", "--pool=threads")
        stack.callback(forget_queue, good, queue)
        stack.enter_context(Process("-m", *celery, "--without-mingle", **{**settings, "BROKER_URL": good}))
        client = stack.enter_context(Client(url))
        done = client.wait_all(ids)
    assert {request["status"] for request in done.values()} == {"succeeded"}


def test_requests_run_without_a_broker_that_delivers_nothing(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("assembler_runner.publishing.tasks.wakeups.send", lambda request_id: None)
    monkeypatch.setattr("assembler_runner.publishing.tasks.last_message", LastMessage())
    ids = [service.submit()["latest_request"]["id"] for _ in range(3)]
    with service.app.app_context():
        db.session.execute(sa.update(SpaceRequest).values(due_at=0.0))
        db.session.commit()
    sweeper = Sweeper(service.app, 0.1)
    sweeper.start()
    wait_until(lambda: all(service.request(id)["status"] == "succeeded" for id in ids), "all is done", timeout=20)
    sweeper.stop()
    sweeper.join()


LIMIT = 100_000


def post_too_much(url: str, announced: int) -> tuple[int, dict[str, Any]]:
    """Announces a body, sends a part of it, and reads the response."""
    host, _, port = url.removeprefix("http://").partition(":")
    with socket.create_connection((host, int(port)), timeout=30) as connection:
        head = f"POST /spaces HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {TOKENS[url]}\r\n"
        head += f"Content-Type: application/json\r\nContent-Length: {announced}\r\n\r\n"
        connection.sendall(head.encode() + b"{" * 1000)
        return read_answer(connection)


def read_answer(connection: socket.socket) -> tuple[int, dict[str, Any]]:
    """Returns status and JSON of a response to an unfinished request."""
    response = HTTPResponse(connection)
    response.begin()
    return response.status, json.loads(response.read())


@pytest.mark.parametrize("announced", [LIMIT + 1, 2**33])
def test_too_large_a_body_is_refused_before_it_is_sent(tmp_path: Path, announced: int) -> None:
    with served(tmp_path, MAX_REQUEST_BYTES=str(LIMIT)) as (url, _):
        login(url)
        status, body = post_too_much(url, announced)
        assert (status, body["status_code"], body["code"]) == (413, 413, "too_large")
        assert ask(url, "GET", "/spaces")[0].json()["data"] == []
        body = {"space_type": "static", "files": {"index.html": "x" * (LIMIT - 200)}}
        assert ask(url, "POST", "/spaces", body)[0].status_code == 202
