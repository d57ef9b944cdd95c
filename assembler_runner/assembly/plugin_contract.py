"""The contract of plugins: calls their methods and validates the results, so that a broken plugin does no harm."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import marshmallow as ma
from apispec.ext.marshmallow.openapi import OpenAPIConverter

from assembler_runner.core.errors import Finding, PluginError, TooLarge
from assembler_runner.files.paths import check_collisions, check_path
from assembler_runner.plugin import SpaceFile, SpacePlugin, Template, Tree


def ask_defaults(plugin: SpacePlugin, options: Mapping[str, Any]) -> list[SpaceFile]:
    """Returns the default files of a type.

    Raises:
        PluginError: the plugin raised, or returned another type or an invalid path.
    """
    return _checked_files(plugin, "defaults()", _ask(plugin, "defaults", options))


def ask_card(plugin: SpacePlugin, options: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the front matter of a type.

    Raises:
        PluginError: the plugin raised, or returned values that YAML cannot represent.
    """
    card = _ask(plugin, "card", options)
    if not isinstance(card, dict) or not all(isinstance(key, str) for key in card):
        raise broken(plugin, "card() must return a dict with str keys")
    if not _plain(card):
        raise broken(plugin, "card() must contain only text, numbers, booleans, lists and dicts")
    return dict(card)


def ask_check(plugin: SpacePlugin, tree: Tree, options: Mapping[str, Any]) -> list[Finding]:
    """Returns the findings of a type about a tree.

    Raises:
        PluginError: the plugin raised, or returned another type.
    """
    findings = _ask(plugin, "check", tree, options)
    if not isinstance(findings, list) or not all(isinstance(finding, Finding) for finding in findings):
        raise broken(plugin, "check() must return a list of Finding")
    return findings


def ask_templates(plugin: SpacePlugin) -> list[Template]:
    """Returns the starter apps of a type.

    Raises:
        PluginError: the plugin raised, or returned another type or two templates with the same name.
    """
    templates = _ask(plugin, "templates")
    if not isinstance(templates, list) or not all(isinstance(template, Template) for template in templates):
        raise broken(plugin, "templates() must return a list of Template")
    names = [template.name for template in templates]
    if len(set(names)) != len(names):
        raise broken(plugin, f"templates() returned two templates named {max(names, key=names.count)}")
    for template in templates:
        if not (isinstance(template.parameters, type) and issubclass(template.parameters, ma.Schema)):
            raise broken(plugin, f"the parameters of template {template.name} must be a marshmallow Schema")
        try:
            json_schema(template.parameters())
        # The schema is the plugin's code, which may raise anything.
        except Exception as problem:
            raise broken(
                plugin, f"the parameters of template {template.name} raised {type(problem).__name__}"
            ) from problem
        if not _checked_files(plugin, f"template {template.name}", list(template.files)):
            raise broken(plugin, f"template {template.name} has no files")
    return templates


def ask_requirements(plugin: SpacePlugin) -> str:
    """Returns the requirements of a plugin, as lines of a requirements file.

    Raises:
        PluginError: the plugin raised, or did not return text.
    """
    text = _ask(plugin, "get_requirements")
    if not isinstance(text, str):
        raise broken(plugin, "get_requirements() must return text")
    return text


def probe(plugin: SpacePlugin) -> None:
    """Calls all methods of a plugin that need no request, and validates the results.

    Raises:
        PluginError: for the first violation of the contract.
    """
    try:
        json_schema(plugin.options_schema)
        options: dict[str, Any] | None = dict(plugin.options_schema.load({}))
    except ma.ValidationError:
        # An option without a default has to come with the request.
        options = None
    # The schema is the plugin's code, which may raise anything.
    except Exception as problem:
        raise broken(plugin, f"Options raised {type(problem).__name__}: {problem}") from problem
    ask_templates(plugin)
    ask_requirements(plugin)
    if options is not None:
        first, second = ask_defaults(plugin, options), ask_defaults(plugin, options)
        if [(file.path, file.content) for file in first] != [(file.path, file.content) for file in second]:
            raise broken(plugin, "defaults() must return the same files each time")
        ask_card(plugin, options)


def broken(plugin: SpacePlugin, what: str) -> PluginError:
    """Returns the error of a plugin that violated its contract.

    Args:
        plugin: the plugin.
        what: the violation, for the message.
    """
    return PluginError(f"The plugin {plugin.space_type} {plugin.version} is broken: {what}.")


def _checked_files(plugin: SpacePlugin, what: str, files: Any) -> list[SpaceFile]:
    if not isinstance(files, list) or not all(
        isinstance(file, SpaceFile) and isinstance(file.path, str) and isinstance(file.source, bytes) for file in files
    ):
        raise broken(plugin, f"{what} must return a list of SpaceFile with str paths and bytes")
    wrong = [finding for file in files for finding in check_path(file.path)]
    wrong += check_collisions(file.path for file in files)
    if wrong or len({file.path for file in files}) != len(files):
        raise broken(plugin, f"{what} returned an invalid path, or the same path twice")
    return [SpaceFile(file.path, file.source, "default") for file in files]


def _plain(value: Any) -> bool:
    if isinstance(value, dict):
        return all(isinstance(key, str) and _plain(inner) for key, inner in value.items())
    if isinstance(value, (list, tuple)):
        return all(_plain(inner) for inner in value)
    return value is None or isinstance(value, (str, int, float, bool))


def _ask(plugin: SpacePlugin, method: str, *arguments: Any) -> Any:
    try:
        return getattr(plugin, method)(*arguments)
    except TooLarge:
        # The plugin tried to read a file of the caller that is too large to be read.
        raise
    # Plugin code may raise anything, even SystemExit, and its message may contain internals that callers must not see.
    except (Exception, SystemExit) as problem:
        raise broken(plugin, f"{method}() raised {type(problem).__name__}") from problem


def json_schema(schema: ma.Schema) -> dict[str, Any]:
    """Returns a schema as JSON Schema (draft 2020-12, which OpenAPI 3.1 uses)."""
    converter: Any = OpenAPIConverter("3.1.0", lambda schema: None, None)  # type: ignore[arg-type]  # nothing is registered
    made: dict[str, Any] = converter.schema2jsonschema(schema)
    for name, field in schema.fields.items():
        made["properties"][name].pop("card", None)
        if isinstance(field.validate, ma.validate.Regexp):
            made["properties"][name]["pattern"] = field.validate.regex.pattern
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **made, "additionalProperties": False}
