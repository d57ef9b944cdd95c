"""/space-types and /plugins: what this service can make, and from where."""

from __future__ import annotations

from typing import Any

import marshmallow as ma
from apispec.ext.marshmallow.openapi import OpenAPIConverter

from assembler_runner.api.common import Blueprint, fails
from assembler_runner.card import README
from assembler_runner.errors import NotFound
from assembler_runner.host import current_host
from assembler_runner.plugin import SpacePlugin
from assembler_runner.registry import PluginRecord
from assembler_runner.schemas import MetaSchema, PluginSchema, SpaceTypeSchema, list_of

blueprint = Blueprint("space types", __name__, description="Types of Spaces and the plugins they come from.")


@blueprint.get("/space-types")
@blueprint.needs("plugin_read")
@blueprint.response(200, list_of(SpaceTypeSchema))
def list_space_types() -> dict[str, Any]:
    """List the types of Spaces"""
    return _all([describe(plugin) for plugin in current_host().registry.types()])


@blueprint.get("/space-types/<name>")
@blueprint.needs("plugin_read")
@blueprint.doc(**fails(404))
@blueprint.response(200, SpaceTypeSchema)
def get_space_type(name: str) -> dict[str, Any]:
    """Get one type

    `name` for its newest version, `name@version` for that one.
    """
    plugin = current_host().registry.get(name)
    if plugin is None:
        names = ", ".join(known.space_type for known in current_host().registry.types())
        raise NotFound(f"There is no space_type {name}.", hint=f"Use one of: {names}.")
    return describe(plugin)


@blueprint.get("/plugins")
@blueprint.needs("plugin_read")
@blueprint.response(200, list_of(PluginSchema))
def list_plugins() -> dict[str, Any]:
    """List all plugins that were found

    A broken one is listed with its error.
    """
    records: list[PluginRecord] = current_host().registry.records
    return _all(list(records))


def describe(plugin: SpacePlugin) -> dict[str, Any]:
    """Returns what callers have to know of a type."""
    options = plugin.options_schema.load({})
    return {
        "name": plugin.space_type,
        "version": plugin.version,
        "sdk": plugin.sdk,
        "description": plugin.description,
        "tags": list(plugin.tags),
        "options": json_schema(plugin.options_schema),
        "default_files": sorted({README, *(file.path for file in plugin.defaults(options))}),
        "templates": [],
    }


def json_schema(schema: ma.Schema) -> dict[str, Any]:
    """Returns a marshmallow schema as JSON Schema (draft 2020-12, which OpenAPI 3.1 uses)."""
    converter = OpenAPIConverter("3.1.0", lambda schema: None, None)  # type: ignore[arg-type]  # nothing is registered
    made: dict[str, Any] = converter.schema2jsonschema(schema)
    for name, field in schema.fields.items():
        made["properties"][name].pop("card", None)
        if isinstance(field.validate, ma.validate.Regexp):
            made["properties"][name]["pattern"] = field.validate.regex.pattern
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **made, "additionalProperties": False}


def _all(rows: list[Any]) -> dict[str, Any]:
    meta = {"total": len(rows), "limit": len(rows), "offset": 0, "schema": {}}
    return {"data": rows, "meta": MetaSchema().dump(meta)}
