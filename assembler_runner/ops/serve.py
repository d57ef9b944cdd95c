"""`assembler serve`: API, pages, worker and sweeper in one process, on SQLite, without further dependencies."""

from __future__ import annotations

import fcntl
import gc
import json
import logging
import os
import secrets
import signal
import sys
from pathlib import Path
from types import FrameType
from typing import IO, TYPE_CHECKING

import sqlalchemy as sa
from flask import Flask

from assembler_runner.app import MIGRATIONS, create_app, enable_migrations
from assembler_runner.core import logging as core_logging
from assembler_runner.core.database import db
from assembler_runner.core.errors import SettingsError
from assembler_runner.core.settings import Settings, load
from assembler_runner.ops.cli.flask_commands import make_admin
from assembler_runner.ops.http_server import listen
from assembler_runner.ops.migration_lock import is_at_newest
from assembler_runner.ops.retention import clean_up
from assembler_runner.publishing import claims
from assembler_runner.publishing.embedded_worker import EmbeddedWorker, embed
from assembler_runner.publishing.sweeper import Sweeper
from assembler_runner.requests.expiry import apply_expiry
from assembler_runner.runtime import watches
from assembler_runner.runtime.poller import Poller
from assembler_runner.services import EXTENSION, Services
from assembler_runner.webhooks.delivery import WebhookSender

if TYPE_CHECKING:
    import socket

    from assembler_runner.apps.supervisor import Supervisor

log = logging.getLogger(__name__)

SECRETS_FILE = "secrets.json"


def serve(host: str, port: int, instance: Path) -> None:
    """Runs the service until a signal stops it.

    Args:
        host: address to listen on.
        port: port; 0 for a free one.
        instance: folder for database, secrets and local Spaces; created if missing.
    Raises:
        SettingsError: a setting is invalid, the folder is in use, or the address cannot be listened on.
    """
    lock = instance_lock(instance)
    settings, apps_port, about_apps = _choose_apps(settings_of(instance))
    core_logging.configure(settings)
    app = _open(settings, instance)
    streams = settings.MAX_EVENT_READERS + settings.MAX_LOG_STREAMS
    server = listen(app, host, port, streams=streams, behind_proxy=settings.TRUSTED_PROXIES > 0)
    url = f"http://{f'[{host}]' if ':' in host else host}:{server.effective_port}"
    with app.app_context():
        make_admin(url)
        # The lock guarantees that no other worker of this instance is running.
        if left := claims.release_claims():
            log.info("resuming %d requests of the last run", left)
        watches.release_claims()
    worker = EmbeddedWorker(app.extensions["celery"], settings.CONCURRENCY)
    worker.start()
    embed(worker)
    sweeper = Sweeper(app, settings.RESEND_SECONDS, chores=[apply_expiry], hourly=[clean_up])
    sweeper.start()
    poller = Poller(app, app.extensions[EXTENSION])
    poller.start()
    webhooks = WebhookSender(app)
    webhooks.start()
    supervisor = _start_supervisor(app, apps_port) if apps_port is not None else None
    app.extensions[EXTENSION].targets.learn_account()
    _stop_on_signals()
    # Objects created by the start are permanent: exclude them from garbage collection.
    gc.freeze()
    gc.enable()
    print(f"Assembler is ready at {url}", flush=True)
    print(about_apps, flush=True)
    server.run()
    print("Stopping: waiting for running work; press Ctrl-C again to stop at once.", flush=True)
    sweeper.stop()
    poller.stop()
    webhooks.stop()
    worker.stop()
    if supervisor is not None:
        supervisor.stop()
    app.extensions[EXTENSION].feed.close()
    _drain(app)
    lock.close()
    # A normal exit would wait for threads that still wait for a response; their claims have been released.
    sys.stdout.flush()
    os._exit(0)


def _choose_apps(settings: Settings) -> tuple[Settings, socket.socket | None, str]:
    if settings.APPS == "off":
        return settings, None, "Apps of the target local are not run (APPS=off)."
    from assembler_runner.ops import apps

    return apps.choose(settings)


def _start_supervisor(app: Flask, listener: socket.socket) -> Supervisor:
    from assembler_runner.ops import apps

    return apps.start_supervisor(app, listener)


def _drain(app: Flask) -> None:
    services: Services = app.extensions[EXTENSION]
    left = services.leases.drain(services.settings.DRAIN_SECONDS)
    if left:
        with app.app_context():
            claims.release_claims(left)
        log.info("released %d running requests; they resume at the next start", len(left))


def _open(settings: Settings, instance: Path) -> Flask:
    try:
        app = create_app(settings, instance, migrates=False)
        with app.app_context():
            if not is_at_newest(db.engine, MIGRATIONS):
                _migrate(app)
    except sa.exc.OperationalError as problem:
        # The first line only: it names server and reason, never the password.
        reason = str(problem.orig).splitlines()[0]
        raise SettingsError(
            f"The database cannot be used: {reason}", hint="Check SQLALCHEMY_DATABASE_URI and the database server."
        ) from None
    return app


def _migrate(app: Flask) -> None:
    # Imported here: most starts have nothing to migrate.
    from flask_migrate import upgrade

    enable_migrations(app)
    upgrade()


def instance_lock(instance: Path) -> IO[str]:
    """Locks an instance folder until the returned file is closed.

    Raises:
        SettingsError: another process holds the lock, or the folder cannot be used.
    """
    try:
        instance.mkdir(parents=True, exist_ok=True, mode=0o700)
        file = (instance / "lock").open("w")
    except OSError as problem:
        raise SettingsError(
            f"The folder {instance} cannot be used: {problem.strerror}.", hint="Choose another folder with --instance."
        ) from None
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.close()
        raise SettingsError(
            f"Another Assembler is using the folder {instance}.",
            hint="Stop it, or choose another folder with --instance.",
        ) from None
    return file


def settings_of(instance: Path) -> Settings:
    """Returns the settings of the environment, with missing secrets generated once and stored in the folder."""
    given = load(os.environ)
    path = instance / SECRETS_FILE
    try:
        stored: dict[str, str] = json.loads(path.read_text()) if path.exists() else {}
    except ValueError:
        raise SettingsError(
            f"The file {path} is damaged.", hint="Restore it; its keys are needed to decrypt stored secrets."
        ) from None
    if not stored:
        stored = {"SECRET_KEY": secrets.token_urlsafe(48), "JWT_SECRET_KEY": secrets.token_urlsafe(48)}
        temporary = path.with_suffix(".new")
        with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
            json.dump(stored, file)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    return load(os.environ, **{name: value for name, value in stored.items() if not getattr(given, name)})


def _stop_on_signals() -> None:
    def stop(number: int, frame: FrameType | None) -> None:
        signal.signal(signal.SIGINT, lambda *_: os._exit(130))
        raise SystemExit

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
