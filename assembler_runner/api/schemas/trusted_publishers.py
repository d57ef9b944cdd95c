"""Schemas of trusted publishers."""

from __future__ import annotations

from typing import Any

import marshmallow as ma

from assembler_runner.accounts.trusted_publishers import MAX_CLAIMS, TrustedPublisher
from assembler_runner.api.schemas.base import AutoSchema
from assembler_runner.api.schemas.fields import Id, Input, Text, name

_MAX_VALUE = 512


def _check_claims(claims: dict[str, Any]) -> None:
    if len(claims) > MAX_CLAIMS:
        raise ma.ValidationError(f"At most {MAX_CLAIMS} claims.")
    for claim, value in claims.items():
        if not 0 < len(claim) <= _MAX_VALUE or (isinstance(value, str) and len(value) > _MAX_VALUE):
            raise ma.ValidationError({claim: [f"Names and values have at most {_MAX_VALUE} characters."]})
        if not isinstance(value, (str, bool, int)):
            raise ma.ValidationError({claim: ["Must be a text, a whole number, true or false."]})


def _check_subject(subject: str | None) -> None:
    if subject is not None and "*" in subject[:-1]:
        raise ma.ValidationError("A * is only allowed at the end.")
    if subject == "*":
        raise ma.ValidationError("Must say more than *: else every pipeline of the issuer could sign in.")


class TrustedPublisherInput(Input):
    """A new trusted publisher, or changes of one."""

    name = name()
    robot_id = Id(required=True, metadata={"description": "The robot that the pipeline acts as."})
    issuer = Text(
        required=True,
        validate=ma.validate.Length(1, 255),
        metadata={
            "description": "Address of the issuer: the claim iss of its tokens.",
            "example": "https://token.actions.githubusercontent.com",
        },
    )
    subject = Text(
        allow_none=True,
        validate=[ma.validate.Length(1, 512), _check_subject],
        metadata={
            "description": "The claim sub of the tokens; a final * matches any text.",
            "example": "repo:me/app:ref:refs/heads/main",
        },
    )
    claims = ma.fields.Dict(
        keys=ma.fields.String(),
        validate=_check_claims,
        metadata={"description": "Further claims and their values, such as environment; all of them must be there."},
    )


class TrustedPublisherSchema(AutoSchema):
    """A pipeline that acts as a robot without a stored secret."""

    class Meta(AutoSchema.Meta):
        """Fields from the model."""

        model = TrustedPublisher
        include_fk = True
        fields: tuple[Any, ...] = (
            *("id", "name", "robot_id", "realm_id", "issuer", "subject", "claims", "created_at", "updated_at"),
        )

    claims = ma.fields.Dict(metadata={"description": "Further claims that the tokens must have."})
