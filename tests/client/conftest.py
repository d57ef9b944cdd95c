"""A running service, for tests of the client."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from assembler_client import Assembler
from tests.support.services import PASSWORD, Process, free_port


class Running:
    """A service in its own process, always at the same URL."""

    def __init__(self, folder: Path, **settings: str) -> None:
        self.folder = folder
        self.settings = settings
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.process: Process | None = None

    def start(self) -> None:
        command = ("-m", "assembler_runner", "serve", "--port", str(self.port), "--instance", str(self.folder))
        self.process = Process(*command, ADMIN_PASSWORD=PASSWORD, **self.settings)

    def wait(self) -> None:
        assert self.process is not None
        self.process.wait_for_line("Assembler is ready at")

    def kill(self) -> None:
        if self.process is not None:
            self.process.kill()

    def token(self) -> str:
        """Logs in as admin and returns the access token."""
        grant = {"grant_type": "password", "username": "admin", "password": PASSWORD}
        return str(httpx.post(f"{self.url}/auth/token", json=grant).raise_for_status().json()["access_token"])

    def assembler(self, **options: float) -> Assembler:
        return Assembler(self.url, ("admin", PASSWORD), **options)


@pytest.fixture(scope="session")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """One service shared by all tests that only add Spaces with unique names."""
    # The repositories of the tests are on this machine.
    service = Running(tmp_path_factory.mktemp("service"), WEBHOOK_ALLOWED_NETWORKS="127.0.0.0/8")
    service.start()
    service.wait()
    yield service
    service.kill()


@pytest.fixture
def assembler(running: Running) -> Iterator[Assembler]:
    """A client of the shared service."""
    with running.assembler() as opened:
        yield opened
