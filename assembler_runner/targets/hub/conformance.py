"""What a Hub must answer so that Spaces can be published to it: a list, tried on an endpoint with a Space of its own.

The calls are those of publishing itself, so a Hub that passes the required lines can be a target.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal

from assembler_runner.core.errors import AssemblerError, HeadMoved, NameTaken, TargetNotFound, TargetUnauthorized
from assembler_runner.files.tree import SpaceFile, Tree
from assembler_runner.targets.base import PublishedSpace, SpaceSpec
from assembler_runner.targets.hub.target import HuggingFaceTarget

Outcome = Literal["ok", "missing", "failed"]
_CARD = "---\ntitle: Check\nsdk: static\n---\nA check of this Hub; it is deleted at once.\n"
_LARGE = 11 * 2**20


@dataclass(frozen=True)
class Line:
    """One line of the list.

    Args:
        name: what is tried.
        required: whether publishing depends on it.
        why: what it is needed for.
    """

    name: str
    required: bool
    why: str


@dataclass(frozen=True)
class Result:
    """What a Hub answered for one line.

    Args:
        line: the line.
        outcome: `ok`, `missing` (an optional line that it does not have) or `failed`.
        said: what was seen instead, or None.
    """

    line: Line
    outcome: Outcome
    said: str | None = None


class _Unexpected(Exception):
    """The Hub answered, but not as it must."""


def examine(endpoint: str, token: str, timeout: float, folder: Path, namespace: str | None = None) -> Iterator[Result]:
    """Tries every line on a Hub, with a private Space that is deleted again.

    Args:
        endpoint: URL of the Hub.
        token: token with write access.
        timeout: seconds to wait for an answer.
        folder: folder for copies of large files.
        namespace: namespace of the Space; by default that of the token.
    Yields:
        A result for each line; after a required one that others build on has failed, none for those.
    """
    trial = _Trial(HuggingFaceTarget(endpoint, token, timeout, folder), namespace)
    stranger = HuggingFaceTarget(endpoint, f"hf_{secrets.token_hex(8)}", timeout, folder)
    try:
        for line, work, needed in _steps(trial, stranger):
            result = _tried(line, work)
            yield result
            if needed and result.outcome != "ok":
                return
    finally:
        trial.clean_up()


def _tried(line: Line, work: Callable[[], object]) -> Result:
    try:
        work()
    except _Unexpected as problem:
        return Result(line, "failed", str(problem))
    except AssemblerError as problem:
        return Result(line, "failed" if line.required else "missing", f"{problem.code}: {problem.message}")
    return Result(line, "ok")


def _steps(trial: _Trial, stranger: HuggingFaceTarget) -> Iterator[tuple[Line, Callable[[], object], bool]]:
    """Yields each line, what tries it, and whether the following lines build on it."""
    for name, why, work, needed in (
        ("account", "whose token it is", trial.account, True),
        (
            "wrong token",
            "an ended token is distinguished from a Hub that is away",
            partial(_refuses, stranger),
            False,
        ),
        ("create", "a Space with secrets and variables in one call", trial.create, True),
        ("create again", "a taken name, and a lost answer, are recognized", trial.create_again, False),
        ("head", "the commit that a change builds on", trial.head, True),
        ("commit", "all files in one commit", trial.commit, True),
        ("files", "drift, adopting and preview read back what is there", trial.read_back, False),
        ("commits", "a lost answer is looked up by the message of the commit", trial.find_commit, False),
        ("stale parent", "a change by others is never overwritten", trial.commit_on_stale_parent, False),
        ("delete a file", "the tree is exactly the one that was previewed", trial.remove_file, False),
        ("large file", "files that the Hub takes as LFS", trial.large_file, False),
        ("unknown Space", "a Space that was deleted is distinguished from one that is away", trial.unknown, False),
    ):
        yield Line(name, True, why), work, needed
    for name, why, work in (
        ("runtime", "the state of the app is followed", trial.runtime),
        ("log", "causes are read from the end of the log", trial.log),
        ("variables", "the environment of an app is changed without a commit", trial.variables),
        ("secrets", "likewise, for secrets", trial.secret),
        ("visibility", "a Space whose first publication failed is hidden", trial.hide),
        ("move", "a Space gets another name", trial.move),
    ):
        yield Line(name, False, why), work, False
    yield Line("delete", True, "nothing is left behind"), trial.delete, False


def _refuses(stranger: HuggingFaceTarget) -> None:
    try:
        stranger.whoami()
    except TargetUnauthorized:
        return
    raise _Unexpected("a random token was accepted")


class _Trial:
    """The Space that everything is tried with."""

    def __init__(self, target: HuggingFaceTarget, namespace: str | None) -> None:
        self._target, self._namespace = target, namespace
        self._name = f"assembler-check-{secrets.token_hex(4)}"
        self._known: PublishedSpace | None = None
        self._first, self._newest = "", ""
        self._files = {"index.html": b"<h1>Check</h1>\n", "README.md": _CARD.encode(), "data/a.bin": bytes(range(256))}

    @property
    def _space(self) -> PublishedSpace:
        assert self._known is not None, "the list stops when the Space could not be created"
        return self._known

    def account(self) -> None:
        if not self._target.whoami().name:
            raise _Unexpected("the account has no name")

    def create(self) -> None:
        self._known = self._target.create(
            SpaceSpec(self._namespace, self._name, "static", "private", variables={"CHECK": "1"})
        )
        if self._known.name != self._name:
            raise _Unexpected(f"the Space is named {self._known.name}, not {self._name}")

    def create_again(self) -> None:
        try:
            self._target.create(SpaceSpec(self._namespace, self._name, "static", "private"))
        except NameTaken:
            return
        raise _Unexpected("a second Space of the same name was accepted")

    def head(self) -> None:
        oid = self._target.head(self._space).oid
        if oid is None:
            raise _Unexpected("a new Space has no commit")
        self._first = oid

    def commit(self) -> None:
        tree = Tree({path: SpaceFile(path, content) for path, content in self._files.items()})
        made = self._target.commit(self._space, tree, frozenset(), "Check", "request 1", self._first)
        self._newest = self._target.head(self._space).oid or ""
        if made.oid != self._newest:
            raise _Unexpected("the head is not the commit that was answered")

    def read_back(self) -> None:
        there = self._target.files_at(self._space, self._newest)
        for path, content in self._files.items():
            if path not in there or there[path].size != len(content):
                raise _Unexpected(f"{path} is not in the list of files, or has another size")
            with self._target.open_file(self._space, path, self._newest) as file:
                if file.read() != content:
                    raise _Unexpected(f"{path} came back with other bytes")

    def find_commit(self) -> None:
        found = {commit.oid: commit.message for commit in self._target.commits(self._space)}
        if "request 1" not in found.get(self._newest, ""):
            raise _Unexpected("the list of commits lacks the newest one, or its description")

    def commit_on_stale_parent(self) -> None:
        tree = Tree({"index.html": SpaceFile("index.html", b"stale")})
        try:
            self._target.commit(self._space, tree, frozenset(), "Stale", "", self._first)
        except HeadMoved:
            return
        raise _Unexpected("a commit on top of an older one was accepted")

    def remove_file(self) -> None:
        tree = Tree({"index.html": SpaceFile("index.html", b"<h1>Again</h1>")})
        made = self._target.commit(self._space, tree, frozenset({"data/a.bin"}), "Remove", "", self._newest)
        self._newest = made.oid
        if "data/a.bin" in self._target.files_at(self._space, made.oid):
            raise _Unexpected("the file is still there")

    def large_file(self) -> None:
        content = secrets.token_bytes(_LARGE)
        tree = Tree({"large.bin": SpaceFile("large.bin", content)})
        made = self._target.commit(self._space, tree, frozenset(), "Large", "", self._newest)
        self._newest = made.oid
        with self._target.open_file(self._space, "large.bin", made.oid) as file:
            if file.read() != content:
                raise _Unexpected("it came back with other bytes")

    def unknown(self) -> None:
        space = PublishedSpace(self._space.namespace, f"{self._name}-unknown", "")
        try:
            self._target.head(space)
        except TargetNotFound:
            return
        raise _Unexpected("a Space that does not exist was found")

    def runtime(self) -> None:
        self._target.runtime(self._space)

    def log(self) -> None:
        with self._target.read_log(self._space, "run", 10) as reader:
            reader.read(1.0)

    def variables(self) -> None:
        self._target.set_variable(self._space, "CHECK", "2")
        if self._target.variables(self._space).get("CHECK") != "2":
            raise _Unexpected("the variable has another value")

    def secret(self) -> None:
        self._target.set_secret(self._space, "CHECK_SECRET", "x")
        self._target.set_secret(self._space, "CHECK_SECRET", None)

    def hide(self) -> None:
        self._target.set_visibility(self._space, "private")

    def move(self) -> None:
        self._known = self._target.move(self._space, self._space.namespace, f"{self._name}-moved")

    def delete(self) -> None:
        self._target.delete(self._space)
        if self._target.find(self._space.namespace, self._space.name) is not None:
            raise _Unexpected("the Space is still there")
        self._known = None

    def clean_up(self) -> None:
        """Deletes the Space, whatever was tried before."""
        if self._known is not None:
            _tried(Line("delete", True, ""), partial(self._target.delete, self._known))
