"""The files of a commit of a local Space, as a tree."""

from __future__ import annotations

from functools import partial
from typing import BinaryIO

from assembler_runner.core.errors import TargetNotFound
from assembler_runner.files.content import Content
from assembler_runner.files.tree import SpaceFile, Tree
from assembler_runner.targets.base import PublishedSpace
from assembler_runner.targets.local.target import LocalTarget


def tree_at(target: LocalTarget, namespace: str, name: str, oid: str) -> Tree:
    """Returns all files of a commit; contents are read when they are used.

    Args:
        target: the target.
        namespace: namespace of the Space.
        name: its name.
        oid: the commit.
    Raises:
        TargetNotFound: the Space or the commit does not exist.
    """

    def opened(path: str) -> BinaryIO:
        found = target.open(namespace, name, path, oid)
        if found is None:
            raise TargetNotFound("The commit does not contain this file.")
        return found.content

    files = target.files(namespace, name, oid)
    return Tree(
        {
            file.path: SpaceFile(file.path, Content(file.blob_id, file.size, partial(opened, file.path)))
            for file in files
        }
    )


def newest_commit(target: LocalTarget, namespace: str, name: str) -> str | None:
    """Returns the newest commit of a Space; None if there is none.

    Args:
        target: the target.
        namespace: namespace of the Space.
        name: its name.
    """
    try:
        return target.head(PublishedSpace(namespace, name, "")).oid
    except TargetNotFound:
        return None
