"""The processes a benchmark needs: the stand-in Hub, the service in its forms, databases."""

from __future__ import annotations

import io
import subprocess
import tarfile
import tempfile
import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path

import httpx
from celery import Celery

from assembler_runner.core.places import PROJECT
from tests.support.chaos.stage import Hub, Service, forget_queue
from tests.support.client_env import SETTINGS as CLIENT_SETTINGS
from tests.support.services import PASSWORD, Process, free_port, postgres_database, redis_url

KEYS = {
    "SECRET_KEY": "secret-key-of-the-benchmarks-0123456789",
    "JWT_SECRET_KEY": "jwt-secret-key-of-the-benchmarks-0123456789",
    "ADMIN_PASSWORD": PASSWORD,
}
QUIET = {**KEYS, **CLIENT_SETTINGS, "LOG_LEVEL": "WARNING", "FOLLOW_SECONDS": "600", "NO_PROXY": "127.0.0.1,localhost"}
"""Settings of a service under measurement: no look at an app falls into the measured time."""
TASK = "assembler.run_request"


class Started(Service):
    """A process of the service that knows how long its start took."""

    def __init__(self, *arguments: str, folder: Path = PROJECT, **settings: str) -> None:
        begun = time.perf_counter()
        super().__init__(*arguments, folder=folder, **(QUIET | settings))
        self.begun, self.start_seconds = begun, 0.0

    @property
    def pids(self) -> list[int]:
        """Its id and those of its children."""
        return [self._process.pid, *self.children()]

    def is_ready(self) -> None:
        """Tells it that its start is over."""
        self.start_seconds = time.perf_counter() - self.begun


@contextmanager
def hub(latency: float = 0.0) -> Iterator[Hub]:
    """A stand-in Hub in a process of its own.

    Args:
        latency: seconds that each call takes.
    """
    with Process("-m", "assembler_runner", "devhub", "--port", "0") as process:
        found = Hub(process.wait_for_line(r"ready at (http://\S+)")[1])
        found.ask("POST", "latency", {"seconds": latency})
        try:
            yield found
        finally:
            found.close()


@contextmanager
def folder() -> Iterator[Path]:
    """A folder that is gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="assembler-bench-") as made:
        yield Path(made)


@contextmanager
def embedded(**settings: str) -> Iterator[str]:
    """`assembler serve` in a folder of its own; gives its address."""
    with folder() as instance, serve(instance, **settings) as process:
        yield address(process)


@contextmanager
def serve(instance: Path, **settings: str) -> Iterator[Started]:
    """`assembler serve` in a folder that is there."""
    arguments = ("-m", "assembler_runner", "serve", "--port", "0", "--instance", str(instance))
    with Started(*arguments, **settings) as process:
        address(process)
        process.is_ready()
        yield process


def address(process: Service) -> str:
    """Returns the address that `assembler serve` has printed."""
    return process.wait_for_line(r"ready at (http://\S+)")[1]


@contextmanager
def version(commit: str) -> Iterator[Path]:
    """The files of the project at a commit, in a folder of its own.

    Args:
        commit: the commit, which the repository must have.
    """
    with folder() as made:
        command = ["git", "archive", "--format=tar", commit]
        packed = subprocess.run(command, capture_output=True, check=True, cwd=PROJECT).stdout
        with tarfile.open(fileobj=io.BytesIO(packed)) as archive:
            archive.extractall(made, filter="data")
        yield made


@contextmanager
def database(kind: str, project: Path = PROJECT) -> Iterator[str]:
    """The address of an empty, migrated database.

    Args:
        kind: sqlite or postgresql.
        project: the folder of the version that migrates it.
    """
    with ExitStack() as stack:
        if kind == "sqlite":
            url = f"sqlite:///{stack.enter_context(folder()) / 'bench.db'}"
        else:
            url = stack.enter_context(postgres_database())
        settings = QUIET | {"SQLALCHEMY_DATABASE_URI": url}
        with Process("-m", "flask", "create-db", folder=project, **settings) as process:
            assert process.wait() == 0, process.log
        yield url


@contextmanager
def queue() -> Iterator[dict[str, str]]:
    """The settings of a queue of its own on the Redis."""
    settings = {"BROKER_URL": redis_url(), "CELERY_QUEUE": f"assembler-bench-{uuid.uuid4().hex[:12]}"}
    try:
        yield settings
    finally:
        forget_queue(settings["BROKER_URL"], settings["CELERY_QUEUE"])


@contextmanager
def served(module: str, threads: int = 32, **settings: str) -> Iterator[str]:
    """A WSGI application under gunicorn with one process; gives its address."""
    with gunicorn(module, threads, **settings) as (_, url):
        yield url


@contextmanager
def gunicorn(module: str, threads: int = 32, project: Path = PROJECT, **settings: str) -> Iterator[tuple[Started, str]]:
    """A WSGI application under gunicorn with one process; gives process and address.

    Args:
        module: what gunicorn loads, as module:name.
        threads: threads of the process.
        project: the folder of the version that is run.
        settings: environment variables.
    """
    with folder() as instance:
        port = free_port()
        arguments = ["gunicorn", "--workers=1", "--worker-class=gthread", f"--threads={threads}"]
        arguments += ["--keep-alive=60", f"--bind=127.0.0.1:{port}", "--no-control-socket", module]
        url = f"http://127.0.0.1:{port}"
        settings |= {"INSTANCE_FOLDER": str(instance)}
        with Started("-m", *arguments, "--log-level=warning", folder=project, **settings) as process:
            process.wait_for_http(f"{url}/health/live")
            process.is_ready()
            yield process, url


@contextmanager
def worker(**settings: str) -> Iterator[Started]:
    """A Celery worker process that takes messages."""
    with folder() as instance:
        command = ["-m", "celery", "--app=assembler_runner.ops.celery_worker:celery", "worker", "--pool=threads"]
        command += ["--without-mingle", "--without-gossip", f"--hostname={uuid.uuid4().hex}@%h", "--loglevel=INFO"]
        # That it is ready is a line of the level INFO.
        values = {**settings, "INSTANCE_FOLDER": str(instance), "LOG_LEVEL": "INFO"}
        with Started(*command, **values) as process:
            process.wait_for_line(r"\w{32}@\S+ ready")
            process.is_ready()
            yield process


def send(settings: Mapping[str, str], request_ids: list[str]) -> None:
    """Sends wake-ups for requests, as the API does after each."""
    celery = Celery(broker=settings["BROKER_URL"], set_as_current=False)
    with celery, celery.producer_pool.acquire(block=True) as producer:
        for request_id in request_ids:
            celery.send_task(TASK, [request_id], queue=settings["CELERY_QUEUE"], producer=producer)


def files(count: int, size: int = 2000) -> dict[str, str]:
    """Returns the files of a static Space.

    Args:
        count: how many.
        size: characters of each.
    """
    made = {"index.html": "<h1>Hello</h1>\n".ljust(size, "x")}
    for number in range(1, count):
        made[f"pages/page-{number:03}.html"] = f"<p>{number}</p>\n".ljust(size, "x")
    return made


def requests_of(hub_: Hub) -> int:
    """Returns how many requests a Hub has seen since it was last asked."""
    seen = len(hub_.ask("GET", "requests"))
    hub_.ask("DELETE", "requests")
    return seen


def memory_of(pid: int) -> float:
    """Returns the memory of a process in MiB that it shares with no other."""
    text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    return sum(int(line.split()[1]) for line in text.splitlines() if line.startswith("Pss:")) / 1024


def processor_of(pid: int) -> float:
    """Returns the processor time a process has used, in seconds."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / 100


def logged_in(url: str) -> httpx.Client:
    """Returns a client that speaks as admin."""
    client = httpx.Client(base_url=url, timeout=60)
    body = {"grant_type": "password", "username": "admin", "password": PASSWORD}
    answer = client.post("/auth/token", json=body)
    assert answer.status_code == 200, answer.text
    client.headers["Authorization"] = f"Bearer {answer.json()['access_token']}"
    return client


def new_name() -> str:
    """Returns a name that no Space has yet."""
    return f"bench-{uuid.uuid4().hex[:12]}"
