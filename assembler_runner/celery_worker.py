"""The module that `celery --app assembler_runner.celery_worker worker` loads."""

from __future__ import annotations

import os
from typing import Any

from celery.signals import worker_ready, worker_shutdown, worker_shutting_down

from assembler_runner import pipeline
from assembler_runner.app import create_app
from assembler_runner.host import EXTENSION, Host
from assembler_runner.settings import load, require_secrets
from assembler_runner.tasks import Sweeper

_settings = load(os.environ)
require_secrets(_settings)
flask_app = create_app(_settings)
celery = flask_app.extensions["celery"]
_host: Host = flask_app.extensions[EXTENSION]
_sweeper = Sweeper(flask_app, _settings.RESEND_SECONDS)


@worker_ready.connect
def _start_sweeper(**_: Any) -> None:
    _sweeper.start()


@worker_shutting_down.connect
def _take_no_more(**_: Any) -> None:
    _sweeper.stop()
    _host.leases.drain(0)


@worker_shutdown.connect
def _hand_back(**_: Any) -> None:
    left = _host.leases.drain(_settings.DRAIN_SECONDS)
    if left:
        with flask_app.app_context():
            pipeline.hand_back(left)
