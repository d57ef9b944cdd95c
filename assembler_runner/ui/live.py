"""Live streams for pages: the events of all Spaces, and the log of one.

The same as in the API, below /ui: a browser sends the cookie there also where it does not tell the origin of a call.
"""

from __future__ import annotations

from typing import Any

from assembler_runner.accounts.auth import current_account
from assembler_runner.accounts.permissions import requires
from assembler_runner.api.event_stream import Scope, answer_events
from assembler_runner.api.logs import get_logs
from assembler_runner.ui.layout import pages


@pages.get("/events")
@requires("space_read")
def events() -> Any:
    """Streams the events that the visitor may see."""
    return answer_events(Scope(current_account(), named=False))


@pages.get("/spaces/<space_id>/log-stream")
@requires("space_read")
def log_stream(space_id: str) -> Any:
    """Streams a log of a Space."""
    return get_logs(space_id)
