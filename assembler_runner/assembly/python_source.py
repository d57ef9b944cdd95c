"""Python files of a Space: inserts `PARAMS`, and finds syntax errors.

Apps may use newer Python syntax than the service runs on. So the sources are parsed with tree-sitter, which recovers
from unknown syntax, and a syntax error is reported only if ruff, which knows newer versions, confirms it.
"""

from __future__ import annotations

import ast
import codecs
import functools
import json
import re
import subprocess
import sys
import threading
import tokenize
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import tree_sitter_python
from tree_sitter import Language, Node, Parser, Query, QueryCursor

NAME = "PARAMS"

_LANGUAGE = Language(tree_sitter_python.language())
_NAMES = Query(_LANGUAGE, f'((identifier) @name (#eq? @name "{NAME}"))')
_ENCODING_LINE = re.compile(rb"^[ \t\f]*#.*?coding[:=][ \t]*[-\w.]+")
_COMMENT_OR_BLANK = re.compile(rb"[ \t\f]*(#.*)?")
_PATTERNS = {"pattern_list", "tuple_pattern", "list_pattern", "list_splat_pattern", "as_pattern_target"}
_TARGETS_OF_WITH = {"tuple", "list", "list_splat", "parenthesized_expression"}
# Held while parsing, because all threads share the warning filters.
PARSING = threading.Lock()
_RUFF_TARGET = "py314"
_RUFF_TIMEOUT = 10


@dataclass(frozen=True)
class SourceFacts:
    """How a file uses the name `PARAMS`.

    Args:
        uses: the name occurs as a variable.
        binds: the module assigns it, or a function that declares it `global`.
    """

    uses: bool
    binds: bool


def facts(source: bytes) -> SourceFacts:
    """Finds out how a file uses `PARAMS`, also in functions, f-strings and patterns."""
    if NAME.encode() not in source:
        return SourceFacts(uses=False, binds=False)
    root = _parse(source)
    names = QueryCursor(_NAMES).captures(root).get("name", [])
    variables = [node for node in names if not _is_label(node)]
    scopes = [scope for node in variables if (scope := _scope_of_global(node)) is not None]
    return SourceFacts(uses=bool(variables), binds=any(_binds_in_module(node, scopes) for node in variables))


def insert_parameters(source: bytes, parameters: Mapping[str, Any]) -> bytes:
    """Adds `PARAMS` to a file as a module-level variable.

    It is inserted after shebang, encoding line, docstring and `from __future__` imports. Everything else, including a
    byte order mark and the type of newlines, does not change.

    Args:
        source: the bytes of the file.
        parameters: any JSON object; its values become equal Python values.
    Returns:
        The new bytes.
    """
    newline = _newline(source)
    after = _last_of_head(_parse(source))
    if after is None:
        position = _after_comment_lines(source)
        head = source[:position]
        if head not in (b"", codecs.BOM_UTF8) and not head.endswith((b"\n", b"\r")):
            head += newline
        return head + _statement(parameters, newline) + newline + source[position:]
    end = after.end_byte
    rest = re.compile(rb"[^\r\n]*").match(source, end)
    assert rest is not None  # the pattern matches the empty text, too
    if rest[0].strip() and not rest[0].lstrip().startswith(b"#"):
        # Another statement follows on the same line, so the assignment is inserted before it.
        return source[:end] + b"; " + _literal_line(parameters) + source[end:]
    line_end = re.compile(rb"\r\n|\n|\r").match(source, rest.end())
    if line_end is None:
        return source + newline + _statement(parameters, newline)
    return source[: line_end.end()] + newline + _statement(parameters, newline) + source[line_end.end() :]


def syntax_error(source: bytes) -> tuple[str, int] | None:
    """Finds the first syntax error.

    Args:
        source: the bytes of the file.
    Returns:
        The message and the line, from 1; None if the file is valid in any Python version up to 3.14.
    """
    try:
        with PARSING, warnings.catch_warnings():
            warnings.simplefilter("ignore")
            ast.parse(source)
    except SyntaxError as problem:
        own_verdict = (problem.msg, problem.lineno or 1)
    except ValueError:
        return "the file contains NUL bytes", 1
    except (RecursionError, MemoryError):
        return "the code is nested too deeply", 1
    else:
        return None
    try:
        text = source.decode(tokenize.detect_encoding(BytesIO(source).readline)[0])
    except (SyntaxError, UnicodeDecodeError, LookupError):
        return own_verdict
    return _ruff_verdict(text, own_verdict)


def newer_syntax(source: bytes, version: tuple[int, int]) -> tuple[tuple[int, int], str, int] | None:
    """Finds syntax that is newer than the Python version that runs the file.

    Args:
        source: the bytes of a file that the service's own Python cannot parse.
        version: the Python version that runs it, such as (3, 12).
    Returns:
        The first version that accepts it, a description and the line; None if the version accepts it, or none does.
    """
    text = source.decode("utf-8", "replace")
    newest = int(_RUFF_TARGET.removeprefix("py3"))
    if _ruff_verdict(text, ("", 1)) is not None:
        return None
    found = _ruff_verdict(text, ("", 1), f"py3{max(version[1], 7)}")
    if found is None:
        return None
    needed = next(
        minor for minor in range(version[1] + 1, newest + 1) if _ruff_verdict(text, ("", 1), f"py3{minor}") is None
    )
    return (3, needed), "newer syntax", found[1]


def _ruff_verdict(text: str, own_verdict: tuple[str, int], target: str = _RUFF_TARGET) -> tuple[str, int] | None:
    command = [_ruff(), "check", "--isolated", "--no-cache", "--select=E9", "--output-format=json"]
    command += [f"--target-version={target}", "--stdin-filename=source.py", "-"]
    try:
        run = subprocess.run(command, input=text.encode(), capture_output=True, timeout=_RUFF_TIMEOUT, check=False)  # noqa: S603 - our own
        problems = json.loads(run.stdout)
    except (OSError, subprocess.TimeoutExpired, ValueError):
        # Without ruff the file is accepted: rejecting a valid file would be worse.
        return None
    if not problems:
        return None
    first = min(problems, key=lambda problem: (problem["location"]["row"], problem["location"]["column"]))
    return str(first["message"]).removeprefix("SyntaxError: "), int(first["location"]["row"])


@functools.cache
def _ruff() -> str:
    beside = Path(sys.executable).parent / "ruff"
    return str(beside) if beside.exists() else "ruff"


def _parse(source: bytes) -> Node:
    # Python also ends lines at a lone carriage return; the replacement preserves all offsets.
    text = re.sub(rb"\r(?!\n)", b"\n", source)
    if text.startswith(codecs.BOM_UTF8):
        text = b"\n\n\n" + text[3:]
    return Parser(_LANGUAGE).parse(text).root_node


def _statement(parameters: Mapping[str, Any], newline: bytes) -> bytes:
    return _literal_line(parameters) + newline


def _literal_line(parameters: Mapping[str, Any]) -> bytes:
    # ASCII only, so that it is valid in any source encoding.
    return f"{NAME} = {dict(parameters)!a}".encode("ascii")


def _newline(source: bytes) -> bytes:
    first = re.search(rb"\r\n|\n|\r", source)
    return first[0] if first else b"\n"


def _after_comment_lines(source: bytes) -> int:
    position = len(codecs.BOM_UTF8) if source.startswith(codecs.BOM_UTF8) else 0
    line = re.compile(rb"([^\r\n]*)(\r\n|\n|\r|$)")
    first = line.match(source, position)
    assert first is not None  # the pattern matches the empty text, too
    if not _ENCODING_LINE.match(first[1]) and _COMMENT_OR_BLANK.fullmatch(first[1]):
        # An encoding line may be the second line, after a blank line or another comment.
        second = line.match(source, first.end())
        if second and _ENCODING_LINE.match(second[1]):
            return second.end()
    return first.end() if first[1].startswith(b"#!") or _ENCODING_LINE.match(first[1]) else position


def _last_of_head(root: Node) -> Node | None:
    """Returns the last statement that must precede all others: docstring or import from __future__."""
    last = None
    for statement in root.named_children:
        if statement.type in ("comment", "line_continuation"):
            continue
        if statement.type != "future_import_statement" and not (last is None and _is_docstring(statement)):
            break
        last = statement
    return last


def _is_docstring(statement: Node) -> bool:
    if statement.type != "expression_statement" or statement.named_child_count != 1:
        return False
    value = statement.named_children[0]
    while value.type == "parenthesized_expression" and value.named_children:
        value = next((inner for inner in value.named_children if inner.type != "comment"), value.named_children[0])
    strings = value.named_children if value.type == "concatenated_string" else [value]
    strings = [string for string in strings if string.type != "comment"]
    return all(string.type == "string" and _string_prefix(string) <= set("ru") for string in strings)


def _string_prefix(string: Node) -> set[str]:
    start = (string.children[0].text or b"").decode().lower()
    return set(start.rstrip("\"'"))


def _is_label(node: Node) -> bool:
    """Returns whether the identifier is not a variable: x.PARAMS, f(PARAMS=1), case C(PARAMS=1), from PARAMS import."""
    parent = node.parent
    if parent is None:
        return False
    if parent.type == "attribute":
        return parent.child_by_field_name("attribute") == node
    if parent.type == "dotted_name":
        statement = parent.parent
        return parent.named_children[0] != node or (
            statement is not None
            and (
                statement.type in ("aliased_import", "relative_import")
                or statement.child_by_field_name("module_name") == parent
            )
        )
    if parent.type == "keyword_pattern":
        return parent.named_children[0] == node
    return parent.type == "keyword_argument" and parent.child_by_field_name("name") == node


def _scope_of_global(node: Node) -> Node | None:
    """Returns the function that declares the name as `global`."""
    parent = node.parent
    return _scope(parent) if parent is not None and parent.type == "global_statement" else None


def _binds_in_module(node: Node, global_in: Sequence[Node]) -> bool:
    binder = _binder(node)
    if binder is None:
        return False
    scope = _scope(binder)
    return scope is None or scope in global_in


def _scope(node: Node) -> Node | None:
    """Returns the innermost function or class around a node; None in the module itself."""
    scope = node.parent
    while scope is not None and scope.type not in ("function_definition", "class_definition", "lambda"):
        scope = scope.parent
    return scope


def _binder(node: Node) -> Node | None:
    """Returns the statement that assigns the identifier, or None if it is only read."""
    child, parent = node, node.parent
    while parent is not None and parent.type in _PATTERNS:
        child, parent = parent, parent.parent
    if parent is None:
        return None
    if parent.type == "dotted_name":
        return _dotted_binder(parent)
    target = parent
    while target.type in _TARGETS_OF_WITH and target.parent is not None:
        target = target.parent
    if target.type == "as_pattern_target":
        child, parent = target, target.parent or target
    if parent.type == "splat_pattern" or (parent.type == "as_pattern" and parent.named_children[-1] == child):
        return parent
    if parent.type == "type":
        child, parent = parent, parent.parent or parent
    field = {
        "assignment": "left",
        "for_statement": "left",
        "named_expression": "name",
        "function_definition": "name",
        "class_definition": "name",
        "aliased_import": "alias",
        "type_alias_statement": "left",
    }.get(parent.type)
    if field is None or parent.child_by_field_name(field) != child:
        return None
    if parent.type == "assignment" and parent.child_by_field_name("right") is None:
        return None
    return parent


def _dotted_binder(dotted: Node) -> Node | None:
    """Returns the binder in `import PARAMS`, `import PARAMS.x`, `from x import PARAMS`, or a pattern of `match`."""
    parent = dotted.parent
    if parent is None or (dotted.named_child_count != 1 and parent.type != "import_statement"):
        return None
    binders = ("import_statement", "import_from_statement", "case_pattern", "keyword_pattern")
    return parent if parent.type in binders else None
