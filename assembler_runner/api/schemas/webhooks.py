"""The JSON of webhooks and their deliveries."""

from __future__ import annotations

from typing import Any, ClassVar

import marshmallow as ma

from assembler_runner.api.schemas.base import AutoSchema, Flag
from assembler_runner.webhooks.models import Webhook, WebhookDelivery


class WebhookSchema(AutoSchema):
    """A webhook."""

    class Meta(AutoSchema.Meta):
        """From the model."""

        model = Webhook
        include_fk = True
        fields: tuple[str, ...] = (
            "id",
            "url",
            "description",
            "event_types",
            "active",
            "realm_id",
            "owner_id",
            "space_id",
            "request_id",
            "created_at",
            "updated_at",
        )

    event_types = ma.fields.List(
        ma.fields.String(), metadata={"description": "Types of events that are sent; empty: all."}
    )


class WebhookWithSecretSchema(WebhookSchema):
    """A webhook with its secret, which is shown only now."""

    class Meta(WebhookSchema.Meta):
        """The webhook and its secret."""

        fields: tuple[str, ...] = (*WebhookSchema.Meta.fields, "secret")

    secret = ma.fields.String(metadata={"description": "Signs its messages; not shown again."})


class DeliverySchema(AutoSchema):
    """One event for one webhook."""

    class Meta(AutoSchema.Meta):
        """From the model."""

        model = WebhookDelivery
        include_fk = True
        fields = (
            "id",
            "webhook_id",
            "event_id",
            "status",
            "attempts",
            "answer_status",
            "error",
            "created_at",
            "finished_at",
        )


class _Strict(ma.Schema):
    class Meta:
        """Unknown fields are errors."""

        unknown = ma.RAISE


class WebhookUpdateInput(_Strict):
    """What can be changed of a webhook."""

    url = ma.fields.String(metadata={"description": "Where events are sent to, by POST."})
    description = ma.fields.String(allow_none=True, validate=ma.validate.Length(max=255))
    event_types = ma.fields.List(
        ma.fields.String(validate=ma.validate.Length(1, 32)),
        validate=ma.validate.Length(max=50),
        metadata={"description": "Types of events that are sent; empty: all."},
    )
    active = Flag(metadata={"description": "Whether events are sent."})


class WebhookInput(WebhookUpdateInput):
    """A new webhook."""

    example: ClassVar[dict[str, Any]] = {
        "url": "https://example.org/hooks/assembler",
        "event_types": ["succeeded", "failed", "state"],
    }

    url = ma.fields.String(required=True, metadata={"description": "Where events are sent to, by POST."})
    space_id = ma.fields.String(metadata={"description": "Only events of this Space."})
    secret = ma.fields.String(
        metadata={"description": "`whsec_` and the base64 of 24 to 64 bytes; a random one if left out."}
    )


class WebhookCommandInput(_Strict):
    """A command for a webhook."""

    command = ma.fields.String(required=True, validate=ma.validate.OneOf(("rotate_secret", "replay", "test")))
    secret = ma.fields.String(metadata={"description": "With rotate_secret: the new one; a random one if left out."})


class DeliveryCommandInput(_Strict):
    """A command for a delivery."""

    command = ma.fields.String(required=True, validate=ma.validate.OneOf(("replay",)))


class WebhookCommandAnswer(ma.Schema):
    """What came of a command."""

    command = ma.fields.String()
    secret = ma.fields.String(metadata={"description": "With rotate_secret: the new one; not shown again."})
    replayed = ma.fields.Integer(metadata={"description": "With replay: how many deliveries are sent again."})
    delivery_id = ma.fields.String(metadata={"description": "With test: the delivery."})
