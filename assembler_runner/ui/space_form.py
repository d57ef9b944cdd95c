"""Reads the form of a new Space: typed fields, files of all kinds, variables and secrets."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from keyword import iskeyword
from typing import Any

from flask import current_app

from assembler_runner.api.http.json_body import parse_json
from assembler_runner.api.types import describe
from assembler_runner.api.uploads import Parts
from assembler_runner.core.errors import Finding, InvalidJson
from assembler_runner.files.content import Content
from assembler_runner.services import current_services
from assembler_runner.targets.realm_targets import HUB
from assembler_runner.ui.space_files import without_folder

FILE = "file."
"""Prefix of the fields with the text of a file."""
OPTION, PARAMETER = "option.", "parameter."

_PLAIN = ("name", "namespace", "target", "visibility", "hardware", "as")


@dataclass
class SpaceForm:
    """A form of a new Space as it was sent.

    Args:
        values: name of a field → text, to show the form again.
        texts: path → text of the files that were typed.
        body: the body of the Space request.
        findings: problems of fields that are not part of the body.
        variables: name → value of the variables, to show the form again.
    """

    values: dict[str, str] = field(default_factory=dict)
    texts: dict[str, str] = field(default_factory=dict)
    body: dict[str, Any] = field(default_factory=dict)
    findings: list[Finding] = field(default_factory=list)
    variables: dict[str, str] = field(default_factory=dict)

    @property
    def files(self) -> dict[str, Any]:
        """Path → content of the files that were sent."""
        files: dict[str, Any] = self.body.setdefault("files", {})
        return files


def read_form(parts: Parts) -> SpaceForm:
    """Returns the Space request that a form describes."""
    form = SpaceForm()
    pairs: list[tuple[str, str]] = list(parts.texts)
    form.values = dict(pairs)
    body, values = form.body, form.values
    type_name, _, template = values.get("template", "").rpartition("/")
    if template and not values.get("space_type"):
        values["space_type"] = type_name
    if values.get("space_type"):
        body["space_type"] = values["space_type"]
    if template and type_name == values["space_type"]:
        body["template"] = template
    body |= {name: values[name].strip() for name in _PLAIN if values.get(name, "").strip()}
    if values.get("as"):
        body.setdefault("target", HUB)
    _read_typed(form, type_of(values.get("space_type", "")), body.get("template"))
    if labels := [label.strip() for label in values.get("labels", "").split(",") if label.strip()]:
        body["labels"] = labels
    if values.get("expires_at"):
        body["expires_at"] = f"{values['expires_at']}:00+00:00"
    if values.get("sleep_time", "").strip():
        body["sleep_time"] = _typed("integer", values["sleep_time"])
    for kind in ("variables", "secrets"):
        if given := _named(pairs, kind):
            body[kind] = given
    if values.get("fixes") == "safe":
        body["fixes"] = "safe"
    if allowed := [value for name, value in pairs if name == "allow"]:
        body["allow"] = allowed
    form.variables = dict(body.get("variables", {}))
    _read_files(form, pairs, parts)
    return form


def _read_files(form: SpaceForm, pairs: Iterable[tuple[str, str]], parts: Parts) -> None:
    for name, text in pairs:
        if name.startswith(FILE) and name != FILE:
            form.texts[name.removeprefix(FILE)] = text.replace("\r\n", "\n")
    path = form.values.get("path", "").strip()
    if path:
        form.texts[path] = form.values.get("content", "").replace("\r\n", "\n")
    uploads: dict[str, Content] = {}
    for part in parts.files:
        if part.field == "archive":
            form.body["archive"] = part.content
        elif part.filename:
            uploads[part.filename] = part.content
    # A module of the page names the files in the parts themselves, without the folder they are from.
    named = uploads if form.values.get("paths") == "exact" else without_folder(uploads)
    files = {**named, **form.texts}
    if files or not form.body.keys() & {"archive", "template"}:
        form.body["files"] = files


def _read_typed(form: SpaceForm, space_type: Mapping[str, Any] | None, template: str | None) -> None:
    """Reads options and parameters, whose types their JSON Schema names."""
    options = space_type["options"] if space_type else {}
    if found := _by_schema(form.values, OPTION, options):
        form.body["options"] = found
    starter = template_of(space_type, template)
    if starter is not None:
        if found := _by_schema(form.values, PARAMETER, starter["parameters"]):
            form.body["parameters"] = found
        return
    text = form.values.get("parameters", "").strip()
    if not text:
        return
    try:
        form.body["parameters"] = parse_json(text)
    except InvalidJson:
        hint = 'Write an object such as {"user": "Ann"}.'
        form.findings.append(
            Finding("invalid_json", "The parameters are not valid JSON.", path="parameters", hint=hint)
        )


def _by_schema(values: Mapping[str, str], prefix: str, schema: Mapping[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, rule in schema.get("properties", {}).items():
        kind, text = _kind(rule), values.get(prefix + name, "")
        if kind == "boolean":
            if text:
                found[name] = text == "true"
        elif text.strip():
            found[name] = _typed(kind, text)
    return found


def _kind(rule: Mapping[str, Any]) -> str:
    kind = rule.get("type", "object")
    return str(next((each for each in kind if each != "null"), "string") if isinstance(kind, list) else kind)


def _typed(kind: str, text: str) -> Any:
    """Returns the value that a text stands for; the text itself if it is not of that kind, for the check to refuse."""
    text = text.replace("\r\n", "\n")
    if kind == "array":
        words = [line.strip() for line in text.replace(",", "\n").split("\n") if line.strip()]
        return _parsed(text, list, words)
    if kind in ("integer", "number"):
        return _parsed(text, (int, float), text)
    if kind == "object":
        return _parsed(text, dict, text)
    return text


def _parsed(text: str, kinds: Any, otherwise: Any) -> Any:
    try:
        value = parse_json(text)
    except InvalidJson:
        return otherwise
    return value if isinstance(value, kinds) and not isinstance(value, bool) else otherwise


def shown_value(value: Any) -> str:
    """Returns the text of a field for a value."""
    if isinstance(value, list):
        return "\n".join(value) if all(isinstance(each, str) for each in value) else json.dumps(value)
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _named(pairs: Iterable[tuple[str, str]], kind: str) -> dict[str, str]:
    """Returns the rows of names and values of a kind; rows without a name are left out."""
    names = [value.strip() for name, value in pairs if name == f"{kind}_name"]
    values = [value for name, value in pairs if name == f"{kind}_value"]
    return {name: value for name, value in zip(names, values, strict=False) if name}


def types() -> list[dict[str, Any]]:
    """Returns the types of Spaces with their options and starter apps."""
    return [describe(plugin) for plugin in current_services().registry.types()]


PLUGIN_PAGES = "/ui/plugins/"
"""Where the pages of plugins are: `/ui/plugins/{name}@{version}/`."""


def pages_of_types() -> dict[str, str]:
    """Returns the address of the first page of each type whose plugin has one."""
    found = {str(rule) for rule in current_app.url_map.iter_rules() if str(rule).startswith(PLUGIN_PAGES)}
    addresses = {
        plugin.space_type: f"{PLUGIN_PAGES}{plugin.space_type}@{plugin.version}/"
        for plugin in current_services().registry.types()
    }
    return {name: address for name, address in addresses.items() if address in found}


def type_of(name: str) -> dict[str, Any] | None:
    """Returns one type; None without it."""
    plugin = current_services().registry.get(name) if name else None
    return describe(plugin) if plugin is not None else None


def template_of(space_type: Mapping[str, Any] | None, name: str | None) -> dict[str, Any] | None:
    """Returns a starter app of a type; None without it."""
    starters: list[dict[str, Any]] = list(space_type["templates"]) if space_type and name else []
    return next((each for each in starters if each["name"] == name), None)


def same_elsewhere(body: Mapping[str, Any], url: str) -> dict[str, str]:
    """Returns how a program does the same: with the command line, with Python, and with curl."""
    fields = {
        name: value for name, value in body.items() if name not in ("files", "archive", "secrets", "allow", "fixes")
    }
    secret_names = sorted(body.get("secrets", {}))
    return {"cli": _cli(fields, secret_names), "python": _python(fields, secret_names, url), "curl": _curl(fields, url)}


_FLAGS = {
    "space_type": "-t", "name": "--name", "namespace": "--namespace", "target": "--target", "template": "--template",
    "as": "--as", "visibility": "--visibility", "hardware": "--hardware", "sleep_time": "--sleep-time",
}  # fmt: skip


def _cli(fields: Mapping[str, Any], secrets: list[str]) -> str:
    words = ["assembler create" + ("" if "template" in fields else " my-folder")]
    words += [f"{flag} {_shell(fields[name])}" for name, flag in _FLAGS.items() if name in fields]
    for kind, flag in (("parameters", "-p"), ("options", "-o"), ("variables", "-v")):
        given = fields.get(kind)
        items = given.items() if isinstance(given, dict) else ()
        words += [
            f"{flag} {_shell(f'{name}={value if isinstance(value, str) else json.dumps(value)}')}"
            for name, value in items
        ]
    words += [f"-s {name}" for name in secrets]
    words += [f"--label {_shell(label)}" for label in fields.get("labels", [])]
    return " \\\n  ".join(words)


def _python(fields: Mapping[str, Any], secrets: list[str], url: str) -> str:
    given = [f"**{{{name!r}: {value!r}}}" if iskeyword(name) else f"{name}={value!r}" for name, value in fields.items()]
    given += [f"secrets={{{', '.join(f'{name!r}: …' for name in secrets)}}}"] if secrets else []
    source = "{}" if "template" in fields else '"my-folder"'
    call = ",\n        ".join([source, *given])
    return (
        f'with Assembler({url!r}, ("admin", "…")) as assembler:\n'
        f"    space = assembler.deploy(\n        {call},\n    )\n    print(space.url)"
    )


def _curl(fields: Mapping[str, Any], url: str) -> str:
    body = json.dumps(fields, ensure_ascii=False)
    files = "" if "template" in fields else " \\\n  -F 'archive=@my-folder.zip'"
    return f'curl {url}/spaces -H "Authorization: Bearer $TOKEN" \\\n  -F {_shell(f"body={body}")}{files}'


def _shell(value: Any) -> str:
    return shlex.quote(str(value))
