"""Which service, and who: profiles and tokens in a file that only its owner can read, or from the environment."""

from __future__ import annotations

import json
import os
import sys
import tempfile
import time
from collections.abc import Generator, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import click
import httpx

from assembler_client.assembler import Assembler
from assembler_client.auth import RobotAuth, StaticAuth, TokenAuth
from assembler_client.errors import AuthError
from assembler_client.models.accounts import Token
from assembler_client.transport import PATIENCE, service_address

DEFAULT = "default"


def config_file() -> Path:
    """Returns where profiles are kept, as the XDG base directories say."""
    if sys.platform == "win32":
        home = os.environ.get("APPDATA") or str(Path.home() / "AppData" / "Roaming")
    else:
        home = os.environ.get("XDG_CONFIG_HOME") or str(Path.home() / ".config")
    return Path(home) / "assembler" / "profiles.json"


def read_profiles() -> dict[str, dict[str, Any]]:
    """Returns all profiles by name.

    Raises:
        click.ClickException: the file cannot be read.
    """
    path = config_file()
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        return dict(found["profiles"])
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, KeyError, TypeError) as problem:
        told = f"{path} cannot be read ({type(problem).__name__}); delete it and run: assembler login"
        raise click.ClickException(told) from None


def write_profile(name: str, profile: dict[str, Any] | None) -> None:
    """Keeps a profile, or forgets it.

    Args:
        name: its name.
        profile: what is kept; None forgets it.
    """
    with _alone():
        profiles = read_profiles()
        profiles.pop(name, None)
        if profile is not None:
            profiles[name] = profile
        _write(profiles)


def _write(profiles: dict[str, Any]) -> None:
    path = config_file()
    # mkstemp makes files of mode 0600.
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=".profiles.")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            json.dump({"profiles": profiles}, file, indent=1)
        Path(temporary).replace(path)
    finally:
        with suppress(FileNotFoundError):
            Path(temporary).unlink()


@contextmanager
def _alone() -> Iterator[None]:
    """Keeps other processes of this command out while a token is renewed or the file is written."""
    folder = config_file().parent
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    try:
        import fcntl
    except ImportError:
        yield
        return
    with (folder / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


class KeptAuth(TokenAuth):
    """A login that goes on with the tokens of a profile, and keeps those that follow.

    Args:
        name: of the profile.
        profile: what is kept.
    """

    def __init__(self, name: str, profile: dict[str, Any]) -> None:
        super().__init__(str(profile["url"]))
        self._name = name
        self._profile = profile
        self._load(profile)

    def grant(self) -> dict[str, str]:
        """Tells that the login has ended; the password is not kept."""
        raise AuthError(f"The login to {self.base_url} has ended. Log in again: assembler login")

    def received(self, tokens: Token, ends_at: float) -> None:
        """Keeps new tokens."""
        self._profile |= {"tokens": tokens.model_dump(mode="json"), "ends_at": ends_at}
        profiles = read_profiles()
        profiles[self._name] = self._profile
        _write(profiles)

    def _fetch(self, timeout: Any) -> Generator[httpx.Request, httpx.Response, None]:
        refused = self._tokens.access_token if self._tokens else None
        with _alone():
            # Another process may have been faster; a refresh token works once.
            self._load(read_profiles().get(self._name, self._profile))
            fresh = self._tokens is not None and self._tokens.access_token != refused
            if not fresh or time.time() > self._ends_at - 1:
                yield from super()._fetch(timeout)

    def _load(self, profile: dict[str, Any]) -> None:
        if profile.get("tokens"):
            self._tokens = Token.model_validate(profile["tokens"])
            self._ends_at = float(profile.get("ends_at") or 0)


def connect(profile: str | None, url: str | None) -> Assembler:
    """Opens the service that is meant.

    Args:
        profile: name of a profile; else ASSEMBLER_PROFILE, else `default`.
        url: address of a service; else ASSEMBLER_URL, else that of the profile.
    Raises:
        click.UsageError: nothing tells which service.
    """
    name = profile or os.environ.get("ASSEMBLER_PROFILE") or DEFAULT
    kept = read_profiles().get(name)
    if profile and kept is None:
        known = ", ".join(sorted(read_profiles())) or "none"
        raise click.UsageError(
            f"There is no profile {profile}. Known: {known}. Log in: assembler login --profile {profile}"
        )
    address = url or (None if profile else os.environ.get("ASSEMBLER_URL")) or (kept or {}).get("url")
    if not address:
        hint = "Log in: assembler login --url http://127.0.0.1:5005"
        raise click.UsageError(f"Which service? Give --url, set ASSEMBLER_URL, or log in. {hint}")
    address = checked_address(address)
    try:
        patience = float(os.environ.get("ASSEMBLER_PATIENCE", PATIENCE))
    except ValueError:
        raise click.UsageError("ASSEMBLER_PATIENCE must be a number of seconds.") from None
    return Assembler(address, auth=_auth(name, kept, address), patience=patience)


def _auth(name: str, kept: dict[str, Any] | None, address: str) -> httpx.Auth | None:
    if token := os.environ.get("ASSEMBLER_TOKEN"):
        return StaticAuth(token)
    # A login goes only to the service that it is of.
    if kept is None or service_address(str(kept["url"])) != address:
        return None
    if "robot_id" in kept:
        return RobotAuth(kept["robot_id"], kept["robot_secret"], address)
    return KeptAuth(name, kept)


def checked_address(url: str) -> str:
    """Returns the address of a service.

    Raises:
        click.UsageError: it is none.
    """
    try:
        return service_address(url)
    except ValueError as problem:
        raise click.UsageError(f"--url: {problem}") from None
