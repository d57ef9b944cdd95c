"""/requests: list, one, its events, cancel and retry."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import sqlalchemy as sa
from flask import Response, current_app, g, request, stream_with_context

from assembler_runner import requests, sessions, spaces
from assembler_runner.api.common import Blueprint, fails, load, read_object, takes
from assembler_runner.api.spaces import REQUESTS
from assembler_runner.auth import current_account
from assembler_runner.inputs import CommandInput, RetryAllInput
from assembler_runner.listing import Listing, read_page
from assembler_runner.models import FINISHED, Event, SpaceRequest, changes, db
from assembler_runner.schemas import EventSchema, FailureCauseSchema, RequestSchema, RetriedSchema, list_of

blueprint = Blueprint("requests", __name__, description="Space requests: what was asked for and what became of it.")

EVENTS = Listing({"id": Event.id, "type": Event.type, "created_at": Event.created_at}, Event.id, default_sort="id")
KEEP_ALIVE_SECONDS = 15.0

_event = EventSchema()


@blueprint.get("/requests")
@blueprint.needs("space_read")
@blueprint.doc(**fails(400))
@blueprint.response(200, list_of(RequestSchema))
def list_requests() -> dict[str, Any]:
    """List requests

    `filter[status]=failed`, `sort=-created_at`, `page[limit]=50&page[offset]=0`.
    """
    query = sa.select(SpaceRequest).where(current_account().visible(SpaceRequest.realm_id))
    page = read_page(db.session(), query, REQUESTS, request.args)
    return {"data": page.rows, "meta": page.meta()}


@blueprint.get("/requests/failures")
@blueprint.needs("space_read")
@blueprint.response(200, list_of(FailureCauseSchema))
def list_failures() -> dict[str, Any]:
    """List what has failed, by cause

    The single requests: GET /requests?filter[status]=failed.
    """
    causes = requests.failures(current_account())
    return {"data": causes, "meta": {"total": len(causes), "limit": len(causes), "offset": 0, "schema": {}}}


@blueprint.post("/requests/failures/command")
@blueprint.needs("space_update")
@blueprint.doc(**takes(RetryAllInput))
@blueprint.doc(**fails(400, 422))
@blueprint.response(202, RetriedSchema)
def command_failures() -> dict[str, Any]:
    """Retry all that has failed

    With `code` only what failed for that cause.
    """
    wanted = load(RetryAllInput(), read_object())
    return requests.retry_all(current_account(), wanted.get("code"))


@blueprint.get("/requests/<request_id>")
@blueprint.needs("space_read")
@blueprint.doc(**fails(404))
@blueprint.response(200, RequestSchema)
def get_request(request_id: str) -> SpaceRequest:
    """Get one request"""
    return spaces.find_request(current_account(), request_id)


@blueprint.post("/requests/<request_id>/command")
@blueprint.needs("space_update")
@blueprint.doc(**takes(CommandInput))
@blueprint.doc(**fails(400, 404, 409, 422))
@blueprint.response(202, RequestSchema)
def command_request(request_id: str) -> SpaceRequest:
    """Cancel or retry a request

    cancel ends a queued request at once and a running one as soon as it can stop cleanly; retry puts a failed or
    cancelled one back into the queue.
    """
    spaces.find_request(current_account(), request_id)
    command = load(CommandInput(), read_object())["command"]
    act = {"cancel": requests.cancel, "retry": requests.retry}[command]
    return act(current_account(), request_id)


@blueprint.get("/requests/<request_id>/events")
@blueprint.needs("space_read")
@blueprint.doc(
    parameters=[
        {
            "in": "header",
            "name": "Last-Event-ID",
            "schema": {"type": "integer"},
            "description": "Only events after this one.",
        }
    ],
    **fails(400, 404),
)
@blueprint.response(200, list_of(EventSchema))
def list_events(request_id: str) -> Any:
    """List the events of a request

    With `Accept: text/event-stream` they come as they happen, until the request ends; `Last-Event-ID` resumes.
    """
    found = spaces.find_request(current_account(), request_id)
    if request.accept_mimetypes.best_match(["application/json", "text/event-stream"]) == "text/event-stream":
        last = request.headers.get("Last-Event-ID", "0")
        return _stream(found.id, int(last) if last.isdigit() else 0)
    query = sa.select(Event).where(Event.request_id == found.id)
    page = read_page(db.session(), query, EVENTS, request.args)
    return {"data": page.rows, "meta": page.meta()}


def _stream(request_id: str, after: int) -> Response:
    session_id = current_account().session_id
    app = current_app._get_current_object()  # type: ignore[attr-defined]  # the stream outlives the request's context

    def generate() -> Iterator[str]:
        last, seen, silent = after, 0, 0.0
        while True:
            with app.app_context():
                g.read_only = True
                # Who is logged out meanwhile sees no more.
                if session_id is not None and not sessions.lives(session_id):
                    return
                status = db.session.scalar(sa.select(SpaceRequest.status).where(SpaceRequest.id == request_id))
                rows = [_event.dump(event) for event in spaces.events_after(request_id, last)]
            for row in rows:
                last = row["id"]
                yield f"id: {last}\nevent: {row['type']}\ndata: {json.dumps(row)}\n\n"
            if not rows and (status is None or status in FINISHED):
                return
            silent = 0.0 if rows else silent + changes.look_again
            if silent >= KEEP_ALIVE_SECONDS:
                silent = 0.0
                yield ": still here\n\n"
            seen = changes.wait(seen, KEEP_ALIVE_SECONDS)

    headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
    # The address of the service is known from the request only.
    return Response(stream_with_context(generate()), mimetype="text/event-stream", headers=headers)
