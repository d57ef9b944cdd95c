"""Completion of names that only the service knows: quick, and silent if it does not answer."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

    from assembler_client.assembler import Assembler

SECONDS = 2.0
"""A shell waits for an answer: no longer than this."""
_MOST = 100

Completer = Callable[[click.Context, click.Parameter, str], "list[CompletionItem]"]


def _asks(find: Callable[[Assembler, click.Context, str], list[tuple[str, str]]]) -> Completer:
    def complete(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        from click.shell_completion import CompletionItem

        from assembler_client.cli.profiles import connect
        from assembler_client.errors import HubAPIError

        try:
            with connect(ctx.params.get("profile"), ctx.params.get("url"), seconds=SECONDS) as assembler:
                found = find(assembler, ctx, incomplete)
        except (HubAPIError, click.ClickException, OSError, ValueError):
            # Any error: a message would appear in the middle of the typed line.
            return []
        return [CompletionItem(name, help=text) for name, text in found if name.startswith(incomplete)]

    return complete


def _spaces(assembler: Assembler, ctx: click.Context, incomplete: str) -> list[tuple[str, str]]:
    wanted = {"state": "!deleted"} | ({"name": f"~{incomplete}"} if incomplete else {})
    rows = assembler.find_spaces(filter=wanted, sort="name", page={"limit": _MOST})
    return [(space.name, f"{space.space_type}, {space.state}") for space in rows]


def _types(assembler: Assembler, ctx: click.Context, incomplete: str) -> list[tuple[str, str]]:
    return [(kind.name, kind.description) for kind in assembler.get_space_types()]


def _templates(assembler: Assembler, ctx: click.Context, incomplete: str) -> list[tuple[str, str]]:
    name = ctx.params.get("space_type")
    if name:
        kind = assembler.get_space_type(name)
        kinds = [kind] if kind else []
    else:
        kinds = assembler.get_space_types()
    return [(template.name, template.description) for kind in kinds for template in kind.templates]


spaces = _asks(_spaces)
types = _asks(_types)
templates = _asks(_templates)


def profiles(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    """Completes the names of stored logins."""
    from assembler_client.cli.profiles import read_profiles

    return [name for name in sorted(read_profiles()) if name.startswith(incomplete)]


def names_of_environment(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    """Completes the names of environment variables, for secrets without a value."""
    return [name for name in sorted(os.environ) if incomplete and name.startswith(incomplete)]


def space_argument(name: str = "space", **options: Any) -> Callable[[Any], Any]:
    """The argument of a command that names a Space."""
    return click.argument(name, shell_complete=spaces, **options)
