"""`assembler login`, `logout`, `whoami`."""

from __future__ import annotations

import os
import sys
import time
from typing import Any

import click
import httpx

from assembler_client.assembler import Assembler
from assembler_client.auth import ExchangeAuth, PasswordAuth, RobotAuth, StaticAuth, TokenAuth
from assembler_client.cli.output import Shell, common
from assembler_client.cli.pipeline_token import pipeline_token
from assembler_client.cli.profiles import DEFAULT, checked_address, patience, read_profiles, write_profile
from assembler_client.errors import Forbidden, HubAPIError, TransportError
from assembler_client.models.accounts import Token
from assembler_client.sansio.steps import Ask, Call
from assembler_client.transport import PATIENCE

HEALTH = Ask("GET", "/health/live")
_TIMEOUT = httpx.Timeout(30.0, connect=5.0)


class _Recording(TokenAuth):
    """Records the tokens that a login receives."""

    tokens: Token | None = None
    ends_at = 0.0

    def received(self, tokens: Token, ends_at: float) -> None:
        """Records new tokens."""
        self.tokens, self.ends_at = tokens, ends_at


class _RecordingPassword(_Recording, PasswordAuth):
    """Login with a password."""


class _RecordingExchange(_Recording, ExchangeAuth):
    """Login with the token of a pipeline."""


@click.command()
@click.option("--username", "-u", help="Name of the user; prompted for if omitted.")
@click.option("--realm", help="Realm of the user; defaults to master.")
@click.option("--password-stdin", is_flag=True, help="Read the password, secret or token from standard input.")
@click.option("--robot", help="Id of a robot; logs in with its secret instead of a password.")
@click.option("--token", "use_token", is_flag=True, help="Log in with a token of yours or an access token.")
@click.option("--oidc", is_flag=True, help="In a pipeline of GitHub or GitLab: log in with its identity token.")
@click.option("--audience", help="With --oidc on GitHub: audience of the token; defaults to the URL of the service.")
@common
def login(
    shell: Shell,
    username: str | None,
    realm: str | None,
    password_stdin: bool,
    robot: str | None,
    use_token: bool,
    oidc: bool,
    audience: str | None,
) -> None:
    """Log in to a service and store the login.

    Tokens are stored in a file that only you can read; the password is not stored. For a robot, id and secret are
    stored. With --oidc there is no secret: a trusted publisher of the service names the pipeline.
    """
    name = shell._profile or os.environ.get("ASSEMBLER_PROFILE") or DEFAULT
    stored = read_profiles().get(name, {})
    chosen = shell._url or os.environ.get("ASSEMBLER_URL") or stored.get("url")
    url = checked_address(chosen or _ask("URL of the service", default="http://127.0.0.1:5005"))
    _reach(url)
    profile: dict[str, Any] = {"url": url}
    auth: Any
    if use_token:
        profile["tokens"] = {"access_token": ask_secret("Token", password_stdin), "expires_in": 2**31}
        profile["ends_at"] = time.time() + 2**31
        auth = StaticAuth(profile["tokens"]["access_token"])
    elif oidc:
        auth = _RecordingExchange(pipeline_token(url, audience), url, robot=robot)
    elif robot:
        profile |= {"robot_id": robot, "robot_secret": ask_secret("Secret", password_stdin)}
        auth = RobotAuth(robot, profile["robot_secret"], url)
    else:
        user = username or _ask("User", default=stored.get("username"))
        auth = _RecordingPassword(user, ask_secret("Password", password_stdin), url, realm=realm)
        profile["username"] = user
    with Assembler(url, auth=auth, patience=patience(PATIENCE)) as assembler:
        me = assembler.get_me()
    if isinstance(auth, _Recording) and auth.tokens is not None:
        profile |= {"tokens": auth.tokens.model_dump(mode="json"), "ends_at": auth.ends_at}
    write_profile(name, profile)
    if shell.as_json:
        shell.result({"profile": name, "url": url, "account": me})
    else:
        shell.say(f"Logged in to {url} as {me.name}.")


@click.command()
@common
def logout(shell: Shell) -> None:
    """Log out: revoke the tokens and delete the stored login."""
    name = shell._profile or os.environ.get("ASSEMBLER_PROFILE") or DEFAULT
    stored = read_profiles().get(name)
    if stored is None:
        raise click.UsageError(f"Profile {name} does not exist.")
    tokens = stored.get("tokens") or {}
    write_profile(name, None)
    if token := tokens.get("refresh_token") or tokens.get("access_token"):
        with Assembler(str(stored["url"]), patience=5.0) as assembler:
            assembler.revoke_token(token)
    if shell.as_json:
        shell.result({"profile": name, "url": stored["url"]})
    else:
        shell.say(f"Logged out of {stored['url']}.")


@click.command()
@common
def whoami(shell: Shell) -> None:
    """Show the account, its realm and its permissions."""
    with shell.connect() as assembler:
        me = assembler.get_me()
        realm = me.realm or _realm(assembler, me.realm_id)
        running = assembler.get_health().version
        if shell.as_json:
            shell.result(me)
            return
        shell.table(
            ("", ""),
            [
                ("account", me.name),
                ("id", me.id),
                ("realm", realm.name if realm else me.realm_id),
                ("service", assembler.base_url),
                ("version", running),
                ("permissions", ", ".join(me.permissions)),
            ],
        )


def _realm(assembler: Assembler, realm_id: Any) -> Any:
    try:
        return assembler.get_realm(realm_id)
    except Forbidden:
        return None


def _reach(url: str) -> None:
    """Makes the first contact with a service, before anything is asked: retries only if ASSEMBLER_PATIENCE is set.

    Raises:
        TransportError: the service cannot be reached.
    """
    with Assembler(url, timeout=_TIMEOUT, patience=patience(0.0)) as assembler:
        try:
            assembler.run(Call(HEALTH, lambda answer: None))
        except TransportError:
            raise
        except HubAPIError:
            # Any answer will do: the login itself reports what is wrong.
            return


def _ask(text: str, default: str | None = None) -> str:
    if not sys.stdin.isatty():
        if default:
            return default
        raise click.UsageError(f"{text} is required; there is no terminal to ask for it.")
    return str(click.prompt(text, default=default, err=True))


def ask_secret(text: str, from_stdin: bool) -> str:
    """Reads a secret from standard input or from the terminal.

    Args:
        text: what it is, for the question.
        from_stdin: whether to read the first line of standard input.
    """
    if from_stdin:
        found = sys.stdin.readline().rstrip("\r\n")
    elif sys.stdin.isatty():
        found = str(click.prompt(text, hide_input=True, err=True))
    else:
        raise click.UsageError(f"No terminal to ask for the {text.lower()}; use --password-stdin.")
    if not found:
        raise click.UsageError(f"The {text.lower()} is empty.")
    return found
