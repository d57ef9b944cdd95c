"""Metrics of calls to the Hub."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable
from contextlib import ExitStack
from typing import TYPE_CHECKING

from assembler_runner.core import metrics, tracing

if TYPE_CHECKING:
    import httpx2

_BEGAN, _SPAN = "assembler_began", "assembler_span"


def hooks(*more: Callable[[httpx2.Response], None]) -> dict[str, list[Callable[..., None]]]:
    """Returns event hooks of an HTTP client that measure its calls.

    Args:
        more: further hooks for responses.
    """
    return {"request": [_begin], "response": [_answered, *more]}


def record_no_answer(request: httpx2.Request) -> None:
    """Records a call without a response."""
    _observe(request, "none")


def set_budget_metric(token: str, remaining: int | None) -> None:
    """Publishes the remaining rate limit of a token, if known, labeled with a digest of the token."""
    if remaining is not None:
        metrics.HUB_BUDGET.labels(_label(token)).set(remaining)


def known_budget(token: str) -> int | None:
    """Returns how many calls the Hub has last granted a token; None if no process of this machine has called it."""
    found = metrics.all_processes().get_sample_value("assembler_hub_rate_limit_remaining", {"account": _label(token)})
    return None if found is None else int(found)


def _label(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()[:8]


def _begin(request: httpx2.Request) -> None:
    request.extensions[_BEGAN] = time.monotonic()
    span = ExitStack()
    request.extensions[_SPAN] = span, span.enter_context(tracing.span(request.method, "client"))


def _answered(response: httpx2.Response) -> None:
    _observe(response.request, str(response.status_code))


def _observe(request: httpx2.Request, status: str) -> None:
    seconds = time.monotonic() - request.extensions.get(_BEGAN, time.monotonic())
    route = metrics.hub_route(request.url.path)
    metrics.HUB.labels(request.method, route, status).observe(seconds)
    span, entered = request.extensions.pop(_SPAN, (None, None))
    if span is not None:
        seen = {"http.request.method": request.method, "server.address": request.url.host, "assembler.status": status}
        tracing.describe(entered, f"{request.method} {route}", **seen)
        span.close()
