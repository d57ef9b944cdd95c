"""The remaining rate limit of a Hub token, as reported in the Hub's responses."""

from __future__ import annotations

import re
import threading
import time

from assembler_runner.core.errors import RateLimited
from assembler_runner.targets.base import Allowance

_RATE_LIMIT = re.compile(r'"api";r=(\d+);t=(\d+)')
_POLICY = re.compile(r'"api";q=(\d+);w=(\d+)')
# Calls that are reserved for finishing requests that have started.
_RESERVE = 4
# Fractions of the limit: the share that probes may use, and the share that they always leave for publishing.
_SHARE, _KEPT = 0.3, 0.25
# The limit of a free account: Hub documentation, Rate limits.
_QUOTA, _WINDOW = 1000, 300


class Budget:
    """The remaining rate limit of a token.

    The headers are `RateLimit: "api";r=<remaining>;t=<seconds to reset>` and `RateLimit-Policy: "fixed
    window";"api";q=<quota>;w=<seconds>` on every response (IETF draft RateLimit header fields; Hub documentation, Rate
    limits).
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.remaining: int | None = None
        self._reset_at = 0.0
        self._quota, self._window = _QUOTA, _WINDOW

    def learn(self, limit: str, policy: str = "") -> None:
        """Updates the budget from a response.

        Args:
            limit: the header RateLimit.
            policy: the header RateLimit-Policy.
        """
        found, quota = _RATE_LIMIT.search(limit), _POLICY.search(policy)
        with self._lock:
            if found:
                self.remaining, self._reset_at = int(found[1]), time.monotonic() + int(found[2])
            if quota:
                self._quota, self._window = max(1, int(quota[1])), max(1, int(quota[2]))

    def check(self) -> None:
        """Prevents a call that the Hub would reject.

        Raises:
            RateLimited: the limit is nearly exhausted; `retry_after` says when it is reset.
        """
        with self._lock:
            left = self._reset_at - time.monotonic()
            if self.remaining is not None and self.remaining <= _RESERVE and left > 0:
                raise RateLimited("The Hub's rate limit is nearly exhausted.", retry_after=left + 1)

    def allowance(self) -> Allowance:
        """Returns how often apps may be probed at present."""
        with self._lock:
            left = self._reset_at - time.monotonic()
            if self.remaining is None:
                return Allowance()
            gap = self._window / (self._quota * _SHARE)
            if left <= 0:
                return Allowance(0.0, gap)
            spare = self.remaining - max(_RESERVE, self._quota * _KEPT)
            return Allowance(0.0, max(gap, left / spare)) if spare > 0 else Allowance(left + 1, gap)
