"""/webhooks: webhook subscribers and their deliveries."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from flask import Response, jsonify, make_response, request

from assembler_runner.accounts.auth import current_account
from assembler_runner.api.http.blueprint import Blueprint, fails, takes
from assembler_runner.api.http.json_body import load, read_object
from assembler_runner.api.schemas.base import list_of
from assembler_runner.api.schemas.webhooks import (
    DeliveryCommandInput,
    DeliverySchema,
    WebhookCommandAnswer,
    WebhookCommandInput,
    WebhookInput,
    WebhookSchema,
    WebhookUpdateInput,
    WebhookWithSecretSchema,
)
from assembler_runner.core.database import db
from assembler_runner.core.listing import Listing, read_page
from assembler_runner.services import current_services
from assembler_runner.webhooks import webhooks
from assembler_runner.webhooks.models import Webhook, WebhookDelivery

blueprint = Blueprint("webhooks", __name__, description="Webhooks: URLs that receive events.")

WEBHOOKS = Listing(
    {
        "id": Webhook.id,
        "url": Webhook.url,
        "active": Webhook.active,
        "realm_id": Webhook.realm_id,
        "owner_id": Webhook.owner_id,
        "space_id": Webhook.space_id,
        "request_id": Webhook.request_id,
        "created_at": Webhook.created_at,
        "updated_at": Webhook.updated_at,
    },
    Webhook.id,
)
DELIVERIES = Listing(
    {
        "id": WebhookDelivery.id,
        "event_id": WebhookDelivery.event_id,
        "status": WebhookDelivery.status,
        "attempts": WebhookDelivery.attempts,
        "answer_status": WebhookDelivery.answer_status,
        "created_at": WebhookDelivery.created_at,
        "finished_at": WebhookDelivery.finished_at,
    },
    WebhookDelivery.id,
)

_webhook = WebhookSchema()


@blueprint.post("/webhooks")
@blueprint.needs("space_update")
@blueprint.doc(**takes(WebhookInput))
@blueprint.doc(**fails(400, 422, 429))
@blueprint.response(201, WebhookWithSecretSchema)
def create_webhook() -> Response:
    """Create a webhook

    Every event of the realm, or of one Space, is sent to its URL by POST, signed according to Standard Webhooks 1.0.
    The secret is shown only in this response.
    """
    row, secret = webhooks.create(current_services(), current_account(), load(WebhookInput(), read_object()))
    return make_response(jsonify({**_webhook.dump(row), "secret": secret}), 201)


@blueprint.get("/webhooks")
@blueprint.needs("space_read")
@blueprint.doc(**fails(400))
@blueprint.lists(WEBHOOKS)
@blueprint.response(200, list_of(WebhookSchema))
def list_webhooks() -> dict[str, Any]:
    """List webhooks"""
    query = sa.select(Webhook).where(current_account().visible(Webhook.realm_id))
    page = read_page(db.session(), query, WEBHOOKS, request.args)
    return {"data": page.rows, "meta": page.meta()}


@blueprint.get("/webhooks/<webhook_id>")
@blueprint.needs("space_read")
@blueprint.doc(**fails(404))
@blueprint.response(200, WebhookSchema)
def get_webhook(webhook_id: str) -> Webhook:
    """Get one webhook; its secret is never shown"""
    return webhooks.find(current_account(), webhook_id)


@blueprint.post("/webhooks/<webhook_id>")
@blueprint.needs("space_update")
@blueprint.doc(**takes(WebhookUpdateInput))
@blueprint.doc(**fails(400, 404, 422))
@blueprint.response(202, WebhookSchema)
def update_webhook(webhook_id: str) -> Webhook:
    """Update a webhook"""
    webhooks.find(current_account(), webhook_id)
    return webhooks.update(current_services(), current_account(), webhook_id, load(WebhookUpdateInput(), read_object()))


@blueprint.delete("/webhooks/<webhook_id>")
@blueprint.needs("space_update")
@blueprint.doc(**fails(404))
@blueprint.response(202, WebhookSchema)
def delete_webhook(webhook_id: str) -> Response:
    """Delete a webhook with its deliveries"""
    shown = _webhook.dump(webhooks.find(current_account(), webhook_id))
    webhooks.delete(current_account(), webhook_id)
    return make_response(jsonify(shown), 202)


@blueprint.post("/webhooks/<webhook_id>/command")
@blueprint.needs("space_update")
@blueprint.doc(**takes(WebhookCommandInput))
@blueprint.doc(**fails(400, 404, 422))
@blueprint.response(202, WebhookCommandAnswer)
def command_webhook(webhook_id: str) -> dict[str, Any]:
    """Rotate the secret, replay or test

    rotate_secret creates a new secret and shows it; for a day, messages are also signed with the old one. replay sends
    failed deliveries again. test sends a message of the type `test`.
    """
    account = current_account()
    webhooks.find(account, webhook_id)
    values = load(WebhookCommandInput(), read_object())
    command = values["command"]
    if command == "rotate_secret":
        _, secret = webhooks.rotate_secret(current_services(), account, webhook_id, values.get("secret"))
        return {"command": command, "secret": secret}
    if command == "replay":
        return {"command": command, "replayed": webhooks.replay(account, webhook_id)}
    return {"command": command, "delivery_id": webhooks.send_test(account, webhook_id).id}


@blueprint.get("/webhooks/<webhook_id>/deliveries")
@blueprint.needs("space_read")
@blueprint.doc(**fails(400, 404))
@blueprint.lists(DELIVERIES)
@blueprint.response(200, list_of(DeliverySchema))
def list_deliveries(webhook_id: str) -> dict[str, Any]:
    """List deliveries

    `filter[status]=dead` shows those that failed permanently.
    """
    webhook = webhooks.find(current_account(), webhook_id)
    query = sa.select(WebhookDelivery).where(WebhookDelivery.webhook_id == webhook.id)
    page = read_page(db.session(), query, DELIVERIES, request.args)
    return {"data": page.rows, "meta": page.meta()}


@blueprint.post("/webhooks/<webhook_id>/deliveries/<delivery_id>/command")
@blueprint.needs("space_update")
@blueprint.doc(**takes(DeliveryCommandInput))
@blueprint.doc(**fails(400, 404, 422))
@blueprint.response(202, DeliverySchema)
def command_delivery(webhook_id: str, delivery_id: str) -> WebhookDelivery:
    """Send one delivery again"""
    account = current_account()
    webhooks.find_delivery(account, webhook_id, delivery_id)
    load(DeliveryCommandInput(), read_object())
    webhooks.replay(account, webhook_id, delivery_id)
    return webhooks.find_delivery(account, webhook_id, delivery_id)
