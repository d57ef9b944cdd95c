"""Settings of gunicorn (docs.gunicorn.org/en/stable/settings.html), from the settings of the service."""

from __future__ import annotations

import os
import signal
import tempfile
from types import FrameType
from typing import Any

from assembler_runner.core import logging
from assembler_runner.core.settings import load

_settings = load(os.environ)

# Must be set before prometheus_client is imported: on import it decides whether processes share their metrics.
os.environ.setdefault("PROMETHEUS_MULTIPROC_DIR", tempfile.mkdtemp(prefix="assembler-metrics-"))

bind = f"0.0.0.0:{_settings.SERVER_PORT}"
workers = _settings.GUNICORN_WORKERS
worker_class = "gthread"
# Threads are started on demand; each event stream occupies one.
threads = 64 + _settings.MAX_EVENT_READERS
worker_connections = 1000 + _settings.MAX_EVENT_READERS
keepalive = 5
timeout = 60
graceful_timeout = int(_settings.DRAIN_SECONDS)
# In memory: a hanging disk must not block the heartbeat of the workers.
worker_tmp_dir = "/dev/shm" if os.path.isdir("/dev/shm") else None  # noqa: S108, PTH112 - memory of the container
loglevel = _settings.LOG_LEVEL.lower()
logconfig_dict = logging.configuration(_settings)
control_socket_disable = True


def post_worker_init(worker: Any) -> None:
    """Ends event streams on SIGTERM; otherwise they delay the stop until the graceful timeout."""
    from assembler_runner.services import EXTENSION

    stop = signal.getsignal(signal.SIGTERM)

    def stop_with_streams(number: int, frame: FrameType | None) -> None:
        worker.app.callable.extensions[EXTENSION].feed.close()
        if callable(stop):
            stop(number, frame)

    signal.signal(signal.SIGTERM, stop_with_streams)
    worker.app.callable.extensions[EXTENSION].targets.learn_account()


def child_exit(server: Any, worker: Any) -> None:
    """Removes the live gauges of a process that has exited."""
    from prometheus_client import multiprocess

    multiprocess.mark_process_dead(worker.pid)  # type: ignore[no-untyped-call]  # the library is typed in part
