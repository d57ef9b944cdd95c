"""Settings of the stand-in, and the rate limits and quotas which they switch on."""

from __future__ import annotations

import math
import threading
import time
from dataclasses import dataclass

from assembler_runner.devhub.wire import HubError


@dataclass(frozen=True)
class Limit:
    """At most `quota` per fixed window of `window` seconds."""

    quota: int
    window: float = 300.0


@dataclass
class Settings:
    """How the stand-in behaves; every default is the friendly one."""

    latency: float = 0.0
    """Seconds every request takes."""
    create_seconds: float = 0.0
    """Seconds a creation takes."""
    one_creation_at_a_time: bool = False
    """Refuse a creation while another one of the same account is under way, as the Hub does."""
    lfs_part_size: int | None = None
    """Large files above this size go up in parts."""
    tree_page: int = 1000
    commits_page: int = 50
    runtime_sha: bool = False
    """Let the runtime name the commit which it runs."""
    logs_stay_open: float = 0.0
    """Seconds a log stream stays silently open after its last line."""
    build_log: tuple[str, ...] = ()
    """Lines of every build."""
    run_log: tuple[str, ...] = ()
    """Lines of every app."""
    rate_limit: Limit | None = None
    create_quota: Limit | None = None
    commit_quota: Limit | None = None


@dataclass
class _Window:
    ends: float
    used: int = 0


@dataclass(frozen=True)
class Standing:
    """The calls of a caller in the window of a limit."""

    limit: Limit
    used: int
    reset: int

    @property
    def exceeded(self) -> bool:
        """Whether this call was one too many."""
        return self.used > self.limit.quota

    def headers(self) -> dict[str, str]:
        """The headers of every answer that give the limit and what is left."""
        remaining = max(0, self.limit.quota - self.used)
        return {
            "RateLimit": f'"api";r={remaining};t={self.reset}',
            "RateLimit-Policy": f'"fixed window";"api";q={self.limit.quota};w={math.ceil(self.limit.window)}',
        }


class Limits:
    """Counts calls in fixed windows, one per action and caller."""

    def __init__(self) -> None:
        self._windows: dict[tuple[str, str], _Window] = {}
        self._lock = threading.Lock()

    def clear(self) -> None:
        """Forget what was counted."""
        with self._lock:
            self._windows.clear()

    def count(self, action: str, who: str, limit: Limit) -> Standing:
        """Count one call."""
        now = time.monotonic()
        with self._lock:
            window = self._windows.get((action, who))
            if window is None or now >= window.ends:
                window = self._windows[(action, who)] = _Window(now + limit.window)
            window.used += 1
            return Standing(limit, window.used, math.ceil(window.ends - now))

    def spend(self, action: str, who: str, limit: Limit | None) -> None:
        """Count one call of an action with a quota of its own; refuse it when the quota is spent."""
        if limit is None:
            return
        if self.count(action, who, limit).exceeded:
            text = f"You have exceeded our hourly quotas for action: {action}. We invite you to retry later."
            raise HubError(429, text)
