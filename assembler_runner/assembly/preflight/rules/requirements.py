"""requirements.txt: lines that pip cannot read or fulfil (pip documentation, requirements file format)."""

from __future__ import annotations

import re
from collections.abc import Iterator

from packaging.requirements import InvalidRequirement, Requirement

from assembler_runner.assembly.preflight.context import Context
from assembler_runner.assembly.preflight.declaration import Found, rule
from assembler_runner.assembly.preflight.quoting import clean, quote
from assembler_runner.assembly.preflight.requirement_fixes import at_line, drop_line, lines_of, replace_line
from assembler_runner.assembly.preflight.requirement_lines import RequirementLine
from assembler_runner.assembly.preflight.tables import (
    CONDA_ONLY,
    PYTHON_PACKAGE_NAMES,
    STDLIB,
    STDLIB_ON_INDEX,
)
from assembler_runner.core.fixes import Fix

_PIP_COMMAND = re.compile(r"^[!%$>\s]*(?:sudo\s+)?(?:python3?\s+-m\s+)?pip3?\s+install\s+(.+)$", re.I)


_PIP_FLAGS = re.compile(
    r"\s(?:-U|--upgrade|-q|--quiet|--user|--no-cache-dir|--break-system-packages|-y|--no-deps)(?=\s)"
)


_CONDA_LINE = re.compile(r"^([A-Za-z0-9_.-]+)=([0-9][\w.!]*)(?:=[\w.]+)?$")


_CONDA_TABLE = re.compile(r"^([A-Za-z0-9_.-]+)\s+([0-9][\w.]*)\s+(?:py\S*|h?[0-9a-f_]+\S*|pypi_0)(?:\s+\S+)?$")


_PIP_TABLE = re.compile(r"^([A-Za-z0-9][A-Za-z0-9_.-]*)[ \t]+([0-9][\w.]*)$")


_OWN_COMPUTER = re.compile(r"(?i)\bfile:|^/(?!app/)|(?<![a-z])[a-z]:[\\/]")


_PYTHON = re.compile(r"(?i)^(python3?|python[-_]version)(?![\w-])\s*([=<>~!]{1,3})?\s*v?(3\.\d{1,2})?")


def _special(line: RequirementLine) -> str:
    """Returns the code that explains a line better than that it cannot be read."""
    if _PIP_COMMAND.match(line.text):
        return "requirement_pip_command"
    if _PYTHON.match(line.text) and not _CONDA_LINE.match(line.text):
        return "requirement_python"
    if _CONDA_LINE.match(line.text) or _CONDA_TABLE.match(line.text):
        return "requirement_conda"
    return "requirement_table" if _PIP_TABLE.match(line.text) else ""


@rule(
    "requirement_syntax",
    "error",
    "requirements",
    explanation="pip stops at a line that is neither a requirement nor an option, and nothing is installed.",
    example="requirements.txt: numpy, pandas",
    has_fix=True,
)
def requirement_syntax(context: Context) -> Iterator[Found]:
    """Finds lines that pip cannot read."""
    for line in lines_of(context, "wrong"):
        if _special(line):
            continue
        fix = None
        bare = line.text.strip("\"'` ,;").removeprefix("- ").strip()
        if bare != line.text and _is_requirement(bare):
            fix = replace_line(line, bare, f"Write {clean(bare)}", safe=True)
        parts = [part for part in re.split(r"[,;\s]+", line.text) if part]
        if (
            len(parts) > 1
            and all(_is_requirement(part) for part in parts)
            and not re.search(r"[<>=!~]\s|\s[<>=!~]", line.text)
        ):
            fix = replace_line(line, "\n".join(parts), "One package a line", safe=True)
        yield at_line(
            line, f"{quote(line.text)} is no requirement.", "Write one package a line, such as numpy==2.1.0.", fix
        )


def _is_requirement(text: str) -> bool:
    try:
        Requirement(text)
    except InvalidRequirement:
        return False
    return True


@rule(
    "requirement_pip_command",
    "error",
    "requirements",
    explanation="A requirements file holds names of packages, no commands.",
    example="requirements.txt: pip install numpy",
    has_fix=True,
)
def requirement_pip_command(context: Context) -> Iterator[Found]:
    """Finds `pip install x` as a line."""
    for line in lines_of(context, "wrong"):
        match = _PIP_COMMAND.match(line.text)
        if match is None:
            continue
        rest = _PIP_FLAGS.sub(" ", f" {match[1]} ").strip()
        names = rest.split()
        new = rest if rest.startswith("-") or "+" in rest else "\n".join(name.strip("\"'") for name in names)
        good = all(_is_requirement(name) for name in new.split("\n")) or rest.startswith(("-r ", "-e ", "git+"))
        yield at_line(
            line,
            f"{quote(line.text)} is a command, no requirement.",
            "Write the names of the packages only.",
            replace_line(line, new, "Keep the packages only", safe=True) if good else None,
        )


@rule(
    "requirement_table",
    "error",
    "requirements",
    explanation="The output of `pip list` is a table, which pip does not read; `pip freeze` writes a requirements "
    "file.",
    example="requirements.txt: numpy   2.1.0",
    has_fix=True,
)
def requirement_table(context: Context) -> Iterator[Found]:
    """Finds rows of `pip list`."""
    for line in lines_of(context, "wrong"):
        match = _PIP_TABLE.match(line.text) if _special(line) == "requirement_table" else None
        if match is not None:
            new = f"{match[1]}=={match[2]}"
            yield at_line(
                line,
                f"{quote(line.text)} is a row of a table, no requirement.",
                f"Write {clean(new)}.",
                replace_line(line, new, f"Write {clean(new)}", safe=True),
            )


@rule(
    "requirement_conda",
    "error",
    "requirements",
    explanation="conda writes name=version=build; pip reads name==version, and knows only packages of Python.",
    example="requirements.txt: numpy=1.26.4=py311h64a7726_0",
    has_fix=True,
)
def requirement_conda(context: Context) -> Iterator[Found]:
    """Finds lines that conda wrote."""
    for line in lines_of(context, "wrong"):
        match = _CONDA_LINE.match(line.text) or _CONDA_TABLE.match(line.text)
        if match is None:
            continue
        name = match[1].lower()
        if name in CONDA_ONLY or name in PYTHON_PACKAGE_NAMES:
            fix, hint = drop_line(line), "Take the line out; pip has no such package."
        else:
            new = f"{match[1]}=={match[2]}"
            fix, hint = replace_line(line, new, f"Write {clean(new)}", safe=True), f"Write {clean(new)}."
        yield at_line(line, f"{quote(line.text)} is a line of conda.", hint, fix)


@rule(
    "requirement_stdlib",
    "error",
    "requirements",
    explanation="Modules of Python's standard library are there already; most have no package, so that pip fails. "
    "Where there is a package of that name it is a warning.",
    example="requirements.txt: sqlite3",
    has_fix=True,
)
def requirement_stdlib(context: Context) -> Iterator[Found]:
    """Finds modules of the standard library."""
    for line in lines_of(context, "requirement"):
        name = line.name.replace("-", "_")
        if name not in STDLIB or line.url or name in ("this",):
            continue
        severity = (
            "warning"
            if line.name in STDLIB_ON_INDEX or (line.requirement is not None and line.requirement.marker)
            else None
        )
        yield at_line(
            line,
            f"{quote(line.requirement.name if line.requirement else name)} is a part of Python, no package.",
            "Take the line out.",
            drop_line(line),
            severity,
        )


@rule(
    "requirement_python",
    "error",
    "requirements",
    explanation="Python is no package of pip; its version belongs into the option python_version.",
    example="requirements.txt: python==3.10",
    has_fix=True,
)
def requirement_python(context: Context) -> Iterator[Found]:
    """Finds Python as a requirement."""
    for line in lines_of(context, "requirement", "wrong"):
        match = _PYTHON.match(line.text)
        if match is None or (line.kind == "requirement" and line.name not in PYTHON_PACKAGE_NAMES) or line.url:
            continue
        if line.kind == "wrong" and _special(line) != "requirement_python":
            continue
        exact = match[3] if match[2] in ("==", "=", "===", "~=") else None
        fix = drop_line(line)
        if fix is not None and exact and "python_version" in context.options and context.dockerfile is None:
            fix = Fix(
                f"Take the line out and set python_version to {exact}", True, fix.edits, {"python_version": exact}
            )
        hint = "Take the line out, and set the option python_version."
        yield at_line(line, f"{quote(line.text)} asks pip for Python, which is no package.", hint, fix)


@rule(
    "requirement_own_computer",
    "error",
    "requirements",
    explanation="`pip freeze` in a conda environment writes paths of the computer it ran on; they exist nowhere else.",
    example="requirements.txt: numpy @ file:///D:/bld/numpy_1610324703282/work",
    has_fix=True,
)
def requirement_own_computer(context: Context) -> Iterator[Found]:
    """Finds paths of the sender's own computer."""
    for line in lines_of(context, "requirement", "path", "editable", "url", "wrong"):
        if line.kind == "requirement" and not line.url:
            continue
        address = line.url or line.text
        if line.kind == "wrong" and not re.search(r"(?i)@\s*file:", line.text):
            continue
        if line.kind in ("path", "editable") and not re.search(
            r"(?i)^(?:-e\s+|--editable[= ])?(?:/|[a-z]:[\\/]|file:///)", line.text
        ):
            continue
        if not _OWN_COMPUTER.search(address):
            continue
        name = line.requirement.name if line.requirement is not None else line.text.partition("@")[0].strip()
        fix = None
        if re.fullmatch(r"[A-Za-z0-9][\w.-]*(\[[\w,]+\])?", name):
            marker = f" ; {line.requirement.marker}" if line.requirement is not None and line.requirement.marker else ""
            fix = replace_line(line, name + marker, f"Write {clean(name)}", safe=True)
        if line.name and line.name in CONDA_ONLY:
            fix = drop_line(line)
        yield at_line(
            line,
            f"{quote(line.text)} is a path of your own computer.",
            "Write the name and the version of the package, such as numpy==2.1.0.",
            fix,
        )


@rule(
    "requirement_encoding",
    "warning",
    "requirements",
    explanation="`pip freeze > requirements.txt` in PowerShell writes UTF-16, which not every tool reads.",
    example="requirements.txt in UTF-16",
)
def requirement_encoding(context: Context) -> Iterator[Found]:
    """Finds requirement files in UTF-16."""
    for path in context.requirements:
        head = context.head(path)
        if head.startswith((b"\xff\xfe", b"\xfe\xff")):
            yield Found(f"{quote(path)} is in UTF-16.", path, None, "Save it as UTF-8.")
