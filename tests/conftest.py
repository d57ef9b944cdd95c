"""Shared fixtures: the environment of huggingface_hub, a stand-in Hub, the service in this process."""

from __future__ import annotations

import logging
import os
import shutil
import sys
from collections.abc import Callable, Iterator
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest
import redis
import sqlalchemy as sa
from argon2 import PasswordHasher
from flask import Flask
from flask.testing import FlaskClient

from assembler_runner.accounts import passwords
from assembler_runner.accounts.auth import ensure_admin
from assembler_runner.app import create_app
from assembler_runner.core.database import db
from assembler_runner.core.settings import load
from assembler_runner.devhub import StandInHub
from assembler_runner.publishing import pipeline
from assembler_runner.services import EXTENSION, Services
from assembler_runner.spaces.models import RUNNING, SpaceRequest
from tests.support import client_env

client_env.settle()

PASSWORD = "correct horse battery"
SECRETS = {
    "SECRET_KEY": "the key of the tests, 0123456789 abcdef",
    "JWT_SECRET_KEY": "another key of the tests, 9876543210",
}


LONG_FIRST = (
    "tests/publishing/test_tasks.py",
    "tests/apps/test_real_apps.py",
    "tests/project/test_bridges_python.py",
    "tests/support/test_chaos.py",
    "tests/spaces/test_event_feed.py",
    "tests/runtime/test_poller.py",
    "tests/assembly/test_templates_run.py",
    "tests/client/test_cli",
    "tests/project/test_sessions.py",
    "tests/project/test_benchmarks.py",
    "tests/publishing/",
    "tests/ui/test_web_browser.py",
    "tests/apps/",
    "tests/ops/",
    "tests/client/",
    "tests/requests/test_databases.py",
    "tests/accounts/test_databases.py",
    "tests/mcp/",
    "tests/ui/",
)
"""Files that take long, by the start of their path: begun last, one of them would run alone at the end."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Puts the files that take long first; otherwise the order is kept."""
    items.sort(key=lambda item: next((n for n, start in enumerate(LONG_FIRST) if item.nodeid.startswith(start)), 99))


CHEAP = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)


class Service:
    """The service in this process, without a worker: the test decides when requests run."""

    def __init__(self, app: Flask) -> None:
        self.app = app
        self.services: Services = app.extensions[EXTENSION]
        self.client: FlaskClient = app.test_client()
        self.headers = {"Authorization": f"Bearer {self.login()['access_token']}"}

    def login(self, username: str = "admin", password: str = PASSWORD) -> dict[str, Any]:
        body = {"grant_type": "password", "username": username, "password": password}
        answer = self.client.post("/auth/token", json=body)
        assert answer.status_code == 200, answer.json
        return dict(answer.json)

    def get(self, path: str, **more: Any) -> Any:
        return self.client.get(path, headers=self.headers | more.pop("headers", {}), **more)

    def post(self, path: str, body: Any = None, **more: Any) -> Any:
        return self.client.post(path, json=body, headers=self.headers | more.pop("headers", {}), **more)

    def delete(self, path: str, **more: Any) -> Any:
        return self.client.delete(path, headers=self.headers | more.pop("headers", {}), **more)

    def ask(self, path: str, body: Any, **more: Any) -> dict[str, Any]:
        """Sends a change that must be accepted, and returns its request."""
        answer = self.post(path, body, **more)
        assert answer.status_code == 202, answer.json
        return dict(answer.json.get("latest_request") or answer.json)

    def change(self, space_id: str, **body: Any) -> dict[str, Any]:
        """Updates a Space, runs the request, and returns it."""
        return self.work(self.ask(f"/spaces/{space_id}", body)["id"])

    def command(self, space_id: str, command: str, **body: Any) -> dict[str, Any]:
        """Sends a command for a Space, runs the request, and returns it."""
        return self.work(self.ask(f"/spaces/{space_id}/command", {"command": command, **body})["id"])

    def remove(self, space_id: str) -> dict[str, Any]:
        """Deletes a Space, runs the request, and returns it."""
        answer = self.delete(f"/spaces/{space_id}")
        assert answer.status_code == 202, answer.json
        return self.work(answer.json["latest_request"]["id"])

    def submit(self, **body: Any) -> dict[str, Any]:
        """Sends a request that must be accepted, and returns the Space."""
        answer = self.post("/spaces", {"files": {"index.html": "<h1>Hello</h1>"}, "space_type": "static", **body})
        assert answer.status_code == 202, answer.json
        return dict(answer.json)

    def work(self, request_id: str) -> dict[str, Any]:
        """Runs one request like a worker, without waiting for the back-off, and returns it."""
        with self.app.app_context():
            db.session.execute(
                sa.update(SpaceRequest)
                .where(SpaceRequest.id == request_id)
                .values(not_before=0.0, updated_at=SpaceRequest.updated_at)
            )
            db.session.commit()
            pipeline.run(self.services, request_id)
        return self.request(request_id)

    def publish(self, **body: Any) -> dict[str, Any]:
        """Submits a request, runs it, and returns it."""
        return self.work(self.submit(**body)["latest_request"]["id"])

    def request(self, request_id: str) -> dict[str, Any]:
        answer = self.get(f"/requests/{request_id}")
        assert answer.status_code == 200, answer.json
        return dict(answer.json)

    def space(self, space_id: str) -> dict[str, Any]:
        return dict(self.get(f"/spaces/{space_id}").json)

    def events(self, request_id: str) -> list[dict[str, Any]]:
        return list(self.get(f"/requests/{request_id}/events").json["data"])

    def let_lease_run_out(self, request_id: str) -> None:
        """Makes the lease of a running request expire, as if its worker had stopped."""
        with self.app.app_context():
            running = sa.update(SpaceRequest).where(SpaceRequest.id == request_id, SpaceRequest.status == RUNNING)
            db.session.execute(running.values(due_at=0.0))
            db.session.commit()


MakeService = Callable[..., Service]


@pytest.fixture(autouse=True, scope="session")
def packages_read_once() -> Iterator[None]:
    """Entry points are read once for each search path: each application asks for them, and to read them takes long."""
    real = metadata.entry_points

    @cache
    def read(_: tuple[str, ...], group: str) -> metadata.EntryPoints:
        return real(group=group)

    def entry_points(**wanted: Any) -> metadata.EntryPoints:
        return read(tuple(sys.path), wanted["group"]) if set(wanted) == {"group"} else real(**wanted)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(metadata, "entry_points", entry_points)
        yield


@pytest.fixture(scope="session")
def new_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A SQLite database with all tables and the admin, to be copied."""
    folder = tmp_path_factory.mktemp("new")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(passwords, "_hasher", CHEAP)
        app = create_app(load({}, **SECRETS), folder)
        with app.app_context():
            db.create_all()
            ensure_admin(PASSWORD)
            db.session.remove()
            db.engine.dispose()
    return folder / "assembler.db"


@pytest.fixture
def make_service(tmp_path: Path, cheap_passwords: None, new_database: Path) -> Iterator[MakeService]:
    """Creates services with the given settings, each in its own folder."""
    made: list[Flask] = []

    def make(**settings: Any) -> Service:
        folder = tmp_path / f"instance-{len(made)}"
        if not settings.get("SQLALCHEMY_DATABASE_URI"):
            folder.mkdir()
            shutil.copyfile(new_database, folder / new_database.name)
        app = create_app(load({}, **(SECRETS | settings)), folder)
        made.append(app)
        if settings.get("SQLALCHEMY_DATABASE_URI"):
            with app.app_context():
                db.create_all()
                ensure_admin(PASSWORD)
        return Service(app)

    yield make
    for app in made:
        with app.app_context():
            db.session.remove()
            db.engine.dispose()


@pytest.fixture
def service(make_service: MakeService) -> Service:
    """A service with the local target only."""
    return make_service()


@pytest.fixture
def hub() -> Iterator[StandInHub]:
    """A stand-in Hub; an error inside it fails the test."""
    with StandInHub() as running:
        yield running
        assert running.bugs == []


@pytest.fixture
def hub_service(make_service: MakeService, hub: StandInHub) -> Service:
    """A service that publishes to the stand-in Hub."""
    return make_service(HF_TOKEN="hf_alice", HF_ENDPOINT=hub.url, HUB_TIMEOUT=2.0)


@pytest.fixture(autouse=True)
def cheap_passwords(monkeypatch: pytest.MonkeyPatch) -> None:
    """Password hashing at its smallest cost."""
    monkeypatch.setattr(passwords, "_hasher", CHEAP)
    passwords._dummy_hash.cache_clear()


@pytest.fixture(autouse=True)
def quiet_log() -> None:
    """Keeps errors provoked by a test in its captured log only."""
    logging.getLogger("assembler_runner").setLevel(logging.INFO)


@pytest.fixture
def redis_url() -> Iterator[str]:
    """An empty database of a real Redis."""
    url = os.environ.get("TEST_REDIS_URL", "redis://127.0.0.1:6379/14")
    client = redis.Redis.from_url(url)
    try:
        client.flushdb()
    except redis.ConnectionError:
        pytest.skip(f"no Redis at {url}")
    yield url
    client.close()
