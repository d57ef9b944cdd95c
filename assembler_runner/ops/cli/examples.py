"""Examples in the help of the commands of the server."""

from __future__ import annotations

import click

EXAMPLES: dict[str, tuple[str, ...]] = {
    "devhub": ("devhub", "devhub --fault 'POST /commit/ 500 x2' --stages BUILDING:2,RUNNING"),
    "serve": ("serve", "serve --port 0 --instance /srv/assembler"),
    "plugin": ("plugin new my-type --folder my-plugins",),
    "plugin new": ("plugin new my-type --folder my-plugins",),
    "plugin check": ("plugin check my-plugins/my_type",),
    "plugin try": ("plugin try my-plugins/my_type", "plugin try my-plugins/my_type --example hello --port 8000"),
    "diagnose": ("diagnose app.log", "diagnose - --kind build --json < build.log"),
    "doctor": ("doctor", "doctor --instance /srv/assembler"),
    "backup": ("backup assembler.tar.gz",),
    "restore": ("restore assembler.tar.gz --instance /srv/assembler",),
    "requests": ("requests list --status failed",),
    "requests list": ("requests list --status failed",),
    "requests requeue": ("requests requeue --failed", "requests requeue --code payment_required"),
    "apps": ("apps --instance /srv/assembler",),
    "secrets": ("secrets rotate",),
    "secrets rotate": ("secrets rotate",),
    "user": ("user create ada", "user list"),
    "user create": ("user create ada", "user create ada --password-stdin < password"),
    "user set-password": ("user set-password ada",),
    "user list": ("user list",),
    "robot": ("robot create ci", "robot list"),
    "robot create": ("robot create ci", "robot create prometheus --role monitor"),
    "robot set-secret": ("robot set-secret ci",),
    "robot list": ("robot list",),
    "realm": ("realm create physics", "realm list"),
    "realm create": ("realm create physics",),
    "realm list": ("realm list",),
    "realm delete": ("realm delete physics",),
    "role": ("role list",),
    "role create": ("role create editor --permission space_read --permission space_update",),
    "role list": ("role list",),
    "role delete": ("role delete editor",),
}
for _kind, _name in (("user", "ada"), ("robot", "ci")):
    EXAMPLES |= {f"{_kind} {verb}": (f"{_kind} {verb} {_name}",) for verb in ("enable", "disable", "delete")}
    EXAMPLES |= {f"{_kind} {verb}": (f"{_kind} {verb} {_name} viewer",) for verb in ("grant", "revoke")}


def add_examples(command: click.Command, path: str) -> click.Command:
    """Adds the examples to the help of a command and of its subcommands.

    Args:
        command: the command.
        path: its name as typed, without `assembler`.
    Returns:
        The command.
    """
    if (calls := EXAMPLES.get(path)) and command.epilog is None:
        command.epilog = "\b\nExamples:\n" + "\n".join(f"  assembler {call}" for call in calls)
    if isinstance(command, click.Group):
        for name, part in command.commands.items():
            add_examples(part, f"{path} {name}")
    return command
