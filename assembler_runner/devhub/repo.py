"""A repository: its files, its linear history and what a Space has besides."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Literal

from assembler_runner.devhub.accounts import object_id
from assembler_runner.devhub.runtime import Runtime

RepoKind = Literal["space", "model", "dataset"]
Visibility = Literal["public", "private", "protected"]
LogKind = Literal["build", "run"]


def now() -> datetime:
    """The present, in UTC."""
    return datetime.now(UTC)


def timestamp(moment: datetime) -> str:
    """A moment as the Hub writes it: milliseconds and a Z."""
    return moment.strftime("%Y-%m-%dT%H:%M:%S.") + f"{moment.microsecond // 1000:03d}Z"


@dataclass(frozen=True)
class LargeFile:
    """What a pointer points at: content kept outside of git."""

    sha256: str
    size: int


@dataclass(frozen=True)
class File:
    """A file as git sees it; `data` of a large file is its pointer."""

    data: bytes
    large: LargeFile | None = None

    @property
    def git_oid(self) -> str:
        """The git blob id."""
        return hashlib.sha1(b"blob %d\0%s" % (len(self.data), self.data), usedforsecurity=False).hexdigest()

    @property
    def content_oid(self) -> str:
        """The id which tells whether the content has changed: sha256 of large files, git's id of others."""
        return self.large.sha256 if self.large else self.git_oid

    @property
    def size(self) -> int:
        """The size of the real content."""
        return self.large.size if self.large else len(self.data)


def pointer(large: LargeFile) -> File:
    """The file that git has in place of a large one."""
    text = f"version https://git-lfs.github.com/spec/v1\noid sha256:{large.sha256}\nsize {large.size}\n"
    return File(text.encode(), large)


Tree = dict[str, File]


@dataclass(frozen=True)
class Commit:
    """One commit with the full tree after it; `initial` marks the one the Hub makes itself."""

    oid: str
    title: str
    message: str
    author: str
    date: datetime
    tree: Tree
    parent: str | None = None
    initial: bool = False


@dataclass
class Entry:
    """A secret or a variable."""

    value: str
    description: str | None = None
    updated: datetime = field(default_factory=now)


@dataclass
class Repo:
    """A repository. What only Spaces have stays empty in others."""

    kind: RepoKind
    id: str
    creator: str
    visibility: Visibility = "public"
    gated: str | bool = False
    sdk: str | None = None
    hardware: str | None = None
    sleep_time: int | None = None
    dev_mode: bool = False
    secrets: dict[str, Entry] = field(default_factory=dict)
    variables: dict[str, Entry] = field(default_factory=dict)
    volumes: list[dict[str, object]] = field(default_factory=list)
    commits: list[Commit] = field(default_factory=list)
    runtime: Runtime = field(default_factory=Runtime)
    logs: dict[LogKind, list[tuple[datetime, str]]] = field(default_factory=lambda: {"build": [], "run": []})
    created: datetime = field(default_factory=now)

    @property
    def namespace(self) -> str:
        """The part before the slash."""
        return self.id.partition("/")[0]

    @property
    def object_id(self) -> str:
        """The id which survives a move: that of the creation."""
        return object_id(f"{self.kind}:{self.creator}:{timestamp(self.created)}:{self.commits[0].oid}")

    @property
    def head(self) -> Commit:
        """The newest commit."""
        return self.commits[-1]

    @property
    def url_path(self) -> str:
        """Where its page is."""
        return self.id if self.kind == "model" else f"{self.kind}s/{self.id}"

    def find_commit(self, revision: str) -> Commit | None:
        """The commit of a revision: main, or a commit id of at least seven digits."""
        if revision in ("main", "refs/heads/main", "HEAD"):
            return self.head
        if len(revision) < 7:
            return None
        return next((commit for commit in reversed(self.commits) if commit.oid.startswith(revision)), None)

    def add_commit(self, title: str, message: str, author: str, tree: Tree, *, initial: bool = False) -> Commit:
        """Append a commit."""
        parent = self.commits[-1].oid if self.commits else None
        date = now()
        seed = repr((self.kind, self.id, parent, title, message, author, date, len(self.commits)))
        oid = hashlib.sha1(seed.encode(), usedforsecurity=False).hexdigest()
        commit = Commit(oid, title, message, author, date, tree, parent, initial)
        self.commits.append(commit)
        return commit

    def log(self, kind: LogKind, *lines: str) -> None:
        """Append lines to a log."""
        self.logs[kind].extend((now(), line if line.endswith("\n") else line + "\n") for line in lines)
