"""The commands for agents: no prompts, no colours, one compact answer with the next command.

The answers are those of the service's tools for agents, so that a command line and POST /mcp say the same.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from assembler_client import cli as codes
from assembler_client.agent.door import SECRETS_META, Door, refused
from assembler_client.agent.text import GOOD, SETTLING, lines
from assembler_client.cli.agent_environment import agent_name
from assembler_client.cli.text import printable
from assembler_client.errors import AppFailed, HubAPIError, RequestFailed
from assembler_client.version import __version__
from assembler_client.wait import WAIT_SECONDS

if TYPE_CHECKING:
    from assembler_client.cli.output import Shell

ONE_ROUND = 45
"""Seconds that a command waits, unless --timeout says more: agents give up on commands that take long."""

_ONLY_REST = ("sleep_time", "labels", "expires_at", "as")
_SETTINGS = ("name", "namespace", "target", "visibility", "hardware", "variables", "space_type", "template")
_DIRECT = (*_SETTINGS, "parameters", "options", "allow")

Result = tuple[dict[str, Any], bool]


def run(command: str, shell: Shell, arguments: dict[str, Any]) -> None:
    """Runs a command for an agent, and exits with its code.

    Args:
        command: a name in :data:`ACTS`.
        shell: the shell of the command.
        arguments: the arguments of the command.
    """
    os.environ["NO_COLOR"] = "1"
    try:
        with shell.connect() as assembler:
            name = agent_name() or "assembler"
            door = Door(assembler, {"name": name, "version": __version__})
            answer, is_error = ACTS[command](shell, door, arguments)
    except HubAPIError as problem:
        answer, is_error = refused(problem), True
    _end(answer, is_error, command)


def run_other(work: Callable[..., Any], shell: Shell, arguments: dict[str, Any]) -> Any:
    """Runs a command that has no tool of its own: as for a person, but without prompts, colours and progress.

    Args:
        work: the command.
        shell: the shell of the command.
        arguments: the arguments of the command.
    """
    os.environ["NO_COLOR"] = "1"
    shell.for_agent = True
    if work.__name__ != "login" and sys.stdin.isatty():
        # A command asks only where there is a terminal.
        sys.stdin = Path(os.devnull).open(encoding="utf-8")  # noqa: SIM115 - until the process ends
    try:
        return work(shell, **arguments)
    except (AppFailed, RequestFailed) as problem:
        space_id = problem.space.id if isinstance(problem, AppFailed) else problem.request.space_id
        answer, is_error = _about(shell, str(space_id))
    except HubAPIError as problem:
        answer, is_error = refused(problem), True
    _end(answer, is_error, work.__name__)
    return None


def show_answer(shell: Shell, space_id: str) -> None:
    """Writes the answer about a Space.

    Args:
        shell: the shell of the command.
        space_id: the Space.
    """
    _end(*_about(shell, space_id), "show")


def _about(shell: Shell, space_id: str) -> Result:
    with shell.connect() as assembler:
        return Door(assembler).call("get_space", {"space": space_id})


def _end(answer: Mapping[str, Any], is_error: bool, command: str) -> None:
    for line in lines(answer):
        click.echo(printable(line))
    code = _exit_code(str(answer.get("state")), is_error, command)
    if code:
        raise click.exceptions.Exit(code)


def _exit_code(state: str, is_error: bool, command: str) -> int:
    if is_error or state == "invalid":
        return codes.INVALID if state == "invalid" else codes.FAILED
    if command in ("show", "logs", "list_spaces", "types") or state in GOOD:
        return codes.OK
    return codes.LATE if state in SETTLING else codes.FAILED


def _round(no_wait: bool, timeout: float) -> tuple[int, float]:
    """Returns the seconds of the first wait, and those of all waits."""
    whole = 0.0 if no_wait else float(ONE_ROUND if timeout == WAIT_SECONDS else timeout)
    return int(min(ONE_ROUND, whole)), whole


def _settled(door: Door, result: Result, end: float) -> Result:
    while not result[1] and result[0].get("state") in SETTLING and (left := end - time.monotonic()) > 0:
        wait = max(1, int(min(ONE_ROUND, left)))
        result = door.call("wait_for_space", {"space": result[0]["space"], "wait": wait})
    return result


def _publish(shell: Shell, door: Door, given: dict[str, Any], *, space: str | None, tool: str) -> Result:
    from assembler_client.cli.deploy import fields_and_source

    sources, no_wait = given.pop("sources"), given.pop("no_wait", False)
    timeout = given.pop("timeout", WAIT_SECONDS)
    given.pop("idempotency_key", None)
    given.pop("force", None)
    merge = bool(given.get("merge"))
    fields, source = fields_and_source(shell, sources, given, new=space is None)
    first, whole = _round(no_wait, timeout)
    end = time.monotonic() + whole
    secrets = fields.pop("secrets", None)
    if set(fields) & set(_ONLY_REST) or not (source is None or isinstance(source, Mapping)):
        return _settled(door, _by_rest(door, space, source, fields, secrets), end)
    arguments = {name: fields[name] for name in _DIRECT if name in fields}
    arguments |= {"space": space} if space else {}
    arguments |= {"fix": True} if fields.get("fixes") == "safe" else {}
    if tool == "publish_space":
        arguments["wait"] = first
        arguments |= {"replace": True} if space and source is not None and not merge else {}
    meta = {SECRETS_META: secrets} if secrets else {}
    if not source:
        return _settled(door, door.call(tool, arguments, **meta), end)
    whole_folder = sources[0] if len(sources) == 1 and sources[0].is_dir() and None not in source.values() else source
    return _settled(door, door.publish(whole_folder, arguments, tool, **meta), end)


def _by_rest(door: Door, space: str | None, source: Any, fields: dict[str, Any], secrets: Any) -> Result:
    fields |= {"secrets": secrets} if secrets else {}
    if space is None:
        made = door.assembler.deploy(source, wait=False, **fields)
    else:
        made = door.assembler.update(space, source, wait=False, **fields)
    return door.call("wait_for_space", {"space": str(made.id), "wait": 0})


def _create(shell: Shell, door: Door, given: dict[str, Any]) -> Result:
    return _publish(shell, door, given, space=None, tool="publish_space")


def _update(shell: Shell, door: Door, given: dict[str, Any]) -> Result:
    return _publish(shell, door, given, space=given.pop("space"), tool="publish_space")


def _preview(shell: Shell, door: Door, given: dict[str, Any]) -> Result:
    return _publish(shell, door, given, space=given.pop("space"), tool="check_files")


def _fix(shell: Shell, door: Door, given: dict[str, Any]) -> Result:
    if not given["yes"]:
        raise click.UsageError("Applying a fix changes the Space; use --yes.")
    first, whole = _round(given["no_wait"], given["timeout"])
    end = time.monotonic() + whole
    return _settled(door, door.call("publish_space", {"space": given["space"], "fix": True, "wait": first}), end)


def _rollback(shell: Shell, door: Door, given: dict[str, Any]) -> Result:
    first, whole = _round(given["no_wait"], given["timeout"])
    end = time.monotonic() + whole
    arguments = {"space": given["space"], "wait": first} | ({"release": given["to"]} if given["to"] else {})
    return _settled(door, door.call("restore_space", arguments), end)


def _delete(shell: Shell, door: Door, given: dict[str, Any]) -> Result:
    if not given["yes"]:
        raise click.UsageError("Deleting needs the consent of a person; then use --yes.")
    found = [door.assembler.find(space) for space in given["spaces"]]
    for space in found:
        door.assembler.delete(space, wait=not given["no_wait"], timeout=min(given["timeout"], ONE_ROUND))
    state = "deleting" if given["no_wait"] else "deleted"
    rows = [{"name": space.name, "state": state, "space": str(space.id)} for space in found]
    return {"state": state, "spaces": rows}, False


def _wait(shell: Shell, door: Door, given: dict[str, Any]) -> Result:
    first, whole = _round(False, given["timeout"])
    end = time.monotonic() + whole
    return _settled(door, door.call("wait_for_space", {"space": given["space"], "wait": first}), end)


def _show(shell: Shell, door: Door, given: dict[str, Any]) -> Result:
    return door.call("get_space", {"space": given["space"]})


def _list(shell: Shell, door: Door, given: dict[str, Any]) -> Result:
    return door.call("get_space", {})


def _logs(shell: Shell, door: Door, given: dict[str, Any]) -> Result:
    return door.call("read_log", {"space": given["space"], "kind": given["kind"] or "run"})


def _types(shell: Shell, door: Door, given: dict[str, Any]) -> Result:
    return door.call("list_space_types", {"name": given["name"]} if given.get("name") else {})


ACTS: Mapping[str, Callable[[Any, Door, dict[str, Any]], Result]] = {
    "create": _create,
    "update": _update,
    "preview": _preview,
    "fix": _fix,
    "rollback": _rollback,
    "delete": _delete,
    "wait": _wait,
    "show": _show,
    "list_spaces": _list,
    "logs": _logs,
    "types": _types,
}
