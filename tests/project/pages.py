"""Pages of the documentation and their fenced blocks."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Block:
    """A fenced block of a page: its info string and its content."""

    kind: str
    text: str


def read(path: Path) -> str:
    return path.read_text(encoding="utf-8")


def blocks(page: Path) -> list[Block]:
    found = re.findall(r"^```([^\n]+)\n(.*?)^```$", read(page), re.MULTILINE | re.DOTALL)
    return [Block(kind, text) for kind, text in found]
