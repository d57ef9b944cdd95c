"""Plugins from git repositories: URLs in pip's format, a known commit, and minimal privileges.

git fetches to a bare repository; the commit is then checked out to a separate folder, so that a plugin in use never
changes. Hooks, submodules and filters are not run.
"""

from __future__ import annotations

import fcntl
import hashlib
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import parse_qs, quote, unquote

from assembler_runner.core.errors import AssemblerError
from assembler_runner.core.git import COMMIT, HOST, GitFailed, GitLogin, GitRun, git

_LINE = re.compile(r"git\+(?P<protocol>[a-z]+)://(?P<rest>[^#\s]+)(?:#(?P<fragment>\S*))?")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_DEFAULT = "refs/assembler/default"


class PluginSourceError(AssemblerError):
    """An invalid line of GIT_PLUGINS, or a repository that cannot be used."""

    code = "plugin_source"
    default_hint = "Write it as git+https://host/repository.git[@ref][#subdirectory=folder]."


@dataclass(frozen=True)
class GitSource:
    """A parsed line of GIT_PLUGINS.

    Args:
        url: what git fetches from; without a password, and over http and https without a user name.
        ref: branch, tag or commit; empty for the repository's default branch.
        subdirectory: folder in the repository that contains the plugins; empty for its root.
        user: user name for http and https; may itself be a token.
        password: password for http and https.
    """

    url: str
    ref: str
    subdirectory: str
    user: str = field(default="", repr=False)
    password: str = field(default="", repr=False)

    @property
    def login(self) -> GitLogin:
        """Its credentials, for git."""
        return GitLogin(self.url, self.user, self.password)

    @property
    def shown(self) -> str:
        """The line without its credentials, for people."""
        at = f"@{self.ref}" if self.ref else ""
        fragment = f"#subdirectory={self.subdirectory}" if self.subdirectory else ""
        return f"git+{_address(self.url)}{at}{fragment}"


@dataclass(frozen=True)
class Checkout:
    """A commit that is checked out to a folder.

    Args:
        folder: the folder that contains the plugins.
        commit: id of the commit.
        note: why it is not the newest commit, or None.
    """

    folder: Path
    commit: str
    note: str | None


def parse(line: str, protocols: frozenset[str]) -> GitSource:
    """Parses a line of GIT_PLUGINS.

    Args:
        line: `git+URL[@ref][#subdirectory=dir]`, the format of pip (pip documentation, VCS support).
        protocols: the allowed protocols.
    Raises:
        PluginSourceError: the line has another format, or a protocol that is not allowed.
    """
    match = _LINE.fullmatch(line.strip())
    if match is None:
        raise PluginSourceError(f"{shown(line)!r} is not a git address in the form of pip.")
    protocol = match["protocol"]
    if protocol not in protocols:
        allowed = ", ".join(sorted(protocols)) or "none"
        hint = "Add it to GIT_PLUGIN_PROTOCOLS if you trust it."
        raise PluginSourceError(f"The protocol {protocol} is not allowed; allowed: {allowed}.", hint=hint)
    authority, slash, path = match["rest"].partition("/")
    userinfo, _, host = authority.rpartition("@")
    if not (HOST.fullmatch(host) or (protocol == "file" and not authority)):
        hint = "In a user name or a password, write / as %2F, @ as %40, # as %23 and : as %3A."
        raise PluginSourceError(f"The address at {shown(line)!r} has no valid host name.", hint=hint)
    if "?" in path:
        # git shows the address in its list of processes, and a query may contain a token.
        hint = "Write credentials as https://user:password@host/."
        raise PluginSourceError(f"The address {_address(f'{protocol}://{host}/{path}')} has a query.", hint=hint)
    path, _, ref = path.rpartition("@") if "@" in path else (path, "", "")
    subdirectory = unquote(parse_qs(match["fragment"] or "").get("subdirectory", [""])[0]).strip("/")
    if ref.startswith("-") or ".." in ref or any(part == ".." for part in subdirectory.split("/")):
        raise PluginSourceError(f"{shown(line)!r} contains a part that git could take for an option or another path.")
    user, _, password = userinfo.partition(":")
    user, password = unquote(user), unquote(password)
    if _CONTROL.search(user + password) or user.startswith("-"):
        raise PluginSourceError(f"The user name or password for {host} contains characters that git does not accept.")
    if protocol in ("http", "https"):
        return GitSource(f"{protocol}://{host}{slash}{path}", ref, subdirectory, user, password)
    # ssh takes no password from an address; its user name is part of the place, such as git@host.
    place = f"{quote(user)}@{host}" if user and protocol == "ssh" else host
    return GitSource(f"{protocol}://{place}{slash}{path}", ref, subdirectory)


def shown(line: str) -> str:
    """Returns a line of any form, with all that could be credentials replaced.

    Args:
        line: a line of GIT_PLUGINS, perhaps not a valid one.
    """
    place, hash_sign, fragment = line.strip().partition("#")
    before, at, after = place.rpartition("@")
    if at:
        scheme = re.match(r"(?:git\+)?[a-z]+://", before)
        place = f"{scheme[0] if scheme else ''}…@{after}"
    place = place.partition("?")[0]
    rest = f"{hash_sign}{fragment}" if "@" not in fragment else "#…"
    return f"{place}{rest}"[:80]


def _address(url: str) -> str:
    return re.sub(r"^([a-z]+://)[^/@]*@", r"\1", url.partition("?")[0])


def check_out(source: GitSource, folder: Path) -> Checkout:
    """Fetches and checks out a commit.

    Args:
        source: repository, ref and folder.
        folder: the folder for repositories and checkouts; created if it does not exist.
    Returns:
        The checkout; if the repository is unreachable, that of the last fetched commit, with a note.
    Raises:
        PluginSourceError: the repository is unreachable and was never fetched, or has no such ref or folder.
    """
    # The name depends on URL and ref, so that two refs of a repository are fetched separately.
    key = hashlib.sha256(f"{source.url}\n{source.ref}".encode()).hexdigest()[:16]
    home = folder / key
    try:
        home.mkdir(parents=True, exist_ok=True)
    except OSError as problem:
        raise PluginSourceError(
            f"{folder} cannot be used: {problem.strerror}.",
            hint="Set GIT_PLUGIN_FOLDER to a folder that the service may write to.",
        ) from None
    with _locked(home):
        repository, last_good = home / "repository.git", home / "commit"
        note = None
        try:
            commit = _fetch(source, repository)
        except GitFailed as problem:
            if not last_good.exists():
                raise PluginSourceError(f"{_address(source.url)} could not be fetched: {problem.said}") from None
            commit = last_good.read_text().strip()
            note = f"could not be fetched ({problem.said}); the last fetched commit is used"
        checkout = _check_out_commit(repository, commit, home)
        last_good.write_text(commit)
    wanted = checkout / source.subdirectory if source.subdirectory else checkout
    if not wanted.is_dir():
        raise PluginSourceError(
            f"{_address(source.url)} has no folder {source.subdirectory} at {commit[:12]}.",
            hint="Correct subdirectory=.",
        )
    return Checkout(wanted, commit, note)


def _fetch(source: GitSource, repository: Path) -> str:
    if not (repository / "HEAD").exists():
        git(GitRun(), "init", "--quiet", "--bare", "--template=", str(repository))
    specs = ["+refs/heads/*:refs/heads/*", "+refs/tags/*:refs/tags/*", f"+HEAD:{_DEFAULT}"]
    options = ["--quiet", "--prune", "--no-recurse-submodules", "--no-auto-gc", "--no-write-fetch-head"]
    run = GitRun(repository, source.login)
    git(run, "fetch", *options, "--", source.url, *specs)
    if not source.ref:
        return _resolve(repository, _DEFAULT)
    for name in (f"refs/heads/{source.ref}", f"refs/tags/{source.ref}", source.ref):
        try:
            return _resolve(repository, name)
        except GitFailed:
            continue
    if COMMIT.fullmatch(source.ref):
        git(run, "fetch", *options, "--", source.url, source.ref)
        return _resolve(repository, source.ref)
    raise PluginSourceError(
        f"{_address(source.url)} has no branch, tag or commit {source.ref}.", hint="Correct the part behind @."
    )


def _resolve(repository: Path, name: str) -> str:
    words = ("rev-parse", "--quiet", "--verify", "--end-of-options", f"{name}^{{commit}}")
    return git(GitRun(repository), *words).strip()


def _check_out_commit(repository: Path, commit: str, home: Path) -> Path:
    final = home / commit
    if final.exists():
        return final
    unfinished = Path(tempfile.mkdtemp(prefix="unfinished-", dir=home))
    try:
        words = ("--work-tree", str(unfinished), "checkout", "--quiet", "--force", commit, "--", ".")
        git(GitRun(repository), *words)
        unfinished.chmod(0o755)
        unfinished.rename(final)
    except GitFailed as problem:
        raise PluginSourceError(f"commit {commit[:12]} could not be checked out: {problem.said}") from None
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
    return final


@contextmanager
def _locked(home: Path) -> Iterator[None]:
    """Holds a file lock, because server and worker may share the folder and start at the same time."""
    with (home / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
