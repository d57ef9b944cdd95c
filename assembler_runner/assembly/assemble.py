"""The pure core: plugin, options, parameters and given files → the tree of a Space, and findings.

No database, no network, no clock, no randomness: the same input gives the same bytes. The preview, the real run, the
tests and the documentation all call :func:`assemble`.
"""

from __future__ import annotations

import hashlib
import io
import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import marshmallow as ma

from assembler_runner.assembly import python_source
from assembler_runner.assembly.card import README, GivenCard, complete_readme, read_card
from assembler_runner.assembly.plugin_contract import ask_card, ask_check, ask_defaults, ask_templates
from assembler_runner.core.errors import Finding, Severity
from assembler_runner.core.validation import flatten_messages
from assembler_runner.files.content import Content
from assembler_runner.files.paths import check_collisions, check_path, field_of
from assembler_runner.plugin import SpaceFile, SpacePlugin, Template, Tree

MAX_PARAMETER_DEPTH = 60
"""Parameters become a Python literal, and Python's own parser accepts at most 100 levels of brackets."""

MAX_SOURCE_BYTES = 2 * 2**20
"""Largest file that is parsed as source code or as a card; parsing takes many times its size in memory."""

_TEXT_FOR_BROWSERS = (".html", ".htm", ".js", ".mjs")


@dataclass(frozen=True)
class Assembly:
    """The result of :func:`assemble`.

    Args:
        tree: all files as they are published.
        findings: all problems; a tree with a finding of severity `error` must not be published.
        invalid_input: paths, parameters or options are invalid, so the tree contains the given files only.
    """

    tree: Tree
    findings: list[Finding]
    invalid_input: bool = False

    @property
    def errors(self) -> list[Finding]:
        """The findings that prevent publishing."""
        return [finding for finding in self.findings if finding.severity == "error"]


def assemble(
    plugin: SpacePlugin,
    files: Mapping[str, bytes | Content],
    *,
    options: Mapping[str, Any] | None = None,
    parameters: Mapping[str, Any] | None = None,
    name: str | None = None,
    template: str | None = None,
) -> Assembly:
    """Assembles the tree of a Space.

    Args:
        plugin: the plugin of the space type.
        files: the given files: path → bytes, or a reference to stored content.
        options: the type's options as given, not validated yet.
        parameters: the value of `PARAMS`; None if none were given.
        name: the requested name of the Space; the default title.
        template: name of the starter app whose files are the base and whose parameters are validated; None for none.
    Returns:
        The tree and all findings at once.
    Raises:
        PluginError: the plugin violated its contract.
    """
    findings = check_input(files, parameters)
    starter, template_problems = find_template(plugin, template)
    given = {path: SpaceFile(path, content, "given") for path, content in files.items()}
    own = {file.path: file for file in starter.files} | given if starter else given
    card, card_problems = read_given_card(own.get(README))
    checked, problems = check_options(plugin, options or {}, card)
    findings += problems
    invalid_input = bool(findings)
    findings += template_problems + card_problems
    if starter is not None:
        parameters, problems = check_template_parameters(starter, parameters)
        findings += problems
    if findings:
        return Assembly(Tree(given), findings, invalid_input)

    tree: dict[str, SpaceFile] = {}
    for file in own.values():
        tree[file.path], noticed = _own_file(file, parameters, checked.get("app_file"))
        findings += noticed
    if parameters is not None:
        findings += _add_parameter_files(plugin, tree, parameters)
    for file in ask_defaults(plugin, checked):
        tree.setdefault(file.path, file)
    findings += _add_card(plugin, tree, checked, card, name)
    findings += check_collisions(tree)
    whole = Tree(tree)
    findings += ask_check(plugin, whole, checked)
    return Assembly(whole, findings)


def check_input(files: Iterable[str], parameters: Any) -> list[Finding]:
    """Finds invalid paths and parameters, which prevent a tree of any type.

    Args:
        files: the paths of the given files.
        parameters: the parameters as given.
    """
    problems = {path: check_path(path) for path in files}
    return [
        *(finding for found in problems.values() for finding in found),
        *check_collisions(path for path, found in problems.items() if not found),
        *check_parameters(parameters),
    ]


def read_given_card(file: SpaceFile | None) -> tuple[GivenCard, list[Finding]]:
    """Reads the front matter of the given README, if there is one.

    Args:
        file: the README; None for none.
    Returns:
        The front matter, and a finding if the file is too large to be read.
    """
    if file is None:
        return GivenCard(), []
    if file.size > MAX_SOURCE_BYTES:
        message = f"{file.path} has {file.size} bytes; at most {MAX_SOURCE_BYTES} are allowed."
        return GivenCard(), [Finding("readme_too_large", message, path=field_of(file.path), hint="Shorten the file.")]
    return read_card(file.content), []


def check_parameters(parameters: Any) -> list[Finding]:
    """Finds parameters nested deeper than Python's parser accepts, and numbers that JSON cannot represent."""
    findings = []
    level, depth = [parameters], 0
    while level:
        depth += 1
        if any(isinstance(value, float) and not math.isfinite(value) for value in level):
            message = "The parameters contain a number that is infinite or not a number."
            hint = "Send numbers up to 1.7e308, or the value as a string."
            findings = [Finding("number_out_of_range", message, path="parameters", hint=hint)]
        level = [
            child
            for value in level
            if isinstance(value, (dict, list))
            for child in (value.values() if isinstance(value, dict) else value)
        ]
    if depth > MAX_PARAMETER_DEPTH + 1:
        message = f"The parameters are nested more than {MAX_PARAMETER_DEPTH} levels deep."
        hint = "Send a flatter object, or put the data into a file."
        findings.append(Finding("too_deep", message, path="parameters", hint=hint))
    return findings


def find_template(plugin: SpacePlugin, name: str | None) -> tuple[Template | None, list[Finding]]:
    """Finds the starter app of that name.

    Args:
        plugin: the plugin of the space type.
        name: the name of the template, or None.
    Returns:
        The template, None without a name or if it does not exist; and a finding if it does not exist.
    """
    if name is None:
        return None, []
    templates = {template.name: template for template in ask_templates(plugin)}
    if name in templates:
        return templates[name], []
    hint = f"Use one of: {', '.join(templates)}." if templates else "This type has no templates."
    message = f"The type {plugin.space_type} has no template {name}."
    return None, [Finding("unknown_template", message, path="template", hint=hint)]


def check_template_parameters(
    template: Template, parameters: Mapping[str, Any] | None
) -> tuple[Mapping[str, Any] | None, list[Finding]]:
    """Validates the parameters of a starter app and fills in its defaults.

    Args:
        template: the starter app.
        parameters: the parameters as given.
    Returns:
        The parameters as JSON, and one finding per problem.
    """
    schema = template.parameters(unknown=ma.RAISE)
    try:
        return dict(schema.dump(schema.load(dict(parameters or {})))), []
    except ma.ValidationError as problem:
        return parameters, flatten_messages(problem.messages, "parameters", sorted(schema.fields))


def check_options(
    plugin: SpacePlugin, options: Mapping[str, Any], card: GivenCard
) -> tuple[dict[str, Any], list[Finding]]:
    """Validates the options of a type; values from the given README fill in missing options.

    Args:
        plugin: the plugin of the space type.
        options: the options as given.
        card: the front matter of the given README.
    Returns:
        The validated options with all defaults, and one finding per problem.
    """
    schema = plugin.options_schema
    asked = dict(options)
    for name, field in schema.fields.items():
        value = card.values.get(field.metadata.get("card", ""))
        if isinstance(value, float):
            value = str(value)  # YAML reads python_version: 3.12 as a number
        if value is not None and name not in asked and not schema.validate({name: value}, partial=True):
            asked[name] = value
    try:
        return dict(schema.load(asked)), []
    except ma.ValidationError as problem:
        return {}, flatten_messages(problem.messages, "options", sorted(schema.fields))


def _own_file(
    file: SpaceFile, parameters: Mapping[str, Any] | None, app_file: str | None
) -> tuple[SpaceFile, list[Finding]]:
    path = file.path
    if not path.endswith(".py"):
        return file, []
    if file.size > MAX_SOURCE_BYTES:
        message = f"{path} has {file.size} bytes, too many to be checked and to receive PARAMS."
        hint = f"Keep Python files below {MAX_SOURCE_BYTES} bytes, and data in files of other types."
        return file, [Finding("source_too_large", message, "warning", path, hint=hint)]
    findings, content = [], file.content
    broken = python_source.syntax_error(content)
    if broken is not None:
        what, line = broken
        severity: Severity = "error" if path == app_file else "warning"
        message = f"{path} is not valid Python: {what}."
        findings.append(Finding("syntax_error", message, severity, path, line, "Fix the line and send the file again."))
    facts = python_source.facts(content)
    if facts.binds and parameters is not None:
        message = f"{path} assigns PARAMS itself, so the parameters were not inserted."
        hint = "Remove that assignment to get the parameters of the request."
        findings.append(Finding("params_bound", message, "warning", path, hint=hint))
    elif not facts.binds and (parameters is not None or facts.uses):
        return SpaceFile(path, _with_parameters(file, parameters or {}), file.origin), findings
    return file, findings


def _with_parameters(file: SpaceFile, parameters: Mapping[str, Any]) -> bytes | Content:
    """Inserts the parameters; content that is not in memory is generated anew each time it is read."""
    made = python_source.insert_parameters(file.content, parameters)
    if isinstance(file.source, bytes):
        return made
    again = lambda: io.BytesIO(python_source.insert_parameters(file.content, parameters))  # noqa: E731 - short
    return Content(hashlib.sha256(made).hexdigest(), len(made), again)


def _add_parameter_files(
    plugin: SpacePlugin, tree: dict[str, SpaceFile], parameters: Mapping[str, Any]
) -> list[Finding]:
    """Adds the parameters for code that is not Python: params.json, and params.js for pages."""
    own = list(tree.values())
    if not plugin.parameter_files and any(file.path.endswith(".py") for file in own):
        return []
    text = json.dumps(dict(parameters), indent=2)
    made = [SpaceFile("params.json", (text + "\n").encode(), "generated")]
    if plugin.sdk == "static":
        # A page may be inlined into HTML by a build; </script> inside a string would end it there.
        # In a literal the key __proto__ would set the prototype.
        value = f"JSON.parse({json.dumps(text)})" if '"__proto__"' in text else text
        script = f"window.PARAMS = {value};\n".replace("<", "\\u003c")
        made.append(SpaceFile("params.js", script.encode(), "generated"))
    findings = []
    for file in made:
        if file.path in tree:
            message = f"{file.path} was sent, so the parameters were not written to it."
            hint = "Leave the file out to get it generated."
            findings.append(Finding("params_bound", message, "warning", file.path, hint=hint))
        tree.setdefault(file.path, file)
    pages = (file for file in own if file.path.endswith(_TEXT_FOR_BROWSERS) and file.size <= MAX_SOURCE_BYTES)
    if plugin.sdk == "static" and not any(b"params.js" in page.content for page in pages):
        message = "No page loads the parameters."
        hint = 'Add <script src="params.js"></script> to the page and read window.PARAMS.'
        findings.append(Finding("params_not_loaded", message, "info", "params.js", hint=hint))
    return findings


def _add_card(
    plugin: SpacePlugin, tree: dict[str, SpaceFile], options: Mapping[str, Any], given: GivenCard, name: str | None
) -> list[Finding]:
    card = ask_card(plugin, options)
    title = card.pop("title", None) or name or f"{plugin.space_type.capitalize()} Space"
    present = tree.get(README)
    values = {"title": title, "sdk": plugin.sdk, **card}
    content, findings = complete_readme(present.content if present else b"", given, values)
    tree[README] = SpaceFile(README, content, present.origin if present else "generated")
    return findings
