"""Finds which of many literals occur in a text, in one pass instead of one search for each."""

from __future__ import annotations

from collections.abc import Iterable

from ahocorasick_rs import BytesAhoCorasick, Implementation

_WINDOW = 64 * 1024
"""Bytes searched at once: a text that consists of literals has many matches, and all of a window are in memory."""


class Literals:
    """Literals that are searched together, in upper or lower case.

    Args:
        literals: the literals, in ASCII.
    """

    def __init__(self, literals: Iterable[str]) -> None:
        self._literals = sorted({literal.lower() for literal in literals})
        self._overlap = max(map(len, self._literals)) - 1
        self._automaton = BytesAhoCorasick(
            [literal.encode("ascii") for literal in self._literals], implementation=Implementation.DFA
        )

    def found_in(self, data: bytes) -> frozenset[str]:
        """Returns the literals that occur, in lower case.

        Args:
            data: a text in UTF-8.
        """
        found: set[int] = set()
        lowered = memoryview(data.lower())
        for start in range(0, len(lowered), _WINDOW):
            window = lowered[start : start + _WINDOW + self._overlap]
            found.update(match[0] for match in self._automaton.find_matches_as_indexes(window, overlapping=True))
        return frozenset(self._literals[number] for number in found)
