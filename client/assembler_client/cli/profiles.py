"""Profiles: URL and login of services, from the environment or from a file that only its owner can read."""

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
from assembler_client.cli.text import printable
from assembler_client.errors import AuthError
from assembler_client.models.accounts import Token
from assembler_client.transport import PATIENCE, service_address

DEFAULT = "default"


def config_file() -> Path:
    """Returns the path of the profiles, following the XDG base directories."""
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
        message = f"{path} cannot be read ({type(problem).__name__}). Delete it and run: assembler login"
        raise click.ClickException(message) from None


def write_profile(name: str, profile: dict[str, Any] | None) -> None:
    """Stores or deletes a profile.

    Args:
        name: name of the profile.
        profile: its data; None deletes it.
    """
    with _locked():
        profiles = read_profiles()
        profiles.pop(name, None)
        if profile is not None:
            profiles[name] = profile
        _write(profiles)


def _write(profiles: dict[str, Any]) -> None:
    path = config_file()
    # mkstemp creates files with mode 0600.
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=".profiles.")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            json.dump({"profiles": profiles}, file, indent=1)
        Path(temporary).replace(path)
    finally:
        with suppress(FileNotFoundError):
            Path(temporary).unlink()


@contextmanager
def _locked() -> Iterator[None]:
    """Locks the profiles against other processes while a token is renewed or the file is written."""
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


class ProfileAuth(TokenAuth):
    """Authentication with the tokens of a profile; stores renewed tokens.

    Args:
        name: name of the profile.
        profile: its data.
    """

    def __init__(self, name: str, profile: dict[str, Any]) -> None:
        super().__init__(str(profile["url"]))
        self._name = name
        self._profile = profile
        self._load(profile)

    def grant(self) -> dict[str, str]:
        """Raises an error: the login has expired, and the password is not stored."""
        raise AuthError(f"The login to {self.base_url} has expired. Log in again: assembler login")

    def received(self, tokens: Token, ends_at: float) -> None:
        """Stores new tokens."""
        self._profile |= {"tokens": tokens.model_dump(mode="json"), "ends_at": ends_at}
        profiles = read_profiles()
        profiles[self._name] = self._profile
        _write(profiles)

    def _fetch(self, timeout: Any) -> Generator[httpx.Request, httpx.Response, None]:
        refused = self._tokens.access_token if self._tokens else None
        with _locked():
            # Another process may have renewed the token; a refresh token works only once.
            self._load(read_profiles().get(self._name, self._profile))
            fresh = self._tokens is not None and self._tokens.access_token != refused
            if not fresh or time.time() > self._ends_at - 1:
                yield from super()._fetch(timeout)

    def _load(self, profile: dict[str, Any]) -> None:
        if profile.get("tokens"):
            self._tokens = Token.model_validate(profile["tokens"])
            self._ends_at = float(profile.get("ends_at") or 0)


def connect(profile: str | None, url: str | None, seconds: float | None = None) -> Assembler:
    """Returns a client of the chosen service.

    Args:
        profile: name of a profile; defaults to ASSEMBLER_PROFILE, then `default`.
        url: URL of a service; defaults to ASSEMBLER_URL, then that of the profile.
        seconds: time limit of each call, without retries; defaults to patience.
    Raises:
        click.UsageError: no service is configured.
    """
    name = profile or os.environ.get("ASSEMBLER_PROFILE") or DEFAULT
    stored = read_profiles().get(name)
    if profile and stored is None:
        known = ", ".join(sorted(read_profiles())) or "none"
        raise click.UsageError(
            f"Profile {profile} does not exist. Known: {known}. Create it: assembler login --profile {profile}"
        )
    address = url or (None if profile else os.environ.get("ASSEMBLER_URL")) or (stored or {}).get("url")
    if not address:
        hint = "assembler login --url http://127.0.0.1:5005"
        raise click.UsageError(f"No service configured. Pass --url, set ASSEMBLER_URL, or log in: {hint}")
    address = checked_address(address)
    auth = _auth(name, stored, address)
    if seconds is not None:
        return Assembler(address, auth=auth, patience=0.0, timeout=seconds)
    return Assembler(address, auth=auth, patience=patience(PATIENCE))


def patience(default: float) -> float:
    """Returns the seconds to retry while the service is unavailable.

    Args:
        default: the value if ASSEMBLER_PATIENCE is not set.
    Raises:
        click.UsageError: ASSEMBLER_PATIENCE is not a number.
    """
    try:
        return float(os.environ.get("ASSEMBLER_PATIENCE") or default)
    except ValueError:
        raise click.UsageError("ASSEMBLER_PATIENCE must be a number of seconds.") from None


def _auth(name: str, stored: dict[str, Any] | None, address: str) -> httpx.Auth | None:
    if token := os.environ.get("ASSEMBLER_TOKEN"):
        return StaticAuth(token)
    # A login is sent only to its own service.
    if stored is None or service_address(str(stored["url"])) != address:
        return None
    if "robot_id" in stored:
        return RobotAuth(stored["robot_id"], stored["robot_secret"], address)
    return ProfileAuth(name, stored)


def checked_address(url: str) -> str:
    """Returns the normalized URL of a service.

    Raises:
        click.UsageError: the value is not an HTTP URL.
    """
    try:
        return service_address(url)
    except ValueError:
        message = f"The URL must be the address of a service, such as http://127.0.0.1:5005, not {url[:80]!r}."
        if url.strip() and "://" not in url:
            message += f" Did you mean http://{printable(url[:80], single_line=True)}?"
        raise click.UsageError(message) from None
