"""The command `assembler`."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from assembler_runner import __version__
from assembler_runner.errors import AssemblerError


class _Commands(click.Group):
    """Loads the account commands, and with them the service, only when one is asked for."""

    _lazy = ("user", "robot", "realm", "role", "secrets")

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Names all commands."""
        return sorted([*super().list_commands(ctx), *self._lazy])

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Finds one."""
        if cmd_name not in self._lazy:
            return super().get_command(ctx, cmd_name)
        from assembler_runner.account_commands import GROUPS

        return next(group for group in GROUPS if group.name == cmd_name)


@click.group(cls=_Commands)
@click.version_option(__version__, prog_name="assembler")
def cli() -> None:
    """Assembler: a self-hosted factory for Spaces."""


@cli.command()
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option(
    "--port", default=5005, show_default=True, type=click.IntRange(0, 65535), help="Port; 0 takes a free one."
)
@click.option(
    "--instance",
    default="instance",
    show_default=True,
    type=click.Path(file_okay=False, path_type=Path),
    help="Folder for database, secrets and local Spaces.",
)
def serve(host: str, port: int, instance: Path) -> None:
    """Run API, web pages and worker together; nothing else is needed."""
    from assembler_runner.serve import serve as run

    run(host, port, instance)


@cli.group()
def plugin() -> None:
    """Help for authors of plugins."""


@plugin.command("new")
@click.argument("name")
@click.option(
    "--folder",
    default="plugins",
    show_default=True,
    type=click.Path(file_okay=False, path_type=Path),
    help="Plugin folder to put it into.",
)
def plugin_new(name: str, folder: Path) -> None:
    """Write the skeleton of a plugin for the space type NAME."""
    from assembler_runner.plugin_tools import write_skeleton

    made = write_skeleton(folder, name)
    click.echo(f"Wrote {made}. Check it with: assembler plugin check {made}")


@plugin.command("check")
@click.argument("path", type=click.Path(exists=True, file_okay=False, path_type=Path))
def plugin_check(path: Path) -> None:
    """Check the plugin in the folder PATH against all rules."""
    from assembler_runner.plugin_tools import check_plugin

    findings = check_plugin(path)
    for finding in findings:
        click.echo(f"{finding.severity}: {finding.path or path.name}: {finding.message}")
        if finding.hint:
            click.echo(f"  {finding.hint}")
    errors = sum(finding.severity == "error" for finding in findings)
    click.echo(f"{errors} errors, {len(findings) - errors} other findings." if findings else "Everything is fine.")
    sys.exit(3 if errors else 0)


def main() -> None:
    """Runs the command; errors of the service become one message and exit code 1."""
    try:
        cli()
    except AssemblerError as problem:
        click.echo(f"Error: {problem.message}", err=True)
        if problem.hint:
            click.echo(f"Hint: {problem.hint}", err=True)
        sys.exit(1)
