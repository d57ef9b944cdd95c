"""The module that `celery --app assembler_runner.celery_worker worker` loads."""

from __future__ import annotations

import os
import sys
import threading
from typing import Any

from celery.signals import worker_ready, worker_shutdown, worker_shutting_down

from assembler_runner import pipeline
from assembler_runner.app import create_app
from assembler_runner.errors import SettingsError
from assembler_runner.host import EXTENSION, Host
from assembler_runner.settings import load, require_secrets
from assembler_runner.tasks import Sweeper

try:
    _settings = load(os.environ)
    require_secrets(_settings)
    flask_app = create_app(_settings)
except SettingsError as problem:
    sys.exit(f"Error: {problem.message}\nHint: {problem.hint}")
celery = flask_app.extensions["celery"]
_host: Host = flask_app.extensions[EXTENSION]
_sweeper = Sweeper(flask_app, _settings.RESEND_SECONDS)

_stopping = threading.Event()


@worker_ready.connect
def _start_threads(**_: Any) -> None:
    _sweeper.start()
    threading.Thread(target=_end_in_time, name="drain", daemon=True).start()


@worker_shutting_down.connect
def _take_no_more(**_: Any) -> None:
    # A signal handler: it only sets events.
    _sweeper.stop()
    _stopping.set()


@worker_shutdown.connect
def _give_up(**_: Any) -> None:
    _hand_back(0)


def _end_in_time() -> None:
    _stopping.wait()
    if _hand_back(_settings.DRAIN_SECONDS):
        # Celery would wait for the threads that still wait for an answer; their work has been given up.
        os._exit(0)


def _hand_back(seconds: float) -> bool:
    left = _host.leases.drain(seconds)
    if left:
        with flask_app.app_context():
            pipeline.hand_back(left)
    return bool(left)
