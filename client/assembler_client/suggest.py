"""Suggestions for mistyped names."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches


def did_you_mean(name: str, known: Iterable[str]) -> str | None:
    """Returns a question that suggests the closest known names, or None if none is close.

    Args:
        name: the mistyped name.
        known: the existing names.
    """
    close = get_close_matches(name, list(known), n=3, cutoff=0.7)
    return f"Did you mean {' or '.join(close)}?" if close else None
