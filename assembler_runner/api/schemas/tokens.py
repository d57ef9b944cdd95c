"""Schemas of the token endpoints."""

from __future__ import annotations

from typing import Any, ClassVar

import marshmallow as ma

TOKEN_EXCHANGE = "urn:ietf:params:oauth:grant-type:token-exchange"  # noqa: S105 - the name of a grant (RFC 8693)
SUBJECT_TOKENS = ("urn:ietf:params:oauth:token-type:id_token", "urn:ietf:params:oauth:token-type:jwt")

GRANTS: dict[str, tuple[str, ...]] = {
    "password": ("username", "password"),
    "refresh_token": ("refresh_token",),
    "robot_credentials": ("id", "secret"),
    "client_credentials": ("client_id", "client_secret"),
    TOKEN_EXCHANGE: ("subject_token", "subject_token_type"),
}
"""Grant type → its required fields."""


class TokenInput(ma.Schema):
    """A token request."""

    class Meta:
        """Unknown fields are ignored, because published clients send additional ones."""

        unknown = ma.EXCLUDE

    # Wrong credentials get one response, whatever their text is.
    any_text: ClassVar[bool] = True

    grant_type = ma.fields.String(required=True, validate=ma.validate.OneOf(tuple(GRANTS)))
    username = ma.fields.String(metadata={"description": "For grant_type password."})
    password = ma.fields.String(metadata={"description": "For grant_type password."})
    realm = ma.fields.String(metadata={"description": "Name or id of the user's realm; by default master."})
    refresh_token = ma.fields.String(metadata={"description": "For grant_type refresh_token."})
    id = ma.fields.String(metadata={"description": "For grant_type robot_credentials: the robot's id."})
    secret = ma.fields.String(metadata={"description": "For grant_type robot_credentials."})
    client_id = ma.fields.String(
        metadata={
            "description": "For grant_type client_credentials: the client's id. For a token exchange: the robot, if "
            "trusted publishers of several robots accept the token."
        }
    )
    client_secret = ma.fields.String(metadata={"description": "For grant_type client_credentials."})

    subject_token = ma.fields.String(metadata={"description": "For a token exchange: the token of the pipeline."})
    subject_token_type = ma.fields.String(
        validate=ma.validate.OneOf(SUBJECT_TOKENS), metadata={"description": "For a token exchange."}
    )

    @ma.validates_schema
    def check_fields(self, data: dict[str, Any], **kwargs: Any) -> None:
        """Checks that the required fields of the grant type exist."""
        missing = {
            name: ["Missing data for required field."] for name in GRANTS[data["grant_type"]] if not data.get(name)
        }
        if missing:
            raise ma.ValidationError(missing)


class TokenSchema(ma.Schema):
    """Tokens."""

    access_token = ma.fields.String(required=True, metadata={"description": "Send it as Authorization: Bearer."})
    expires_in = ma.fields.Integer(required=True, metadata={"description": "Seconds until the access token expires."})
    token_type = ma.fields.String(required=True, metadata={"description": "Always Bearer."})
    scope = ma.fields.String(required=True, metadata={"description": "Always global."})
    refresh_token = ma.fields.String(metadata={"description": "Only for users; each one works once."})
    issued_token_type = ma.fields.String(metadata={"description": "Only after a token exchange."})


class RevokeInput(ma.Schema):
    """A token to revoke (RFC 7009)."""

    class Meta:
        """Unknown fields are ignored, because the standard has fields without a meaning here."""

        unknown = ma.EXCLUDE

    token = ma.fields.String(required=True, metadata={"description": "A refresh or access token."})
    token_type_hint = ma.fields.String(metadata={"description": "Ignored."})
