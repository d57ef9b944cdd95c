"""What was computed from texts, found again by their digest; the texts themselves are not kept."""

from __future__ import annotations

import hashlib
import threading
from collections import OrderedDict
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class DigestCache(Generic[T]):
    """A bounded cache that drops what was not used for longest.

    Args:
        size: maximum number of results.
    """

    def __init__(self, size: int) -> None:
        self._size = size
        self._results: OrderedDict[bytes, T] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, data: bytes, make: Callable[[], T]) -> T:
        """Returns the result for these bytes, computed on first use.

        Args:
            data: what the result depends on.
            make: computes it; two threads may do so at the same time.
        """
        digest = hashlib.sha256(data).digest()
        with self._lock:
            if digest in self._results:
                self._results.move_to_end(digest)
                return self._results[digest]
        made = make()
        with self._lock:
            self._results[digest] = made
            while len(self._results) > self._size:
                self._results.popitem(last=False)
        return made
