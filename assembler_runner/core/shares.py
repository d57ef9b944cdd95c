"""A fair share of places that all realms and accounts use together.

An account may hold three times as many places as remain free, and a realm seven times as many: three quarters and
seven eighths of all if no other holds any. So one alone never takes the last places, and the fewer are free, the less
each may hold: the dynamic threshold of shared buffers (Choudhury and Hahne, 1998).
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager


class Shares:
    """Places of one process, and who holds them; safe to use from several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._held: Counter[str] = Counter()
        self.open = 0

    @contextmanager
    def take(self, most: int, account_id: str, realm_id: str) -> Iterator[bool]:
        """Holds a place while the body runs.

        Args:
            most: number of places.
            account_id: account that holds it.
            realm_id: realm of the account.
        Yields:
            Whether there was a place; if not, nothing is held.
        """
        account, realm = f"account {account_id}", f"realm {realm_id}"
        with self._lock:
            free = most - self.open
            taken = self._held[account] < 3 * free and self._held[realm] < 7 * free
            if taken:
                self._count(1, account, realm)
        try:
            yield taken
        finally:
            if taken:
                with self._lock:
                    self._count(-1, account, realm)

    def _count(self, step: int, *holders: str) -> None:
        self.open += step
        for holder in holders:
            self._held[holder] += step
            if not self._held[holder]:
                del self._held[holder]
