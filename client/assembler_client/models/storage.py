"""Buckets and their files."""

from __future__ import annotations

from uuid import UUID

from assembler_client.models.common import Thing


class Bucket(Thing):
    """A container for uploaded files that requests can refer to."""

    name: str
    """Name, unique in the realm."""
    region: str | None = None
    """Stored, not used."""
    actor_type: str = ""
    """Kind of the account that created it: user or robot."""
    actor_id: UUID | None = None
    """Account that created it."""
    realm_id: UUID | None = None
    """Its realm."""


class BucketFile(Thing):
    """A version of a file in a bucket; `hash` is its SHA-256."""

    name: str = ""
    """Last segment of its path."""
    path: str = ""
    """Path in the bucket, as it was sent."""
    hash: str = ""
    """SHA-256 of the content."""
    directory: str = ""
    """Path without the name; a dot if there is none."""
    size: int | None = None
    """Size in bytes."""
    actor_type: str = ""
    """Kind of the account that uploaded it: user or robot."""
    actor_id: UUID | None = None
    """Account that uploaded it."""
    realm_id: UUID | None = None
    """Its realm."""
    bucket_id: UUID
    """Its bucket."""
    bucket: Bucket | None = None
    """The bucket; with `include=bucket`."""
