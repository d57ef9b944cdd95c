"""`assembler git-credential`: what the realm reads private git repositories with."""

from __future__ import annotations

import click

from assembler_client.cli.account import ask_secret
from assembler_client.cli.output import Shell, common


@click.group("git-credential")
def git_credential() -> None:
    """List, set and remove the git credentials of the realm, one for each host."""


@git_credential.command("list")
@common
def list_hosts(shell: Shell) -> None:
    """List the hosts with credentials; passwords cannot be read."""
    with shell.connect() as assembler:
        found = assembler.get_git_credentials(assembler.get_me().realm_id)
    if shell.as_json:
        shell.result(found)
    else:
        shell.table(("HOST", "USER"), [(row.host, row.username) for row in found])


@git_credential.command("set")
@click.argument("host")
@click.option("--username", "-u", default="git", show_default=True, help="User name; for a token often any word.")
@click.option("--password-stdin", is_flag=True, help="Read the password or token from standard input.")
@common
def set_host(shell: Shell, host: str, username: str, password_stdin: bool) -> None:
    """Set the credentials for HOST, such as github.com.

    Everybody who may create Spaces in the realm can publish what they can read: use a token that only reads.
    """
    password = ask_secret("Password", password_stdin)
    with shell.connect() as assembler:
        stored = assembler.set_git_credential(assembler.get_me().realm_id, host, username=username, password=password)
    if shell.as_json:
        shell.result(stored)
    else:
        shell.say(f"Stored the credentials of {stored.username} for {stored.host}.")


@git_credential.command("remove")
@click.argument("host")
@common
def remove_host(shell: Shell, host: str) -> None:
    """Remove the credentials for HOST."""
    with shell.connect() as assembler:
        assembler.delete_git_credential(assembler.get_me().realm_id, host)
    shell.say(f"Removed the credentials for {host}.")
