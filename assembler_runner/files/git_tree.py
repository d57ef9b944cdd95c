"""The files of one commit of a git repository, read into a spool within a budget; nothing is checked out.

Paths of the repository never become paths on this machine's disk, and neither hooks nor filters see the files.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import BinaryIO

from assembler_runner.core.errors import Finding, InvalidRequest, TooLarge
from assembler_runner.core.git import COMMIT, GitFailed, GitLogin, GitRun, git, stream
from assembler_runner.core.visible import visible
from assembler_runner.files.archives import is_clutter
from assembler_runner.files.content import PIECE_BYTES, Content, Spool
from assembler_runner.files.paths import check_path

FIELD = "git"

_WANTED = "refs/assembler/wanted"
_MOST_FINDINGS = 20
_FILE, _LINK, _SUBMODULE = "blob", "120000", "commit"
_SETTINGS = (
    # Addresses are checked before git connects to them: it must not follow to others.
    *("http.followRedirects=false", "transfer.bundleURI=false", "http.proxy=", "core.askPass="),
    *("fetch.unpackLimit=1", "gc.auto=0", "maintenance.auto=false", "core.bigFileThreshold=16m", "pack.threads=1"),
    *("http.lowSpeedLimit=1000", "http.lowSpeedTime=20"),
)


@dataclass(frozen=True)
class GitBudget:
    """Limits for reading one commit.

    Args:
        most_transferred: bytes that the repository may transfer.
        most_seconds: time for everything.
        most_files: number of files.
        most_bytes: bytes of all files.
        most_file_bytes: bytes of one file.
    """

    most_transferred: int
    most_seconds: float
    most_files: int
    most_bytes: int
    most_file_bytes: int


@dataclass(frozen=True)
class GitPlace:
    """What to read from where.

    Args:
        url: https or http address of the repository; checked before.
        ref: branch, tag, commit, or whole name such as refs/pull/1/head; empty for the default branch.
        subdirectory: folder that becomes the root; empty for that of the repository.
    """

    url: str
    ref: str = ""
    subdirectory: str = ""


@dataclass(frozen=True)
class GitTree:
    """The files of a commit.

    Args:
        commit: its id.
        files: path → content.
        findings: remarks, such as about submodules.
    """

    commit: str
    files: dict[str, Content]
    findings: list[Finding]


@dataclass(frozen=True)
class _Entry:
    mode: str
    kind: str
    oid: str
    size: int
    path: str


class _Clock:
    """What is left of the time, spread over several runs of git."""

    def __init__(self, run: GitRun, seconds: float) -> None:
        self._run, self._until = run, time.monotonic() + seconds

    def run(self, login: GitLogin | None = None) -> GitRun:
        return replace(self._run, login=login, seconds=max(0.1, self._until - time.monotonic()))


def read_commit(
    place: GitPlace, login: GitLogin | None, resolved: str, spool: Spool, budget: GitBudget, folder: Path
) -> GitTree:
    """Fetches one commit without its history, and reads its files.

    Args:
        place: what to read.
        login: credentials for the host, or None.
        resolved: `host:port:address` that git connects to, whatever the name resolves to by then.
        spool: receives the files.
        budget: the limits.
        folder: folder for the temporary repository.
    Returns:
        The files; without submodules and the clutter of file managers.
    Raises:
        GitFailed: the repository cannot be fetched.
        InvalidRequest: there is no such ref or folder, or the tree contains links or invalid paths.
        TooLarge: a limit is exceeded.
    """
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    with tempfile.TemporaryDirectory(prefix="git-", dir=folder) as name:
        settings = (*_SETTINGS, f"http.curloptResolve={resolved}")
        run = GitRun(Path(name), settings=settings, alone=True, most_bytes=budget.most_transferred)
        clock = _Clock(run, budget.most_seconds)
        git(replace(clock.run(), folder=None), "init", "--quiet", "--bare", "--template=", "--", name)
        try:
            commit = _fetch(place, login, clock)
        except GitFailed as problem:
            if problem.too_large:
                limit = budget.most_transferred
                raise _too_large(f"transfers more than {limit} bytes", "MAX_GIT_BYTES") from None
            raise
        kept, findings = _listed(place, commit, clock, budget)
        return GitTree(commit, dict(_contents(kept, clock, spool)), findings)


def _fetch(place: GitPlace, login: GitLogin | None, clock: _Clock) -> str:
    name = _name_of(place, login, clock)
    options = ("--quiet", "--depth=1", "--no-tags", "--no-recurse-submodules", "--no-auto-gc", "--no-write-fetch-head")
    git(clock.run(login), "fetch", *options, "--", place.url, f"+{name}:{_WANTED}")
    words = ("rev-parse", "--quiet", "--verify", "--end-of-options", f"{_WANTED}^{{commit}}")
    return git(clock.run(), *words).strip()


def _name_of(place: GitPlace, login: GitLogin | None, clock: _Clock) -> str:
    """Returns the whole name of a ref; a branch comes before a tag of the same name."""
    ref = place.ref
    if not ref or COMMIT.fullmatch(ref):
        return ref or "HEAD"
    names = [ref] if ref.startswith("refs/") else [f"refs/heads/{ref}", f"refs/tags/{ref}"]
    said = git(clock.run(login), "ls-remote", "--quiet", "--", place.url, *names)
    there = {line.partition("\t")[2] for line in said.splitlines()}
    for name in names:
        if name in there:
            return name
    raise _refused(
        "git_ref", f"The repository has no branch or tag {visible(ref)!r}.", "ref", "Name a branch, a tag or a commit."
    )


def _listed(place: GitPlace, commit: str, clock: _Clock, budget: GitBudget) -> tuple[list[_Entry], list[Finding]]:
    """Returns the files to read, and remarks."""
    kept: list[_Entry] = []
    problems: list[Finding] = []
    remarks: list[Finding] = []
    total = 0
    for entry in _entries(place, commit, clock):
        if is_clutter(entry.path):
            continue
        if entry.kind == _SUBMODULE:
            remarks.append(_about(entry.path, "submodule_left_out", "is a submodule; it was left out", "warning"))
            continue
        problems += [replace(found, path=_field(entry.path)) for found in check_path(entry.path)]
        if entry.mode == _LINK:
            problems.append(_about(entry.path, "link_in_repository", "is a symbolic link"))
        if len(problems) >= _MOST_FINDINGS:
            break
        if entry.size > budget.most_file_bytes:
            raise _too_large(f"has a file with {entry.size} bytes", "MAX_FILE_BYTES")
        total += entry.size
        kept.append(entry)
        if len(kept) > budget.most_files:
            raise _too_large(f"has more than {budget.most_files} files", "MAX_FILES")
        if total > budget.most_bytes:
            raise _too_large(f"has files with more than {budget.most_bytes} bytes", "MAX_SPACE_BYTES")
    if problems:
        message = "The repository contains entries that are not allowed."
        raise InvalidRequest(message, issues=[*problems[:_MOST_FINDINGS], *remarks[:_MOST_FINDINGS]])
    return kept, remarks[:_MOST_FINDINGS]


def _entries(place: GitPlace, commit: str, clock: _Clock) -> Iterator[_Entry]:
    """Lists a tree while git lists it: one that contains itself many times over has no end."""
    tree = f"{commit}:{place.subdirectory}" if place.subdirectory else commit
    try:
        with stream(clock.run(), "ls-tree", "-r", "-l", "-z", "--full-tree", "--end-of-options", tree) as output:
            yield from map(_entry, _records(output))
    except GitFailed as problem:
        if problem.late or not place.subdirectory:
            raise
        message = f"The repository has no folder {visible(place.subdirectory)!r} at {commit[:12]}."
        raise _refused("git_subdirectory", message, "subdirectory", "Correct the name of the folder.") from None


def _records(output: BinaryIO) -> Iterator[bytes]:
    rest = b""
    while piece := output.read(PIECE_BYTES):
        *whole, rest = (rest + piece).split(b"\0")
        yield from whole
        if len(rest) > PIECE_BYTES:
            raise GitFailed("the repository has a path without an end")


def _entry(record: bytes) -> _Entry:
    head, _, path = record.partition(b"\t")
    mode, kind, oid, size = head.decode("ascii").split()
    return _Entry(mode, kind, oid, int(size) if size.isdecimal() else 0, path.decode("utf-8", "surrogateescape"))


def _contents(entries: Iterable[_Entry], clock: _Clock, spool: Spool) -> Iterator[tuple[str, Content]]:
    with tempfile.TemporaryFile() as wanted:
        listed = list(entries)
        wanted.write("".join(f"{entry.oid}\n" for entry in listed).encode())
        wanted.seek(0)
        with stream(clock.run(), "cat-file", "--batch", stdin=wanted) as output:
            for entry in listed:
                head = output.readline(200).split()
                if head[1:] != [_FILE.encode(), str(entry.size).encode()]:
                    raise GitFailed("a file of the repository cannot be read")
                yield entry.path, spool.add(_pieces(output, entry.size), visible(entry.path))
                output.read(1)


def _pieces(output: BinaryIO, size: int) -> Iterator[bytes]:
    while size:
        piece = output.read(min(size, PIECE_BYTES))
        if not piece:
            raise GitFailed("a file of the repository cannot be read")
        size -= len(piece)
        yield piece


def _field(path: str) -> str:
    return f'{FIELD}["{path.encode("utf-8", "backslashreplace").decode()[:200]}"]'


def _about(path: str, code: str, what: str, severity: str = "error") -> Finding:
    shown = path.encode("utf-8", "backslashreplace").decode()[:200]
    hint = "Commit its files to this repository." if severity == "warning" else "Commit the file itself."
    message = f"{shown!r} {what}."
    return Finding(code, message, "warning" if severity == "warning" else "error", _field(path), hint=hint)


def _refused(code: str, message: str, name: str, hint: str) -> InvalidRequest:
    return InvalidRequest(issues=[Finding(code, message, path=f"{FIELD}.{name}", hint=hint)])


def _too_large(what: str, setting: str) -> TooLarge:
    hint = f"Name a subdirectory, or a smaller repository; the operator can raise {setting}."
    return TooLarge(f"The repository {what}.", hint=hint)
