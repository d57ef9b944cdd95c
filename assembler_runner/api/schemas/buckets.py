"""Schemas of the endpoints below /storage."""

from __future__ import annotations

import marshmallow as ma

from assembler_runner.api.schemas.base import AutoSchema
from assembler_runner.api.schemas.fields import Id, Input, Text, text
from assembler_runner.files.models import Bucket, BucketFile

_TIMESTAMPS = ("created_at", "updated_at")
_ACTOR = ("actor_type", "actor_id", "realm_id")


class BucketInput(Input):
    """A new bucket, or changes of one."""

    name = Text(required=True, validate=ma.validate.Length(1, 128), metadata={"description": "Name of the bucket."})
    region = text(128, "Stored, not used.")
    realm_id = Id(metadata={"description": "Its realm; by default the caller's realm."})


class BucketSchema(AutoSchema):
    """A container for uploaded files."""

    class Meta(AutoSchema.Meta):
        """Fields from the model."""

        model = Bucket
        include_fk = True
        fields: tuple[str, ...] = ("id", "name", "region", *_ACTOR, *_TIMESTAMPS)


class BucketFileSchema(AutoSchema):
    """One version of a file in a bucket."""

    class Meta(AutoSchema.Meta):
        """Fields from the model."""

        model = BucketFile
        include_fk = True
        fields = ("id", "name", "path", "hash", "directory", "size", *_ACTOR, "bucket_id", "bucket", *_TIMESTAMPS)

    bucket = ma.fields.Nested(BucketSchema, metadata={"description": "The bucket; with `include=bucket`."})
