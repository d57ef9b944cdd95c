"""The options of a type: from the request, from the given README, and derived from the files."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import marshmallow as ma

from assembler_runner.assembly import python_source
from assembler_runner.assembly.card import GivenCard
from assembler_runner.assembly.preflight.context import HUB_PYTHON, Context
from assembler_runner.assembly.preflight.rules.docker_start import dockerfile_port
from assembler_runner.assembly.preflight.rules.requirements_packages import gradio_version
from assembler_runner.assembly.recognised import Recognised
from assembler_runner.core.errors import Finding
from assembler_runner.core.validation import flatten_messages
from assembler_runner.plugin import SpacePlugin


def check_options(
    plugin: SpacePlugin,
    options: Mapping[str, Any],
    card: GivenCard,
    context: Context | None = None,
    recognised: Recognised | None = None,
) -> tuple[dict[str, Any], list[Finding]]:
    """Validates the options of a type; missing ones are taken from the README, then derived from the files.

    Args:
        plugin: the plugin of the space type.
        options: the options as given, not validated yet.
        card: the front matter of the given README.
        context: the given files; None to derive no options from them.
        recognised: the kind of app recognized from the files, or None.
    Returns:
        The validated options with all defaults, and one finding per problem.
    """
    schema = plugin.options_schema
    asked = dict(options)
    for name, value in _from_card(schema, card).items():
        asked.setdefault(name, value)
    for name, value in (recognised.options if recognised is not None else {}).items():
        if name in schema.fields:
            asked.setdefault(name, value)
    if context is not None:
        for name, value in _from_files(plugin, context).items():
            if name in schema.fields and not schema.validate({name: value}, partial=True):
                asked.setdefault(name, value)
        if isinstance(asked.get("app_file"), str):
            asked["app_file"] = context.resolve(asked["app_file"]) or asked["app_file"]
    try:
        return dict(schema.load(asked)), []
    except ma.ValidationError as problem:
        return {}, flatten_messages(problem.messages, "options", sorted(schema.fields))


def check_given_options(plugin: SpacePlugin, options: Mapping[str, Any]) -> list[Finding]:
    """Validates only the options that are given, for requests whose tree cannot be assembled.

    Args:
        plugin: the plugin of the space type.
        options: the options as given.
    """
    schema = plugin.options_schema
    return flatten_messages(schema.validate(dict(options), partial=True), "options", sorted(schema.fields))


def _from_card(schema: ma.Schema, card: GivenCard) -> dict[str, Any]:
    found = {}
    for name, field in schema.fields.items():
        value = card.values.get(field.metadata.get("card") or field.metadata.get("from_card") or "")
        if isinstance(field, ma.fields.Integer) and isinstance(value, str) and value.strip().isdecimal():
            value = int(value)
        if isinstance(field, ma.fields.String) and isinstance(value, int) and not isinstance(value, bool):
            value = str(value)
        if value is not None and not schema.validate({name: value}, partial=True):
            found[name] = value
    return found


def _from_files(plugin: SpacePlugin, context: Context) -> dict[str, Any]:
    """Returns options that the files determine, such as the port of a Dockerfile."""
    if plugin.sdk == "docker":
        port = dockerfile_port(context)
        return {} if port is None else {"app_port": port}
    if plugin.sdk != "gradio":
        return {}
    version, python = gradio_version(context), _needed_python(context)
    return {
        **({} if version is None else {"sdk_version": version}),
        **({} if python is None else {"python_version": python}),
    }


def _needed_python(context: Context) -> str | None:
    """Returns the Python version that the given files need, if the Hub's own default is too old for them."""
    needed = HUB_PYTHON
    for path in context.python_paths:
        parsed = context.python(path)
        # The Hub's default can run what this Python can parse, except for rare cases that a finding reports.
        if parsed is None or parsed.broken is None:
            continue
        found = python_source.newer_syntax(parsed.source, HUB_PYTHON)
        if found is not None:
            needed = max(needed, found[0])
    return None if needed == HUB_PYTHON else f"{needed[0]}.{needed[1]}"
