"""Schemas of the tokens of a person."""

from __future__ import annotations

from datetime import UTC
from typing import Any

import marshmallow as ma

from assembler_runner.accounts.permissions import PERMISSIONS
from assembler_runner.accounts.personal_tokens import DEFAULT_DAYS, MOST_DAYS, PersonalToken
from assembler_runner.api.schemas.base import AutoSchema
from assembler_runner.api.schemas.fields import Input, Text


class PersonalTokenInput(Input):
    """A new token."""

    name = Text(required=True, validate=ma.validate.Length(1, 64), metadata={"description": "Purpose of the token."})
    scopes = ma.fields.List(
        ma.fields.String(validate=ma.validate.OneOf(tuple(PERMISSIONS))),
        required=True,
        validate=ma.validate.Length(1, len(PERMISSIONS)),
        metadata={"description": "Permissions that it may use; those of the account at most."},
    )
    expires_at = ma.fields.AwareDateTime(
        format="iso",
        default_timezone=UTC,
        allow_none=True,
        metadata={"description": f"When it expires; by default in {DEFAULT_DAYS} days, at most in {MOST_DAYS}."},
    )


class PersonalTokenSchema(AutoSchema):
    """A token of a person."""

    class Meta(AutoSchema.Meta):
        """Fields from the model."""

        model = PersonalToken
        fields: tuple[Any, ...] = ("id", "name", "scopes", "created_at", "expires_at", "used_at")

    scopes = ma.fields.List(ma.fields.String(), metadata={"description": "Permissions that it may use."})


class NewPersonalTokenSchema(PersonalTokenSchema):
    """A token that was just created."""

    class Meta(PersonalTokenSchema.Meta):
        """The fields of a token, and the token itself."""

        fields: tuple[Any, ...] = (*PersonalTokenSchema.Meta.fields, "token")

    token = ma.fields.String(metadata={"description": "The token, shown only now; send it as Authorization: Bearer."})
