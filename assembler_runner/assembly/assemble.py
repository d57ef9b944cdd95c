"""The pure core: plugin, options, parameters and given files → the tree of a Space, and findings.

No database, no network, no clock, no randomness: the same input gives the same bytes. The preview, the real run, the
tests and the documentation all call :func:`assemble`.
"""

from __future__ import annotations

import hashlib
import io
import json
import math
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import marshmallow as ma

from assembler_runner.assembly import python_source
from assembler_runner.assembly.card import README, GivenCard, complete_readme, read_card, with_sdk
from assembler_runner.assembly.container import DOCKERFILE, REQUIREMENTS, container_files, uses_requirements
from assembler_runner.assembly.options import check_options
from assembler_runner.assembly.plugin_contract import ask_card, ask_check, ask_defaults, ask_templates
from assembler_runner.assembly.preflight.check import check, combined
from assembler_runner.assembly.preflight.context import Context
from assembler_runner.assembly.preflight.quoting import quote
from assembler_runner.assembly.preflight.rules.card_keys import readme_of
from assembler_runner.assembly.recognise import recognise
from assembler_runner.assembly.recognised import Recognised
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
class Destination:
    """How a tree is published, as far as findings depend on it.

    Args:
        public: whether everyone may read the files.
        target: name of the target.
        hardware: the requested hardware, or None.
        variables: the variables of the Space.
    """

    public: bool = True
    target: str = "huggingface"
    hardware: str | None = None
    variables: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Assembly:
    """The result of :func:`assemble`.

    Args:
        tree: all files as they are published.
        findings: all problems; a tree with a finding of severity `error` must not be published.
        context: the context of the rules, for their fixes; None if the input is invalid.
        invalid_input: paths, parameters or options are invalid, so the tree contains the given files only.
    """

    tree: Tree
    findings: list[Finding]
    context: Context | None = None
    invalid_input: bool = False

    @property
    def errors(self) -> list[Finding]:
        """The findings that prevent publishing."""
        return [finding for finding in self.findings if finding.severity == "error"]


def assemble(
    plugin: SpacePlugin,
    files: Mapping[str, bytes | Content | SpaceFile],
    *,
    options: Mapping[str, Any] | None = None,
    parameters: Mapping[str, Any] | None = None,
    name: str | None = None,
    template: str | None = None,
    destination: Destination | None = None,
    recognised: Recognised | None = None,
) -> Assembly:
    """Assembles the tree of a Space.

    Args:
        plugin: the plugin of the space type.
        files: the given files: path → bytes, or a reference to stored content.
        options: the type's options as given, not validated yet.
        parameters: the value of `PARAMS`; None if none were given.
        name: the requested name of the Space; the default title.
        template: name of the starter app whose files are the base and whose parameters are validated; None for none.
        destination: how it is published; None for a public Space of a Hub.
        recognised: the kind of app recognized from the files; None if the request names the type.
    Returns:
        The tree and all findings at once.
    Raises:
        PluginError: the plugin violated its contract.
    """
    destination = destination or Destination()
    findings = check_input(files, parameters)
    starter, template_problems = find_template(plugin, template)
    given = _given_files(files)
    own = {file.path: file for file in starter.files} | given if starter else given
    card, card_problems = read_given_card(own.get(README))
    context = Context(
        # Files of a starter app are checked like given ones.
        {path: replace(file, origin="given") for path, file in own.items()},
        plugin.sdk,
        plugin.space_type,
        parameters=parameters,
        public=destination.public,
        target=destination.target,
        hardware=destination.hardware,
        variables=destination.variables,
    )
    if findings:
        return Assembly(Tree(given), findings, None, True)
    noted = _renamed_readme(files)
    if plugin.container is not None and DOCKERFILE not in own and recognised is None:
        recognised = _recognised(plugin, own)
    checked, problems = check_options(plugin, options or {}, card, context, recognised)
    invalid_input = bool(problems)
    findings += problems + template_problems + card_problems
    if starter is not None:
        parameters, problems = check_template_parameters(starter, parameters)
        findings += problems
    if findings:
        return Assembly(Tree(given), findings, None, invalid_input)

    tree: dict[str, SpaceFile] = {}
    for file in own.values():
        tree[file.path], noticed = _own_file(file, parameters, checked.get("app_file"), context)
        findings += noticed
    if parameters is not None:
        findings += _add_parameter_files(plugin, tree, parameters)
    for file in _missing_files(plugin, own, checked, recognised):
        tree.setdefault(file.path, file)
    findings += _add_card(plugin, tree, checked, card, name, frozenset(options or ()))
    findings += [*noted, *check_collisions(tree)]
    whole = Tree(tree)
    findings += ask_check(plugin, whole, checked)
    # The rules check files as they were given, so that lines and fixes refer to the sender's files.
    subject = context.extended({**tree, **context.files}, checked)
    found = [
        finding
        for finding in check(subject)
        # A type without the option decides itself what it starts with.
        if finding.code != "no_app_file" or "app_file" in plugin.options_schema.fields
    ]
    return Assembly(whole, combined(findings, found), subject)


def _given_files(files: Mapping[str, bytes | Content | SpaceFile]) -> dict[str, SpaceFile]:
    """Returns the given files; a README in another case is the README."""
    readme = readme_of(files)
    given = {}
    for path, source in files.items():
        place = README if path == readme else path
        given[place] = (
            SpaceFile(place, source.source, source.origin)
            if isinstance(source, SpaceFile)
            else SpaceFile(place, source, "given")
        )
    return given


def _renamed_readme(files: Iterable[str]) -> list[Finding]:
    readme = readme_of(files)
    if readme in (None, README):
        return []
    message = f"{quote(str(readme))} was taken as README.md, the only name that the Hub reads."
    return [Finding("readme_name", message, "info", README, hint="Name it README.md.")]


def _recognised(plugin: SpacePlugin, files: Mapping[str, SpaceFile]) -> Recognised:
    """Returns how an app of a known type is started."""
    if plugin.container != "any":
        return Recognised(plugin.space_type, "", framework=str(plugin.container))
    return recognise(files, [plugin.space_type])


def _missing_files(
    plugin: SpacePlugin,
    own: Mapping[str, SpaceFile],
    options: Mapping[str, Any],
    recognised: Recognised | None,
) -> list[SpaceFile]:
    defaults = {file.path: file for file in ask_defaults(plugin, options)}
    if plugin.sdk == "docker" and not uses_requirements(own):
        defaults.pop(REQUIREMENTS, None)
    if plugin.container is None or recognised is None:
        return list(defaults.values())
    made = container_files(plugin, own, defaults, options, recognised)
    return list((made if DOCKERFILE not in own else defaults | made).values())


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


def _own_file(
    file: SpaceFile, parameters: Mapping[str, Any] | None, app_file: str | None, context: Context
) -> tuple[SpaceFile, list[Finding]]:
    path = file.path
    if not path.endswith(".py"):
        return file, []
    if file.size > MAX_SOURCE_BYTES:
        message = f"{path} has {file.size} bytes, too many to be checked and to receive PARAMS."
        hint = f"Keep Python files below {MAX_SOURCE_BYTES} bytes, and data in files of other types."
        return file, [Finding("source_too_large", message, "warning", path, hint=hint)]
    findings, content = [], file.content
    parsed = context.python(path)
    is_parsed = parsed is not None and parsed.is_parsed
    broken = None if is_parsed else python_source.syntax_error(content)
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
    plugin: SpacePlugin,
    tree: dict[str, SpaceFile],
    options: Mapping[str, Any],
    given: GivenCard,
    name: str | None,
    asked: Collection[str],
) -> list[Finding]:
    if plugin.sdk == "flame":
        # An analysis is no Space of a Hub that reads cards.
        return []
    card = ask_card(plugin, options)
    title = card.pop("title", None) or name or f"{plugin.space_type.capitalize()} Space"
    present = tree.get(README)
    if present is not None and present.origin == "adopted" and given.values.get("sdk") == plugin.sdk and not asked:
        # The Space runs with this card; the service's defaults would change it.
        return []
    values = {"title": title, "sdk": plugin.sdk, **card}
    readme = present.content if present else b""
    readme, given = with_sdk(readme, given, plugin.space_type, plugin.sdk)
    content, findings = complete_readme(readme, given, values, asked)
    tree[README] = SpaceFile(README, content, present.origin if present else "generated")
    return findings
