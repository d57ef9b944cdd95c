"""Text of strangers for terminals: what steers them is written as escapes."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

_UNSEEN = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")


def visible(value: Any) -> Any:
    """Returns plain data with what steers a terminal or turns the direction of text as escapes, such as `\\x1b`."""
    if isinstance(value, str):
        return value if value.isprintable() else _UNSEEN.sub(_escape, value)
    if isinstance(value, Mapping):
        return {visible(key): visible(inner) for key, inner in value.items()}
    return [visible(inner) for inner in value] if isinstance(value, list | tuple) else value


def _escape(found: re.Match[str]) -> str:
    number = ord(found[0])
    return f"\\x{number:02x}" if number < 256 else f"\\u{number:04x}"
