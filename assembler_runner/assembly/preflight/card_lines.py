"""The front matter of a README with the line and the written text of each key."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from assembler_runner.assembly.card import read_card

_KEY = re.compile(r"^([A-Za-z_][\w-]*)[ \t]*:(?:[ \t]+(.*))?$")
_COMMENT = re.compile(r"(?:^|\s)#.*$")


@dataclass(frozen=True)
class CardLines:
    """The front matter.

    Args:
        values: its keys and values, as YAML reads them; empty where it is not valid.
        lines: key → line in README.md, from 1; of a key written twice the last one.
        raw: key → the value as written on its line, without comment.
        texts: key → the whole line.
        repeated: key → line of its first occurrence, for keys that are written twice.
        unclosed: line of an opening `---` that has no closing one, or None.
        valid: whether it is YAML.
    """

    values: Mapping[str, Any] = field(default_factory=dict)
    lines: Mapping[str, int] = field(default_factory=dict)
    raw: Mapping[str, str] = field(default_factory=dict)
    texts: Mapping[str, str] = field(default_factory=dict)
    repeated: Mapping[str, int] = field(default_factory=dict)
    unclosed: int | None = None
    valid: bool = True

    def text_of(self, key: str) -> str | None:
        """Returns a scalar as it was meant: `3.10` stays 3.10, which YAML reads as the number 3.1."""
        value = self.values.get(key)
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            return self.raw.get(key) or str(value)
        return value if isinstance(value, str) else None


def read_card_lines(readme: str) -> CardLines:
    """Reads the front matter of a README with the places of its keys.

    Args:
        readme: the text of README.md.
    Returns:
        What was found; empty where there is no front matter.
    """
    rows = readme.removeprefix("\ufeff").split("\n")
    start = next((number for number, row in enumerate(rows) if row.strip()), None)
    if start is None or rows[start].rstrip() != "---":
        return CardLines()
    end = next((number for number in range(start + 1, len(rows)) if rows[number].rstrip() == "---"), None)
    if end is None:
        return CardLines(unclosed=start + 1)
    card = read_card(readme.encode("utf-8", "replace"))
    if card.findings:
        return CardLines(valid=False)
    lines: dict[str, int] = {}
    raw: dict[str, str] = {}
    texts: dict[str, str] = {}
    repeated: dict[str, int] = {}
    for number in range(start + 1, end):
        row = rows[number].rstrip("\r")
        match = _KEY.match(row)
        if match is None:
            continue
        key = match[1]
        if key in lines:
            repeated.setdefault(key, lines[key])
        written = (match[2] or "").strip()
        lines[key], texts[key] = number + 1, row
        raw[key] = written if written[:1] in ("'", '"') else _COMMENT.sub("", written).strip()
    return CardLines(card.values, lines, raw, texts, repeated)
