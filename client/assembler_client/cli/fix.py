"""`assembler fix`."""

from __future__ import annotations

import json
import sys

import click

from assembler_client.cli.complete import space_argument
from assembler_client.cli.diff import show_diff
from assembler_client.cli.output import ProgressDisplay, Shell, common
from assembler_client.cli.text import printable
from assembler_client.errors import Conflict
from assembler_client.models import ErrorResponse, Fix, FixPreview, Space
from assembler_client.wait import WAIT_SECONDS


@click.command()
@space_argument()
@click.option("--yes", "-y", is_flag=True, help="Do not ask for confirmation.")
@click.option("--no-wait", is_flag=True, help="Do not wait until the app runs.")
@click.option("--timeout", default=WAIT_SECONDS, show_default=True, help="Maximum wait in seconds.")
@common
def fix(shell: Shell, space: str, yes: bool, no_wait: bool, timeout: float) -> None:
    """Fix the problem of the app of SPACE: show the fix, ask, and publish it as one new commit."""
    with shell.connect() as assembler:
        found = assembler.find(space)
        known = _fix_of(found)
        if not shell.as_json:
            _show(shell, found, known, assembler.preview_fix(found))
        if not yes:
            if not sys.stdin.isatty():
                raise click.UsageError("No terminal to ask for confirmation; use --yes.")
            click.confirm("Apply this fix?", abort=True, err=True)
        with ProgressDisplay(shell) as progress:
            fixed = assembler.apply_fix(found, wait=not no_wait, timeout=timeout, on_event=progress.happened)
    if shell.as_json:
        shell.result(fixed)
        return
    shell.say(f"{fixed.name} is {fixed.state.replace('_', ' ')}.", "bold green" if fixed.state == "running" else "")
    shell.echo(fixed.url or str(fixed.id))


def _fix_of(space: Space) -> Fix:
    problem = space.problem
    if problem is not None and problem.fix is not None:
        return problem.fix
    message = f"{space.name} has no problem to fix."
    hint: str | None = f"Show its state: assembler show {space.name}"
    if problem is not None:
        message, hint = f"No fix is known for this problem of {space.name}: {problem.message}", problem.hint
    raise Conflict(message, ErrorResponse(status_code=409, code="no_fix", message=message, hint=hint))


def _show(shell: Shell, space: Space, known: Fix, preview: FixPreview) -> None:
    if space.problem is not None:
        shell.findings([space.problem.as_finding()])
    if preview.diff is not None:
        show_diff(shell.console, preview.diff)
    for name, value in known.options.items():
        shell.say(f"option {printable(name, single_line=True)} = {json.dumps(value, ensure_ascii=False)}")
    if not known.safe:
        shell.say("This fix may change what the app does; review it.", "bold yellow")
