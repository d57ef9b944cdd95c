"""For authors of plugins: a skeleton to start from, and a check of all rules with a hint for each problem."""

from __future__ import annotations

import importlib
import json
import re
import traceback
from functools import partial
from pathlib import Path

import marshmallow as ma

from assembler_runner.assembly.assemble import assemble
from assembler_runner.assembly.plugin_contract import ask_templates
from assembler_runner.assembly.registry import Registry, reason
from assembler_runner.core.errors import AssemblerError, Finding, InvalidRequest
from assembler_runner.plugin import SpacePlugin

_NAME = re.compile(r"[a-z][a-z0-9-]{0,49}")

_MODULE = '''"""Space type `{name}`: one sentence on what it is."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import marshmallow as ma

from assembler_runner.plugin import (
    CommonOptions,
    Finding,
    Recognition,
    SpaceFile,
    SpacePlugin,
    Template,
    Tree,
    app_file_missing,
    app_file_option,
    on_card,
    python_dockerfile,
)


class HelloParameters(ma.Schema):
    """Parameters of the template `hello`; the app finds them in PARAMS."""

    user = ma.fields.String(load_default="you", metadata={{"description": "Who is greeted."}})


class {cls}(SpacePlugin):
    """Runs a Python file in a container."""

    space_type = "{name}"
    version = "0.1.0"
    sdk = "docker"
    description = "One sentence for people who choose a type."
    tags = ("python",)
    # Files of this type are recognized, where a request names no type, by a module that the app file imports.
    recognition = Recognition(imports=("{module}",))

    class Options(CommonOptions):
        """Options of this type: checked on POST, shown in GET /space-types."""

        app_file = app_file_option("app.py", card=False)
        app_port = ma.fields.Integer(
            strict=True,
            load_default=7860,
            validate=ma.validate.Range(1, 65535),
            metadata=on_card("app_port", "Port the app listens on."),
        )

    def templates(self) -> list[Template]:
        """Returns the starter apps; their files are below templates/."""
        return [self.template("hello", "A page that says hello.", HelloParameters)]

    def defaults(self, options: Mapping[str, Any]) -> list[SpaceFile]:
        """Returns the files below defaults/ and a Dockerfile."""
        dockerfile = python_dockerfile("3.12", options["app_port"], ["python", options["app_file"]])
        return [*super().defaults(options), dockerfile]

    def check(self, tree: Tree, options: Mapping[str, Any]) -> list[Finding]:
        """Checks the finished tree; returns one finding per problem."""
        return app_file_missing(tree, options["app_file"], self.space_type)
'''

_EXAMPLE = """from http.server import HTTPServer, SimpleHTTPRequestHandler

print("Hello", PARAMS["user"])
HTTPServer(("0.0.0.0", 7860), SimpleHTTPRequestHandler).serve_forever()
"""


def write_skeleton(folder: Path, name: str) -> Path:
    """Writes a plugin that passes every check.

    Args:
        folder: the plugin folder; created if missing.
        name: name of the space type.
    Returns:
        The folder of the plugin.
    Raises:
        InvalidRequest: the name is not allowed, or the folder already exists.
    """
    if not _NAME.fullmatch(name):
        raise InvalidRequest(
            f"{name!r} is not a valid name of a space type.", hint="Use lower-case letters, digits and '-'."
        )
    package = folder / name.replace("-", "_")
    if package.exists():
        raise InvalidRequest(f"{package} already exists.", hint="Choose another name, or remove the folder.")
    (package / "defaults").mkdir(parents=True)
    example = package / "examples" / "hello"
    (example / "files").mkdir(parents=True)
    (package / "templates" / "hello").mkdir(parents=True)
    (package / "templates" / "hello" / "app.py").write_text(_EXAMPLE, encoding="utf-8")
    cls = "".join(part.capitalize() for part in name.split("-")) + "Plugin"
    (package / "__init__.py").write_text(_MODULE.format(name=name, cls=cls, module=package.name), encoding="utf-8")
    (package / "defaults" / "requirements.txt").write_text("# Requirements of the app.\n", encoding="utf-8")
    (example / "request.json").write_text(json.dumps({"parameters": {"user": "x"}}) + "\n", encoding="utf-8")
    (example / "files" / "app.py").write_text(_EXAMPLE, encoding="utf-8")
    return package


def check_plugin(package: Path) -> list[Finding]:
    """Checks a plugin: it loads; names, options, defaults, card and templates are valid; its examples assemble.

    Args:
        package: the folder of the plugin.
    Returns:
        One finding per problem; empty if there are none.
    """
    importlib.invalidate_caches()
    registry = Registry()
    registry.load_folder(package)
    findings = [
        Finding("broken_plugin", record.error or "", path=record.name, hint="Correct it; nothing else was checked.")
        for record in registry.records
        if record.state == "broken"
    ]
    if not (package / "__init__.py").is_file():
        return [Finding("no_package", f"{package} has no __init__.py.", hint="Name the folder of one plugin.")]
    for plugin in registry.all():
        for check in (_check_texts, _check_templates, partial(_check_examples, package=package)):
            try:
                findings += check(plugin)
            except AssemblerError as problem:
                findings.append(_explained(problem, plugin.space_type, package))
    return findings


def _explained(problem: AssemblerError, where: str, package: Path) -> Finding:
    """What an error was, for the author: with the exception, its text, and its line in the plugin."""
    cause: BaseException | None = problem
    lines: list[traceback.FrameSummary] = []
    while cause is not None and not lines:
        frames = traceback.extract_tb(cause.__traceback__)
        lines = [frame for frame in frames if Path(frame.filename).is_relative_to(package.resolve())]
        cause = cause.__cause__
    if not lines:
        return Finding(problem.code, problem.message, path=where, hint=problem.hint)
    place = Path(lines[-1].filename).relative_to(package.resolve()).as_posix()
    hint = f"The line is: {lines[-1].line}" if lines[-1].line else problem.hint
    return Finding(problem.code, f"{where}: {reason(problem)}", path=place, line=lines[-1].lineno, hint=hint)


def _check_texts(plugin: SpacePlugin) -> list[Finding]:
    name = plugin.space_type
    findings = []
    if not plugin.description.strip():
        findings.append(Finding("no_description", "It has no description.", "warning", name, hint="Set description."))
    for option, field in plugin.options_schema.fields.items():
        if not field.metadata.get("description"):
            hint = 'Give the field metadata={"description": "…"}.'
            findings.append(
                Finding("no_description", f"The option {option} has no description.", "warning", name, hint=hint)
            )
    try:
        plugin.options_schema.load({})
    except ma.ValidationError as problem:
        missing = ", ".join(sorted(map(str, problem.messages)))
        message = f"A request without options is rejected because of {missing}."
        findings.append(Finding("required_option", message, "warning", name, hint="Give the option a load_default."))
    return findings


def _check_templates(plugin: SpacePlugin) -> list[Finding]:
    findings = []
    for template in ask_templates(plugin):
        where = f"{plugin.space_type}, template {template.name}"
        if not template.description.strip():
            findings.append(Finding("no_description", "It has no description.", "warning", where, hint="Set it."))
        findings += _assembles(plugin, where, {}, {"template": template.name}, plugin.folder)
    return findings


def _check_examples(plugin: SpacePlugin, package: Path) -> list[Finding]:
    findings = []
    for request in sorted(package.glob("examples/*/request.json")):
        body = json.loads(request.read_text(encoding="utf-8"))
        if body.get("space_type", plugin.space_type) != plugin.space_type:
            continue
        root = request.parent / "files"
        files = {path.relative_to(root).as_posix(): path.read_bytes() for path in root.rglob("*") if path.is_file()}
        wanted = {name: body[name] for name in ("options", "parameters", "name", "template") if name in body}
        findings += _assembles(plugin, f"{plugin.space_type}, example {request.parent.name}", files, wanted, package)
    return findings


def _assembles(
    plugin: SpacePlugin, where: str, files: dict[str, bytes], wanted: dict[str, object], package: Path
) -> list[Finding]:
    try:
        first, second = (assemble(plugin, files, **wanted) for _ in range(2))  # type: ignore[arg-type]  # from JSON
    except AssemblerError as problem:
        return [_explained(problem, where, package)]
    findings = [
        Finding(finding.code, finding.message, finding.severity, where, finding.line, finding.hint)
        for finding in first.findings
        if finding.severity != "info"
    ]
    if first.tree.digest != second.tree.digest:
        message = "Assembling it twice gives different files."
        findings.append(Finding("not_deterministic", message, path=where, hint="Do not use the time or random values."))
    return findings
