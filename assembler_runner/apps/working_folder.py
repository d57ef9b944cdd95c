"""The files of an app on disk, thrown away when it ends."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from assembler_runner.files.content import pieces_of
from assembler_runner.files.tree import SpaceFile


def write_tree(tree: Mapping[str, SpaceFile], folder: Path) -> None:
    """Writes all files of a Space below a folder.

    Args:
        tree: the files; their paths were checked when they were assembled or committed.
        folder: the folder; created if missing.
    """
    folder.mkdir(parents=True, exist_ok=True)
    root = folder.resolve()
    for path, file in tree.items():
        place = folder / path
        if not place.resolve().is_relative_to(root):
            raise ValueError("a path leads out of the folder")
        place.parent.mkdir(parents=True, exist_ok=True)
        with file.open() as source, place.open("wb") as target:
            for piece in pieces_of(source):
                target.write(piece)
