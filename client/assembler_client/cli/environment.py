"""`assembler secrets` and `assembler variables`: the environment of an app."""

from __future__ import annotations

import os
import sys
from typing import Any, Literal

import click

from assembler_client.cli import JoinedGroup
from assembler_client.cli.complete import space_argument
from assembler_client.cli.deploy import pairs_of, show_result, wait_options
from assembler_client.cli.output import ProgressDisplay, Shell, common


@click.group(cls=JoinedGroup)
def secrets() -> None:
    """List, set and remove the secrets of a Space. Their values cannot be read."""


@click.group()
def variables() -> None:
    """List, set and remove the public variables of a Space."""


@secrets.command("list")
@space_argument()
@common
def list_secrets(shell: Shell, space: str) -> None:
    """List the names of the secrets of SPACE."""
    with shell.connect() as assembler:
        names = list(assembler.find(space).secret_names or ())
    if shell.as_json:
        shell.result(names)
    else:
        shell.table(("NAME",), [(name,) for name in names])


@secrets.command("set")
@space_argument()
@click.argument("names", nargs=-1, required=True, metavar="NAME[=VALUE]...")
@wait_options
@common
def set_secrets(shell: Shell, space: str, names: tuple[str, ...], no_wait: bool, timeout: float) -> None:
    """Set secrets of SPACE; without =VALUE a value is read from the environment, or asked for."""
    values = dict(_secret(text) for text in names)
    _change(shell, space, "secrets", values, no_wait, timeout)


@secrets.command("unset")
@space_argument()
@click.argument("names", nargs=-1, required=True, metavar="NAME...")
@wait_options
@common
def unset_secrets(shell: Shell, space: str, names: tuple[str, ...], no_wait: bool, timeout: float) -> None:
    """Remove secrets of SPACE."""
    _change(shell, space, "secrets", dict.fromkeys(names), no_wait, timeout)


@variables.command("list")
@space_argument()
@common
def list_variables(shell: Shell, space: str) -> None:
    """List the variables of SPACE."""
    with shell.connect() as assembler:
        found = dict(assembler.find(space).variables or {})
    if shell.as_json:
        shell.result(found)
    else:
        shell.table(("NAME", "VALUE"), sorted(found.items()))


@variables.command("set")
@space_argument()
@click.argument("pairs", nargs=-1, required=True, metavar="NAME=VALUE...")
@wait_options
@common
def set_variables(shell: Shell, space: str, pairs: tuple[str, ...], no_wait: bool, timeout: float) -> None:
    """Set variables of SPACE."""
    _change(shell, space, "variables", pairs_of(pairs, "variables", as_text=True), no_wait, timeout)


@variables.command("unset")
@space_argument()
@click.argument("names", nargs=-1, required=True, metavar="NAME...")
@wait_options
@common
def unset_variables(shell: Shell, space: str, names: tuple[str, ...], no_wait: bool, timeout: float) -> None:
    """Remove variables of SPACE."""
    _change(shell, space, "variables", dict.fromkeys(names), no_wait, timeout)


def _secret(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if equals:
        return name, value
    if name in os.environ:
        return name, os.environ[name]
    if not sys.stdin.isatty():
        raise click.UsageError(f"The environment variable {name} is not set; use {name}=VALUE.")
    return name, click.prompt(name, hide_input=True, err=True)


def _change(
    shell: Shell,
    space: str,
    what: Literal["secrets", "variables"],
    values: dict[str, Any],
    no_wait: bool,
    timeout: float,
) -> None:
    with shell.connect() as assembler, ProgressDisplay(shell) as progress:
        changes: Any = {what: values}
        changed = assembler.update(space, wait=not no_wait, timeout=timeout, on_event=progress.happened, **changes)
    show_result(shell, changed)
