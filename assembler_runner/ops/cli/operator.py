"""`assembler backup|restore|doctor|requests`: operator commands on the server itself, without a token."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click
import sqlalchemy as sa
from flask_migrate import upgrade

from assembler_runner.accounts import audit
from assembler_runner.accounts.permissions import operator
from assembler_runner.app import create_app
from assembler_runner.core.database import database_now, db
from assembler_runner.core.errors import AssemblerError
from assembler_runner.ops import apps, backups
from assembler_runner.ops.doctor import examine
from assembler_runner.ops.serve import instance_lock, settings_of
from assembler_runner.requests import cancel_retry
from assembler_runner.services import Services, current_services
from assembler_runner.spaces.models import FAILED, QUEUED, SpaceRequest
from assembler_runner.spaces.transitions import TRANSITIONS
from assembler_runner.targets.hub import conformance

_FOLDER = click.Path(file_okay=False, path_type=Path)
_INSTANCE = click.option(
    "--instance", default="instance", show_default=True, type=_FOLDER, help="Instance folder, as in serve."
)
_FILE = click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
_MARKS = {"ok": "ok     ", "warning": "warning", "error": "ERROR  "}


@contextmanager
def _service(instance: Path) -> Iterator[Services]:
    instance.mkdir(parents=True, exist_ok=True, mode=0o700)
    with create_app(settings_of(instance), instance).app_context():
        try:
            yield current_services()
        finally:
            db.session.remove()
            db.engine.dispose()


@click.command("apps")
@_INSTANCE
def run_apps(instance: Path) -> None:
    """Run the apps of the target local in this process, where the API does not run as assembler serve.

    API and workers need APPS=process, the same instance folder and the same APPS_URL.
    """
    instance.mkdir(parents=True, exist_ok=True, mode=0o700)
    apps.run(lambda settings: create_app(settings, instance), settings_of(instance))


@click.command()
@_FILE
@_INSTANCE
def backup(file: Path, instance: Path) -> None:
    """Write a backup of rows, contents and local Spaces to FILE, without keys; the service may be running."""
    with _service(instance) as services:
        done = backups.back_up(services, db.engine, file)
    click.echo(f"Wrote {file}: {done.rows} rows, {done.contents} contents, {done.spaces} files of local Spaces.")
    click.echo("It does not contain the keys: store SECRET_KEY (or secrets.json of the instance folder) elsewhere.")


@click.command()
@_FILE
@_INSTANCE
@click.option("--other-key", is_flag=True, help="Continue with a different SECRET_KEY; encrypted secrets are lost.")
def restore(file: Path, instance: Path, other_key: bool) -> None:
    """Restore FILE into an empty database, the file store and the instance folder; the service must be stopped."""
    with instance_lock(instance), _service(instance) as services:
        done = backups.restore(
            services, db.engine, file, lambda revision: upgrade(revision=revision), other_key=other_key
        )
        audit.record(operator(), "restore", "database", None, file.name, None, rows=done.rows)
        db.session.commit()
    click.echo(f"Restored {done.rows} rows, {done.contents} contents, {done.spaces} files of local Spaces.")


@click.command()
@_INSTANCE
@click.option("--target", type=click.Choice(["huggingface"]), help="Check what this target of the service answers.")
@click.option("--endpoint", metavar="URL", help="Check what a Hub at this address answers; the token is HF_TOKEN.")
@click.option("--namespace", help="Where the check creates its Space; by default the account of the token.")
def doctor(instance: Path, target: str | None, endpoint: str | None, namespace: str | None) -> None:
    """Check settings and dependencies; exit code 1 if something does not work.

    With --target or --endpoint: check that a Hub answers as publishing needs it, with a private Space that is deleted
    again. Exit code 1 if a required line fails.
    """
    if target or endpoint:
        sys.exit(_judge_hub(instance, endpoint, namespace))
    worst = "ok"
    with _service(instance) as services:
        for check in examine(services, db.engine):
            click.echo(f"{_MARKS[check.outcome]} {check.part}: {check.message}")
            if check.hint:
                click.echo(f"        → {check.hint}")
            worst = "error" if "error" in (worst, check.outcome) else check.outcome if worst == "ok" else worst
    click.echo(
        {"ok": "Everything works.", "warning": "It works; see the warnings."}.get(worst, "Something is missing.")
    )
    sys.exit(1 if worst == "error" else 0)


def _judge_hub(instance: Path, endpoint: str | None, namespace: str | None) -> int:
    instance.mkdir(parents=True, exist_ok=True, mode=0o700)
    settings = settings_of(instance)
    if not settings.HF_TOKEN:
        raise click.UsageError("HF_TOKEN is not set: the check needs a token that may create Spaces.")
    address, timeout = endpoint or settings.HF_ENDPOINT, settings.HUB_TIMEOUT
    required, failed, missing = 0, 0, 0
    for result in conformance.examine(address, settings.HF_TOKEN, timeout, instance / "outgoing", namespace):
        line = result.line
        mark = {"ok": "ok     ", "missing": "missing", "failed": "FAILED "}[result.outcome]
        click.echo(f"{mark} {line.name}: {line.why}{'' if line.required else ' (optional)'}")
        if result.said:
            click.echo(f"        → {result.said}")
        required += line.required
        failed += line.required and result.outcome != "ok"
        missing += not line.required and result.outcome != "ok"
    click.echo(f"{address}: {required - failed} of {required} required lines, {missing} optional ones missing.")
    click.echo("Spaces cannot be published there." if failed else "Spaces can be published there.")
    return 1 if failed else 0


@click.group("requests")
def requests_group() -> None:
    """Requests of all realms."""


@requests_group.command("list")
@click.option("--status", type=click.Choice(sorted(TRANSITIONS)), help="Only requests with this status.")
@click.option("--code", help="Only requests that failed with this code.")
@click.option("--limit", default=50, show_default=True, type=click.IntRange(1), help="Maximum number of requests.")
@_INSTANCE
def list_requests(status: str | None, code: str | None, limit: int, instance: Path) -> None:
    """List requests, newest first."""
    with _service(instance):
        for row in _found(status, code, limit):
            reason = f"  {row.error['code']}: {row.error['message']}" if row.error else ""
            created = row.created_at.isoformat(timespec="seconds")
            click.echo(f"{row.id}  {row.status:9}  {created}  {row.space.target}/{row.space.name}{reason}")


@requests_group.command("requeue")
@click.argument("ids", nargs=-1)
@click.option("--failed", is_flag=True, help="All failed requests.")
@click.option("--code", help="All requests that failed with this code.")
@_INSTANCE
def requeue(ids: tuple[str, ...], failed: bool, code: str | None, instance: Path) -> None:
    """Queue failed and cancelled requests again; queued requests with a delayed start run now."""
    if bool(ids) == bool(failed or code):
        raise click.UsageError("Give request ids, or --failed, or --code.")
    refused = 0
    with _service(instance):
        chosen = ids or [row.id for row in _found(FAILED, code, None)]
        db.session.rollback()
        for request_id in chosen:
            try:
                click.echo(f"{request_id}  {_requeue(request_id)}")
            except AssemblerError as problem:
                refused += 1
                click.echo(f"{request_id}  refused: {problem.message}")
    sys.exit(1 if refused else 0)


COMMANDS: tuple[click.Command, ...] = (run_apps, backup, restore, doctor, requests_group)


def _found(status: str | None, code: str | None, limit: int | None) -> Iterator[SpaceRequest]:
    query = sa.select(SpaceRequest).order_by(SpaceRequest.created_at.desc())
    if status or code:
        query = query.where(SpaceRequest.status == (FAILED if code else status))
    number = 0
    for row in db.session.scalars(query.execution_options(yield_per=200)):
        if code and row.error["code"] != code:
            continue
        number += 1
        if limit is not None and number > limit:
            return
        yield row


def _requeue(request_id: str) -> str:
    row = db.session.get(SpaceRequest, request_id)
    if row is None or row.status != QUEUED:
        db.session.rollback()
        cancel_retry.retry(operator(), request_id)
        return "queued again"
    now: dict[str, Any] = {"not_before": 0.0, "due_at": database_now()}
    waits = sa.update(SpaceRequest).where(SpaceRequest.id == request_id, SpaceRequest.status == QUEUED)
    db.session.execute(waits.values(now), execution_options={"synchronize_session": False})
    audit.record(operator(), "requeue", "request", request_id, row.space.name, row.realm_id)
    db.session.commit()
    return "runs now"
