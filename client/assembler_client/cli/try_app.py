"""`assembler try`: runs an app on this machine, without a service."""

from __future__ import annotations

import signal
from collections.abc import Callable, Mapping
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn

import click

from assembler_client import cli as codes
from assembler_client.archive import in_json
from assembler_client.cli.deploy import fields_and_source, input_options
from assembler_client.cli.output import Shell, common
from assembler_client.models import Finding
from assembler_client.models.findings import Problem

ENTRY_POINTS = "assembler.try"
"""Entry point group of the service: a function that assembles and runs."""


@click.command("try")
@click.argument("sources", nargs=-1, type=click.Path(exists=True, path_type=Path), metavar="[DIR|FILE]...")
@input_options
@click.option("--name", "-n", help="Name of the Space, its default title.")
@click.option(
    "--port",
    default=7860,
    show_default=True,
    type=click.IntRange(1, 65535),
    help="Port on 127.0.0.1; an app whose code names a port keeps it.",
)
@common
def try_app(shell: Shell, sources: tuple[Path, ...], port: int, **given: Any) -> None:
    """Run an app on this machine exactly as it would be published: a folder, files, an archive, or a --template.

    No service is needed. The files are assembled as by create, the requirements are installed into an environment of
    its own, which is kept for the next time, and the app runs on 127.0.0.1 until Ctrl-C. With --json each line is an
    object: findings, notes, lines of the log, the address, the problem.
    """
    run = entry_point(ENTRY_POINTS)
    fields, source = fields_and_source(shell, sources, given, new=True)
    body, archive = body_of_files(fields, source)
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        code = run(body, archive, port, _Display(shell))
    except KeyboardInterrupt:
        shell.say("Stopped.")
        raise click.exceptions.Exit(codes.INTERRUPTED) from None
    raise click.exceptions.Exit(code)


def body_of_files(fields: Mapping[str, Any], source: Any) -> tuple[dict[str, Any], Path | None]:
    """Returns the body of a request whose files stay on this machine, and its archive or None.

    Args:
        fields: the fields of the request.
        source: files by path, an archive or None.
    """
    archive = source if isinstance(source, Path) else None
    files = {} if archive is not None or not source else {path: _content(each) for path, each in source.items()}
    return {**fields, **({"files": files} if files else {})}, archive


def entry_point(group: str) -> Callable[..., Any]:
    """Returns what the service's package offers under an entry point group.

    Raises:
        click.UsageError: the package is not installed.
    """
    from importlib.metadata import entry_points

    for point in entry_points(group=group):
        found: Callable[..., Any] = point.load()
        return found
    raise click.UsageError("This needs the service's package on this machine: install assembler-runner.")


def _content(content: Any) -> Any:
    # Large files stay on the disk.
    return content if isinstance(content, Path) else in_json(content)


def _interrupt(number: int, frame: FrameType | None) -> NoReturn:
    raise KeyboardInterrupt


class _Display:
    """Shows what happens.

    Args:
        shell: the shell of the command.
    """

    def __init__(self, shell: Shell) -> None:
        self._shell = shell

    def __call__(self, kind: str, data: Any) -> None:
        shell = self._shell
        if shell.as_json:
            shell.line({kind: data})
        elif kind == "findings":
            shell.findings(Finding(**finding) for finding in data)
        elif kind == "problem":
            self._problem(data)
        elif kind == "ready":
            shell.say(f"The app runs at {data}; press Ctrl-C to end it.", "bold green")
            shell.echo(data)
        else:
            shell.say(data, "" if kind == "note" else "dim")

    def _problem(self, data: Mapping[str, Any]) -> None:
        problem = Problem(**data)
        if problem.excerpt is not None and problem.excerpt.text:
            self._shell.say(problem.excerpt.text, "dim")
        self._shell.findings([problem.as_finding()])
