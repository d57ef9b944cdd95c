"""Checks settings and dependencies of the service, with a hint for each problem."""

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
from assembler_runner.ops import doctor_apps, doctor_security
from assembler_runner.publishing.embedded_worker import broker_answers, workers_answer
from assembler_runner.services import Services
from assembler_runner.spaces.models import QUEUED, SpaceRequest
from assembler_runner.targets.hub.target import HuggingFaceTarget

Outcome = Literal["ok", "warning", "error"]


@dataclass(frozen=True)
class Check:
    """Result of one check.

    Args:
        part: the part that was checked.
        outcome: ok, warning (it works, but perhaps not as intended) or error.
        message: the state of the part.
        hint: what to do, or None.
    """

    part: str
    outcome: Outcome
    message: str
    hint: str | None = None


def examine(services: Services, engine: sa.Engine) -> Iterator[Check]:
    """Checks one part after the other.

    Args:
        services: the process's services.
        engine: the database.
    """
    yield Check("settings", "ok", "valid")
    database = _database(engine)
    yield database
    if database.outcome != "error":
        yield _migrations(engine)
        yield _queue(engine)
        yield _checked("file store", services.files.check, services.settings.DEFAULT_FILE_STORE)
    yield from _broker(services)
    yield from _plugins(services)
    yield _hub(services)
    for part, outcome, message, hint in doctor_apps.checks(services.settings):
        yield Check(part, outcome, message, hint)
    for part, message, hint in doctor_security.warnings(services.settings, engine):
        yield Check(part, "warning", message, hint)


def _database(engine: sa.Engine) -> Check:
    shown = engine.url.render_as_string(hide_password=True)
    try:
        with engine.connect() as connection:
            connection.execute(sa.text("SELECT 1"))
    except SQLAlchemyError as problem:
        return Check(
            "database", "error", f"{shown} does not respond ({type(problem).__name__})",
            "Check SQLALCHEMY_DATABASE_URI, and that the server is running and accepts the user.",
        )  # fmt: skip
    if engine.dialect.name == "sqlite":
        return Check("database", "ok", f"{shown}; SQLite supports one machine, other databases several")
    return Check("database", "ok", shown)


def _migrations(engine: sa.Engine) -> Check:
    wanted = set(ScriptDirectory(str(MIGRATIONS)).get_heads())
    with engine.connect() as connection:
        current = set(MigrationContext.configure(connection).get_current_heads())
    if current == wanted:
        return Check("migrations", "ok", f"the database is at {', '.join(current)}, the newest")
    where = f"at {', '.join(current)}" if current else "without tables"
    return Check(
        "migrations", "error", f"the database is {where}, not at {', '.join(wanted)}",
        "Run flask db upgrade, or start assembler serve or a container with CONTAINER_MODE=migrate once.",
    )  # fmt: skip


def _queue(engine: sa.Engine) -> Check:
    waiting = sa.select(sa.func.count()).select_from(SpaceRequest).where(SpaceRequest.status == QUEUED)
    try:
        with engine.connect() as connection:
            number = connection.scalar(waiting) or 0
    except SQLAlchemyError:
        return Check("queue", "warning", "it cannot be read before the database is migrated")
    return Check("queue", "ok", f"{number} queued requests")


def _checked(part: str, check: Callable[[], None], shown: str) -> Check:
    try:
        check()
    except AssemblerError as problem:
        return Check(
            part, "error", f"{shown}: {problem.message}", "Check that it exists, has free space and is writable."
        )
    return Check(part, "ok", shown)


def _broker(services: Services) -> Iterator[Check]:
    if services.settings.BROKER_URL.startswith("memory:"):
        yield Check("broker", "ok", "in memory, in the process of assembler serve")
        return
    kind = services.settings.BROKER_URL.partition(":")[0]
    if not broker_answers():
        yield Check("broker", "error", f"{kind} does not respond", "Check BROKER_URL, and that the broker is running.")
        return
    yield Check("broker", "ok", f"{kind} responds")
    if workers_answer():
        yield Check("workers", "ok", "at least one responds")
    else:
        hint = "Start one, with the same BROKER_URL and CELERY_QUEUE: CONTAINER_MODE=worker, or invoke worker."
        yield Check("workers", "error", "none responds", hint)


def _plugins(services: Services) -> Iterator[Check]:
    broken = [record for record in services.registry.records if record.error]
    for record in broken:
        found = f"{record.name} ({record.source}): {record.error}"
        yield Check("plugins", "error", found, "Correct it, or remove it from the folder.")
    types = sorted(plugin.space_type for plugin in services.registry.types())
    if not types:
        yield Check("plugins", "error", "there is no space type", "Check PLUGIN_FOLDERS and GIT_PLUGINS.")
    elif not broken:
        yield Check("plugins", "ok", ", ".join(types))


def _hub(services: Services) -> Check:
    settings = services.settings
    if not settings.HF_TOKEN:
        return Check("hub", "ok", "HF_TOKEN is not set: the realm master publishes locally, or with its own token")
    target = HuggingFaceTarget(
        settings.HF_ENDPOINT, settings.HF_TOKEN, settings.HUB_TIMEOUT, services.instance / "outgoing"
    )
    try:
        account = target.whoami()
    except AssemblerError as problem:
        return Check("hub", "error", f"{settings.HF_ENDPOINT}: {problem.message}", "Check HF_TOKEN and HF_ENDPOINT.")
    shown = f"{account.name} at {settings.HF_ENDPOINT}, plan {account.plan}, token {account.role}"
    if account.role == "read":
        return Check("hub", "error", shown, "The token is read-only; create one with write access.")
    if account.role == "fineGrained":
        return Check(
            "hub",
            "warning",
            shown,
            "Check that the token may create and write Spaces in the namespaces you publish to.",
        )
    if account.plan == "free":
        hint = "Only static Spaces are free; gradio, docker and streamlit need a paid plan."
        return Check("hub", "warning", shown, hint)
    return Check("hub", "ok", shown)
