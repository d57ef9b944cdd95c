"""Counters and timers for Prometheus.

Counters and times are those of a process; where several share PROMETHEUS_MULTIPROC_DIR, they are added up.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from contextlib import contextmanager

from prometheus_client import Counter, Gauge, Histogram, disable_created_metrics

_SECONDS = (0.005, 0.025, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
_LONG = (0.5, 1, 2.5, 5, 10, 20, 30, 60, 120, 300, 600, 1800)

# A series more for each one, of moments that nobody asks for.
disable_created_metrics()  # type: ignore[no-untyped-call]  # the library is typed in part

HTTP = Histogram(
    "assembler_http_request_seconds",
    "Time to answer a call, by route.",
    ("method", "route", "status"),
    buckets=_SECONDS,
)
JOBS = Histogram(
    "assembler_job_seconds", "Time of one attempt at a request for a Space, by outcome.", ("outcome",), buckets=_LONG
)
HUB = Histogram(
    "assembler_hub_call_seconds", "Time to an answer of the Hub, by route.", ("method", "route", "status"),
    buckets=_SECONDS,
)  # fmt: skip
HUB_BUDGET = Gauge(
    "assembler_hub_rate_limit_remaining",
    "Calls that the Hub still allows, by account.",
    ("account",),
    multiprocess_mode="mostrecent",
)
DELIVERIES = Counter("assembler_webhook_attempts", "Attempts to deliver a webhook, by outcome.", ("outcome",))

_SPACE = re.compile(r"/spaces/[^/]+/[^/]+")
_HUB_ROUTES = re.compile(r"(/api/spaces/\{repo\}|/api/repos|/spaces/\{repo\}\.?[a-z]*|/api)(/[a-z][\w-]*)?")


def hub_route(path: str) -> str:
    """Returns the route of an address of the Hub: without names of Spaces, and with what follows its first part cut.

    Args:
        path: the path of the address.
    """
    found = _HUB_ROUTES.match(_SPACE.sub("/spaces/{repo}", path))
    return found[0] if found else "other"


@contextmanager
def attempt() -> Iterator[list[str]]:
    """Measures one attempt at a request for a Space; who uses it appends the outcome."""
    began, outcomes = time.monotonic(), list[str]()
    try:
        yield outcomes
    finally:
        JOBS.labels(outcomes[-1] if outcomes else "lost").observe(time.monotonic() - began)
