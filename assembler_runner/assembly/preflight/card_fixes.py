"""Findings and fixes at a key of the front matter."""

from __future__ import annotations

from typing import Any

from assembler_runner.assembly.preflight.context import README, Context
from assembler_runner.assembly.preflight.declaration import Found
from assembler_runner.core.fixes import Edit, Fix


def set_key(context: Context, key: str, value: str, *, title: str, safe: bool) -> Fix | None:
    """Returns the fix that writes another value behind a key of the front matter; None where it has several lines."""
    line, text = context.card.lines.get(key), context.card.texts.get(key)
    if line is None or text is None or not context.card.raw.get(key):
        return None
    return Fix(title, safe, (Edit(README, "replace", line, text, f"{key}: {value}"),))


def at_key(context: Context, key: str, message: str, hint: str, fix: Fix | None = None, /, **values: Any) -> Found:
    """Returns what was found at a key of the front matter."""
    return Found(message, README, context.card.lines.get(key), hint, values, fix)
