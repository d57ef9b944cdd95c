"""Unified diffs as rows of a page."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

_PART = re.compile(r"@@ -(\d+)(?:,\d+)? \+(\d+)(?:,\d+)? @@")


@dataclass(frozen=True)
class DiffRow:
    """One line of a diff.

    Args:
        kind: part, added, removed or same.
        old: number of the line before, or None.
        new: number of the line after, or None.
        text: the line with its sign.
    """

    kind: str
    old: int | None
    new: int | None
    text: str


def diff_rows(diff: str) -> Iterator[DiffRow]:
    """Returns the rows of a unified diff, without the names of the files."""
    old = new = 0
    lines = diff.split("\n")
    for line in lines[2:-1] if lines[0].startswith("--- ") else lines:
        if found := _PART.match(line):
            old, new = int(found[1]), int(found[2])
            yield DiffRow("part", None, None, line)
        elif line.startswith("+"):
            yield DiffRow("added", None, new, line)
            new += 1
        elif line.startswith("-"):
            yield DiffRow("removed", old, None, line)
            old += 1
        elif line.startswith("\\"):
            yield DiffRow("part", None, None, line)
        else:
            yield DiffRow("same", old, new, line)
            old, new = old + 1, new + 1
