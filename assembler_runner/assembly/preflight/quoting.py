"""Text of a sender inside of our own sentences: cleaned, cut and quoted."""

from __future__ import annotations

import re

MAX_CHARACTERS = 80

_NOT_SHOWN = re.compile(r"[\x00-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff\ud800-\udfff]+")


def clean(text: object) -> str:
    """Returns a text without control and direction characters, cut at 80 characters."""
    shown = _NOT_SHOWN.sub(" ", str(text)[: 4 * MAX_CHARACTERS]).strip()
    return shown if len(shown) <= MAX_CHARACTERS else shown[: MAX_CHARACTERS - 1] + "…"


def quote(text: object) -> str:
    """Returns a cleaned text in single quotes."""
    return f"'{clean(text)}'"
