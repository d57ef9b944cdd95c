"""Python files: what their compiler and their version will not take."""

from __future__ import annotations

import ast
import json
import re
import sys
from collections.abc import Iterator

from assembler_runner.assembly.preflight.context import NEWEST_PYTHON, Context
from assembler_runner.assembly.preflight.declaration import Found, rule
from assembler_runner.assembly.preflight.python_file import PythonFile, constant
from assembler_runner.assembly.preflight.python_fixes import given_files, severity_in
from assembler_runner.assembly.preflight.quoting import clean, quote
from assembler_runner.assembly.python_source import newer_syntax
from assembler_runner.core.errors import Severity
from assembler_runner.core.fixes import Edit, Fix

MAX_UNREADABLE = 10
"""How many files are given to the checker that knows newer versions: each costs a process."""


_MAGIC = re.compile(r"^[ \t]*(?:[!%]{1,2}[A-Za-z]|!\./)")


_F_STRING = re.compile(rb"(?i)(?<![a-z])(?:f|rf|fr)(\"\"\"|'''|\"|')")
_CONFLICT = re.compile(r"^(?:<{7} |>{7} )", re.MULTILINE)


_TEXT_ENDINGS = (".py", ".html", ".js", ".css", ".txt", ".md", ".toml", ".yml", ".yaml", ".json", ".sh")


@rule(
    "syntax_error",
    "error",
    "python",
    explanation="The file is not valid Python, in any version up to the newest one, or the compiler refuses it: "
    "`return` outside of a function, `break` outside of a loop. In other files than app_file it is a "
    "warning.",
    example="app.py: return 1",
)
def syntax_error(context: Context) -> Iterator[Found]:
    """Finds what only the compiler finds."""
    for path, parsed in given_files(context):
        if parsed.compile_error is None or "__future__" in parsed.compile_error[0]:
            continue
        what, line = parsed.compile_error
        yield Found(
            f"{quote(path)} is not valid Python: {clean(what)}.",
            path,
            line,
            "Correct the line.",
            {"error": clean(what)},
            severity=severity_in(context, path),
        )


@rule(
    "future_import_misplaced",
    "error",
    "python",
    explanation="`from __future__` imports stand at the top of a file, below the docstring only; elsewhere they are an "
    "error. In other files than app_file it is a warning.",
    example="import os, and from __future__ import annotations below it",
    has_fix=True,
)
def future_import_misplaced(context: Context) -> Iterator[Found]:
    """Finds imports from `__future__` that stand too low."""
    for path, parsed in given_files(context):
        if parsed.compile_error is None or "__future__" not in parsed.compile_error[0] or parsed.tree is None:
            continue
        line = parsed.compile_error[1]
        fix = _move_up(path, parsed, line)
        yield Found(
            f"{quote(path)} imports from __future__ below other statements.",
            path,
            line,
            "Move the line to the top.",
            {},
            fix,
            severity_in(context, path),
        )


def _move_up(path: str, parsed: PythonFile, line: int) -> Fix | None:
    assert parsed.tree is not None
    statement = next(
        (node for node in parsed.tree.body if isinstance(node, ast.ImportFrom) and node.lineno == line), None
    )
    written = parsed.line(line)
    if statement is None or statement.end_lineno != line or not written.startswith("from __future__"):
        return None
    if any(alias.name not in _FEATURES for alias in statement.names) or ";" in written:
        return None
    first = parsed.tree.body[0]
    is_docstring = isinstance(first, ast.Expr) and isinstance(constant(first.value), str)
    target = parsed.tree.body[1] if is_docstring and len(parsed.tree.body) > 1 else first
    number = min([target.lineno, *(node.lineno for node in getattr(target, "decorator_list", []))])
    if number >= line or target.col_offset:
        return None
    top = parsed.line(number)
    edits = (Edit(path, "replace", number, top, f"{written}\n{top}"), Edit(path, "delete", line, written))
    return Fix("Move the line to the top", True, edits)


_FEATURES = frozenset(
    [
        "annotations",
        "division",
        "print_function",
        "absolute_import",
        "unicode_literals",
        "generator_stop",
        "with_statement",
    ]
)


@rule(
    "syntax_needs_newer_python",
    "error",
    "python",
    explanation="The file uses syntax that the Python which will run it does not have. In other files than app_file "
    "it is a warning.",
    example='python_version: "3.10" with app.py: type Pair = tuple[int, int]',
    has_fix=True,
)
def syntax_needs_newer_python(context: Context) -> Iterator[Found]:
    """Finds syntax that is newer than the Python of the Space."""
    version = context.python_version
    if version is None or version >= NEWEST_PYTHON:
        return
    tries = 0
    for path, parsed in given_files(context):
        found = newest_syntax(parsed)
        if parsed.broken is not None and tries < MAX_UNREADABLE:
            tries += 1
            found = newer_syntax(parsed.source, version)
        if found is None or found[0] <= version:
            continue
        needed, what, line = found
        shown, running = f"{needed[0]}.{needed[1]}", f"{version[0]}.{version[1]}"
        fix = None
        if (
            context.dockerfile is None
            and "python_version" in context.options
            and "python_version" not in context.card.values
        ):
            fix = Fix(f"Set python_version to {shown}", False, (), {"python_version": shown})
        hint = (
            f"Set python_version to {shown}."
            if context.dockerfile is None
            else f"Use a base image with Python {shown}."
        )
        yield Found(
            f"{quote(path)} uses {what}, which Python {running} does not have.",
            path,
            line,
            hint,
            {"needs": shown, "runs": running},
            fix,
            severity_in(context, path),
        )


# Most files have none of it, and need no walk through their tree. A text is found faster than a pattern.
_NEW_TEXTS = (b"match ", b"match\t", b"match(", b"match[", b"except*", b"except *", b"[*", b"[ *", b"[\n*")
if sys.version_info >= (3, 12):
    _NEW_TEXTS += (b"type ", b"f'", b'f"', b"F'", b'F"', b"t'", b't"', b"T'", b'T"', b"fr", b"fR", b"Fr", b"FR")
_NEWER: tuple[type[ast.AST], ...] = (
    *(ast.Match, ast.TryStar, ast.JoinedStr, ast.Subscript, ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef),
    *(getattr(ast, name) for name in ("TypeAlias", "TemplateStr") if hasattr(ast, name)),
)


def newest_syntax(parsed: PythonFile) -> tuple[tuple[int, int], str, int] | None:
    """Returns the Python that a file needs at least, what for, and the line; None for Python 3.8."""
    best: tuple[tuple[int, int], str, int] | None = None
    if not any(text in parsed.source for text in _NEW_TEXTS):
        return None
    for node in parsed.nodes(*_NEWER):
        found: tuple[tuple[int, int], str] | None = None
        if isinstance(node, ast.Match):
            found = (3, 10), "match"
        elif isinstance(node, ast.TryStar):
            found = (3, 11), "except*"
        elif type(node).__name__ == "TypeAlias" or getattr(node, "type_params", None):
            found = (3, 12), "type parameters"
        elif type(node).__name__ == "TemplateStr":
            found = (3, 14), "template strings"
        elif isinstance(node, ast.JoinedStr) and _reuses_quotes(parsed, node):
            found = (3, 12), "the same quotes inside of an f-string"
        elif isinstance(node, ast.Subscript) and _has_star(node.slice):
            found = (3, 11), "* in an index"
        if found is not None and (best is None or found[0] > best[0]):
            best = (*found, getattr(node, "lineno", 1))
    return best


def _has_star(index: ast.expr) -> bool:
    return isinstance(index, ast.Tuple) and any(isinstance(item, ast.Starred) for item in index.elts)


def _reuses_quotes(parsed: PythonFile, node: ast.JoinedStr) -> bool:
    """Whether an expression in an f-string has the quotes of the string itself.

    A Python before 3.12 cannot parse it; since then the positions of inner texts are known.
    """
    if sys.version_info < (3, 12):
        return False
    for value in node.values:
        for inner in ast.walk(value.value) if isinstance(value, ast.FormattedValue) else ():
            if not isinstance(inner, (ast.Constant, ast.JoinedStr)) or inner.lineno != node.lineno:
                continue
            line = parsed.line(inner.lineno).encode()
            own = re.match(rb"(?i)[frbu]{0,2}([\"'])", line[inner.col_offset :])
            openings = _F_STRING.findall(line[: inner.col_offset])
            if own is not None and openings and openings[-1] == own[1]:
                return True
    return False


@rule(
    "notebook_magic",
    "error",
    "python",
    explanation="Lines that begin with ! or % work in notebooks only. Packages belong into requirements.txt. In other "
    "files than app_file it is a warning.",
    example="app.py: !pip install gradio",
    has_fix=True,
)
def notebook_magic(context: Context) -> Iterator[Found]:
    """Finds commands of notebooks in Python files."""
    for path, parsed in given_files(context):
        if parsed.broken is None:
            continue
        for number, line in enumerate(parsed.lines, 1):
            if not _MAGIC.match(line):
                continue
            indented = line[:1] in " \t"
            fix = None if indented else Fix("Take the line out", False, (Edit(path, "delete", number, line),))
            yield Found(
                f"{quote(line)} is a command of notebooks, no Python.",
                path,
                number,
                "Take the line out; packages belong into requirements.txt.",
                {},
                fix,
                severity_in(context, path),
            )
            break


@rule(
    "merge_conflict",
    "error",
    "python",
    explanation="The markers of an unfinished merge are still in the file. In other files than app_file it is a "
    "warning.",
    example="<<<<<<< HEAD",
)
def merge_conflict(context: Context) -> Iterator[Found]:
    """Finds the markers of git's merges."""
    for path in context.files:
        text = context.text(path) if context.given(path) and path.lower().endswith(_TEXT_ENDINGS) else None
        if text is None or "<<<<<<< " not in text or "\n>>>>>>> " not in text or "\n=======" not in text:
            continue
        match = _CONFLICT.search(text)
        if match is not None:
            severity: Severity = (
                "error" if path in (context.app_file, "requirements.txt", "Dockerfile", "README.md") else "warning"
            )
            yield Found(
                f"{quote(path)} has the markers of an unfinished merge.",
                path,
                text.count("\n", 0, match.start()) + 1,
                "Finish the merge.",
                severity=severity,
            )


@rule(
    "notebook_broken",
    "warning",
    "python",
    explanation="A notebook is a JSON file; this one cannot be read.",
    example="demo.ipynb that was cut off",
)
def notebook_broken(context: Context) -> Iterator[Found]:
    """Finds notebooks that are no JSON."""
    for path in context.files:
        text = context.text(path) if path.endswith(".ipynb") and context.given(path) else None
        if text is None:
            continue
        try:
            json.loads(text)
        except RecursionError:
            continue
        except ValueError as problem:
            line = problem.lineno if isinstance(problem, json.JSONDecodeError) else 1
            yield Found(
                f"{quote(path)} is no JSON, so that no notebook can be opened.", path, line, "Save the notebook again."
            )
