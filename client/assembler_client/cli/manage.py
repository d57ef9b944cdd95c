"""`assembler open`, `releases`, `cancel`, `retry`, `restart`, `pause`, `wake`, `duplicate`, `move`."""

from __future__ import annotations

from typing import Any

import click

from assembler_client.cli.complete import space_argument
from assembler_client.cli.deploy import pairs_of, secrets_of, show_result, wait_options
from assembler_client.cli.output import ProgressDisplay, Shell, common
from assembler_client.errors import Conflict
from assembler_client.models import ErrorResponse, Request, Space

RELEASES = ("create", "update", "rollback", "adopt", "apply_fix")
"""Actions whose request publishes a release."""
_FEW = 100


@click.command("open")
@space_argument()
@click.option("--page", is_flag=True, help="Open the page of the Space instead of its app.")
@click.option("--print", "only_print", is_flag=True, help="Print the address, do not open it.")
@common
def open_space(shell: Shell, space: str, page: bool, only_print: bool) -> None:
    """Open the app of SPACE in a browser."""
    with shell.connect() as assembler:
        found = assembler.find(space)
    address = found.url if page or not found.app_url else found.app_url
    if address is None:
        raise _conflict("no_url", f"The address of {found.name} is not known yet.", f"assembler wait {found.name}")
    shell.echo(address)
    if not only_print and not shell.as_json:
        click.launch(address)


@click.command()
@space_argument()
@common
def releases(shell: Shell, space: str) -> None:
    """Show the releases of SPACE, newest first; `assembler rollback SPACE --to ID` returns to one."""
    with shell.connect() as assembler:
        found = assembler.find(space)
        requests = assembler.find_space_requests(found, limit=_FEW)
    made = [request for request in requests if request.action in RELEASES and request.status == "succeeded"]
    if shell.as_json:
        shell.result(made)
        return
    live = found.commit_oid
    shell.table(("ID", "PUBLISHED", "ACTION", "COMMIT", "FILES", ""), [_release(request, live) for request in made])


def _release(request: Request, live: str | None) -> tuple[Any, ...]:
    when = request.finished_at.astimezone().strftime("%Y-%m-%d %H:%M") if request.finished_at else ""
    oid = request.commit.oid if request.commit else ""
    return request.id, when, request.action, oid[:10], len(request.files), "live" if oid and oid == live else ""


@click.command()
@space_argument()
@common
def cancel(shell: Shell, space: str) -> None:
    """Cancel the newest request of SPACE, if it is queued or running."""
    with shell.connect() as assembler:
        found = assembler.find(space)
        cancelled = assembler.cancel_request(_newest(found))
    _show_request(shell, found, cancelled)


@click.command()
@space_argument()
@wait_options
@common
def retry(shell: Shell, space: str, no_wait: bool, timeout: float) -> None:
    """Queue the newest request of SPACE again, if it failed or was cancelled."""
    with shell.connect() as assembler, ProgressDisplay(shell) as progress:
        found = assembler.find(space)
        queued = assembler.retry_request(_newest(found))
        if not no_wait:
            found = assembler.wait_for(queued, timeout=timeout, on_event=progress.happened) or found
    if no_wait:
        _show_request(shell, found, queued)
    else:
        show_result(shell, found)


def _newest(space: Space) -> Request:
    if space.latest_request is None:
        raise _conflict("no_request", f"{space.name} has no request.", f"assembler show {space.name}")
    return space.latest_request


def _show_request(shell: Shell, space: Space, request: Request) -> None:
    if shell.as_json:
        shell.result(request)
    else:
        shell.say(f"{space.name}: the request {request.action} is {request.status}.")


def _command(name: str, text: str) -> click.Command:
    @click.command(name, help=text)
    @space_argument()
    @wait_options
    @common
    def work(shell: Shell, space: str, no_wait: bool, timeout: float) -> None:
        _send(shell, space, name, {}, no_wait, timeout)

    return work


restart = _command("restart", "Restart the app of SPACE.")
pause = _command("pause", "Pause the app of SPACE until it is restarted.")
wake = _command("wake", "Wake the app of SPACE if it sleeps.")


@click.command()
@space_argument()
@click.option("--name", "-n", help="Name of the copy; generated if omitted.")
@click.option("--namespace", help="User or organization that owns the copy.")
@click.option("--visibility", type=click.Choice(["public", "private", "protected"]), help="Who can see the copy.")
@click.option("--hardware", help="Hardware flavor of the copy.")
@click.option("--secret", "-s", "secrets", multiple=True, metavar="NAME[=VALUE]", help="A secret of the copy.")
@click.option("--variable", "-v", "variables", multiple=True, metavar="NAME=VALUE", help="A variable that differs.")
@wait_options
@common
def duplicate(shell: Shell, space: str, no_wait: bool, timeout: float, **given: Any) -> None:
    """Copy SPACE, without its secrets: those cannot be read, and are given again."""
    fields = {name: value for name, value in given.items() if value}
    if "secrets" in fields:
        fields["secrets"] = secrets_of(fields["secrets"])
    if "variables" in fields:
        fields["variables"] = pairs_of(fields["variables"], "variables", as_text=True)
    _send(shell, space, "duplicate", fields, no_wait, timeout)


@click.command()
@space_argument()
@click.option("--name", "-n", help="The new name.")
@click.option("--namespace", help="The new owner: a user or an organization.")
@wait_options
@common
def move(shell: Shell, space: str, name: str | None, namespace: str | None, no_wait: bool, timeout: float) -> None:
    """Rename SPACE, or move it to another owner."""
    fields = {key: value for key, value in (("name", name), ("namespace", namespace)) if value}
    if not fields:
        raise click.UsageError("Nothing to change. Pass --name or --namespace.")
    _send(shell, space, "move", fields, no_wait, timeout)


def _send(shell: Shell, space: str, command: str, fields: dict[str, Any], no_wait: bool, timeout: float) -> None:
    with shell.connect() as assembler, ProgressDisplay(shell) as progress:
        found = assembler.find(space)
        sent = assembler.command_space(found, command, **fields)
        if not no_wait:
            changed = assembler.wait_for(sent, timeout=timeout, on_event=progress.happened)
        else:
            changed = assembler.get_space(sent.space_id or found)
    show_result(shell, changed or found)


def _conflict(code: str, message: str, hint: str) -> Conflict:
    return Conflict(message, ErrorResponse(status_code=409, code=code, message=message, hint=hint))
