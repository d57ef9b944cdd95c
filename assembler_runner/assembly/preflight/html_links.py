"""What a page refers to: scripts, styles, pictures and links, with their lines."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from urllib.parse import unquote

MAX_LINKS = 2000
MAX_TAG = 4000

_TAG = re.compile(r"([a-zA-Z][\w-]*)[\s/]")
_TARGET = re.compile(r"\b(src|href|data-src|poster)\s*=\s*(?:\"([^\"]*)\"|'([^']*)'|([^\s\"'>]+))", re.I)
_ELSEWHERE = re.compile(r"^(?:[a-z][a-z0-9+.-]*:|//|#|\?|$)|[{}%$<>]|\s\+", re.I)


@dataclass(frozen=True)
class Link:
    """One reference.

    Args:
        tag: name of the element, in lower case.
        target: as written.
        line: line from 1.
        tag_text: the element's attributes.
    """

    tag: str
    target: str
    line: int
    tag_text: str

    @property
    def is_local(self) -> bool:
        """Whether it means a file beside the page."""
        return _ELSEWHERE.search(self.target) is None


def links_of(page: str) -> list[Link]:
    """Returns what a page refers to; the time grows with its length only.

    Args:
        page: HTML text.
    """
    return list(_links(page))


_WORDS = ("src", "href", "poster")


def _links(page: str) -> Iterator[Link]:
    lower = page.lower()
    if not any(word in lower for word in _WORDS):
        return
    line = count = 0
    comment = False
    for piece in page.split("<"):
        start, line = line, line + piece.count("\n")
        if comment:
            comment = "-->" not in piece
            continue
        if piece.startswith("!--"):
            comment = "-->" not in piece
            continue
        match = _TAG.match(piece)
        if match is None:
            continue
        attributes = piece[:MAX_TAG].partition(">")[0]
        for found in _TARGET.finditer(attributes):
            count += 1
            if count > MAX_LINKS:
                return
            target = next(part for part in (found[2], found[3], found[4], "") if part is not None)
            at = start + 1 + attributes.count("\n", 0, found.start())
            yield Link(match[1].lower(), target.strip(), at, attributes)


def path_of(target: str, page: str) -> str | None:
    """Returns the path in the Space that a reference means; None where it leads out of it.

    Args:
        target: as written in the page.
        page: path of the page.
    """
    plain = unquote(re.split(r"[?#]", target, maxsplit=1)[0])
    parts = [] if plain.startswith("/") else page.split("/")[:-1]
    for part in plain.split("/"):
        if part == "..":
            if not parts:
                return None
            parts.pop()
        elif part not in ("", "."):
            parts.append(part)
    return "/".join(parts)
