"""What is left of a Hub token's rate limit, as the Hub's own answers tell it."""

from __future__ import annotations

import re
import threading
import time

from assembler_runner.core.errors import RateLimited
from assembler_runner.targets.base import Allowance

_RATE_LIMIT = re.compile(r'"api";r=(\d+);t=(\d+)')
_POLICY = re.compile(r'"api";q=(\d+);w=(\d+)')
# Kept back so that work that has begun can be brought to its end.
_RESERVE = 4
# Of the whole limit: what looking at running apps may use, and what it leaves to publishing in any case.
_SHARE, _KEPT = 0.3, 0.25
# The limit of a free account: Hub documentation, Rate limits.
_QUOTA, _WINDOW = 1000, 300


class Budget:
    """What is left of one token's rate limit.

    The headers are `RateLimit: "api";r=<remaining>;t=<seconds to reset>` and `RateLimit-Policy: "fixed
    window";"api";q=<quota>;w=<seconds>` on every answer (IETF draft RateLimit header fields; Hub documentation, Rate
    limits).
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.remaining: int | None = None
        self._reset_at = 0.0
        self._quota, self._window = _QUOTA, _WINDOW

    def learn(self, limit: str, policy: str = "") -> None:
        """Takes over what an answer tells."""
        found, told = _RATE_LIMIT.search(limit), _POLICY.search(policy)
        with self._lock:
            if found:
                self.remaining, self._reset_at = int(found[1]), time.monotonic() + int(found[2])
            if told:
                self._quota, self._window = max(1, int(told[1])), max(1, int(told[2]))

    def check(self) -> None:
        """Stops a call that the Hub would refuse.

        Raises:
            RateLimited: with the seconds until the limit is reset.
        """
        with self._lock:
            left = self._reset_at - time.monotonic()
            if self.remaining is not None and self.remaining <= _RESERVE and left > 0:
                raise RateLimited("The Hub's rate limit is nearly used up for now.", retry_after=left + 1)

    def allowance(self) -> Allowance:
        """Returns how often running apps may be looked at now."""
        with self._lock:
            left = self._reset_at - time.monotonic()
            if self.remaining is None:
                return Allowance()
            gap = self._window / (self._quota * _SHARE)
            if left <= 0:
                return Allowance(0.0, gap)
            spare = self.remaining - max(_RESERVE, self._quota * _KEPT)
            return Allowance(0.0, max(gap, left / spare)) if spare > 0 else Allowance(left + 1, gap)
