"""/space-types and /plugins: the available types of Spaces and their plugins."""

from __future__ import annotations

import base64
from typing import Any

import marshmallow as ma

from assembler_runner.accounts.auth import current_account
from assembler_runner.accounts.permissions import ANY_ACCOUNT
from assembler_runner.api.http.blueprint import Blueprint, fails
from assembler_runner.api.schemas.base import MetaSchema, list_of
from assembler_runner.api.schemas.spaces import FindingRuleSchema
from assembler_runner.api.schemas.types import PluginSchema, SpaceTypeSchema, StarterSchema
from assembler_runner.assembly.card import README
from assembler_runner.assembly.plugin_contract import ask_defaults, ask_templates, json_schema
from assembler_runner.assembly.registry import PluginRecord
from assembler_runner.core.errors import NotFound
from assembler_runner.plugin import SpaceFile, SpacePlugin
from assembler_runner.services import current_services

blueprint = Blueprint("space types", __name__, description="Types of Spaces and the plugins they come from.")


@blueprint.get("/space-types")
@blueprint.needs("plugin_read")
@blueprint.response(200, list_of(SpaceTypeSchema))
def list_space_types() -> dict[str, Any]:
    """List the types of Spaces"""
    return _all([describe(plugin) for plugin in current_services().registry.types()])


@blueprint.get("/space-types/<name>")
@blueprint.needs("plugin_read")
@blueprint.doc(**fails(404))
@blueprint.response(200, SpaceTypeSchema)
def get_space_type(name: str) -> dict[str, Any]:
    """Get a type of Spaces

    `name` for its newest version, `name@version` for a specific one.
    """
    return describe(_type(name))


@blueprint.get("/space-types/<name>/templates/<template>")
@blueprint.needs("plugin_read")
@blueprint.doc(**fails(404))
@blueprint.response(200, StarterSchema)
def get_template(name: str, template: str) -> dict[str, Any]:
    """Get a starter app

    Its files as they are before parameters are written into them, and the defaults of its parameters.
    """
    plugin = _type(name)
    found = next((known for known in ask_templates(plugin) if known.name == template), None)
    if found is None:
        names = ", ".join(known.name for known in ask_templates(plugin))
        hint = f"Use one of: {names}." if names else "This type has no templates."
        raise NotFound(f"The type {plugin.space_type} has no template {template}.", hint=hint)
    fields = found.parameters().load_fields
    defaults = {key: field.load_default for key, field in fields.items() if field.load_default is not ma.missing}
    made = {key: value() if callable(value) else value for key, value in defaults.items()}
    files = [{"path": file.path, **_as_text(file)} for file in found.files]
    return {
        "name": found.name,
        "description": found.description,
        "files": files,
        "defaults": found.parameters().dump(made),
    }


def _type(name: str) -> SpacePlugin:
    plugin = current_services().registry.get(name)
    if plugin is None:
        names = ", ".join(known.space_type for known in current_services().registry.types())
        raise NotFound(f"There is no space_type {name}.", hint=f"Use one of: {names}.")
    return plugin


def _as_text(file: SpaceFile) -> dict[str, str]:
    try:
        return {"content": file.content.decode(), "encoding": "utf-8"}
    except UnicodeDecodeError:
        return {"content": base64.b64encode(file.content).decode(), "encoding": "base64"}


@blueprint.get("/plugins")
@blueprint.needs("plugin_read")
@blueprint.response(200, list_of(PluginSchema))
def list_plugins() -> dict[str, Any]:
    """List all plugins

    A broken plugin is listed with its error. `source`, `error` and `note` are shown to accounts that manage realms.
    """
    records: list[PluginRecord] = current_services().registry.records
    if current_account().everywhere:
        return _all(list(records))
    return _all([_without_source(record) for record in records])


def _without_source(record: PluginRecord) -> dict[str, Any]:
    # Errors and notes name addresses and folders as well.
    return {"name": record.name, "version": record.version, "source": None, "state": record.state, "error": None}


def describe(plugin: SpacePlugin) -> dict[str, Any]:
    """Returns the description of a type for callers, see `SpaceTypeSchema`."""
    return {
        "name": plugin.space_type,
        "version": plugin.version,
        "versions": current_services().registry.versions(plugin.space_type),
        "sdk": plugin.sdk,
        "description": plugin.description,
        "tags": list(plugin.tags),
        "options": json_schema(plugin.options_schema),
        "default_files": default_files(plugin),
        "templates": [
            {
                "name": template.name,
                "title": template.shown,
                "description": template.description,
                "files": [file.path for file in template.files],
                "parameters": json_schema(template.parameters()),
            }
            for template in ask_templates(plugin)
        ],
    }


def default_files(plugin: SpacePlugin) -> list[str]:
    """Returns the paths that are generated if missing; only the README if the type has required options."""
    from assembler_runner.assembly.container import DOCKERFILE, REQUIREMENTS

    try:
        options = dict(plugin.options_schema.load({}))
    except ma.ValidationError:
        return [README]
    made = {DOCKERFILE, REQUIREMENTS} if plugin.container is not None else set()
    return sorted({README, *made, *(file.path for file in ask_defaults(plugin, options))})


def _all(rows: list[Any]) -> dict[str, Any]:
    meta = {"total": len(rows), "limit": len(rows), "offset": 0, "schema": {}}
    return {"data": rows, "meta": MetaSchema().dump(meta)}


@blueprint.get("/findings")
@blueprint.needs(ANY_ACCOUNT)
@blueprint.response(200, list_of(FindingRuleSchema))
def list_findings() -> dict[str, Any]:
    """List the codes of findings

    What is checked before a Space is published: every code with its severity, an explanation and an example, whether
    there is a fix and whether `allow` lets it pass.
    """
    from assembler_runner.assembly.preflight.catalogue import as_json

    return _all(as_json())
