"""Ids of the API call and of the request that the current work belongs to; log lines contain both."""

from __future__ import annotations

import re
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

HEADER = "X-Request-Id"
"""Header with the id of a call, in HTTP and in broker messages."""

_GIVEN = re.compile(r"[A-Za-z0-9._=-]{1,128}")

call_id: ContextVar[str | None] = ContextVar("call_id", default=None)
"""Id of the HTTP call; in a worker, of the call that sent the message."""

space_request_id: ContextVar[str | None] = ContextVar("space_request_id", default=None)
"""Id of the request that is being processed."""


def chosen_id(given: str | None) -> str:
    """Returns the id sent by the caller if it has the allowed form, otherwise a new one."""
    return given if given and _GIVEN.fullmatch(given) else uuid.uuid4().hex


@contextmanager
def working_on(request_id: str, call: str | None = None) -> Iterator[None]:
    """Adds ids to the log lines of this thread within the block.

    Args:
        request_id: id of the request.
        call: id of the call that caused it, if known.
    """
    request_token, call_token = space_request_id.set(request_id), call_id.set(call)
    try:
        yield
    finally:
        space_request_id.reset(request_token)
        call_id.reset(call_token)
