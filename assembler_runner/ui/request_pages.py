"""/ui/requests/{id}, /ui/queue: one request, and all that wait or have failed."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from flask import Response, request
from werkzeug.wrappers import Response as AnyResponse

from assembler_runner.accounts.auth import current_account
from assembler_runner.accounts.permissions import Account, requires
from assembler_runner.api.health import working_parts
from assembler_runner.api.http.json_body import load
from assembler_runner.api.schemas.space_input import CommandInput
from assembler_runner.apps.numbers import APP_STATES, apps_by_realm
from assembler_runner.core.database import db
from assembler_runner.core.paging import total_of
from assembler_runner.publishing.queue import expected_start, load_positions, position
from assembler_runner.requests import cancel_retry, queries
from assembler_runner.services import current_services
from assembler_runner.spaces.models import QUEUED, RUNNING, Event, Space, SpaceRequest
from assembler_runner.ui.layout import go, pages, show
from assembler_runner.ui.people import names_of

_MOST_STEPS = 500
_SHOWN_REQUESTS = 100


@pages.get("/requests/<request_id>")
@requires("space_read")
def one_request(request_id: str) -> Response:
    """Shows a request with its steps."""
    found = queries.find_request(current_account(), request_id)
    steps = sa.select(Event).where(Event.request_id == found.id).order_by(Event.id).limit(_MOST_STEPS)
    place = position(db.session(), found)
    return show(
        "request.html",
        it=found,
        space=found.space,
        steps=db.session.scalars(steps).all(),
        names=names_of((found.owner_id,)),
        place=place,
        starts=expected_start(db.session(), found, place),
    )


@pages.post("/requests/<request_id>/command")
@requires("space_update")
def command_one_request(request_id: str) -> AnyResponse:
    """Cancels or retries a request."""
    queries.find_request(current_account(), request_id)
    command = load(CommandInput(), {"command": request.form.get("command", "")})["command"]
    act = {"cancel": cancel_retry.cancel, "retry": cancel_retry.retry}[command]
    return go(f"/ui/requests/{act(current_account(), request_id).id}", done=command)


@pages.get("/queue")
@requires("space_read")
def queue() -> Response:
    """Shows what waits, what runs, what has failed, and whether the parts of the service answer."""
    account = current_account()
    seen = sa.select(SpaceRequest).where(account.visible(SpaceRequest.realm_id))
    rows: list[SpaceRequest] = []
    # One after the other: each is read in the order of the index on status and turn.
    for status in (RUNNING, QUEUED):
        next_ones = seen.where(SpaceRequest.status == status).order_by(SpaceRequest.turn_at)
        rows += db.session.scalars(next_ones.limit(_SHOWN_REQUESTS - len(rows)))
    load_positions(db.session(), rows)
    total = total_of(db.session(), seen.where(SpaceRequest.status.in_((QUEUED, RUNNING))))
    oldest = min((row.created_at for row in rows if row.status == QUEUED), default=None)
    failures = cancel_retry.failures(account)
    return show(
        "queue.html",
        rows=rows,
        total=total,
        oldest=oldest,
        failures=failures,
        parts=working_parts(),
        running_apps=_apps(account),
        calls_left=current_services().targets.calls_left(account.realm_id),
    )


def _apps(account: Account) -> dict[str, Any] | None:
    """Returns the apps of the realms that an account sees, and the limits; None if this service runs none."""
    services = current_services()
    if not services.settings.runs_apps:
        return None
    rows = apps_by_realm(db.session(), services.targets.local.app_files, account.visible(Space.realm_id))
    limits = services.settings
    states = {name: sum(row.by_state.get(name, 0) for row in rows) for name in APP_STATES}
    return {
        "rows": rows,
        "states": states,
        "most": limits.APPS_MAX,
        "most_of_realm": limits.APPS_REALM_MAX or limits.APPS_MAX,
        "cache_bytes": sum(row.cache_bytes or 0 for row in rows),
        "most_cache_bytes": limits.APPS_CACHE_MAX,
    }


@pages.post("/queue/retry")
@requires("space_update")
def retry_failures() -> AnyResponse:
    """Returns failed requests to the queue: all, or those with one cause."""
    result = cancel_retry.retry_all(current_account(), request.form.get("code") or None)
    return go("/ui/queue", done="retried", retried=str(len(result["retried"])), refused=str(len(result["refused"])))
