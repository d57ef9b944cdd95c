"""Entry point of containers: `python -m assembler_runner.ops.container`; CONTAINER_MODE selects what it runs.

If a step fails, the container exits with a message that names the step and what to do.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time

from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from flask import Flask
from flask_migrate import upgrade
from sqlalchemy.exc import DBAPIError

from assembler_runner.app import MIGRATIONS, check_database, create_app
from assembler_runner.core.database import db
from assembler_runner.core.errors import SettingsError
from assembler_runner.core.places import INSTANCE
from assembler_runner.core.process_secrets import require_secrets, with_unused_secrets
from assembler_runner.core.settings import Settings, load
from assembler_runner.ops.cli.flask_commands import make_admin
from assembler_runner.ops.migration_lock import only_one_migrates

MODES = ("server", "worker", "beat", "migrate", "apps")
POLL_SECONDS = 1.0


def main() -> None:
    """Runs the mode set by CONTAINER_MODE."""
    try:
        run(load(os.environ))
    except SettingsError as problem:
        sys.exit(f"Error: {problem.message}\nHint: {problem.hint}")


def run(settings: Settings) -> None:
    """Prepares the container, then replaces this process with that of the mode.

    Args:
        settings: the settings.
    Raises:
        SettingsError: a setting is not valid for the mode, or the database is not ready in time.
    """
    mode = settings.CONTAINER_MODE
    require_secrets(settings)
    settings = with_unused_secrets(settings)
    if mode != "migrate" and settings.BROKER_URL.startswith("memory:"):
        raise SettingsError(
            "BROKER_URL is not set: server and worker containers need a common broker",
            hint="Set it to redis://… or amqp://…; `assembler serve` runs everything in one process.",
        )
    if settings.SQLALCHEMY_DATABASE_URI:
        check_database(settings.SQLALCHEMY_DATABASE_URI)
    _install_plugin_requirements()
    app = create_app(settings)
    with app.app_context():
        if mode in ("migrate", "server"):
            migrate(settings)
        else:
            wait_for_migration(app, settings.MIGRATION_WAIT)
        db.session.remove()
        db.engine.dispose()
    if mode == "migrate":
        print("The database is up to date.", flush=True)
        return
    # The processes of a pool share their metrics.
    os.environ.setdefault("PROMETHEUS_MULTIPROC_DIR", tempfile.mkdtemp(prefix="assembler-metrics-"))
    command = _command(settings)
    os.execv(command[0], command)  # noqa: S606 - the program of the mode, with no shell between


def migrate(settings: Settings) -> None:
    """Migrates the database and creates the user admin; of several containers that start at once, one does it.

    Raises:
        SettingsError: the database does not respond in time, or the migration failed.
    """
    end = time.monotonic() + settings.MIGRATION_WAIT
    reported = ""
    while True:
        try:
            with only_one_migrates(db.engine):
                upgrade()
                make_admin()
            return
        except DBAPIError as problem:
            db.session.rollback()
            reason = str(problem.orig).splitlines()[0] if str(problem.orig) else type(problem).__name__
            if not problem.connection_invalidated and not _cannot_connect():
                raise SettingsError(
                    f"The database could not be migrated: {reason}",
                    hint="Check that the database user may create and alter tables.",
                ) from None
            state = f"does not respond: {reason}"
            if time.monotonic() > end:
                raise _not_ready(state) from None
        if state != reported:
            print(f"Waiting: the database {state}.", flush=True)
            reported = state
        time.sleep(POLL_SECONDS)


def wait_for_migration(app: Flask, seconds: float) -> None:
    """Waits until another container has migrated the database.

    Raises:
        SettingsError: the database is not migrated in time.
    """
    wanted = set(ScriptDirectory(str(MIGRATIONS)).get_heads())
    end = time.monotonic() + seconds
    reported = ""
    while True:
        try:
            with db.engine.connect() as connection:
                current = set(MigrationContext.configure(connection).get_current_heads())
            if current == wanted:
                return
            state = "has not been migrated yet" if not current else f"is at {', '.join(current)}, not at the newest"
        except DBAPIError as problem:
            state = f"does not respond: {str(problem.orig).splitlines()[0]}"
        if time.monotonic() > end:
            raise _not_ready(state)
        if state != reported:
            print(f"Waiting: the database {state}.", flush=True)
            reported = state
        time.sleep(POLL_SECONDS)


def _install_plugin_requirements() -> None:
    command = [sys.executable, "-m", "flask", "install", "--skip-runner-requirements"]
    if subprocess.run(command, check=False).returncode:  # noqa: S603 - our own command
        raise SettingsError(
            "The requirements of the plugins could not be installed; see the messages above",
            hint="Build an image that includes them, or give the container access to a package registry.",
        )


def _command(settings: Settings) -> list[str]:
    if settings.CONTAINER_MODE == "apps":
        return [
            sys.executable,
            "-m",
            "assembler_runner",
            "apps",
            "--instance",
            settings.INSTANCE_FOLDER or str(INSTANCE),
        ]
    celery = [sys.executable, "-m", "celery", "--app=assembler_runner.ops.celery_worker:celery"]
    if settings.LOG_FORMAT == "json":
        celery.append("--quiet")
    level = f"--loglevel={settings.LOG_LEVEL}"
    if settings.CONTAINER_MODE == "server":
        gunicorn = [sys.executable, "-m", "gunicorn", "--config=python:assembler_runner.ops.gunicorn_config"]
        return [*gunicorn, "assembler_runner.wsgi:app"]
    if settings.CONTAINER_MODE == "beat":
        scheduler = "--scheduler=assembler_runner.ops.beat_scheduler:AliveScheduler"
        files = ["--schedule=/tmp/celerybeat-schedule", "--pidfile="]
        return [*celery, "beat", level, scheduler, "--max-interval=30", *files]
    worker = ["worker", f"--pool={settings.CELERY_WORKER_POOL}", f"--concurrency={settings.CONCURRENCY}", level]
    return [*celery, *worker, "--hostname=worker@%h", *(["--beat"] if settings.PERIODIC_SCHEDULER else [])]


def _cannot_connect() -> bool:
    try:
        db.engine.connect().close()
    except DBAPIError:
        return True
    return False


def _not_ready(state: str) -> SettingsError:
    return SettingsError(
        f"The database {state}",
        hint="Check SQLALCHEMY_DATABASE_URI, and that a container with CONTAINER_MODE=migrate (or server) has run.",
    )


if __name__ == "__main__":
    main()
