"""Examples in the help of every command."""

from __future__ import annotations

import click

EXAMPLES: dict[str, tuple[str, ...]] = {
    "login": (
        "login --url http://127.0.0.1:5005 -u admin",
        "login --url https://assembler.example.org --robot ID --password-stdin < secret",
    ),
    "logout": ("logout", "logout --profile work"),
    "whoami": ("whoami", "whoami --json"),
    "init": ("init gradio my-app", "init docker my-api --template fastapi"),
    "types": ("types", "types gradio"),
    "try": ("try my-app", "try -t gradio --template chat -p title=Hello"),
    "check": ("check my-app", "check my-app --strict --target local"),
    "git-credential": ("git-credential set github.com", "git-credential list"),
    "git-credential list": ("git-credential list",),
    "git-credential set": ("git-credential set github.com --password-stdin < token",),
    "git-credential remove": ("git-credential remove github.com",),
    "preview": ("preview my-app", "preview my-app --space my-app"),
    "deploy": ("deploy", "deploy my-app --target local -p title=Hello"),
    "create": (
        "create my-app --name greeter",
        "create app.py -t gradio -s API_KEY -v MODE=test",
        "create --template landing -t static -p headline=Hello",
        "create --git https://github.com/me/app@main",
    ),
    "update": ("update greeter my-app", "update greeter app.py --merge", "update greeter --hardware cpu-upgrade"),
    "fix": ("fix greeter", "fix greeter --yes"),
    "adopt": ("adopt my-org/greeter",),
    "releases": ("releases greeter",),
    "rollback": ("rollback greeter", "rollback greeter --to ID"),
    "pull": ("pull greeter", "pull greeter folder --overwrite"),
    "restart": ("restart greeter",),
    "pause": ("pause greeter",),
    "wake": ("wake greeter",),
    "duplicate": ("duplicate greeter --name greeter-2 -s API_KEY",),
    "move": ("move greeter --name hello", "move greeter --namespace my-org"),
    "secrets": ("secrets set greeter API_KEY", "secrets list greeter"),
    "secrets list": ("secrets list greeter",),
    "secrets set": ("secrets set greeter API_KEY", "secrets set greeter API_KEY=value"),
    "secrets unset": ("secrets unset greeter API_KEY",),
    "variables": ("variables set greeter MODE=test", "variables list greeter"),
    "variables list": ("variables list greeter",),
    "variables set": ("variables set greeter MODE=test",),
    "variables unset": ("variables unset greeter MODE",),
    "cancel": ("cancel greeter",),
    "retry": ("retry greeter", "retry greeter --no-wait"),
    "delete": ("delete greeter", "delete greeter hello --yes"),
    "list": ("list", "list -f state=build_error -f label=course-2026", "list -f name=~demo --sort name --json"),
    "show": ("show greeter", "show greeter --refresh --json"),
    "open": ("open greeter", "open greeter --page"),
    "logs": ("logs greeter -f", "logs greeter --build --tail 50"),
    "events": ("events greeter", "events greeter -f --json"),
    "wait": ("wait greeter --timeout 600",),
    "mcp": ("mcp --folder .",),
    "agent": ("agent create helper --space-read --space-create",),
    "agent create": ("agent create helper --space-read --space-create --max-spaces 20 --store helper",),
    "skill": ("skill install",),
    "skill install": ("skill install", "skill install --user"),
    "skill show": ("skill show",),
    "completion": ('eval "$(assembler completion bash)"',),
}
"""Command → calls, without the name of the program where they are its own."""


def add_examples(command: click.Command, path: str) -> click.Command:
    """Adds the examples to the help of a command and of its subcommands.

    Args:
        command: the command.
        path: its name as typed, without `assembler`.
    Returns:
        The command.
    """
    calls = EXAMPLES.get(path)
    if calls and command.epilog is None:
        lines = (call if call.startswith("eval ") else f"assembler {call}" for call in calls)
        command.epilog = "\b\nExamples:\n" + "\n".join(f"  {line}" for line in lines)
    if isinstance(command, click.Group):
        for name, part in command.commands.items():
            add_examples(part, f"{path} {name}")
    return command
