"""`assembler mcp`: the Model Context Protocol on stdin and stdout."""

from __future__ import annotations

import sys
from pathlib import Path

import click


@click.command()
@click.option(
    "--folder",
    "folders",
    multiple=True,
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    metavar="DIR",
    help="A folder that may be published, with the folders in it.",
)
@click.option("--profile", help="Name of the stored login to use. [env: ASSEMBLER_PROFILE]")
@click.option("--url", help="URL of the service. [env: ASSEMBLER_URL]")
def mcp(folders: tuple[Path, ...], profile: str | None, url: str | None) -> None:
    """Serve the tools for agents on standard input and output (Model Context Protocol).

    The login is that of `assembler login`. With --folder there is also the tool publish_folder, whose files do not pass
    through the model.
    """
    from assembler_client.agent.bridge import Bridge
    from assembler_client.cli.profiles import connect

    with connect(profile, url) as assembler:
        Bridge(assembler, list(folders), sys.stdout).run(sys.stdin)
