"""Looks at everything the service needs, and says what to do about what is missing."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

import sqlalchemy as sa
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy.exc import SQLAlchemyError

from assembler_runner.app import MIGRATIONS
from assembler_runner.core.errors import AssemblerError
from assembler_runner.ops import doctor_security
from assembler_runner.publishing.embedded_worker import broker_answers, workers_answer
from assembler_runner.services import Services
from assembler_runner.spaces.models import QUEUED, SpaceRequest
from assembler_runner.targets.hub.target import HuggingFaceTarget

Outcome = Literal["ok", "warning", "error"]


@dataclass(frozen=True)
class Found:
    """One thing that was looked at.

    Args:
        part: what.
        outcome: whether it is as it must be; a warning is something that works, but perhaps not as intended.
        message: how it is.
        hint: what to do, or None.
    """

    part: str
    outcome: Outcome
    message: str
    hint: str | None = None


def examine(services: Services, engine: sa.Engine) -> Iterator[Found]:
    """Looks at one part after the other.

    Args:
        services: what the process holds.
        engine: the database.
    """
    yield Found("settings", "ok", "they are valid")
    database = _database(engine)
    yield database
    if database.outcome != "error":
        yield _migrations(engine)
        yield _queue(engine)
        yield _asked("file store", services.files.check, services.settings.DEFAULT_FILE_STORE)
    yield from _broker(services)
    yield from _plugins(services)
    yield _hub(services)
    for part, message, hint in doctor_security.warnings(services.settings, engine):
        yield Found(part, "warning", message, hint)


def _database(engine: sa.Engine) -> Found:
    shown = engine.url.render_as_string(hide_password=True)
    try:
        with engine.connect() as connection:
            connection.execute(sa.text("SELECT 1"))
    except SQLAlchemyError as problem:
        return Found(
            "database", "error", f"{shown} does not answer ({type(problem).__name__})",
            "Check SQLALCHEMY_DATABASE_URI, and that the server runs and lets the user in.",
        )  # fmt: skip
    if engine.dialect.name == "sqlite":
        return Found("database", "ok", f"{shown}; SQLite is for one machine, other databases for several")
    return Found("database", "ok", shown)


def _migrations(engine: sa.Engine) -> Found:
    wanted = set(ScriptDirectory(str(MIGRATIONS)).get_heads())
    with engine.connect() as connection:
        present = set(MigrationContext.configure(connection).get_current_heads())
    if present == wanted:
        return Found("migrations", "ok", f"the database is at {', '.join(present)}, the newest")
    where = f"at {', '.join(present)}" if present else "without tables"
    return Found(
        "migrations", "error", f"the database is {where}, not at {', '.join(wanted)}",
        "Run flask db upgrade, or start assembler serve or a container with CONTAINER_MODE=migrate once.",
    )  # fmt: skip


def _queue(engine: sa.Engine) -> Found:
    waiting = sa.select(sa.func.count()).select_from(SpaceRequest).where(SpaceRequest.status == QUEUED)
    try:
        with engine.connect() as connection:
            number = connection.scalar(waiting) or 0
    except SQLAlchemyError:
        return Found("queue", "warning", "it cannot be read before the migrations are done")
    return Found("queue", "ok", f"{number} requests wait")


def _asked(part: str, check: Callable[[], None], fine: str) -> Found:
    try:
        check()
    except AssemblerError as problem:
        return Found(
            part, "error", f"{fine}: {problem.message}", "Check that it is there, has space, and lets us write."
        )
    return Found(part, "ok", fine)


def _broker(services: Services) -> Iterator[Found]:
    if services.settings.BROKER_URL.startswith("memory:"):
        yield Found("broker", "ok", "in the process of assembler serve, with its worker")
        return
    kind = services.settings.BROKER_URL.partition(":")[0]
    if not broker_answers():
        yield Found("broker", "error", f"{kind} does not answer", "Check BROKER_URL, and that the broker runs.")
        return
    yield Found("broker", "ok", f"{kind} answers")
    if workers_answer():
        yield Found("workers", "ok", "at least one answers")
    else:
        hint = "Start one, with the same BROKER_URL and CELERY_QUEUE: CONTAINER_MODE=worker, or invoke worker."
        yield Found("workers", "error", "none answers", hint)


def _plugins(services: Services) -> Iterator[Found]:
    broken = [record for record in services.registry.records if record.error]
    for record in broken:
        found = f"{record.name} ({record.source}): {record.error}"
        yield Found("plugins", "error", found, "Correct it, or take it out of the folder.")
    types = sorted(plugin.space_type for plugin in services.registry.types())
    if not types:
        yield Found("plugins", "error", "there is no Space type", "Check PLUGIN_FOLDERS and GIT_PLUGINS.")
    elif not broken:
        yield Found("plugins", "ok", ", ".join(types))


def _hub(services: Services) -> Found:
    settings = services.settings
    if not settings.HF_TOKEN:
        return Found("hub", "ok", "HF_TOKEN is not set: master publishes locally, or with a token of its own")
    target = HuggingFaceTarget(
        settings.HF_ENDPOINT, settings.HF_TOKEN, settings.HUB_TIMEOUT, services.instance / "outgoing"
    )
    try:
        account = target.whoami()
    except AssemblerError as problem:
        return Found("hub", "error", f"{settings.HF_ENDPOINT}: {problem.message}", "Check HF_TOKEN and HF_ENDPOINT.")
    shown = f"{account.name} at {settings.HF_ENDPOINT}, plan {account.plan}, token {account.role}"
    if account.role == "read":
        return Found("hub", "error", shown, "The token may only read; make one with write access.")
    if account.role == "fineGrained":
        return Found("hub", "warning", shown, "Check that the token may make and write Spaces where you publish.")
    if account.plan == "free":
        hint = "Only static Spaces are free; gradio, docker and streamlit need a paid plan."
        return Found("hub", "warning", shown, hint)
    return Found("hub", "ok", shown)
