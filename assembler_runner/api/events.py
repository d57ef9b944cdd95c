"""/events: the events of all Spaces that the caller may see."""

from __future__ import annotations

from typing import Any

from assembler_runner.accounts.auth import current_account
from assembler_runner.api.event_stream import PARAMETERS, Scope, answer_events
from assembler_runner.api.http.blueprint import Blueprint, fails
from assembler_runner.api.schemas.base import list_of
from assembler_runner.api.schemas.spaces import EventSchema

blueprint = Blueprint("events", __name__, description="Events of all Spaces.")


@blueprint.get("/events")
@blueprint.needs("space_read")
@blueprint.doc(parameters=PARAMETERS, **fails(400, 503))
@blueprint.response(200, list_of(EventSchema))
def list_all_events() -> Any:
    """List the events of all Spaces

    Of the caller's realm; of all realms for accounts that manage realms. With `Accept: text/event-stream` events are
    streamed live; `Last-Event-ID` resumes a stream. With `wait` the call returns as soon as there is an event.
    """
    return answer_events(Scope(current_account()))
