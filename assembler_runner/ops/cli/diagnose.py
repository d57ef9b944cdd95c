"""`assembler diagnose`: the cause of an error from a log, without a service."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import BinaryIO

import click

from assembler_runner.assembly.card import README, read_card
from assembler_runner.runtime.app_context import LARGEST_BYTES, TEXT_FILES
from assembler_runner.runtime.causes import BUILD, RUN, Problem, diagnose
from assembler_runner.runtime.causes.text import clean

_MOST_BYTES = 4 * 2**20
_MOST_FILES = 10_000


@click.command("diagnose")
@click.argument("file", type=click.File("rb"))
@click.option("--kind", type=click.Choice([BUILD, RUN]), default=RUN, show_default=True, help="Which log it is.")
@click.option("--type", "-t", "space_type", help="Space type of the app, such as gradio.")
@click.option("--stage", help="Stage as the Hub names it, such as BUILD_ERROR.")
@click.option("--said", help="What the Hub says of the error.")
@click.option(
    "--files", "names", multiple=True, metavar="PATH|FOLDER", help="A file of the Space, or a folder with all of them."
)
@click.option("--card", type=click.File("rb"), help="README.md of the Space; that of a folder is read by itself.")
@click.option("--json", "as_json", is_flag=True, help="Write the problem as JSON, as POST /diagnoses returns it.")
def command(
    file: BinaryIO,
    kind: str,
    space_type: str | None,
    stage: str | None,
    said: str | None,
    names: tuple[str, ...],
    card: BinaryIO | None,
    as_json: bool,
) -> None:
    """Find the cause of an error in the log FILE, or in standard input if FILE is -.

    A cause that is not certain is `exception` or `unknown`. What is known of the app makes the cause and the fix more
    precise. Of a long log the last 4 MiB are read.
    """
    files = _files(names)
    readme = card.read() if card is not None else (files.get(README) or "").encode()
    values = read_card(readme).values
    problem = diagnose(_end_of(file), kind, space_type=space_type, files=files, card=values, stage=stage, said=said)
    if as_json:
        # ASCII: control characters of a log cannot reach the terminal.
        click.echo(json.dumps(problem.to_json(), indent=1))
        return
    for line in _lines(problem):
        click.echo(clean(line))


def _files(names: Iterable[str]) -> dict[str, str | None]:
    """Returns path → text; None for a file whose text is not known or not needed."""
    found: dict[str, str | None] = {}
    for name in names:
        folder = Path(name)
        if not folder.is_dir():
            found[name.removeprefix("./")] = None
            continue
        for place in sorted(path for path in folder.rglob("*") if path.is_file() and ".git" not in path.parts):
            if len(found) == _MOST_FILES:
                break
            is_text = place.name.endswith(TEXT_FILES) and place.stat().st_size <= LARGEST_BYTES
            text = place.read_text("utf-8", "replace") if is_text else None
            found[place.relative_to(folder).as_posix()] = text
    return found


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
