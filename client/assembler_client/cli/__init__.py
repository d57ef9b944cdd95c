"""The command `assembler`: only click is imported before a command is chosen."""

from __future__ import annotations

import sys
from collections.abc import Callable
from importlib import import_module

import click

from assembler_client.suggest import did_you_mean
from assembler_client.version import __version__

COMMANDS: dict[str, tuple[str, str]] = {
    "login": ("account:login", "Log in to a service and store the login."),
    "logout": ("account:logout", "Log out and delete the stored login."),
    "whoami": ("account:whoami", "Show the account, its realm and its permissions."),
    "init": ("init:init", "Write a starter app of a space type into a folder."),
    "types": ("init:types", "List the space types, or show one."),
    "try": ("try_app:try_app", "Run an app on this machine, without a service."),
    "check": ("check:check", "Check files as the service does, without a service."),
    "preview": ("deploy:preview", "Show what would be published, with findings and differences."),
    "deploy": ("folder:deploy", "Publish a folder: create its Space, or update it."),
    "create": ("deploy:create", "Create a Space from a folder, files or an archive."),
    "update": ("deploy:update", "Change a Space."),
    "fix": ("fix:fix", "Fix the problem of a Space's app."),
    "adopt": ("adopt:adopt", "Manage a Space that exists on a target."),
    "releases": ("manage:releases", "Show the releases of a Space."),
    "rollback": ("deploy:rollback", "Roll a Space back to an earlier release."),
    "pull": ("folder:pull", "Write the files of a Space into a folder."),
    "restart": ("manage:restart", "Restart the app of a Space."),
    "pause": ("manage:pause", "Pause the app of a Space."),
    "wake": ("manage:wake", "Wake a sleeping app."),
    "duplicate": ("manage:duplicate", "Copy a Space."),
    "move": ("manage:move", "Rename a Space, or move it to another owner."),
    "secrets": ("environment:secrets", "List, set and remove secrets."),
    "variables": ("environment:variables", "List, set and remove variables."),
    "git-credential": ("git_credential:git_credential", "Manage the realm's git credentials."),
    "cancel": ("manage:cancel", "Cancel the newest request of a Space."),
    "retry": ("manage:retry", "Queue the newest request of a Space again."),
    "delete": ("deploy:delete", "Delete Spaces."),
    "list": ("show:list_spaces", "List Spaces."),
    "show": ("show:show", "Show a Space: state, problem, files."),
    "open": ("manage:open_space", "Open the app of a Space in a browser."),
    "logs": ("show:logs", "Show the log of a Space's app."),
    "events": ("show:events", "Show the events of a Space."),
    "wait": ("show:wait", "Wait until the app of a Space runs or has failed."),
    "mcp": ("mcp:mcp", "Serve the tools for agents on stdin and stdout."),
    "agent": ("agents:agent", "Create accounts for agents."),
    "skill": ("skill:skill", "Install the instructions for agents."),
    "completion": ("completion:completion", "Print the completion script of a shell."),
}
"""Name → (module and function in this package, one line of help); modules are imported when needed."""

ENTRY_POINTS = "assembler.commands"
"""Entry point group for commands of other distributions: each is a mapping of name → (help, loader of a command)."""

OK, USAGE, INVALID, FAILED, LIMITED, LATE, INTERRUPTED = 0, 2, 3, 4, 5, 6, 130
"""Exit codes."""

SENT: list[str] = []
"""What the service has accepted from this command, for the message after Ctrl-C."""

Loader = Callable[[], click.Command]


class JoinedGroup(click.Group):
    """A group that also has the commands of the service's group of the same name, such as `secrets rotate`."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Returns the names of both."""
        return [*super().list_commands(ctx), *self._others()]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Returns a command of either; those of the service are imported when needed."""
        return super().get_command(ctx, cmd_name) or self._others().get(cmd_name)

    def _others(self) -> dict[str, click.Command]:
        added = _added().get(self.name or "")
        group = added[1]() if added else None
        return dict(group.commands) if isinstance(group, click.Group) else {}


class Commands(click.Group):
    """A command group that imports a command only when it is used."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Returns the names of all commands."""
        return [*COMMANDS, *(name for name in _added() if name not in COMMANDS)]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Imports and returns a command."""
        if cmd_name in COMMANDS:
            module, _, name = COMMANDS[cmd_name][0].partition(":")
            found: click.Command = getattr(import_module(f"{__name__}.{module}"), name)
            return _with_examples(found, cmd_name)
        added = _added().get(cmd_name)
        return added[1]() if added else None

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Finds a command by the first argument; suggests similar names if it does not exist."""
        try:
            return super().resolve_command(ctx, args)
        except click.UsageError:
            suggestion = None if args[0].startswith("-") else did_you_mean(args[0], self.list_commands(ctx))
            if suggestion is None:
                raise
            raise click.UsageError(f"No such command {args[0]!r}. {suggestion}", ctx) from None

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Writes the list of commands without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in COMMANDS.items()])
        if added := _added():
            with formatter.section("Server commands"):
                formatter.write_dl([(name, text) for name, (text, _) in sorted(added.items()) if name not in COMMANDS])

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[click.shell_completion.CompletionItem]:
        """Completes command names without importing the commands."""
        from click.shell_completion import CompletionItem

        texts = {name: text for name, (_, text) in COMMANDS.items()} | {
            name: text for name, (text, _) in _added().items()
        }
        found = [CompletionItem(name, help=text) for name, text in texts.items() if name.startswith(incomplete)]
        return found or super(click.Group, self).shell_complete(ctx, incomplete)


def _with_examples(command: click.Command, name: str) -> click.Command:
    from assembler_client.cli.examples import add_examples

    return add_examples(command, name)


def _show_versions(ctx: click.Context, param: click.Parameter, value: bool) -> None:
    if not value or ctx.resilient_parsing:
        return
    from importlib.metadata import PackageNotFoundError, version

    click.echo(f"assembler, version {__version__}")
    try:
        click.echo(f"service (assembler-runner), version {version('assembler-runner')}")
    except PackageNotFoundError:
        click.echo("service (assembler-runner): not installed here; assembler whoami names that of your service")
    ctx.exit()


def _added() -> dict[str, tuple[str, Loader]]:
    from importlib.metadata import entry_points

    found: dict[str, tuple[str, Loader]] = {}
    for point in entry_points(group=ENTRY_POINTS):
        found |= point.load()
    return found


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--version",
    is_flag=True,
    expose_value=False,
    is_eager=True,
    callback=_show_versions,
    help="Show the versions of client and service.",
)
@click.option(
    "--agent/--no-agent",
    default=None,
    help="For agents: no prompts, no colours, one compact answer with the next command. Recognized by the environment.",
)
def cli(agent: bool | None) -> None:
    """Assembler: a self-hosted factory for Spaces."""


def main() -> None:
    """Runs the command and ends the process with its exit code."""
    from click.exceptions import Abort, Exit

    try:
        sys.exit(cli(standalone_mode=False, prog_name="assembler") or OK)
    except click.ClickException as problem:
        problem.show()
        sys.exit(problem.exit_code)
    except Exit as end:
        sys.exit(end.exit_code)
    except (Abort, KeyboardInterrupt):
        click.echo(f"Stopped.{' The accepted request continues on the service.' if SENT else ''}", err=True)
        sys.exit(INTERRUPTED)
    except BrokenPipeError:
        # The reader of the pipe has ended, such as head.
        sys.stderr.close()
        sys.exit(OK)
