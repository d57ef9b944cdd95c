"""Schema of the fix of a Space's problem."""

from __future__ import annotations

import marshmallow as ma

from assembler_runner.api.schemas.spaces import ChangePreviewSchema


class FixPreviewSchema(ChangePreviewSchema):
    """A fix, the tree that it would publish, and the differences from the published release."""

    title = ma.fields.String(metadata={"description": "What it does."})
    safe = ma.fields.Boolean(metadata={"description": "Whether it may be applied without review by a person."})
    edits = ma.fields.List(ma.fields.Dict(), metadata={"description": "Changes: path, action, line, old, new."})
    options = ma.fields.Dict(metadata={"description": "Options of the space type that it sets."})
