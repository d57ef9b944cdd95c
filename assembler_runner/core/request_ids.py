"""Which call of the API and which request for a Space the present work belongs to; log lines carry both."""

from __future__ import annotations

import re
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

HEADER = "X-Request-Id"
"""Carries the id of a call, in HTTP and in messages of the broker."""

_GIVEN = re.compile(r"[A-Za-z0-9._=-]{1,128}")

call_id: ContextVar[str | None] = ContextVar("call_id", default=None)
"""Id of the HTTP call; a worker has that of the call whose message it got."""

space_request_id: ContextVar[str | None] = ContextVar("space_request_id", default=None)
"""Id of the request for a Space that is worked on."""


def chosen_id(given: str | None) -> str:
    """Returns the id that a caller has given, if it is a plain word; else a new one."""
    return given if given and _GIVEN.fullmatch(given) else uuid.uuid4().hex


@contextmanager
def working_on(request_id: str, call: str | None = None) -> Iterator[None]:
    """Marks the log lines of this thread until it is left.

    Args:
        request_id: the request for a Space.
        call: the call that it came with, where that is known.
    """
    request_token, call_token = space_request_id.set(request_id), call_id.set(call)
    try:
        yield
    finally:
        space_request_id.reset(request_token)
        call_id.reset(call_token)
