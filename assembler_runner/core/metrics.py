"""Counters and timers for Prometheus.

Values are per process; processes that share PROMETHEUS_MULTIPROC_DIR are summed.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager

from prometheus_client import (
    REGISTRY,
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    disable_created_metrics,
    multiprocess,
)

_SECONDS = (0.005, 0.025, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
_LONG = (0.5, 1, 2.5, 5, 10, 20, 30, 60, 120, 300, 600, 1800)

# The `_created` series double the number of series and are not used.
disable_created_metrics()  # type: ignore[no-untyped-call]  # the library is typed in part

HTTP = Histogram(
    "assembler_http_request_seconds",
    "Duration of an HTTP call, by route.",
    ("method", "route", "status"),
    buckets=_SECONDS,
)
JOBS = Histogram(
    "assembler_job_seconds", "Duration of one attempt of a request, by outcome.", ("outcome",), buckets=_LONG
)
HUB = Histogram(
    "assembler_hub_call_seconds", "Duration of a call to the Hub, by route.", ("method", "route", "status"),
    buckets=_SECONDS,
)  # fmt: skip
HUB_BUDGET = Gauge(
    "assembler_hub_rate_limit_remaining",
    "Remaining calls in the Hub's rate limit, by account.",
    ("account",),
    multiprocess_mode="mostrecent",
)
DELIVERIES = Counter("assembler_webhook_attempts", "Attempts to deliver a webhook, by outcome.", ("outcome",))

FOLDER = "PROMETHEUS_MULTIPROC_DIR"

_SPACE = re.compile(r"/spaces/[^/]+/[^/]+")
_HUB_ROUTES = re.compile(r"(/api/spaces/\{repo\}|/api/repos|/spaces/\{repo\}\.?[a-z]*|/api)(/[a-z][\w-]*)?")


def hub_route(path: str) -> str:
    """Returns the route of a Hub URL for use as a label: without names of Spaces and without deeper path segments.

    Args:
        path: the path of the URL.
    """
    found = _HUB_ROUTES.match(_SPACE.sub("/spaces/{repo}", path))
    return found[0] if found else "other"


@contextmanager
def attempt() -> Iterator[list[str]]:
    """Measures one attempt of a request; the caller appends the outcome to the yielded list."""
    began, outcomes = time.monotonic(), list[str]()
    try:
        yield outcomes
    finally:
        JOBS.labels(outcomes[-1] if outcomes else "lost").observe(time.monotonic() - began)


def all_processes() -> CollectorRegistry:
    """Returns the metrics of this process, or of all that share PROMETHEUS_MULTIPROC_DIR."""
    if not os.environ.get(FOLDER):
        return REGISTRY
    registry = CollectorRegistry()
    multiprocess.MultiProcessCollector(registry)  # type: ignore[no-untyped-call]  # the library is typed in part
    return registry
