"""/requests: list, get, events, cancel and retry."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from flask import request

from assembler_runner.accounts.auth import current_account
from assembler_runner.api.event_stream import PARAMETERS, Scope, answer_events
from assembler_runner.api.http.blueprint import Blueprint, fails, takes
from assembler_runner.api.http.json_body import load, read_object
from assembler_runner.api.schemas.base import list_of
from assembler_runner.api.schemas.problems import FailureCauseSchema
from assembler_runner.api.schemas.space_input import CommandInput, RetryAllInput
from assembler_runner.api.schemas.spaces import EventSchema, RequestSchema, RetriedSchema
from assembler_runner.core.database import db
from assembler_runner.requests import cancel_retry, queries
from assembler_runner.requests.queries import read_requests
from assembler_runner.spaces.models import FINISHED, SpaceRequest

blueprint = Blueprint("requests", __name__, description="Space requests and their progress.")


@blueprint.get("/requests")
@blueprint.needs("space_read")
@blueprint.doc(**fails(400))
@blueprint.lists(queries.REQUESTS)
@blueprint.response(200, list_of(RequestSchema))
def list_requests() -> dict[str, Any]:
    """List requests

    `filter[status]=failed`, `sort=-created_at`, `page[limit]=50&page[offset]=0`.
    """
    query = sa.select(SpaceRequest).where(current_account().visible(SpaceRequest.realm_id))
    page = read_requests(db.session(), query, request.args)
    return {"data": page.rows, "meta": page.meta()}


@blueprint.get("/requests/failures")
@blueprint.needs("space_read")
@blueprint.response(200, list_of(FailureCauseSchema))
def list_failures() -> dict[str, Any]:
    """List failures by cause

    Of the newest 1,000 failed requests. For the individual ones, use GET /requests?filter[status]=failed.
    """
    causes = cancel_retry.failures(current_account())
    return {"data": causes, "meta": {"total": len(causes), "limit": len(causes), "offset": 0, "schema": {}}}


@blueprint.post("/requests/failures/command")
@blueprint.needs("space_update")
@blueprint.doc(**takes(RetryAllInput))
@blueprint.doc(**fails(400, 422))
@blueprint.response(202, RetriedSchema)
def command_failures() -> dict[str, Any]:
    """Retry all failed requests

    With `code`, only requests that failed with this error code.
    """
    wanted = load(RetryAllInput(), read_object())
    return cancel_retry.retry_all(current_account(), wanted.get("code"))


@blueprint.get("/requests/<request_id>")
@blueprint.needs("space_read")
@blueprint.doc(**fails(404))
@blueprint.response(200, RequestSchema)
def get_request(request_id: str) -> SpaceRequest:
    """Get one request"""
    return queries.find_request(current_account(), request_id)


@blueprint.post("/requests/<request_id>/command")
@blueprint.needs("space_update")
@blueprint.doc(**takes(CommandInput))
@blueprint.doc(**fails(400, 404, 409, 422))
@blueprint.response(202, RequestSchema)
def command_request(request_id: str) -> SpaceRequest:
    """Cancel or retry a request

    cancel ends a queued request at once and a running one as soon as it can stop cleanly; retry returns a failed or
    cancelled request to the queue.
    """
    queries.find_request(current_account(), request_id)
    command = load(CommandInput(), read_object())["command"]
    act = {"cancel": cancel_retry.cancel, "retry": cancel_retry.retry}[command]
    return act(current_account(), request_id)


@blueprint.get("/requests/<request_id>/events")
@blueprint.needs("space_read")
@blueprint.doc(parameters=PARAMETERS, **fails(400, 404, 503))
@blueprint.response(200, list_of(EventSchema))
def list_events(request_id: str) -> Any:
    """List the events of a request

    With `Accept: text/event-stream` events are streamed live until the request ends; `Last-Event-ID` resumes a stream.
    With `wait` the call returns as soon as there is an event.
    """
    found = queries.find_request(current_account(), request_id)

    def ended() -> bool:
        status = db.session.scalar(sa.select(SpaceRequest.status).where(SpaceRequest.id == request_id))
        return status is None or status in FINISHED

    return answer_events(Scope(current_account(), found.space_id, request_id, ended))
