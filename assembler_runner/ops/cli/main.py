"""Server commands of `assembler` and `python -m assembler_runner`."""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import click

from assembler_runner import __version__
from assembler_runner.core.errors import AssemblerError


class _Commands(click.Group):
    """Imports the code of a command only when it is used."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Returns the names of all commands."""
        return sorted(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Returns a command by name."""
        return COMMANDS[cmd_name][1]() if cmd_name in COMMANDS else None

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Writes the list of commands without importing their code."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (text, _) in sorted(COMMANDS.items())])


@click.group(cls=_Commands)
@click.version_option(__version__, prog_name="assembler")
def cli() -> None:
    """Assembler: a self-hosted factory for Spaces. Server commands."""


@click.command()
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option(
    "--port", default=5005, show_default=True, type=click.IntRange(0, 65535), help="Port; 0 selects a free one."
)
@click.option(
    "--instance",
    default="instance",
    show_default=True,
    type=click.Path(file_okay=False, path_type=Path),
    help="Folder for database, secrets and local Spaces.",
)
@click.option(
    "--debug",
    is_flag=True,
    help="For authors of plugins: load changed plugins at once, and serve /debug/; on loopback only.",
)
def serve(host: str, port: int, instance: Path, debug: bool) -> None:
    """Run API, web pages and worker in one process."""
    if debug:
        if host not in ("127.0.0.1", "::1", "localhost"):
            raise click.UsageError("--debug shows settings to everybody, so it needs an address of this machine only.")
        os.environ["FLASK_DEBUG"] = "1"
    # Objects created by the start are permanent; garbage collection would take a fifth of the start. The service
    # enables it when it is ready.
    gc.disable()
    try:
        from assembler_runner.ops.serve import serve as run

        run(host, port, instance)
    finally:
        gc.enable()


@click.group()
def plugin() -> None:
    """Create and check plugins."""


@plugin.command("new")
@click.argument("name")
@click.option(
    "--folder",
    default="plugins",
    show_default=True,
    type=click.Path(file_okay=False, path_type=Path),
    help="Plugin folder to create it in.",
)
def plugin_new(name: str, folder: Path) -> None:
    """Create the skeleton of a plugin for the space type NAME."""
    from assembler_runner.ops.cli.plugins import write_skeleton

    package = write_skeleton(folder, name)
    click.echo(f"Wrote {package}. Check it: assembler plugin check {package}; run it: assembler plugin try {package}")


@plugin.command("check")
@click.argument("path", type=click.Path(exists=True, file_okay=False, path_type=Path))
def plugin_check(path: Path) -> None:
    """Check the plugin in the folder PATH against all rules."""
    from assembler_runner.ops.cli.plugins import check_plugin

    findings = check_plugin(path)
    for finding in findings:
        place = f"{finding.path or path.name}{f':{finding.line}' if finding.line else ''}"
        click.echo(f"{finding.severity}: {place}: {finding.message}")
        if finding.hint:
            click.echo(f"  {finding.hint}")
    errors = sum(finding.severity == "error" for finding in findings)
    click.echo(f"{errors} errors, {len(findings) - errors} other findings." if findings else "Everything is fine.")
    sys.exit(3 if errors else 0)


@plugin.command("try")
@click.argument("path", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--example", help="Folder in its examples; the first one, or else its first template, if omitted.")
@click.option("--port", default=7860, show_default=True, type=click.IntRange(1, 65535), help="Port on 127.0.0.1.")
def plugin_try(path: Path, example: str | None, port: int) -> None:
    """Run an example of the plugin in the folder PATH on this machine, until Ctrl-C."""
    from assembler_runner.ops.cli.plugin_try import run_example

    sys.exit(run_example(path, example, port))


def _with_error_messages(command: click.Command) -> click.Command:
    """Makes a command report the service's errors as a message with exit code 1."""
    work = command.invoke

    def invoke(ctx: click.Context) -> Any:
        try:
            return work(ctx)
        except AssemblerError as problem:
            click.echo(f"Error: {problem.message}", err=True)
            if problem.hint:
                click.echo(f"Hint: {problem.hint}", err=True)
            ctx.exit(1)

    command.invoke = invoke  # type: ignore[method-assign]  # overrides the method of this one command
    return command


@cache
def _account_command(name: str) -> click.Command:
    from assembler_runner.ops.cli.accounts import GROUPS

    return _with_error_messages(next(group for group in GROUPS if group.name == name))


@cache
def _operator_command(name: str) -> click.Command:
    from assembler_runner.ops.cli.operator import COMMANDS as OF_OPERATORS

    return _with_error_messages(next(command for command in OF_OPERATORS if command.name == name))


def _diagnose() -> click.Command:
    from assembler_runner.ops.cli.diagnose import command

    return command


def _devhub() -> click.Command:
    from assembler_runner.ops.cli.devhub import devhub

    return devhub


_with_error_messages(serve)
_with_error_messages(plugin)

_LOADERS: dict[str, tuple[str, Callable[[], click.Command]]] = {
    "serve": ("Run API, web pages and worker in one process.", lambda: serve),
    "user": ("Manage users.", lambda: _account_command("user")),
    "robot": ("Manage robots.", lambda: _account_command("robot")),
    "realm": ("Manage realms.", lambda: _account_command("realm")),
    "role": ("Manage roles.", lambda: _account_command("role")),
    "secrets": ("Rotate the key of stored secrets.", lambda: _account_command("secrets")),
    "plugin": ("Create and check plugins.", lambda: plugin),
    "diagnose": ("Find the cause of an error in a log.", _diagnose),
    "devhub": ("Run a Hub on this machine, to try everything without an account.", _devhub),
    "doctor": ("Check settings and dependencies.", lambda: _operator_command("doctor")),
    "requests": ("List requests, and requeue failed ones.", lambda: _operator_command("requests")),
    "apps": ("Run the apps of the target local without `assembler serve`.", lambda: _operator_command("apps")),
    "backup": ("Write a backup of all data to a file.", lambda: _operator_command("backup")),
    "restore": ("Restore a backup into an empty database.", lambda: _operator_command("restore")),
}


def _loader(name: str, load: Callable[[], click.Command]) -> Callable[[], click.Command]:
    def loaded() -> click.Command:
        from assembler_runner.ops.cli.examples import add_examples

        return add_examples(load(), name)

    return loaded


COMMANDS = {name: (text, _loader(name, load)) for name, (text, load) in _LOADERS.items()}
"""Name → (help, loader); provided to the command `assembler` by the entry point group `assembler.commands`."""


def main() -> None:
    """Runs `python -m assembler_runner`: the same commands without the client installed."""
    cli()
