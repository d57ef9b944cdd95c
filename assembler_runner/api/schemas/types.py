"""Schemas of responses about space types and plugins."""

from __future__ import annotations

import marshmallow as ma


class TemplateSchema(ma.Schema):
    """A named starter app."""

    name = ma.fields.String()
    title = ma.fields.String(metadata={"description": "Its name for people."})
    description = ma.fields.String()
    files = ma.fields.List(ma.fields.String(), metadata={"description": "Paths of its files."})
    parameters = ma.fields.Dict(metadata={"description": "JSON Schema of its parameters."})


class SpaceTypeSchema(ma.Schema):
    """A type of Space."""

    name = ma.fields.String()
    version = ma.fields.String()
    versions = ma.fields.List(ma.fields.String(), metadata={"description": "All versions, newest first."})
    sdk = ma.fields.String(metadata={"description": "The SDK that the Hub runs."})
    description = ma.fields.String()
    tags = ma.fields.List(ma.fields.String())
    options = ma.fields.Dict(metadata={"description": "JSON Schema of the options."})
    default_files = ma.fields.List(ma.fields.String(), metadata={"description": "Files that are generated if missing."})
    templates = ma.fields.List(ma.fields.Nested(TemplateSchema), metadata={"description": "Named starter apps."})


class PluginSchema(ma.Schema):
    """A plugin that is loaded or broken."""

    name = ma.fields.String()
    version = ma.fields.String(allow_none=True)
    source = ma.fields.String(
        allow_none=True, metadata={"description": "Where it was found; null for accounts that do not manage realms."}
    )
    state = ma.fields.String(validate=ma.validate.OneOf(("loaded", "broken")))
    error = ma.fields.String(allow_none=True)
    note = ma.fields.String(allow_none=True, metadata={"description": "A remark, such as about a replaced plugin."})
