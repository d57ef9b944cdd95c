"""The body of a commit request, and what it does to a tree."""

from __future__ import annotations

import base64
import json
from collections.abc import Container, Iterator
from dataclasses import dataclass
from typing import Any

from assembler_runner.devhub.cards import problems
from assembler_runner.devhub.repo import File, LargeFile, Tree, pointer
from assembler_runner.devhub.wire import HubError, entry_not_found

MAX_REGULAR_SIZE = 10 * 1024 * 1024
STALE_PARENT = "The branch was updated since you opened this page. Please refresh and try again."


@dataclass(frozen=True)
class CommitRequest:
    """A parsed commit request; operations are (key, value) pairs in their order."""

    title: str
    message: str
    parent: str | None
    operations: list[tuple[str, dict[str, Any]]]


def parse(body: bytes) -> CommitRequest:
    """Read the NDJSON body."""
    lines = list(_lines(body))
    if not lines or lines[0][0] != "header":
        raise HubError(400, "The first line must be the header")
    header = lines[0][1]
    if not header.get("summary"):
        raise HubError(400, '"summary" is not allowed to be empty')
    message, parent = header.get("description", ""), header.get("parentCommit")
    return CommitRequest(header["summary"], message, parent, lines[1:])


def apply(request: CommitRequest, tree: Tree, stored: Container[str], *, is_space: bool) -> Tree:
    """The tree after the commit. Nothing is changed when an operation is refused."""
    result = dict(tree)
    for key, value in request.operations:
        _check_path(str(value.get("path", "")))
        _apply_one(key, value, result, stored)
    _check_folders(result)
    if result.get("README.md") != tree.get("README.md"):
        _check_readme(result, is_space=is_space)
    return result


def _lines(body: bytes) -> Iterator[tuple[str, dict[str, Any]]]:
    for line in body.splitlines():
        if not line.strip():
            continue
        try:
            item = json.loads(line)
            yield item["key"], dict(item["value"])
        except (ValueError, KeyError, TypeError):
            raise HubError(400, "Invalid line in the commit") from None


def _apply_one(key: str, value: dict[str, Any], tree: Tree, stored: Container[str]) -> None:
    path = str(value["path"])
    if key == "file":
        tree[path] = File(_content(value))
    elif key == "lfsFile":
        tree[path] = _large(value, stored)
    elif key in ("deletedFile", "deletedFolder"):
        _delete(path, tree, folder_only=key == "deletedFolder")
    else:
        raise HubError(400, f"Unknown operation: {key}")


def _content(value: dict[str, Any]) -> bytes:
    text = str(value.get("content", ""))
    try:
        data = base64.b64decode(text, validate=True) if value.get("encoding") == "base64" else text.encode()
    except ValueError:
        raise HubError(400, "Invalid base64 content") from None
    if len(data) > MAX_REGULAR_SIZE:
        raise HubError(400, f"{value['path']} is too large for a regular file, upload it as a large one")
    return data


def _large(value: dict[str, Any], stored: Container[str]) -> File:
    oid = str(value.get("oid"))
    if oid not in stored:
        raise HubError(400, f"LFS pointer pointed to a file that does not exist: {oid}")
    return pointer(LargeFile(oid, int(value.get("size", 0))))


def _delete(path: str, tree: Tree, *, folder_only: bool) -> None:
    inside = [name for name in tree if name.startswith(path.rstrip("/") + "/")]
    if not folder_only and path in tree:
        del tree[path]
    elif inside:
        for name in inside:
            del tree[name]
    else:
        raise entry_not_found("A file with this name doesn't exist")


def _check_path(path: str) -> None:
    parts = path.rstrip("/").split("/")
    if "\\" in path or "\0" in path or any(part in ("", ".", "..", ".git") for part in parts):
        raise HubError(422, f"Invalid path: {path}")


def _check_folders(tree: Tree) -> None:
    for path in tree:
        parts = path.split("/")
        for depth in range(1, len(parts)):
            if "/".join(parts[:depth]) in tree:
                raise HubError(422, f"Invalid path: {path}")


def _check_readme(tree: Tree, *, is_space: bool) -> None:
    readme = tree.get("README.md")
    found = problems(readme.data.decode(errors="replace"), is_space=is_space) if readme else []
    if found:
        errors = [{"message": message} for message in found]
        raise HubError(400, "Invalid metadata in README.md", extra={"errors": errors})
