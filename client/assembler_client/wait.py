"""Waiting for a request to end and its app to reach a final state."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from assembler_client.errors import AppFailed, RequestFailed, WaitTimeout
from assembler_client.models import Event, Request, Space
from assembler_client.sansio.calls import one, parsed
from assembler_client.sansio.steps import Ask, Call, Flow, Notify
from assembler_client.streams import FINISHED, Follower

Listener = Callable[[Event], Any]
"""Called with each event; on an asynchronous client it may be a coroutine function."""
SpaceListener = Callable[[Space], Any]
"""Called with a Space."""

RUNS = frozenset({"running", "sleeping", "paused", "stored"})
FAILS = frozenset({"build_error", "runtime_error", "config_error", "no_app_file", "failed", "cancelled", "deleted"})
WAIT_SECONDS = 1800.0


def deadline_in(timeout: float | None) -> float | None:
    """Returns the time.monotonic() deadline of a timeout, or None."""
    return None if timeout is None else time.monotonic() + timeout


def waiting(request: Request, app: bool, deadline: float | None, on_event: Listener | None) -> Flow[Space | None]:
    """Follows the events of a Space until a request has ended and its app has reached a final state."""
    first = yield from _first_event(request)
    follower = Follower(f"/spaces/{request.space_id}", first, deadline)
    events: list[Event] = []
    try:
        while True:
            event = yield from follower.next()
            if event is None:
                break
            ours = event.request_id == request.id
            events += [event] if ours else []
            if on_event is not None and (ours or event.request_id is None):
                yield Notify(on_event, event)
            if ours and event.type in FINISHED:
                yield from _succeeded(request, events)
                break
        while True:
            space = yield from one("/spaces", request.space_id, Space)
            if not app or space is None or request.action == "delete" or _at_rest(space):
                return space
            event = yield from follower.next()
            if event is not None and on_event is not None and event.request_id in (None, request.id):
                yield Notify(on_event, event)
    except WaitTimeout:
        raise WaitTimeout(f"Timed out waiting for request {request.id}; it continues on the service.") from None


def waiting_for(space: Space, wait: bool, timeout: float, on_event: Listener | None) -> Flow[Space]:
    """Waits for the latest request of a Space.

    Args:
        space: the Space as returned by the service.
        wait: False to return at once.
        timeout: maximum wait in seconds.
        on_event: called with each event.
    """
    if not wait or space.latest_request is None:
        return space
    return (yield from waiting(space.latest_request, True, deadline_in(timeout), on_event)) or space


def _succeeded(request: Request, events: list[Event]) -> Flow[None]:
    ended = (yield from one("/requests", request, Request)) or request
    if ended.status in ("failed", "cancelled"):
        space = yield from one("/spaces", request.space_id, Space)
        message = ended.error.message if ended.error else f"The request was {ended.status}."
        raise RequestFailed(message, space, ended, events)


def _at_rest(space: Space) -> bool:
    """Whether the app has reached a working state.

    Raises:
        AppFailed: the app has failed.
    """
    if space.state in FAILS or (space.state == "unknown" and space.state_source == "timeout"):
        message = space.problem.message if space.problem else f"The app is in state {space.state}."
        raise AppFailed(message, space)
    return space.state in RUNS


def _first_event(request: Request) -> Flow[int]:
    """Returns the event id just before the first event of a request."""
    ask = Ask("GET", f"/requests/{request.id}/events", (("page[limit]", "1"),))
    found = yield from Call(ask, parsed(Event).many)
    return found[0].id - 1 if found else 0
