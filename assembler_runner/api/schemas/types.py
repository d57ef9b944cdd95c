"""JSON of types of Spaces and of plugins."""

from __future__ import annotations

import marshmallow as ma


class TemplateSchema(ma.Schema):
    """A named starter app."""

    name = ma.fields.String(metadata={"description": "Name, for the field template."})
    title = ma.fields.String(metadata={"description": "Its name for people."})
    description = ma.fields.String(metadata={"description": "What it is."})
    files = ma.fields.List(ma.fields.String(), metadata={"description": "Paths of its files."})
    parameters = ma.fields.Dict(metadata={"description": "JSON Schema of its parameters."})


class TemplateFileSchema(ma.Schema):
    """A file of a starter app, before parameters are written into it."""

    path = ma.fields.String(metadata={"description": "Path in the Space."})
    content = ma.fields.String(metadata={"description": "The content."})
    encoding = ma.fields.String(metadata={"description": "utf-8 or base64."})


class StarterSchema(ma.Schema):
    """A starter app with its files."""

    name = ma.fields.String(metadata={"description": "Name, for the field template."})
    description = ma.fields.String(metadata={"description": "What it is."})
    files = ma.fields.List(ma.fields.Nested(TemplateFileSchema), metadata={"description": "Its files."})
    defaults = ma.fields.Dict(metadata={"description": "Values of the parameters that have one."})


class SpaceTypeSchema(ma.Schema):
    """A type of Space."""

    name = ma.fields.String(metadata={"description": "Name, for the field space_type."})
    version = ma.fields.String(metadata={"description": "Version of the plugin."})
    versions = ma.fields.List(ma.fields.String(), metadata={"description": "All versions, newest first."})
    sdk = ma.fields.String(metadata={"description": "The SDK that the Hub runs."})
    description = ma.fields.String(metadata={"description": "What it is."})
    tags = ma.fields.List(ma.fields.String(), metadata={"description": "Words to find it by."})
    options = ma.fields.Dict(metadata={"description": "JSON Schema of the options."})
    default_files = ma.fields.List(ma.fields.String(), metadata={"description": "Files that are generated if missing."})
    templates = ma.fields.List(ma.fields.Nested(TemplateSchema), metadata={"description": "Named starter apps."})


class PluginSchema(ma.Schema):
    """A plugin that is loaded or broken."""

    name = ma.fields.String(metadata={"description": "Its type; for a broken one its folder."})
    version = ma.fields.String(allow_none=True, metadata={"description": "Its version."})
    source = ma.fields.String(
        allow_none=True, metadata={"description": "Where it was found; null for accounts that do not manage realms."}
    )
    state = ma.fields.String(
        validate=ma.validate.OneOf(("loaded", "broken")), metadata={"description": "Whether it can be used."}
    )
    error = ma.fields.String(allow_none=True, metadata={"description": "Why it is broken."})
    note = ma.fields.String(allow_none=True, metadata={"description": "A remark, such as about a replaced plugin."})
