"""Observes every call: request id, log line, duration in the metrics, trace span."""

from __future__ import annotations

import logging
import re
import time
from contextlib import ExitStack

from flask import Flask, Response, g, request

from assembler_runner.core import metrics, tracing
from assembler_runner.core.request_ids import HEADER, call_id, chosen_id

log = logging.getLogger(__name__)

_QUIET = ("/health/", "/metrics")


def configure(app: Flask) -> None:
    """Adds the hooks to an application. Call this first, so that rejected calls are observed, too."""
    app.before_request(_begin)
    app.after_request(_end)
    app.teardown_request(_clear)


def _begin() -> None:
    g.began = time.monotonic()
    call_id.set(chosen_id(request.headers.get(HEADER)))
    g.span = ExitStack()
    g.entered = g.span.enter_context(
        tracing.span(_method(), "server", {name.lower(): value for name, value in request.headers})
    )


def _end(response: Response) -> Response:
    seconds = time.monotonic() - g.began
    response.headers[HEADER] = call_id.get() or ""
    route = (
        re.sub(r"<(?:\w+(?:\([^)]*\))?:)?(\w+)>", r"{\1}", request.url_rule.rule) if request.url_rule else "unmatched"
    )
    metrics.HTTP.labels(_method(), route, response.status_code).observe(seconds)
    level = logging.DEBUG if request.path.startswith(_QUIET) else logging.INFO
    seen = {"http.request.method": _method(), "http.route": route, "http.response.status_code": response.status_code}
    tracing.describe(g.entered, f"{_method()} {route}", **seen, **{"assembler.request_id": call_id.get() or ""})
    fields = {"method": _method(), "route": route, "status": response.status_code, "seconds": round(seconds, 4)}
    log.log(level, "%s %s %d", _method(), route, response.status_code, extra=fields)
    return response


def _method() -> str:
    # Callers can invent methods, and each would become a separate time series.
    return request.method if request.method in ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS") else "other"


def _clear(problem: BaseException | None) -> None:
    if "span" in g:
        g.span.close()
    call_id.set(None)
