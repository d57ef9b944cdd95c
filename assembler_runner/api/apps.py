"""/spaces/{id}/open: the address of an app, for private Spaces with a ticket."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import marshmallow as ma

from assembler_runner.accounts.auth import current_account
from assembler_runner.api.http.blueprint import Blueprint, fails
from assembler_runner.api.schemas.app_urls import app_url
from assembler_runner.api.schemas.base import Timestamp
from assembler_runner.apps import tickets
from assembler_runner.apps.routes import PUBLIC
from assembler_runner.core.database import utcnow
from assembler_runner.core.errors import Conflict
from assembler_runner.requests import queries
from assembler_runner.services import current_services
from assembler_runner.spaces.models import Space

blueprint = Blueprint("apps", __name__, description="Apps that this service runs.")


class OpenedSchema(ma.Schema):
    """Where an app is opened."""

    url = ma.fields.String(metadata={"description": "URL to open in a browser; with a ticket it works once."})
    expires_at = Timestamp(allow_none=True, metadata={"description": "When the ticket expires, UTC; null without one."})


@blueprint.post("/spaces/<space_id>/open")
@blueprint.needs("space_read")
@blueprint.doc(**fails(404, 409))
@blueprint.response(200, OpenedSchema)
def open_app(space_id: str) -> dict[str, Any]:
    """Open the app of a Space

    Returns the URL of the app. If the Space is private, the URL contains a ticket of 60 seconds that works once; it is
    exchanged for a cookie of the app's host.
    """
    return opened(queries.find_space(current_account(), space_id))


def opened(space: Space) -> dict[str, Any]:
    """Returns the URL of an app as `url`, and as `expires_at` the end of the ticket in it.

    Args:
        space: a Space that the caller may see.
    Raises:
        Conflict: this service does not run the app.
    """
    address, services = app_url(space), current_services()
    if address is None:
        raise Conflict("This service does not run the app of this Space.", hint="Open the url of the Space.")
    apps = services.targets.local.apps
    row = apps.find(str(space.namespace), space.name) if apps is not None else None
    if row is None or row.visibility in PUBLIC:
        page = (row.page or {}).get("base_path") if row is not None else None
        return {"url": f"{address.rstrip('/')}{page}" if page else address, "expires_at": None}
    key = tickets.key_of(services.settings.SECRET_KEY)
    ticket = tickets.sign(key, tickets.TICKET, row.host, row.id, tickets.TICKET_SECONDS)
    ticketed = f"{address.rstrip('/')}{tickets.PATH}?{tickets.PARAMETER}={ticket}"
    return {"url": ticketed, "expires_at": utcnow() + timedelta(seconds=tickets.TICKET_SECONDS)}
