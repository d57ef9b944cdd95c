"""What all objects and answers share."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from assembler_client.models.findings import Finding, Model


class Thing(Model):
    """An object with an id."""

    id: UUID
    """Its id."""
    created_at: datetime | None = None
    """When it was created."""
    updated_at: datetime | None = None
    """When it was changed last."""


class ErrorResponse(Model):
    """Body of an error response."""

    status_code: int
    """HTTP status."""
    code: str
    """Stable code of the error, for programs."""
    message: str
    """What happened."""
    hint: str | None = None
    """What to do next."""
    issues: list[Finding] = []
    """All individual problems."""


class Meta(Model):
    """Metadata of a list."""

    total: int = 0
    """Number of all rows that match."""
    limit: int = 0
    """Maximum number of rows of a page."""
    offset: int = 0
    """Number of skipped rows."""
    after: str | None = None
    """Value of page[after] for the next page; missing on the last page."""
