"""Safe text for terminals: everything that comes from outside passes through here before it is shown."""

from __future__ import annotations

import json
import re
from typing import Any

REPLACEMENT = "\N{REPLACEMENT CHARACTER}"
_BIDI = "\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069"
# ECMA-48: control sequences (CSI) and operating system commands (OSC), which styles and titles are made of.
_SEQUENCES = re.compile(r"(?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]|(?:\x1b\]|\x9d)[^\x07\x1b\x9c]*(?:\x07|\x1b\\|\x9c)")
_CONTROLS = re.compile(rf"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029{_BIDI}]")


def printable(text: str, *, single_line: bool = False) -> str:
    """Returns a text that cannot control a terminal.

    Args:
        text: text from outside: a name, a path, a message, a log.
        single_line: whether to also replace line breaks and tabs by spaces.

    Returns:
        The text without ECMA-48 control sequences; every other C0, C1 and bidirectional control character, except tab
        and newline, is replaced by U+FFFD.
    """
    shown = _CONTROLS.sub(REPLACEMENT, _SEQUENCES.sub("", text.replace("\r\n", "\n")))
    return re.sub(r"[\t\n]+", " ", shown) if single_line else shown


def printable_json(value: Any, indent: int | None = None) -> str:
    """Returns JSON in which control characters are escaped, so that it can be written to a terminal."""
    text = json.dumps(value, ensure_ascii=False, indent=indent)
    # JSON itself allows C1 and bidirectional controls; outside of strings only its own line breaks occur.
    return _CONTROLS.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def is_address(text: str) -> bool:
    """Returns whether a text is one address of a page."""
    return text.startswith(("http://", "https://")) and text.isprintable() and " " not in text


def linked(address: str) -> str:
    """Returns an address as a link for terminals (OSC 8); terminals without links show the address."""
    return f"\x1b]8;;{address}\x1b\\{address}\x1b]8;;\x1b\\"
