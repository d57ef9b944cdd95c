"""Entry point of workers: `celery --app assembler_runner.ops.celery_worker worker`."""

from __future__ import annotations

import os
import sys
import threading
from pathlib import Path
from typing import Any

from celery.signals import setup_logging, worker_ready, worker_shutdown, worker_shutting_down

from assembler_runner.app import create_app
from assembler_runner.core import logging
from assembler_runner.core.database import db
from assembler_runner.core.errors import SettingsError
from assembler_runner.core.process_secrets import require_secrets, with_unused_secrets
from assembler_runner.core.settings import load
from assembler_runner.ops.retention import clean_up
from assembler_runner.publishing import claims, metrics_page, pipeline  # noqa: F401 - children of a prefork pool share it
from assembler_runner.publishing.sweeper import Sweeper
from assembler_runner.requests.expiry import apply_expiry
from assembler_runner.runtime.poller import Poller
from assembler_runner.services import EXTENSION, Services
from assembler_runner.webhooks.delivery import WebhookSender

try:
    _settings = load(os.environ)
    require_secrets(_settings)
    _settings = with_unused_secrets(_settings)
    flask_app = create_app(_settings, migrates=False)
except SettingsError as problem:
    sys.exit(f"Error: {problem.message}\nHint: {problem.hint}")
celery = flask_app.extensions["celery"]
_services: Services = flask_app.extensions[EXTENSION]
_alive_file = Path(_settings.ALIVE_FILE) if _settings.ALIVE_FILE else None
_sweeper = Sweeper(flask_app, _settings.RESEND_SECONDS, _alive_file, chores=[apply_expiry], hourly=[clean_up])
_poller = Poller(flask_app, _services)
_webhooks = WebhookSender(flask_app)

_stopping = threading.Event()


@setup_logging.connect
def _configure_logging(**_: Any) -> None:
    # A receiver of this signal disables Celery's own logging configuration.
    logging.configure(_settings)


@worker_ready.connect
def _start_threads(**_: Any) -> None:
    if _settings.METRICS_PORT:
        with flask_app.app_context():
            metrics_page.serve_worker(_settings.METRICS_PORT, db.engine, _settings.METRICS_TOKEN)
    _sweeper.start()
    _poller.start()
    _webhooks.start()
    threading.Thread(target=_exit_after_drain, name="drain", daemon=True).start()


@worker_shutting_down.connect
def _stop_threads(**_: Any) -> None:
    # Runs in a signal handler: it may only set events.
    _sweeper.stop()
    _poller.stop()
    _webhooks.stop()
    _stopping.set()


@worker_shutdown.connect
def _release_on_shutdown(**_: Any) -> None:
    _release_claims(0)


def _exit_after_drain() -> None:
    _stopping.wait()
    if _release_claims(_settings.DRAIN_SECONDS):
        # Celery would wait for threads that still wait for a response; their claims have been released.
        os._exit(0)


def _release_claims(seconds: float) -> bool:
    left = _services.leases.drain(seconds)
    if left:
        with flask_app.app_context():
            claims.release_claims(left)
    return bool(left)
