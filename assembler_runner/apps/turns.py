"""Whose turn it is to start an app: few start at the same time, and realms take turns."""

from __future__ import annotations

import threading
from collections import Counter


class Turns:
    """The turns of one machine.

    Args:
        number: how many apps are started at the same time.
    """

    def __init__(self, number: int) -> None:
        self._free = number
        self._changed = threading.Condition()
        self._waiting: list[tuple[str, object]] = []
        self._held: Counter[str] = Counter()
        self._served: dict[str, int] = {}
        self._count = 0

    def take(self, realm: str) -> None:
        """Waits for a turn.

        Args:
            realm: the realm of the app.
        """
        mine = (realm, object())
        with self._changed:
            self._waiting.append(mine)
            self._changed.wait_for(lambda: self._free > 0 and self._next() is mine)
            self._waiting.remove(mine)
            self._free -= 1
            self._held[realm] += 1
            self._count += 1
            self._served[realm] = self._count
            self._changed.notify_all()

    def give_back(self, realm: str) -> None:
        """Ends a turn.

        Args:
            realm: the realm that had it.
        """
        with self._changed:
            self._free += 1
            self._held[realm] -= 1
            self._changed.notify_all()

    def _next(self) -> tuple[str, object]:
        """Returns who is next: of the realm with the fewest turns, then of the one that had none for longest."""
        return min(self._waiting, key=lambda one: (self._held[one[0]], self._served.get(one[0], 0)))
