"""`assembler adopt`."""

from __future__ import annotations

import click

from assembler_client.cli.output import Shell, common


@click.command()
@click.argument("space", metavar="NAMESPACE/NAME")
@click.option("--target", type=click.Choice(["huggingface", "local"]), help="Where the Space is.")
@common
def adopt(shell: Shell, space: str, target: str | None) -> None:
    """Manage the Space NAMESPACE/NAME, which exists on a target, from now on.

    Its files become the first release, so that it can be updated and rolled back; nothing is changed on the target.
    """
    with shell.connect() as assembler:
        adopted = assembler.adopt(space, target=target)
    if shell.as_json:
        shell.result(adopted)
        return
    files = len(adopted.latest_request.files) if adopted.latest_request else 0
    shell.say(f"{adopted.name} is managed now: type {adopted.space_type}, {files} files, {adopted.state}.", "bold")
    shell.echo(adopted.url or str(adopted.id))
