"""The differences between a tree and the live release: paths, and unified diffs of text files, up to a limit."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from assembler_runner.files.tree import SpaceFile, Tree
from assembler_runner.services import Services
from assembler_runner.spaces.models import RequestFile, SpaceRequest

MAX_TEXT_BYTES = 200_000
MAX_LINES = 5000
MAX_TOTAL_CHARACTERS = 500_000


@dataclass(frozen=True)
class FileDiff:
    """A file that differs.

    Args:
        path: its path.
        diff: unified diff; None if one of the versions is not text or is too large.
    """

    path: str
    diff: str | None

    def to_json(self) -> dict[str, Any]:
        """Returns the form of the API."""
        return {"path": self.path, "diff": self.diff}


def diff(services: Services, live: SpaceRequest, tree: Tree) -> dict[str, Any]:
    """Compares a tree with a published release.

    Args:
        services: the services of this process.
        live: the release.
        tree: the tree that would replace it.
    Returns:
        `added`, `changed` and `deleted`: path and diff of each file.
    """
    return _compare(services, {row.path: row for row in live.files}, tree)


def between(services: Services, old: SpaceRequest | None, new: SpaceRequest) -> dict[str, Any]:
    """Compares two published releases.

    Args:
        services: the services of this process.
        old: the earlier release; None for no files.
        new: the later release.
    Returns:
        See :func:`diff`.
    """
    before = {row.path: row for row in old.files} if old is not None else {}
    files = {row.path: SpaceFile(row.path, services.files.content(row.sha256, row.size), "given") for row in new.files}
    return _compare(services, before, Tree(files))


def _compare(services: Services, before: Mapping[str, RequestFile], tree: Tree) -> dict[str, Any]:
    left = MAX_TOTAL_CHARACTERS
    found: dict[str, list[dict[str, Any]]] = {"added": [], "changed": [], "deleted": []}
    for path in sorted(before.keys() | tree.keys()):
        if path in before and path in tree and before[path].sha256 == tree[path].sha256:
            continue
        old = _old_text(services, before[path].sha256, before[path].size) if path in before else ""
        new = _text(tree[path].content) if path in tree and tree[path].size <= MAX_TEXT_BYTES else None
        text = _unified(path, old, "" if path not in tree else new)
        if text is not None and len(text) > left:
            text = None
        left -= len(text or "")
        kind = "changed" if path in before and path in tree else "added" if path in tree else "deleted"
        found[kind].append(FileDiff(path, text).to_json())
    return found


def compare_bytes(path: str, old: bytes | None, new: bytes | None) -> FileDiff:
    """Compares two versions of a file.

    Args:
        path: its path.
        old: the earlier content; None if there was no file.
        new: the later content; None if there is no file any more.
    """
    texts = ["" if each is None else _text(each) if len(each) <= MAX_TEXT_BYTES else None for each in (old, new)]
    return FileDiff(path, _unified(path, *texts))


def _old_text(services: Services, digest: str, size: int) -> str | None:
    return _text(services.files.content(digest, size).read()) if size <= MAX_TEXT_BYTES else None


def _text(content: bytes) -> str | None:
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError:
        return None
    return None if "\0" in text else text


def _unified(path: str, old: str | None, new: str | None) -> str | None:
    if old is None or new is None:
        return None
    before, after = old.splitlines(keepends=True), new.splitlines(keepends=True)
    if max(len(before), len(after)) > MAX_LINES:
        return None
    return "".join(_mark_missing_newline(difflib.unified_diff(before, after, f"a/{path}", f"b/{path}")))


def _mark_missing_newline(lines: Iterator[str]) -> Iterator[str]:
    """Marks a last line without a newline, as diff(1) does."""
    for line in lines:
        yield line if line.endswith("\n") else f"{line}\n\\ No newline at end of file\n"
