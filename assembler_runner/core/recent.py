"""Values that take long to read from the database, kept for a short time."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")

_MOST = 1000


class Recent(Generic[T]):
    """Values by key, each read again when it is too old.

    Args:
        seconds: how long a value is kept.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._lock = threading.Lock()
        self._known: dict[str, tuple[float, T]] = {}

    def get(self, key: str, read: Callable[[], T]) -> T:
        """Returns the value of a key.

        Args:
            key: the key, with the address of the database.
            read: reads the value; called without a lock, so several threads may call it at the same time.
        """
        with self._lock:
            known = self._known.get(key)
        if known is not None and time.monotonic() - known[0] < self._seconds:
            return known[1]
        value = read()
        with self._lock:
            if len(self._known) >= _MOST:
                self._known.clear()
            self._known[key] = (time.monotonic(), value)
        return value
