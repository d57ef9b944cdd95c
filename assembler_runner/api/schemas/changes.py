"""The JSON that goes out of changes: previews with a difference, commands for many Spaces."""

from __future__ import annotations

import marshmallow as ma

from assembler_runner.api.schemas.spaces import PreviewSchema


class FileDiffSchema(ma.Schema):
    """One file that would change."""

    path = ma.fields.String()
    diff = ma.fields.String(
        allow_none=True, metadata={"description": "Unified diff; null where a side is no text, or too large."}
    )


class DiffSchema(ma.Schema):
    """What would change."""

    added = ma.fields.List(ma.fields.Nested(FileDiffSchema))
    changed = ma.fields.List(ma.fields.Nested(FileDiffSchema))
    deleted = ma.fields.List(ma.fields.Nested(FileDiffSchema))


class BaseSchema(ma.Schema):
    """What is published now."""

    request_id = ma.fields.String(metadata={"description": "The request that published it."})
    commit_oid = ma.fields.String(allow_none=True)


class ChangePreviewSchema(PreviewSchema):
    """What a change would publish, and how that differs from what is published."""

    base = ma.fields.Nested(BaseSchema)
    diff = ma.fields.Nested(DiffSchema)


class BulkItemSchema(ma.Schema):
    """One Space that a command for many concerns."""

    id = ma.fields.String()
    name = ma.fields.String()
    request_id = ma.fields.String(allow_none=True, metadata={"description": "Null in a dry run."})


class BulkRefusedSchema(ma.Schema):
    """One Space for which the command is not possible."""

    id = ma.fields.String()
    name = ma.fields.String()
    code = ma.fields.String()
    message = ma.fields.String()


class BulkSchema(ma.Schema):
    """What a command for many Spaces does."""

    command = ma.fields.String()
    dry_run = ma.fields.Boolean()
    accepted = ma.fields.List(ma.fields.Nested(BulkItemSchema))
    refused = ma.fields.List(ma.fields.Nested(BulkRefusedSchema))
    left = ma.fields.Integer(metadata={"description": "How many more were found than are done at once."})
