"""Runs git on repositories of others: no hooks, no submodules, no filters, no questions, and never longer than allowed.

Credentials go to git by the environment: command lines are visible to every user of the machine, environments are not.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import tempfile
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO, cast
from urllib.parse import quote

from assembler_runner.core.errors import AssemblerError

HOST = re.compile(r"(?:[0-9A-Za-z_](?:[0-9A-Za-z_.-]*[0-9A-Za-z_.])?|\[[0-9A-Fa-f:.]+\])(?::[0-9]{1,5})?")
COMMIT = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
SECONDS = 120.0

_HELPER = (
    '!f() { test "$1" = get || exit 0; '
    'printf "username=%s\\npassword=%s\\n" "$ASSEMBLER_GIT_USER" "$ASSEMBLER_GIT_PASSWORD"; }; f'
)
_SETTINGS = ("core.hooksPath=/dev/null", "core.fsmonitor=false", "submodule.recurse=false", "protocol.ext.allow=never")
_MOST_OUTPUT = 16 * 2**20
_MOST_SAID = 64 * 2**10
_MEMORY_KIB = 4 * 2**20
# The size of every file that git writes, in blocks of 512 bytes, and its memory: limits that no repository can evade.
_LIMITED = 'ulimit -f "$1" && ulimit -v "$2" && shift 2 && exec "$@"'


class GitMissing(AssemblerError):
    """The program git is not installed."""

    code = "git_missing"
    default_message = "The program git is not installed."
    default_hint = "Install git where the service runs."


@dataclass(frozen=True)
class GitLogin:
    """Credentials for one host, over http or https.

    Args:
        url: an address at the host; git gets the credentials for its host alone.
        user: user name; may itself be a token.
        password: password or token.
    """

    url: str
    user: str = field(default="", repr=False)
    password: str = field(default="", repr=False)


@dataclass(frozen=True)
class GitRun:
    """How git is run.

    Args:
        folder: the bare repository it works in; None for none.
        login: credentials, or None.
        settings: further settings, as name=value.
        seconds: after this time it is ended.
        alone: whether the configuration of the machine and of the user are left out, as are proxies and home folder.
        most_bytes: largest file that it may write; None for any.
    """

    folder: Path | None = None
    login: GitLogin | None = None
    settings: Sequence[str] = ()
    seconds: float = SECONDS
    alone: bool = False
    most_bytes: int | None = None


class GitFailed(Exception):
    """A git command failed.

    Args:
        said: the first line of its message, without the advice after it, and without credentials.
        late: whether it was ended because it took too long.
        too_large: whether it was ended because it wrote too much.
    """

    def __init__(self, said: str, *, late: bool = False, too_large: bool = False) -> None:
        self.said, self.late, self.too_large = said, late, too_large
        super().__init__(said)


def git(run: GitRun, *arguments: str) -> str:
    """Runs git and returns what it writes.

    Args:
        run: how it is run.
        arguments: the command and its arguments.
    Raises:
        GitFailed: it failed, took too long, or wrote more than 16 MiB.
        GitMissing: git is not installed.
    """
    with stream(run, *arguments) as output:
        written = output.read(_MOST_OUTPUT + 1)
        if len(written) > _MOST_OUTPUT:
            raise GitFailed("git wrote too much", too_large=True)
    return written.decode("utf-8", "replace")


@contextmanager
def stream(run: GitRun, *arguments: str, stdin: BinaryIO | None = None) -> Iterator[BinaryIO]:
    """Runs git and yields what it writes, while it runs; it is ended when the body raises.

    Args:
        run: how it is run.
        arguments: the command and its arguments.
        stdin: an open file that it reads, or None.
    Yields:
        Its standard output.
    Raises:
        GitFailed: it failed or took too long.
        GitMissing: git is not installed.
    """
    command = ["git", *(word for setting in (*_SETTINGS, *run.settings) for word in ("-c", setting))]
    if run.folder is not None:
        command += ["--git-dir", str(run.folder)]
    if run.most_bytes is not None:
        blocks = str(run.most_bytes // 512 + 1)
        command = ["sh", "-c", _LIMITED, "sh", blocks, str(_MEMORY_KIB), *command]
    with tempfile.TemporaryFile() as said:
        try:
            process = subprocess.Popen(  # noqa: S603 - no shell reads the arguments, and addresses stand after "--"
                [*command, *arguments],
                env=_environment(run),
                stdin=subprocess.DEVNULL if stdin is None else stdin,
                stdout=subprocess.PIPE,
                stderr=said,
                start_new_session=True,
            )
        except FileNotFoundError:
            raise GitMissing from None
        late = threading.Event()
        deadline = threading.Timer(run.seconds, _end, [process, late])
        deadline.daemon = True
        deadline.start()
        output = cast(BinaryIO, process.stdout)
        try:
            yield output
            # Its helpers may live longer; while it is not reaped, no other group has its number.
            os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
        except GitFailed:
            if not late.is_set():
                raise
        finally:
            deadline.cancel()
            _end(process)
            output.close()
            process.wait()
        if late.is_set():
            raise GitFailed(f"git did not finish within {run.seconds:g} s", late=True)
        if process.returncode:
            raise _failure(run, said)


def _end(process: subprocess.Popen[bytes], late: threading.Event | None = None) -> None:
    if late is not None:
        late.set()
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)


def _failure(run: GitRun, said: BinaryIO) -> GitFailed:
    said.seek(0)
    text = said.read(_MOST_SAID).decode("utf-8", "replace")
    lines = [line for line in text.splitlines() if line.strip() and not line.startswith("warning: ")]
    lines = [*(line for line in lines if line.startswith(("fatal: ", "error: "))), *lines, "git failed"]
    return GitFailed(quoted(lines[0].removeprefix("fatal: "), run.login), too_large=_is_full(run))


def _is_full(run: GitRun) -> bool:
    """Returns whether a file has reached the limit: git does not always say why its helper ended."""
    if run.folder is None or run.most_bytes is None:
        return False
    return any(file.stat().st_size >= run.most_bytes for file in run.folder.rglob("*") if file.is_file())


def _environment(run: GitRun) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    if run.alone:
        # A proxy would resolve the name itself; the user's own files may hold credentials that are not the caller's.
        kept = {name: value for name, value in kept.items() if not name.lower().endswith("_proxy")}
        kept |= {"GIT_CONFIG_NOSYSTEM": "1", "GIT_CONFIG_GLOBAL": os.devnull, "HOME": str(run.folder or os.devnull)}
        kept |= {name: os.environ[name] for name in ("GIT_SSL_CAINFO", "GIT_EXEC_PATH") if name in os.environ}
    return {
        **kept,
        "GIT_TERMINAL_PROMPT": "0",
        "GIT_ASKPASS": "",
        "GIT_ALLOW_PROTOCOL": "https:http" if run.alone else "https:ssh:file:http:git",
        "GIT_LFS_SKIP_SMUDGE": "1",
        "LC_ALL": "C",
        **(_credentials(run.login) if run.login else {}),
    }


def _credentials(login: GitLogin) -> dict[str, str]:
    """The environment that answers git's question for credentials, for this host alone.

    git's documentation of GIT_CONFIG_COUNT (git-config) and of helpers that begin with `!` (gitcredentials).
    """
    if not login.user and not login.password:
        return {}
    host = "/".join(login.url.split("/")[:3])
    settings = [("credential.helper", ""), (f"credential.{host}.helper", ""), (f"credential.{host}.helper", _HELPER)]
    environment = {"ASSEMBLER_GIT_USER": login.user, "ASSEMBLER_GIT_PASSWORD": login.password}
    environment["GIT_CONFIG_COUNT"] = str(len(settings))
    for number, (key, value) in enumerate(settings):
        environment |= {f"GIT_CONFIG_KEY_{number}": key, f"GIT_CONFIG_VALUE_{number}": value}
    return environment


def quoted(said: str, login: GitLogin | None) -> str:
    """Returns what git and the other side said, without credentials.

    Args:
        said: the text.
        login: the credentials that were used, or None.
    """
    for word in (login.password, login.user) if login else ():
        for form in {word, quote(word, safe="")} - {""}:
            said = said.replace(form, "…")
    return re.sub(r"//[^/\s]+@", "//…@", said)
