"""/ui/webhooks: addresses that receive events, and their deliveries."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from flask import Response, request
from werkzeug.wrappers import Response as AnyResponse

from assembler_runner.accounts.auth import current_account
from assembler_runner.accounts.permissions import requires
from assembler_runner.api.http.json_body import load
from assembler_runner.api.schemas.webhooks import WebhookInput
from assembler_runner.api.webhooks import DELIVERIES, WEBHOOKS
from assembler_runner.core.database import db
from assembler_runner.core.errors import AssemblerError, InvalidRequest
from assembler_runner.services import current_services
from assembler_runner.spaces.models import Space
from assembler_runner.ui.layout import go, pages, rows, show
from assembler_runner.webhooks import webhooks
from assembler_runner.webhooks.models import Webhook, WebhookDelivery


@pages.get("/webhooks")
@requires("space_read")
def all_webhooks() -> Response:
    """Shows the webhooks of the realm."""
    return _list(200)


def _list(status: int, **values: Any) -> Response:
    query = sa.select(Webhook).where(current_account().visible(Webhook.realm_id))
    return show("webhooks.html", status, page=rows(query, WEBHOOKS, {}), **values)


def show_webhooks(found: Space) -> dict[str, Any]:
    """Returns what the tab of a Space shows: the webhooks for this Space, and those for all Spaces of its realm."""
    of_space = Webhook.space_id.is_(None) | (Webhook.space_id == found.id)
    mine = sa.select(Webhook).where(Webhook.realm_id == found.realm_id, of_space, Webhook.request_id.is_(None))
    return {"page": rows(mine, WEBHOOKS, {})}


@pages.post("/webhooks")
@requires("space_update")
def create_webhook() -> Response:
    """Creates a webhook, and shows its secret once."""
    form = request.form
    body = {name: form[name].strip() for name in ("url", "description", "space_id") if form.get(name, "").strip()}
    try:
        _, secret = webhooks.create(current_services(), current_account(), load(WebhookInput(), body))
    except AssemblerError as error:
        db.session.rollback()
        return _list(error.status, problem=error, form=form)
    return _list(201, secret=secret)


@pages.get("/webhooks/<webhook_id>")
@requires("space_read")
def one_webhook(webhook_id: str) -> Response:
    """Shows the deliveries of a webhook."""
    return _one(webhook_id)


def _one(webhook_id: str, **values: Any) -> Response:
    found = webhooks.find(current_account(), webhook_id)
    query = sa.select(WebhookDelivery).where(WebhookDelivery.webhook_id == found.id)
    return show("webhook.html", it=found, page=rows(query, DELIVERIES, {}), **values)


@pages.post("/webhooks/<webhook_id>/command")
@requires("space_update")
def command_one_webhook(webhook_id: str) -> AnyResponse:
    """Tests, repeats, switches or deletes a webhook, or gives it a new secret."""
    account, services = current_account(), current_services()
    command = request.form.get("command", "")
    if command == "rotate_secret":
        return _one(webhook_id, secret=webhooks.rotate_secret(services, account, webhook_id, None)[1])
    if command == "delete":
        webhooks.delete(account, webhook_id)
        return go("/ui/webhooks", done="deleted")
    if command == "test":
        webhooks.send_test(account, webhook_id)
    elif command == "replay":
        webhooks.replay(account, webhook_id, request.form.get("delivery_id") or None)
    elif command in ("activate", "deactivate"):
        webhooks.update(services, account, webhook_id, {"active": command == "activate"})
    else:
        raise InvalidRequest("There is no such command.", hint="Go back and use one of the buttons.")
    return go(f"/ui/webhooks/{webhook_id}", done=command)
