"""`assembler completion`."""

from __future__ import annotations

import click


@click.command()
@click.argument("shell_name", metavar="SHELL", type=click.Choice(["bash", "zsh", "fish"]))
def completion(shell_name: str) -> None:
    """Print the completion script of a SHELL: bash, zsh or fish.

    Names of Spaces, types and templates are completed, too.
    """
    from click.shell_completion import get_completion_class

    from assembler_client.cli import cli

    kind = get_completion_class(shell_name)
    if kind is None:
        raise click.UsageError(f"Completion for {shell_name} is not supported.")
    click.echo(kind(cli, {}, "assembler", "_ASSEMBLER_COMPLETE").source())
