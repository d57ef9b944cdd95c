"""The notebook magic `%%assembler`: a cell becomes the app of a Space."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any, NoReturn

import click

from assembler_client.errors import HubAPIError
from assembler_client.folder import collect
from assembler_client.publishing import publish


class _Stop(click.ClickException):
    """A line of the magic that cannot be used."""


@click.command(add_help_option=False)
@click.argument("name")
@click.option("--type", "-t", "space_type")
@click.option("--target", type=click.Choice(["huggingface", "local"]))
@click.option("--visibility", type=click.Choice(["public", "private", "protected"]))
@click.option("--file", "-f", "file", default="app.py")
@click.option("--with", "-w", "others", multiple=True, type=click.Path(exists=True, path_type=Path))
@click.option("--no-wait", is_flag=True)
def _line(**given: Any) -> dict[str, Any]:
    return given


def load(ipython: Any) -> None:
    """Adds the magic to a notebook; called by `%load_ext assembler_client`."""
    ipython.register_magic_function(assembler, "cell", "assembler")


def assembler(line: str, cell: str) -> Any:
    """Publishes the cell: `%%assembler NAME [--type TYPE] [--file app.py] [--with FILE|FOLDER] [--no-wait]`.

    The cell is not run here. Its Space is created, or updated if there is one of that name.

    Args:
        line: the rest of the first line.
        cell: the text of the cell.
    Returns:
        The Space, shown as a link to its app.
    """
    try:
        given: dict[str, Any] = _line.main(shlex.split(line), "%%assembler", standalone_mode=False)
        files: dict[str, Any] = {}
        for other in given.pop("others"):
            files |= dict(collect(other)) if other.is_dir() else {other.name: other}
        files[given.pop("file")] = cell
        fields = {name: value for name, value in given.items() if value is not None and name not in ("name", "no_wait")}
        space = publish(files, given["name"], wait=not given["no_wait"], **fields)
    except (click.ClickException, ValueError) as problem:
        _fail(problem.format_message() if isinstance(problem, click.ClickException) else "A quote is not closed.")
    except HubAPIError as problem:
        _fail(str(problem))
    return Published(space)


class Published:
    """What a cell shows: the state of the Space and a link.

    Args:
        space: the Space.
    """

    def __init__(self, space: Any) -> None:
        self.space = space

    def __repr__(self) -> str:
        """Returns state and address as text."""
        return f"{self.space.name} is {self.space.state.replace('_', ' ')}: {self.space.app_url or self.space.url}"


def _fail(message: str) -> NoReturn:
    # A notebook shows the type and the message; the traceback through this package would only hide them.
    raise _Stop(message) from None
