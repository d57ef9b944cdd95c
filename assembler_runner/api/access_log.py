"""What is seen of every call: its id, a line in the log, its time in the metrics."""

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
    """Adds it to an application; before anything else, so that what is refused is seen, too."""
    app.before_request(_begin)
    app.after_request(_end)
    app.teardown_request(_forget)


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
    told = {"method": _method(), "route": route, "status": response.status_code, "seconds": round(seconds, 4)}
    log.log(level, "%s %s %d", _method(), route, response.status_code, extra=told)
    return response


def _method() -> str:
    # Callers can make up methods; each would be a series of its own.
    return request.method if request.method in ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS") else "other"


def _forget(problem: BaseException | None) -> None:
    if "span" in g:
        g.span.close()
    call_id.set(None)
