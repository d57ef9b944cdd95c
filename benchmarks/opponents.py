"""WSGI applications that the service is compared with; gunicorn loads them."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable
from typing import Any


def bare(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    """Reads JSON and answers with JSON: what any service in Python has to do at least."""
    if environ["REQUEST_METHOD"] == "GET":
        start_response("200 OK", [("Content-Type", "application/json")])
        return [b"{}"]
    body = json.loads(environ["wsgi.input"].read(int(environ["CONTENT_LENGTH"])))
    answer = json.dumps({"files": sorted(body["files"])}).encode()
    start_response("202 Accepted", [("Content-Type", "application/json"), ("Content-Length", str(len(answer)))])
    return [answer]


def inline() -> Any:
    """The same application, that sends each wake-up to the broker before it answers, as most Celery services do."""
    from assembler_runner import spaces
    from assembler_runner.app import create_app
    from assembler_runner.tasks import run_request

    class Inline:
        def send(self, request_id: str) -> None:
            run_request.delay(request_id)

    spaces.wakeups = Inline()  # type: ignore[assignment]  # stands in for it
    return create_app()


def __getattr__(name: str) -> Any:
    if name == "inline_app":
        os.environ.setdefault("LOG_LEVEL", "WARNING")
        return inline()
    raise AttributeError(name)
