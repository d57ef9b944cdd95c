"""Real processes, real servers and an API client, for tests of the service from outside."""

from __future__ import annotations

import getpass
import hashlib
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

import httpx
import pytest
import sqlalchemy as sa
from click.testing import Result
from flask import Flask
from flask.cli import FlaskGroup
from kombu import Connection
from kombu.exceptions import OperationalError

from assembler_runner.devhub import StandInHub

T = TypeVar("T")

PROJECT = Path(__file__).resolve().parent.parent.parent
PASSWORD = "the password of admin"
START_SECONDS, END_SECONDS = 60.0, 60.0
FINISHED = ("succeeded", "failed", "cancelled")
MISSING = "server not available:"
"""Prefix of the reason of skips that are not allowed in a full test run."""


def wait_until(check: Callable[[], T], what: str, timeout: float = END_SECONDS, every: float = 0.03) -> T:
    """Polls until the check returns a true value; returns it."""
    deadline = time.monotonic() + timeout
    while not (answer := check()):
        assert time.monotonic() < deadline, f"waited {timeout} s in vain until {what}"
        time.sleep(every)
    return answer


def run_flask(app: Flask, *arguments: str) -> Result:
    """Runs a `flask` command, found by entry points as on the command line."""
    return app.test_cli_runner().invoke(FlaskGroup(create_app=lambda: app), arguments)


def free_port() -> int:
    """Returns an unused port of 127.0.0.1."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Process:
    """A Python program in a process group of its own; of this environment it sees only what finds programs.

    Apps are not run unless the settings say so.

    As a context manager it is dead when left.
    """

    def __init__(self, *arguments: str, program: str = sys.executable, folder: Path = PROJECT, **settings: str) -> None:
        ours = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
        self._process = subprocess.Popen(
            [program, *arguments],
            env={**ours, "PYTHONUNBUFFERED": "1", "APPS": "off", **settings},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            cwd=folder,
            start_new_session=True,
        )
        self._lines: list[str] = []
        self._news = threading.Condition()
        self._closed = False
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.kill()
        if error is not None:
            print(self.log)

    @property
    def log(self) -> str:
        """What it has written to standard output and standard error."""
        with self._news:
            return "".join(self._lines)

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    @property
    def running(self) -> bool:
        """Whether the process is running."""
        return self._process.poll() is None

    def wait_for_line(self, pattern: str, timeout: float = START_SECONDS) -> re.Match[str]:
        """Waits until its output matches a pattern."""
        with self._news:
            self._news.wait_for(lambda: self._closed or re.search(pattern, "".join(self._lines)), timeout)
            found = re.search(pattern, "".join(self._lines))
            assert found, f"{pattern!r} did not come in {timeout} s, but:\n{''.join(self._lines)}"
            return found

    def wait_for_http(self, url: str, timeout: float = START_SECONDS) -> None:
        """Waits until a URL responds with success."""
        wait_until(lambda: not self.running or _answers(url), f"{url} answers", timeout)
        assert self.running, self.log

    def wait(self, timeout: float = END_SECONDS) -> int:
        """Waits until it exits; returns the exit code."""
        try:
            code = self._process.wait(timeout)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"it still ran after {timeout} s:\n{self.log}") from None
        self._reader.join(timeout)
        return code

    def send(self, number: signal.Signals) -> None:
        """Sends a signal to it, not to its children."""
        self._process.send_signal(number)

    def stop(self, number: signal.Signals = signal.SIGTERM, timeout: float = END_SECONDS) -> int:
        """Sends a signal to stop it; returns the exit code."""
        self.send(number)
        return self.wait(timeout)

    def kill(self) -> None:
        """Kills it and its children at once."""
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        self._reader.join()

    def _read(self) -> None:
        assert self._process.stdout is not None
        with self._process.stdout as lines:
            for line in lines:
                with self._news:
                    self._lines.append(line)
                    self._news.notify_all()
        with self._news:
            self._closed = True
            self._news.notify_all()


def _answers(url: str) -> bool:
    try:
        return httpx.get(url, timeout=5).is_success
    except httpx.TransportError:
        return False


class Client:
    """API client of the user admin."""

    def __init__(self, url: str, password: str = PASSWORD) -> None:
        self._http = httpx.Client(base_url=url, timeout=30)
        answer = self._http.post(
            "/auth/token", json={"grant_type": "password", "username": "admin", "password": password}
        )
        assert answer.status_code == 200, answer.text
        self.token = str(answer.json()["access_token"])
        self._http.headers["Authorization"] = f"Bearer {self.token}"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._http.close()

    def get(self, path: str) -> dict[str, Any]:
        """Returns the body of a successful GET."""
        answer = self._http.get(path)
        assert answer.status_code == 200, answer.text
        return dict(answer.json())

    def post(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        """Sends a POST that must be accepted; returns its body."""
        answer = self._http.post(path, json=body)
        assert answer.status_code in (200, 201, 202), answer.text
        return dict(answer.json())

    def submit(self, name: str) -> str:
        """Requests a Space with this name and returns the request id; a repeated call returns the same request."""
        answer = self._http.post("/spaces", json=body_of(name), headers={"Idempotency-Key": name})
        assert answer.status_code == 202, answer.text
        return str(answer.json()["latest_request"]["id"])

    def submit_all(self, names: Iterable[str]) -> dict[str, str]:
        """Requests several Spaces; returns the request ids by name."""
        return {name: self.submit(name) for name in names}

    def wait(self, request_id: str, timeout: float = END_SECONDS) -> dict[str, Any]:
        """Waits until a request has ended, and returns it."""

        def ended() -> dict[str, Any] | None:
            request = self.get(f"/requests/{request_id}")
            return request if request["status"] in FINISHED else None

        return wait_until(ended, f"request {request_id} has ended", timeout) or {}

    def wait_all(self, ids: Mapping[str, str], timeout: float = END_SECONDS) -> dict[str, dict[str, Any]]:
        """Waits until all have ended; returns them by name."""
        deadline = time.monotonic() + timeout
        return {name: self.wait(id, max(1.0, deadline - time.monotonic())) for name, id in ids.items()}


def body_of(name: str) -> dict[str, Any]:
    """Returns a request whose files contain its name: static if the name says so, otherwise Gradio with a secret."""
    if "static" in name:
        return {"name": name, "space_type": "static", "files": {"index.html": f"<h1>{name}</h1>\n"}}
    return {
        "name": name,
        "space_type": "gradio",
        "files": {"app.py": f"print({name!r}, PARAMS)\n"},
        "parameters": {"name": name},
        "secrets": {"KEY": name},
    }


def digest(content: bytes) -> str:
    """The SHA-256 of bytes."""
    return hashlib.sha256(content).hexdigest()


def expected_tree(request: Mapping[str, Any]) -> dict[str, str]:
    """Returns the tree that the service reports as published: path → SHA-256."""
    return {file["path"]: file["sha256"] for file in request["files"]}


def assert_published_once(hub: StandInHub, requests: Mapping[str, Mapping[str, Any]]) -> None:
    """Asserts that the Hub has exactly these Spaces, each with one commit by the service and the right files."""
    failed = {name: request["error"] for name, request in requests.items() if request["status"] != "succeeded"}
    assert not failed, failed
    wanted = {f"alice/{name}" for name in requests}
    assert set(hub.spaces()) == wanted, set(hub.spaces()) ^ wanted
    for name, request in requests.items():
        commits = hub.commits(f"alice/{name}")
        assert [commit.oid for commit in commits] == [request["commit"]["oid"]], (name, commits, request)
        tree = hub.tree(f"alice/{name}")
        tree.pop(".gitattributes", None)
        assert {path: digest(content) for path, content in tree.items()} == expected_tree(request), name
        main = "index.html" if "static" in name else "app.py"
        assert name.encode() in tree[main]
        secrets = {key: entry.value for key, entry in hub.space(f"alice/{name}").secrets.items()}
        assert secrets == body_of(name).get("secrets", {}), name
    assert hub.bugs == []


def hub_settings(hub: StandInHub) -> dict[str, str]:
    """Returns the settings of a service that publishes to the stand-in Hub as alice."""
    return {"HF_ENDPOINT": hub.url, "HF_TOKEN": "hf_alice"}


@contextmanager
def postgres_database() -> Iterator[str]:
    """Yields the URL of an empty PostgreSQL database, dropped afterwards."""
    given = os.environ.get("TEST_POSTGRES_URL")
    users = ("postgres", getpass.getuser())
    urls = [given] if given else [f"postgresql+psycopg://{user}@127.0.0.1:5432/postgres" for user in users]
    with _database("PostgreSQL", urls, "CREATE DATABASE {}", "DROP DATABASE {} WITH (FORCE)") as url:
        yield url


@contextmanager
def mariadb_database() -> Iterator[str]:
    """Yields the URL of an empty MariaDB database, dropped afterwards."""
    urls = [os.environ.get("TEST_MARIADB_URL") or "mariadb+pymysql://root@127.0.0.1:3306/test"]
    with _database("MariaDB", urls, "CREATE DATABASE {}", "DROP DATABASE {}") as url:
        yield url


@contextmanager
def _database(server: str, urls: list[str], create: str, drop: str) -> Iterator[str]:
    problem = ""
    for url in map(sa.make_url, urls):
        engine = sa.create_engine(
            url, isolation_level="AUTOCOMMIT", poolclass=sa.NullPool, connect_args={"connect_timeout": 5}
        )
        try:
            engine.connect().close()
        except sa.exc.OperationalError as error:
            problem = f"{server} at {url.host}:{url.port}: {str(error.orig).splitlines()[0]}"
            continue
        name = f"assembler_test_{uuid.uuid4().hex[:12]}"
        with engine.connect() as connection:
            connection.exec_driver_sql(create.format(name))
        try:
            yield url.set(database=name).render_as_string(hide_password=False)
        finally:
            with engine.connect() as connection:
                connection.exec_driver_sql(drop.format(name))
        return
    pytest.skip(f"{MISSING} {problem}")


def redis_url() -> str:
    """Returns the URL of the Redis server."""
    return _broker("Redis", os.environ.get("TEST_REDIS_URL") or "redis://127.0.0.1:6379/0")


def rabbitmq_url() -> str:
    """Returns the URL of the RabbitMQ server."""
    return _broker("RabbitMQ", os.environ.get("TEST_RABBITMQ_URL") or "amqp://guest:guest@127.0.0.1:5672//")


def _broker(server: str, url: str) -> str:
    try:
        with Connection(url, connect_timeout=5) as connection:
            connection.ensure_connection(max_retries=1, interval_start=0)
    except (OperationalError, OSError) as problem:
        pytest.skip(f"{MISSING} {server}: {problem}")
    return url


def forget_queue(url: str, queue: str) -> None:
    """Deletes a queue from its broker, with messages left by killed workers."""
    with Connection(url) as connection, connection.channel() as channel:
        channel.queue_delete(queue)
        channel.exchange_delete(queue)
        if not url.startswith("redis"):
            return
        for key in channel.client.scan_iter(f"*{queue}*"):
            channel.client.delete(key)
        for tag, message in channel.client.hgetall("unacked").items():
            if queue.encode() in message:
                channel.client.hdel("unacked", tag)
                channel.client.zrem("unacked_index", tag)
