"""Commits of bare git repositories: reads the head and its files, and makes new commits."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping, Set
from pathlib import Path
from typing import TYPE_CHECKING, cast

from assembler_runner.core.errors import HeadMoved, TargetNotFound
from assembler_runner.targets.local.git_blobs import sync_folder

if TYPE_CHECKING:  # imported where a repository is opened
    from dulwich.objects import Commit, ObjectID
    from dulwich.refs import Ref
    from dulwich.repo import Repo

_MAIN = cast("Ref", b"refs/heads/main")
_AUTHOR = b"Assembler <assembler@localhost>"
_OID = re.compile(r"[0-9a-f]{40}")


def head_of(repo: Repo) -> ObjectID | None:
    """Returns the newest commit, or None without commits."""
    try:
        return repo.refs[_MAIN]
    except KeyError:
        return None


def commit_at(repo: Repo, oid: ObjectID) -> Commit:
    """Returns a commit.

    Raises:
        KeyError: there is no commit with this id.
    """
    from dulwich.objects import Commit

    commit = repo.object_store[oid]
    if not isinstance(commit, Commit):
        raise KeyError(oid)
    return commit


def chosen_commit(repo: Repo, oid: str | None) -> ObjectID | None:
    """Returns the commit with the given id; the newest one if the id is None.

    Raises:
        TargetNotFound: there is no commit with this id.
    """
    from dulwich.objects import Commit, ObjectID

    if oid is None:
        return head_of(repo)
    known = ObjectID(oid.encode("ascii", "replace"))
    if not (_OID.fullmatch(oid) and known in repo.object_store and isinstance(repo.object_store[known], Commit)):
        raise TargetNotFound("The repository does not contain this commit.")
    return known


def blobs_of(repo: Repo, commit: ObjectID | None) -> dict[bytes, ObjectID]:
    """Returns the id of each file's content by path."""
    if commit is None:
        return {}
    entries = repo.object_store.iter_tree_contents(commit_at(repo, commit).tree)
    return {entry.path: entry.sha for entry in entries if entry.path is not None and entry.sha is not None}


def kept_blobs(old: Mapping[bytes, ObjectID], delete: Set[bytes], new: Set[bytes]) -> dict[bytes, ObjectID]:
    """Returns the old files that remain; a new file replaces a folder with its name, and vice versa."""
    new_folders = {folder for path in new for folder in _folders_above(path)}
    return {
        path: blob_id
        for path, blob_id in old.items()
        if path not in delete and path not in new_folders and not any(folder in new for folder in _folders_above(path))
    }


def _folders_above(path: bytes) -> list[bytes]:
    parts = path.split(b"/")
    return [b"/".join(parts[:depth]) for depth in range(1, len(parts))]


def new_commit(tree_id: ObjectID, parent: ObjectID | None, message: str) -> Commit:
    """Creates a commit by this service, not stored yet."""
    from dulwich.objects import Commit

    commit = Commit()
    commit.tree = tree_id
    commit.parents = [parent] if parent else []
    commit.author = commit.committer = _AUTHOR
    commit.author_time = commit.commit_time = int(time.time())
    commit.author_timezone = commit.commit_timezone = 0
    commit.message = f"{message}\n".encode("utf-8", "replace")
    return commit


def move_head(repo: Repo, old: ObjectID | None, new: ObjectID) -> None:
    """Makes a commit the newest one; the caller holds the lock of the Space.

    Raises:
        HeadMoved: `old` is no longer the newest commit.
    """
    heads = Path(repo.path) / "refs" / "heads"
    # Every writer holds the Space's lock, so a lock file of the git library was left by a killed process.
    (heads / "main.lock").unlink(missing_ok=True)
    moved = repo.refs.add_if_new(_MAIN, new) if old is None else repo.refs.set_if_equals(_MAIN, old, new)
    if not moved:
        raise HeadMoved()
    sync_folder(heads)
