"""`assembler list`, `show`, `logs`, `events`."""

from __future__ import annotations

from typing import Any, Literal

import click

from assembler_client.cli.complete import space_argument
from assembler_client.cli.output import ProgressDisplay, Shell, common
from assembler_client.cli.text import printable
from assembler_client.models import Event, Finding, Space
from assembler_client.suggest import did_you_mean
from assembler_client.wait import WAIT_SECONDS

_PARTS = 200


@click.command("list")
@click.option(
    "--filter",
    "-f",
    "filters",
    multiple=True,
    metavar="FIELD=VALUE",
    help="Filter, such as name=~demo or state=running.",
)
@click.option(
    "--sort", default="-created_at", show_default=True, help="Field to sort by; a leading - sorts in descending order."
)
@click.option("--limit", default=50, show_default=True, type=click.IntRange(1), help="Maximum number of Spaces.")
@click.option("--all", "everything", is_flag=True, help="Include deleted Spaces.")
@common
def list_spaces(shell: Shell, filters: tuple[str, ...], sort: str, limit: int, everything: bool) -> None:
    """List Spaces, newest first."""
    wanted = dict(_filter(text) for text in filters)
    if not everything and "state" not in wanted:
        wanted["state"] = "!deleted"
    found: list[Space] = []
    with shell.connect() as assembler:
        for space in assembler.iter_spaces(filter=wanted, sort=sort):
            found.append(space)
            if len(found) == limit:
                break
    if shell.as_json:
        shell.result(found)
        return
    rows = [(space.name, space.space_type, space.state, space.url or "", _time(space.updated_at)) for space in found]
    shell.table(("NAME", "TYPE", "STATE", "URL", "CHANGED"), rows)


@click.command()
@space_argument()
@click.option("--refresh", is_flag=True, help="Query the target for the current state first.")
@common
def show(shell: Shell, space: str, refresh: bool) -> None:
    """Show the Space SPACE: state, problem, files."""
    with shell.connect() as assembler:
        found = assembler.find(space)
        found = (assembler.get_space(found, refresh=refresh)) or found
    if shell.as_json:
        shell.result(found)
        return
    request = found.latest_request
    rows: list[tuple[str, Any]] = [
        ("name", "/".join(part for part in (found.namespace, found.name) if part)),
        ("id", found.id),
        ("url", found.url),
        ("app", found.app_url),
        ("type", found.space_type),
        ("target", found.target),
        ("visibility", found.visibility),
        ("state", f"{found.state} since {_time(found.state_since)}" if found.state_since else found.state),
        ("labels", ", ".join(found.labels)),
        ("secrets", ", ".join(found.secret_names or ())),
        ("variables", ", ".join(f"{name}={value}" for name, value in sorted(found.variables.items()))),
        ("commit", found.commit_oid),
        ("expires", _time(found.expires_at)),
    ]
    if request is not None:
        rows += [("request", f"{request.action} {request.status} ({request.id})")]
        rows += [("repository", request.git)]
        rows += [("files", ", ".join(file.path for file in request.files[:_PARTS]))]
    shell.table(("", ""), [row for row in rows if row[1]])
    if found.problem is not None:
        shell.findings([found.problem.as_finding()])
    if request is not None and request.error is not None:
        failed = request.error
        shell.findings([Finding(code=failed.code, message=failed.message, hint=failed.hint)])


@click.command()
@space_argument()
@click.option("--timeout", default=WAIT_SECONDS, show_default=True, help="Maximum wait in seconds.")
@common
def wait(shell: Shell, space: str, timeout: float) -> None:
    """Wait until the newest change of SPACE has ended and its app runs or has failed."""
    with shell.connect() as assembler, ProgressDisplay(shell) as progress:
        found = assembler.find(space)
        if found.latest_request is not None:
            found = assembler.wait_for(found.latest_request, timeout=timeout, on_event=progress.happened) or found
    if shell.as_json:
        shell.result(found)
        return
    shell.say(f"{found.name} is {found.state.replace('_', ' ')}.", "bold green" if found.state == "running" else "")
    shell.echo(found.url or str(found.id))


@click.command()
@space_argument()
@click.option("--follow", "-f", is_flag=True, help="Follow new lines as they are written.")
@click.option("--build", "kind", flag_value="build", help="Show the log of the build.")
@click.option("--run", "kind", flag_value="run", default="run", help="Show the log of the app (default).")
@click.option("--tail", default=200, show_default=True, type=click.IntRange(1), help="Number of lines.")
@common
def logs(shell: Shell, space: str, follow: bool, kind: Literal["run", "build"] | None, tail: int) -> None:
    """Show the log of the app of SPACE."""
    kind = kind or "run"
    with shell.connect() as assembler:
        found = assembler.find(space)
        if follow:
            for line in assembler.follow_logs(found, kind=kind, tail=tail):
                shell.line(line) if shell.as_json else click.echo(printable(line.text))
            return
        log = assembler.get_logs(found, kind=kind, tail=tail)
    if shell.as_json:
        shell.result(log)
        return
    click.echo(printable(log.text), nl=False)
    if log.meta.note:
        shell.say(log.meta.note)


@click.command()
@space_argument()
@click.option("--follow", "-f", is_flag=True, help="Follow new events as they happen.")
@click.option("--after", default=0, help="Id of the last known event.")
@common
def events(shell: Shell, space: str, follow: bool, after: int) -> None:
    """Show the events of SPACE, oldest first."""
    with shell.connect() as assembler:
        for event in assembler.events(space, after=after, follow=follow):
            if shell.as_json:
                shell.line(event)
            else:
                click.echo("\t".join((_time(event.created_at), *_texts(event))).rstrip())


def _texts(event: Event) -> tuple[str, str]:
    return printable(event.type, single_line=True), printable(event.message or "", single_line=True)


def _filter(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals or not name:
        raise click.UsageError(f"--filter {text!r} must have the form FIELD=VALUE, such as name=~demo.")
    if name == "state":
        _check_states(value)
    return name, value


def _check_states(value: str) -> None:
    """Reports a misspelt state, which would only give an empty list."""
    from typing import get_args

    from assembler_client.models.literals import SpaceState

    known = get_args(get_args(SpaceState)[0])
    if value[:1] in "~<>=" or value.startswith("!~"):
        return
    for state in value.removeprefix("!").split(","):
        if state not in known:
            hint = did_you_mean(state, known) or f"States: {', '.join(known)}."
            raise click.UsageError(f"--filter state: there is no state {state!r}. {hint}")


def _time(timestamp: Any) -> str:
    return timestamp.astimezone().strftime("%Y-%m-%d %H:%M:%S") if timestamp else ""
