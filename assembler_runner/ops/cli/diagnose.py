"""`assembler diagnose`: the cause of an error from a log, without a service."""

from __future__ import annotations

import json
from typing import BinaryIO

import click

from assembler_runner.runtime.causes import BUILD, RUN, Problem, diagnose
from assembler_runner.runtime.causes.text import clean

_MOST_BYTES = 4 * 2**20


@click.command("diagnose")
@click.argument("file", type=click.File("rb"))
@click.option("--kind", type=click.Choice([BUILD, RUN]), default=RUN, show_default=True, help="Which log it is.")
@click.option("--json", "as_json", is_flag=True, help="Write the problem as JSON, as POST /diagnoses returns it.")
def command(file: BinaryIO, kind: str, as_json: bool) -> None:
    """Find the cause of an error in the log FILE, or in standard input if FILE is -.

    A cause that is not certain is `exception` or `unknown`. Of a long log the last 4 MiB are read.
    """
    problem = diagnose(_end_of(file), kind)
    if as_json:
        # ASCII: control characters of a log cannot reach the terminal.
        click.echo(json.dumps(problem.to_json(), indent=1))
        return
    for line in _lines(problem):
        click.echo(clean(line))


def _end_of(file: BinaryIO) -> str:
    end = b""
    while part := file.read(_MOST_BYTES):
        end = (end + part)[-_MOST_BYTES:]
    return end.decode("utf-8", "replace")


def _lines(problem: Problem) -> list[str]:
    found = [f"error[{problem.code}]: {problem.message}"]
    if problem.path:
        found.append(f"  --> {problem.path}" + (f":{problem.line}" if problem.line else ""))
    if problem.excerpt is not None:
        rows = problem.excerpt.text.splitlines()
        found += [f"{number:>5} | {row}" for number, row in enumerate(rows, problem.excerpt.line)]
    found += [f"  = help: {problem.hint}"] if problem.hint else []
    if problem.fix is not None:
        found.append(f"  = {'safe fix' if problem.fix.safe else 'fix'}: {problem.fix.title}")
        for edit in problem.fix.edits:
            place = edit.path if edit.line is None else f"{edit.path}:{edit.line}"
            found.append(f"    {edit.action.replace('_', ' ')} {place}")
            found += [f"    - {row}" for row in (edit.old or "").splitlines()]
            found += [f"    + {row}" for row in (edit.new or "").splitlines()]
        found += [f"    option {name} = {json.dumps(value)}" for name, value in problem.fix.options.items()]
    return found
