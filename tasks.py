"""Tasks for `invoke`: tests, checks, worker, broker, documentation."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

from invoke.context import Context
from invoke.tasks import task

from assembler_runner.settings import load

ROOT = Path(__file__).resolve().parent
PYTHON = sys.executable
os.environ["PATH"] = f"{Path(PYTHON).parent}{os.pathsep}{os.environ['PATH']}"

BROKER_CONTAINER = "assembler-broker"


@task(help={"fast": "Leave out what needs more than a few seconds."})
def test(c: Context, fast: bool = False) -> None:
    """Run the whole test suite."""
    chosen = " -m 'not slow'" if fast else ""
    c.run(f"{PYTHON} -m pytest -n 2 --dist loadfile{chosen}", pty=False)


@task
def check(c: Context) -> None:
    """Run ruff and mypy, and compare the migrations with the models."""
    c.run(f"{PYTHON} -m ruff check")
    c.run(f"{PYTHON} -m ruff format --check")
    c.run(f"{PYTHON} -m mypy")
    c.run(f"{PYTHON} -m pytest -q tests/test_migrations.py tests/test_docs.py")


@task(
    help={
        "rounds": "How often each combination is run.",
        "kills": "Kills in one run.",
        "databases": "Separated by commas.",
        "brokers": "Separated by commas; memory is the embedded one.",
        "seed": "Decides what is done; a random one if left out.",
        "parallel": "Combinations at the same time.",
    }
)
def chaos(
    c: Context,
    rounds: int = 1,
    kills: int = 20,
    databases: str = "sqlite,postgresql,mariadb",
    brokers: str = "memory,redis,rabbitmq",
    seed: int | None = None,
    parallel: int = 1,
) -> None:
    """Kill the service again and again, and count what came of its requests; writes docs/chaos.md."""
    chosen = f"--rounds {rounds} --kills {kills} --databases {databases} --brokers {brokers} --parallel {parallel}"
    seeded = "" if seed is None else f" --seed {seed}"
    c.run(f"{PYTHON} -m tests.chaos {chosen}{seeded} --page docs/chaos.md", pty=False)


@task(
    help={
        "pool": "Celery pool: threads, prefork, gevent or solo.",
        "concurrency": "How many requests are published at the same time.",
        "log-level": "Level of the log.",
        "periodic-scheduler": "Run the Celery beat scheduler, too; only one worker should.",
    }
)
def worker(
    c: Context, pool: str = "", concurrency: int = 0, log_level: str = "", periodic_scheduler: bool = False
) -> None:
    """Run a Celery worker in the foreground; what is not given here comes from the settings."""
    settings = load(os.environ)
    pool, concurrency = pool or settings.CELERY_WORKER_POOL, concurrency or settings.CONCURRENCY
    log_level = log_level or settings.LOG_LEVEL
    command = [PYTHON, "-m", "celery", "--app", "assembler_runner.celery_worker:celery", "worker"]
    command += [f"--pool={pool}", f"--concurrency={concurrency}", f"--loglevel={log_level}", "--hostname=worker-%i@%h"]
    if periodic_scheduler or settings.PERIODIC_SCHEDULER:
        command.append("--beat")
    os.execv(PYTHON, command)


@task(help={"port": "Port on this machine."})
def start_broker(c: Context, port: int = 6379) -> None:
    """Start a Redis: in a container, or the redis-server of this machine."""
    if shutil.which("docker") and c.run("docker info", hide=True, warn=True).ok:
        if not c.run(f"docker start {BROKER_CONTAINER}", hide=True, warn=True).ok:
            c.run(f"docker run --detach --name {BROKER_CONTAINER} --publish 127.0.0.1:{port}:6379 redis:7-alpine")
        return
    if not shutil.which("redis-server"):
        sys.exit("Neither docker nor redis-server is there; install one of them.")
    c.run(
        f"redis-server --daemonize yes --bind 127.0.0.1 --port {port} --save '' "
        f"--pidfile {_pidfile()} --dir {ROOT / 'instance'}"
    )


@task
def stop_broker(c: Context) -> None:
    """Stop what start-broker started."""
    if _pidfile().exists():
        c.run(f"kill {_pidfile().read_text().strip()}")
        return
    c.run(f"docker stop {BROKER_CONTAINER}")


@task
def reset_broker(c: Context) -> None:
    """Remove the container of the broker, to start it with another port."""
    stop_broker(c)
    if shutil.which("docker"):
        c.run(f"docker rm --force {BROKER_CONTAINER}", hide=True, warn=True)


def _pidfile() -> Path:
    folder = ROOT / "instance"
    folder.mkdir(exist_ok=True)
    return folder / "broker.pid"
