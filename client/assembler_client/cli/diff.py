"""Differences between trees, as unified diffs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from assembler_client.cli.text import printable
from assembler_client.models import Diff

if TYPE_CHECKING:
    from rich.console import Console

_STYLES = {"+": "green", "-": "red", "@": "cyan"}


def show_diff(console: Console, diff: Diff) -> None:
    """Writes the files that a change adds, changes and deletes, each with its unified diff.

    Args:
        console: where to write.
        diff: the differences.
    """
    from rich.text import Text

    if not (diff.added or diff.changed or diff.deleted):
        console.print(Text("Nothing would change."))
        return
    for title, files in (("added", diff.added), ("changed", diff.changed), ("deleted", diff.deleted)):
        for file in files:
            console.print(Text(f"{title}: {printable(file.path, single_line=True)}", "bold"))
            for line in (file.diff or "(binary file)").splitlines():
                console.print(Text(printable(line, single_line=False), _STYLES.get(line[:1], "")))
