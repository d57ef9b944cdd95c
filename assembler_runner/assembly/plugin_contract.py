"""Asking a plugin: calls its methods and checks what they return, so that no broken plugin gets further."""

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
        PluginError: the plugin raised, or returned something else or a path that no Space may have.
    """
    return _checked_files(plugin, "defaults()", _ask(plugin, "defaults", options))


def ask_card(plugin: SpacePlugin, options: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the front matter of a type.

    Raises:
        PluginError: the plugin raised, or returned something that YAML cannot hold.
    """
    card = _ask(plugin, "card", options)
    if not isinstance(card, dict) or not all(isinstance(key, str) for key in card):
        raise broken(plugin, "card() must return a dict with str keys")
    if not _plain(card):
        raise broken(plugin, "card() must hold only text, numbers, booleans, lists and dicts")
    return dict(card)


def ask_check(plugin: SpacePlugin, tree: Tree, options: Mapping[str, Any]) -> list[Finding]:
    """Returns what a type finds wrong with a tree.

    Raises:
        PluginError: the plugin raised, or returned something else.
    """
    findings = _ask(plugin, "check", tree, options)
    if not isinstance(findings, list) or not all(isinstance(finding, Finding) for finding in findings):
        raise broken(plugin, "check() must return a list of Finding")
    return findings


def ask_templates(plugin: SpacePlugin) -> list[Template]:
    """Returns the starter apps of a type.

    Raises:
        PluginError: the plugin raised, or returned something else or two of one name.
    """
    templates = _ask(plugin, "templates")
    if not isinstance(templates, list) or not all(isinstance(template, Template) for template in templates):
        raise broken(plugin, "templates() must return a list of Template")
    names = [template.name for template in templates]
    if len(set(names)) != len(names):
        raise broken(plugin, f"templates() returned two of the name {max(names, key=names.count)}")
    for template in templates:
        if not (isinstance(template.parameters, type) and issubclass(template.parameters, ma.Schema)):
            raise broken(plugin, f"the parameters of template {template.name} must be a marshmallow Schema")
        try:
            json_schema(template.parameters())
        # The schema is the stranger's.
        except Exception as problem:
            raise broken(
                plugin, f"the parameters of template {template.name} raised {type(problem).__name__}"
            ) from problem
        if not _checked_files(plugin, f"template {template.name}", list(template.files)):
            raise broken(plugin, f"template {template.name} has no files")
    return templates


def ask_requirements(plugin: SpacePlugin) -> str:
    """Returns what a plugin needs to run, as lines of a requirements file.

    Raises:
        PluginError: the plugin raised, or returned something else than text.
    """
    text = _ask(plugin, "get_requirements")
    if not isinstance(text, str):
        raise broken(plugin, "get_requirements() must return text")
    return text


def probe(plugin: SpacePlugin) -> None:
    """Asks a plugin everything that can be asked without a request.

    Raises:
        PluginError: at the first broken word.
    """
    try:
        json_schema(plugin.options_schema)
        options: dict[str, Any] | None = dict(plugin.options_schema.load({}))
    except ma.ValidationError:
        # An option without a default has to come with the request.
        options = None
    # The schema is the stranger's, too.
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
    """Returns the error of a plugin that broke its word."""
    return PluginError(f"The plugin {plugin.space_type} {plugin.version} is broken: {what}.")


def _checked_files(plugin: SpacePlugin, what: str, files: Any) -> list[SpaceFile]:
    if not isinstance(files, list) or not all(
        isinstance(file, SpaceFile) and isinstance(file.path, str) and isinstance(file.source, bytes) for file in files
    ):
        raise broken(plugin, f"{what} must return a list of SpaceFile with str paths and bytes")
    wrong = [finding for file in files for finding in check_path(file.path)]
    wrong += check_collisions(file.path for file in files)
    if wrong or len({file.path for file in files}) != len(files):
        raise broken(plugin, f"{what} returned a path that no Space may have, or one path twice")
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
        # The plugin wanted to read a file of the caller's that is too large for that.
        raise
    # A stranger's code may raise anything, and ask to leave; its text may hold what is not for callers.
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
