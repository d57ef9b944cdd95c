"""`assembler agent`: accounts for agents, with no more rights than they need."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import click

from assembler_client.assembler import Assembler
from assembler_client.cli.output import Shell, common
from assembler_client.cli.profiles import write_profile
from assembler_client.errors import HubAPIError, NotFound
from assembler_client.models.accounts import Robot

RIGHTS = {
    "space_read": "See Spaces, their state and their logs.",
    "space_create": "Publish new Spaces.",
    "space_update": "Change, repair and restore Spaces.",
    "space_delete": "Delete Spaces; a person is asked first.",
}
LARGE_FILES = ("bucket_create", "bucket_read", "bucket_update")
ALWAYS = ("plugin_read",)


@click.group()
def agent() -> None:
    """Accounts for agents."""


def _rights(work: Callable[..., Any]) -> Callable[..., Any]:
    for name, text in reversed(RIGHTS.items()):
        work = click.option(f"--{name.replace('_', '-')}", name, is_flag=True, help=text)(work)
    return work


@agent.command()
@click.argument("name")
@_rights
@click.option("--large-files", is_flag=True, help="Upload files that are too large for JSON.")
@click.option("--max-spaces", type=click.IntRange(1), help="Quota: Spaces at the same time.")
@click.option("--max-requests-per-hour", type=click.IntRange(1), help="Quota: changes per hour.")
@click.option("--store", metavar="PROFILE", help="Store the login of the agent under this name.")
@common
def create(
    shell: Shell,
    name: str,
    large_files: bool,
    max_spaces: int | None,
    max_requests_per_hour: int | None,
    store: str | None,
    **rights: bool,
) -> None:
    """Create an account for an agent, with the rights that are named and no others.

    It can grant only rights of yours. The secret is shown once; --store keeps it in a file that only you can read, for
    `assembler mcp --profile PROFILE`.
    """
    wanted = [right for right, given in rights.items() if given]
    if not wanted:
        options = ", ".join(f"--{right.replace('_', '-')}" for right in RIGHTS)
        raise click.UsageError(f"Name the rights of the agent: {options}.")
    wanted += [*ALWAYS, *(LARGE_FILES if large_files else ())]
    with shell.connect() as assembler:
        quotas = {"max_spaces": max_spaces, "max_requests_per_hour": max_requests_per_hour}
        given: Any = {quota: most for quota, most in quotas.items() if most is not None}
        robot = assembler.create_robot(name=name, display_name=f"Agent {name}", roles=[], **given)
        _grant(assembler, robot, wanted)
        url = assembler.base_url
    if store:
        write_profile(store, {"url": url, "robot_id": str(robot.id), "robot_secret": robot.secret})
    config = {"command": "assembler", "args": ["mcp", "--profile", store or "PROFILE", "--folder", "."]}
    made = {"id": str(robot.id), "name": robot.name, "permissions": sorted(wanted), "mcp": {"assembler": config}}
    if shell.as_json:
        shell.result(made | ({} if store else {"secret": robot.secret}))
        return
    shell.table(("", ""), [("id", robot.id), ("permissions", ", ".join(sorted(wanted)))])
    if not store:
        shell.say("Its secret is shown only now; log in with: assembler login --robot ID --password-stdin")
        shell.echo(str(robot.secret))
    shell.say(f"Configuration of a client of the Model Context Protocol: {json.dumps({'mcpServers': made['mcp']})}")


def _grant(assembler: Assembler, robot: Robot, wanted: list[str]) -> None:
    """Grants permissions; without all of them there is no account."""
    try:
        for right in wanted:
            permission = assembler.find_one_permission(filter={"name": right})
            if permission is None:
                raise NotFound(f"The service has no permission {right}.")
            assembler.create_robot_permission(robot, permission)
    except HubAPIError:
        assembler.delete_robot(robot)
        raise
