"""Sentences of a cause: templates with captured text, quoted, and with words of our own, as they are."""

from __future__ import annotations

import re
from collections.abc import Mapping

from assembler_runner.runtime.causes.context import Context
from assembler_runner.runtime.causes.modules import project_of
from assembler_runner.runtime.causes.package_names import package_of_library, package_of_program
from assembler_runner.runtime.causes.text import cut, quote

DEFAULTS: Mapping[str, str] = {
    "argument": "of that name",
    "command": "see the log",
    "component": "the component",
    "distribution": "the package",
    "error": "see the log",
    "exit": "an error",
    "field": "a field",
    "file": "a file",
    "given": "one",
    "have": "another one",
    "header": "a header file",
    "host": "of the service",
    "library": "that the log names",
    "model": "that the log names",
    "module": "that the log names",
    "name": "name like this",
    "need": "another one",
    "package": "that the log names",
    "port": "see the log",
    "process": "of the app",
    "program": "that the log names",
    "requirement": "of that name",
    "resource": "that the log names",
    "said": "see the log",
    "script": "of that name",
    "symbol": "see the log",
    "table": "of that name",
    "variable": "that the log names",
    "written": "another one",
}
"""What is written where a name was not captured."""

_NUMBERED = re.compile(r"\d+$")


def captured(groups: Mapping[str, str | None]) -> dict[str, str]:
    """Returns what a match has captured; numbers behind the name of a group tell alternatives apart."""
    return {_NUMBERED.sub("", name): value for name, value in groups.items() if value}


def shown(values: Mapping[str, str]) -> dict[str, str]:
    """Returns captured values as the API shows them: cut, without control characters."""
    return {name: cut(value) for name, value in values.items()}


def fill(template: str, values: Mapping[str, str], own: Mapping[str, str]) -> str:
    """Fills a template: captured values are quoted and cut, our own words are not."""
    quoted = {name: quote(value) for name, value in values.items()}
    return template.format_map({**DEFAULTS, **quoted, **own})


def derived(values: Mapping[str, str], context: Context, text: str) -> dict[str, str]:
    """Returns our own words for what was captured: packages and how to install them."""
    own = {"opencv": "", "install": _install(None, context)}
    if module := values.get("module"):
        own["distribution"] = project_of(module) or DEFAULTS["distribution"]
    if library := values.get("library"):
        own["install"] = _install(package_of_library(library), context)
        if library.startswith(("libGL", "libgthread", "libSM", "libXext")) and ("cv2" in text or "opencv" in text):
            own["opencv"] = " Or use opencv-python-headless in place of opencv-python."
    if program := values.get("program"):
        own["install"] = _install(package_of_program(program), context)
    for program in ("tesseract", "pdftoppm", "dot", "java"):
        name = {"pdftoppm": "poppler", "dot": "graphviz"}.get(program, program)
        own[f"install_{name}"] = _install(package_of_program(program), context)
    if extra := values.get("extra"):
        own["extra_plain"] = extra
    return own


def _install(package: str | None, context: Context) -> str:
    if package is None:
        where = "apt-get in the Dockerfile" if context.is_docker else "packages.txt"
        return f"Find out which Debian package provides it (packages.debian.org) and install that ({where})."
    if context.is_docker:
        return f"Add RUN apt-get update && apt-get install -y {package} to the Dockerfile, before USER."
    return f"Add the line {package} to packages.txt."
