"""Tokens of persons, and pipelines that sign in without a stored secret."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

from assembler_client.models import Model


class TrustedPublisher(Model):
    """A pipeline that acts as a robot without a stored secret."""

    id: UUID
    """The publisher's id."""
    name: str
    """Name, unique in the realm."""
    robot_id: UUID
    """The robot that the pipeline acts as."""
    realm_id: UUID
    """Its realm."""
    issuer: str
    """Address of the issuer of its tokens."""
    subject: str | None = None
    """The subject of its tokens; a final * matches any text."""
    claims: dict[str, Any] = {}
    """Further claims that its tokens must have."""
    created_at: datetime | None = None
    """When it was created."""
    updated_at: datetime | None = None
    """When it was changed last."""


class PersonalToken(Model):
    """A token that acts for a person, with some of their permissions."""

    id: UUID
    """The token's id."""
    name: str
    """Its purpose."""
    scopes: list[str] = []
    """Permissions that it may use."""
    created_at: datetime | None = None
    """When it was created."""
    expires_at: datetime | None = None
    """When it expires."""
    used_at: datetime | None = None
    """When it was last used, to the minute."""
    token: str | None = None
    """The token itself: only in the answer that creates it."""
