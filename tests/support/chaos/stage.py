"""Everything that one run needs: a database, a queue of its own, the Hub and the service, all as processes of ours."""

from __future__ import annotations

import os
import signal
import tempfile
import uuid
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
from celery import Celery
from kombu import Connection

from tests.support.services import (
    PASSWORD,
    Process,
    free_port,
    mariadb_database,
    postgres_database,
    rabbitmq_url,
    redis_url,
    wait_until,
)

DATABASES = ("sqlite", "postgresql", "mariadb")
BROKERS = ("memory", "redis", "rabbitmq")
LEASE_SECONDS = 2
HUB_TIMEOUT = 2
SETTINGS = {
    "ADMIN_PASSWORD": PASSWORD,
    "SECRET_KEY": "secret-key-of-the-tests-0123456789",
    "JWT_SECRET_KEY": "jwt-secret-key-of-the-tests-0123456789",
    "HF_TOKEN": "hf_alice",
    # The stand-in takes large files as the Hub took them before.
    "HF_HUB_DISABLE_XET": "1",
    "LEASE_SECONDS": str(LEASE_SECONDS),
    "RESEND_SECONDS": "0.5",
    "HUB_TIMEOUT": str(HUB_TIMEOUT),
    "MAX_ERRORS": "4",
    "DRAIN_SECONDS": "1",
    "CONCURRENCY": "6",
}
START_SECONDS = 120.0
TASK = "assembler.run_request"


class Service(Process):
    """A process that can be stopped and woken with its children."""

    def signal_all(self, number: signal.Signals) -> None:
        """Sends a signal to it and its children."""
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, number)

    def children(self) -> list[int]:
        """The ids of its children."""
        pid = self._process.pid
        with suppress(FileNotFoundError):
            return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
        return []


class Hub:
    """The stand-in Hub in its own process, by its control API."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._http = httpx.Client(base_url=f"{url}/_standin/", timeout=30)

    def ask(self, method: str, what: str, body: Mapping[str, Any] | None = None) -> Any:
        """Asks its control API."""
        answer = self._http.request(method, what, json=body)
        assert answer.is_success, answer.text
        return answer.json()

    def spaces(self) -> dict[str, dict[str, Any]]:
        """Its Spaces by name."""
        state = self.ask("GET", "state")
        assert not state["bugs"], state["bugs"]
        return {
            name.removeprefix("spaces/"): repo for name, repo in state["repos"].items() if name.startswith("spaces/")
        }

    def close(self) -> None:
        """Ends the connection."""
        self._http.close()


@dataclass
class Stage:
    """The processes of the service, by role."""

    database: str
    broker: str
    url: str
    hub: Hub
    settings: dict[str, str]
    folder: Path
    gunicorn_workers: int = 1
    processes: dict[str, Service] = field(default_factory=dict)
    old_logs: list[str] = field(default_factory=list)

    @property
    def roles(self) -> list[str]:
        """The names of its processes."""
        return ["service"] if self.broker == "memory" else ["api", "worker-1", "worker-2"]

    def start(self, role: str) -> None:
        """Starts a process; it is not ready yet."""
        port = self.url.rpartition(":")[2]
        commands = {
            "service": ["assembler_runner", "serve", "--port", port, "--instance", str(self.folder / "instance")],
            "api": [
                *("gunicorn", f"--workers={self.gunicorn_workers}", "--worker-class=gthread", "--threads=8"),
                *(f"--bind=127.0.0.1:{port}", "assembler_runner.wsgi:app"),
            ],
        }
        worker = [
            *(
                "celery",
                "--app=assembler_runner.ops.celery_worker:celery",
                "worker",
                "--pool=threads",
                "--loglevel=INFO",
            ),
            *("--without-mingle", "--without-gossip", f"--hostname={uuid.uuid4().hex}@%h"),
        ]
        self.processes[role] = Service("-m", *commands.get(role, worker), **self.settings)

    def start_all(self) -> None:
        """Starts what does not run, and waits until all is ready."""
        for role in self.roles:
            if role not in self.processes:
                self.start(role)
        for role in self.roles:
            self.wait_for(role)

    def wait_for(self, role: str) -> None:
        """Waits until a process does its work."""
        process = self.processes[role]
        if role.startswith("worker"):
            process.wait_for_line(r"\w{32}@\S+ ready", START_SECONDS)
        else:
            process.wait_for_http(f"{self.url}/health/live", START_SECONDS)

    def kill(self, role: str) -> None:
        """Ends a process and its children at once."""
        process = self.processes.pop(role)
        process.kill()
        self.old_logs.append(f"--- {role}\n{process.log}")

    def send(self, request_ids: list[str]) -> None:
        """Sends messages for requests once more."""
        with Celery(broker=self.settings["BROKER_URL"], set_as_current=False) as celery:
            for request_id in request_ids:
                celery.send_task(TASK, [request_id], queue=self.settings["CELERY_QUEUE"])

    def flush(self) -> None:
        """Deletes the queue with all its messages, as a broker does that comes back empty."""
        _delete_queue(self.settings["BROKER_URL"], self.settings["CELERY_QUEUE"])

    def log_of(self, words: list[str]) -> str:
        """What the processes wrote about something."""
        logs = [*self.old_logs, *(f"--- {role}\n{process.log}" for role, process in self.processes.items())]
        lines = [line for log in logs for line in log.splitlines() if any(word in line for word in words)]
        return "\n".join(lines)


@contextmanager
def set_up(database: str, broker: str, gunicorn_workers: int) -> Iterator[Stage]:
    """A stage on which nothing of the service runs yet; afterwards all is gone."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="assembler-chaos-")))
        hub_process = stack.enter_context(Process("-m", "assembler_runner", "devhub", "--port", "0"))
        hub = Hub(hub_process.wait_for_line(r"ready at (http://\S+)")[1])
        stack.callback(hub.close)
        settings = {**SETTINGS, "HF_ENDPOINT": hub.url, "SQLALCHEMY_DATABASE_URI": f"sqlite:///{folder / 'chaos.db'}"}
        if database != "sqlite":
            made = {"postgresql": postgres_database, "mariadb": mariadb_database}[database]()
            settings["SQLALCHEMY_DATABASE_URI"] = stack.enter_context(made)
        url = f"http://127.0.0.1:{free_port()}"
        stage = Stage(database, broker, url, hub, settings, folder, gunicorn_workers)
        if broker != "memory":
            settings["BROKER_URL"] = {"redis": redis_url, "rabbitmq": rabbitmq_url}[broker]()
            settings["CELERY_QUEUE"] = f"assembler-chaos-{uuid.uuid4().hex[:12]}"
            stack.callback(forget_queue, settings["BROKER_URL"], settings["CELERY_QUEUE"])
            with Process("-m", "flask", "create-db", **settings) as process:
                assert process.wait() == 0, process.log
        stack.callback(_kill_all, stage)
        yield stage


def login(url: str) -> str:
    """An access token; it stays valid over restarts."""
    body = {"grant_type": "password", "username": "admin", "password": PASSWORD}

    def token() -> str:
        answer = httpx.post(f"{url}/auth/token", json=body, timeout=30)
        return str(answer.json()["access_token"]) if answer.is_success else ""

    return wait_until(token, "the API gives a token")


def _kill_all(stage: Stage) -> None:
    for process in stage.processes.values():
        process.kill()


def _delete_queue(broker: str, queue: str) -> None:
    with Connection(broker) as connection, connection.channel() as channel:
        if broker.startswith("redis"):
            # The library only deletes what the same connection has declared.
            channel.client.delete(queue, *(f"_kombu.{kind}.{queue}" for kind in ("binding", "binding_permanent")))
            return
        with suppress(channel.connection.channel_errors):
            channel.queue_delete(queue)


def forget_queue(broker: str, queue: str) -> None:
    """Deletes everything that bears the queue's name."""
    _delete_queue(broker, queue)
    with Connection(broker) as connection, connection.channel() as channel:
        if not broker.startswith("redis"):
            with suppress(channel.connection.channel_errors):
                channel.exchange_delete(queue)
            return
        # Killed workers leave messages behind that were delivered, under names that all queues share.
        for tag, message in channel.client.hgetall(channel.unacked_key).items():
            if queue.encode() in message:
                channel.client.hdel(channel.unacked_key, tag)
                channel.client.zrem(channel.unacked_index_key, tag)
