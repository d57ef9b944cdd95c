"""A Python file, parsed once: what it imports, calls and says, and what only the compiler finds."""

from __future__ import annotations

import ast
import re
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from assembler_runner.assembly.python_source import PARSING

MAX_PARSED_BYTES = 256 * 1024
"""Larger files are not parsed: it takes many times their size in memory, and seconds."""
MAX_IMPORT_LINES = 5000


@dataclass(frozen=True)
class Import:
    """One imported module.

    Args:
        module: its dotted name; empty for `from . import x`.
        names: what is taken out of it.
        line: line from 1.
        level: number of leading dots.
        certain: it happens whenever the file is run: outside of functions, `try` and conditions.
    """

    module: str
    names: tuple[str, ...]
    line: int
    level: int
    certain: bool

    @property
    def top(self) -> str:
        """The first part of the module's name."""
        return self.module.partition(".")[0]


@dataclass(frozen=True)
class PythonFile:
    """A Python file.

    Args:
        source: its bytes.
        tree: the syntax tree; None where this service's Python cannot parse it.
        broken: what is wrong and the line, where it cannot be parsed.
        compile_error: what the compiler finds in a file that can be parsed.
    """

    source: bytes
    tree: ast.Module | None
    broken: tuple[str, int] | None = None
    compile_error: tuple[str, int] | None = None

    @cached_property
    def lines(self) -> list[str]:
        """The lines, without line ends."""
        return self.source.decode("utf-8", "replace").replace("\r\n", "\n").replace("\r", "\n").split("\n")

    def line(self, number: int | None) -> str:
        """Returns one line, from 1; empty where there is none."""
        return self.lines[number - 1] if number is not None and 0 < number <= len(self.lines) else ""

    @cached_property
    def by_type(self) -> dict[type[ast.AST], list[Any]]:
        """All nodes of the syntax tree by their class, in one pass."""
        found: dict[type[ast.AST], list[Any]] = {}
        waiting: list[ast.AST] = [self.tree] if self.tree is not None else []
        for node in waiting:
            found.setdefault(type(node), []).append(node)
            for value in node.__dict__.values():
                if type(value) is list:
                    waiting += [item for item in value if isinstance(item, ast.AST)]
                elif isinstance(value, ast.AST) and not isinstance(value, ast.expr_context):
                    waiting.append(value)
        return found

    def nodes(self, *types: type[ast.AST]) -> list[Any]:
        """Returns the nodes of these classes."""
        return [node for kind in types for node in self.by_type.get(kind, ())]

    @cached_property
    def calls(self) -> list[ast.Call]:
        """All calls."""
        return self.nodes(ast.Call)

    @cached_property
    def texts(self) -> list[ast.Constant]:
        """All string constants that are no docstrings."""
        bare = {id(node.value) for node in self.nodes(ast.Expr)}
        return [node for node in self.nodes(ast.Constant) if isinstance(node.value, str) and id(node) not in bare]

    @cached_property
    def imports(self) -> list[Import]:
        """All imports, in order."""
        if self.tree is None:
            return [*_imports_by_line(self.lines)]
        return [*_imports_of(self.tree.body, certain=True)]

    @cached_property
    def imported(self) -> frozenset[str]:
        """First parts of the names of all imported modules."""
        return frozenset(found.top for found in self.imports if found.level == 0)

    def calls_of(self, *names: str) -> Iterator[ast.Call]:
        """Yields the calls of functions or methods of these names, whatever they belong to."""
        for call in self.calls:
            if called(call) in names:
                yield call


def parse_python(source: bytes) -> PythonFile:
    """Parses and compiles a file; never raises for what is in it.

    Args:
        source: the bytes of the file; a large one is read line by line only.
    """
    if len(source) > MAX_PARSED_BYTES:
        return PythonFile(source, None)
    try:
        with PARSING, warnings.catch_warnings():
            warnings.simplefilter("ignore")
            tree = ast.parse(source)
            try:
                compile(tree, "source.py", "exec", dont_inherit=True)
            except SyntaxError as problem:
                return PythonFile(source, tree, None, (problem.msg, problem.lineno or 1))
            except (ValueError, RecursionError, MemoryError):
                return PythonFile(source, tree)
    except SyntaxError as problem:
        return PythonFile(source, None, (problem.msg, problem.lineno or 1))
    except ValueError:
        return PythonFile(source, None, ("the file contains NUL bytes", 1))
    except (RecursionError, MemoryError):
        return PythonFile(source, None, ("the code is nested too deeply", 1))
    return PythonFile(source, tree)


def called(call: ast.Call) -> str:
    """Returns the last part of the name of what is called; empty where it has none."""
    function = call.func
    if isinstance(function, ast.Attribute):
        return function.attr
    return function.id if isinstance(function, ast.Name) else ""


def dotted(node: ast.AST) -> str:
    """Returns a name with its dots, such as `gr.inputs.Image`; empty where it is no plain name."""
    parts = []
    while isinstance(node, ast.Attribute):
        parts.append(node.attr)
        node = node.value
    return ".".join([node.id, *reversed(parts)]) if isinstance(node, ast.Name) else ""


def keyword(call: ast.Call, name: str) -> ast.expr | None:
    """Returns the value of a keyword argument, or None."""
    return next((argument.value for argument in call.keywords if argument.arg == name), None)


def constant(node: ast.AST | None) -> object:
    """Returns the value of a constant; None for anything else."""
    return node.value if isinstance(node, ast.Constant) else None


def _imports_of(body: list[ast.stmt], *, certain: bool) -> Iterator[Import]:
    waiting = [(statement, certain) for statement in reversed(body)]
    while waiting:
        node, sure = waiting.pop()
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield Import(alias.name, (), node.lineno, 0, sure)
        elif isinstance(node, ast.ImportFrom):
            names = tuple(alias.name for alias in node.names)
            yield Import(node.module or "", names, node.lineno, node.level, sure)
        else:
            runs_always = isinstance(node, (ast.With, ast.ClassDef))
            inner = [
                child
                for child in ast.iter_child_nodes(node)
                if isinstance(child, (ast.stmt, ast.ExceptHandler, ast.match_case))
            ]
            waiting += [(child, sure and runs_always) for child in reversed(inner)]  # type: ignore[misc]  # handlers and cases hold statements


_IMPORT_LINE = re.compile(r"^[ \t]*(?:from[ \t]+([\w.]+)[ \t]+import\b|import[ \t]+([\w.]+))")


def _imports_by_line(lines: list[str]) -> Iterator[Import]:
    """What is imported, as far as single lines show it: for files that only a newer Python parses."""
    for number, line in enumerate(lines[:MAX_IMPORT_LINES], 1):
        match = _IMPORT_LINE.match(line[:500])
        if match is not None:
            name = match[1] or match[2]
            level = len(name) - len(name.lstrip("."))
            yield Import(name.lstrip("."), (), number, level, certain=False)
