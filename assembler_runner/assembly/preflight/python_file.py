"""A Python file, parsed once: what it imports, calls and says, and what only the compiler finds."""

from __future__ import annotations

import ast
import re
import warnings
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

from assembler_runner.assembly.python_source import PARSING
from assembler_runner.core.digest_cache import DigestCache

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
class Facts:
    """What is known of a file without its syntax tree.

    Args:
        is_parsed: this service's Python can parse it.
        broken: what is wrong and the line, where it cannot be parsed.
        compile_error: what the compiler finds in a file that can be parsed.
        imports: all imports, in order.
    """

    is_parsed: bool
    broken: tuple[str, int] | None = None
    compile_error: tuple[str, int] | None = None
    imports: tuple[Import, ...] = ()


_FACTS: DigestCache[Facts] = DigestCache(4096)


@dataclass(frozen=True)
class PythonFile:
    """A Python file.

    Args:
        source: its bytes.
        facts: what is known of it.
    """

    source: bytes
    facts: Facts

    @property
    def is_parsed(self) -> bool:
        """Whether this service's Python can parse it."""
        return self.facts.is_parsed

    @property
    def broken(self) -> tuple[str, int] | None:
        """What is wrong and the line, where it cannot be parsed."""
        return self.facts.broken

    @property
    def compile_error(self) -> tuple[str, int] | None:
        """What the compiler finds in a file that can be parsed."""
        return self.facts.compile_error

    @property
    def imports(self) -> tuple[Import, ...]:
        """All imports, in order."""
        return self.facts.imports

    @cached_property
    def tree(self) -> ast.Module | None:
        """The syntax tree, parsed on first use; None where this service's Python cannot parse the file."""
        try:
            return _parse(self.source) if self.is_parsed else None
        except (RecursionError, MemoryError):
            # The stack may be deeper now than when it was parsed first.
            return None

    @cached_property
    def lines(self) -> list[str]:
        """The lines, without line ends."""
        return lines_of(self.source)

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
    return PythonFile(source, _FACTS.get(source, lambda: _facts(source)))


def _facts(source: bytes) -> Facts:
    if len(source) > MAX_PARSED_BYTES:
        return Facts(False, imports=tuple(_imports_by_line(lines_of(source))))
    try:
        tree = _parse(source)
    except SyntaxError as problem:
        broken = problem.msg, problem.lineno or 1
    except ValueError:
        broken = "the file contains NUL bytes", 1
    except (RecursionError, MemoryError):
        broken = "the code is nested too deeply", 1
    else:
        statements = list(_statements(tree.body))
        doubtful = any(text in source for text in _DOUBTFUL) or any(map(_is_doubtful, statements))
        return Facts(True, None, _compile_error(tree) if doubtful else None, tuple(_imports_of(statements)))
    return Facts(False, broken, imports=tuple(_imports_by_line(lines_of(source))))


def _parse(source: bytes) -> ast.Module:
    with PARSING, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return ast.parse(source)


def _compile_error(tree: ast.Module) -> tuple[str, int] | None:
    with PARSING, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            compile(tree, "source.py", "exec", dont_inherit=True)
        except SyntaxError as problem:
            return problem.msg, problem.lineno or 1
        except (ValueError, RecursionError, MemoryError):
            return None
    return None


def lines_of(source: bytes) -> list[str]:
    """Returns the lines of a source, without line ends."""
    return source.decode("utf-8", "replace").replace("\r\n", "\n").replace("\r", "\n").split("\n")


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


class _Statement(NamedTuple):
    """A statement and where it stands."""

    node: ast.AST
    certain: bool = True
    in_function: bool = False


def _statements(body: list[ast.stmt]) -> Iterator[_Statement]:
    """Yields all statements, exception handlers and cases in order."""
    waiting = [_Statement(node) for node in reversed(body)]
    while waiting:
        found = waiting.pop()
        yield found
        node = found.node
        inner = [child for name in _BLOCKS for child in getattr(node, name, ())]
        if not inner:
            continue
        is_function = isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))
        is_scope = is_function or isinstance(node, ast.ClassDef)
        certain = found.certain and isinstance(node, (ast.With, ast.ClassDef))
        in_function = is_function or (found.in_function and not is_scope)
        waiting += [_Statement(child, certain, in_function) for child in reversed(inner)]


_BLOCKS = ("body", "handlers", "cases", "orelse", "finalbody")
# Texts of what only the compiler judges; all else that it may reject is found by _is_doubtful.
_DOUBTFUL: tuple[bytes, ...] = (
    *(b"yield", b"await", b"async", b"nonlocal", b"global", b"__future__", b"__debug__", b"match ", b"type "),
    *(b"lambda", b"import *", b", *", b",*", b"= *", b"return *", b":="),
)


def _is_doubtful(found: _Statement) -> bool:
    """Whether the compiler may reject a statement that the parser accepts; it has the last word."""
    node = found.node
    if isinstance(node, ast.Return):
        return not found.in_function
    if isinstance(node, (ast.Break, ast.Continue)):
        return True
    if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
        names = [argument.arg for argument in _arguments(node.args)]
        return len(set(names)) < len(names)
    if isinstance(node, (ast.Try, ast.TryStar)):
        return any(handler.type is None for handler in node.handlers[:-1])
    return False


def _arguments(arguments: ast.arguments) -> list[ast.arg]:
    further = [argument for argument in (arguments.vararg, arguments.kwarg) if argument is not None]
    return [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs, *further]


def _imports_of(statements: Iterable[_Statement]) -> Iterator[Import]:
    for found in statements:
        node = found.node
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield Import(alias.name, (), node.lineno, 0, found.certain)
        elif isinstance(node, ast.ImportFrom):
            names = tuple(alias.name for alias in node.names)
            yield Import(node.module or "", names, node.lineno, node.level, found.certain)


_IMPORT_LINE = re.compile(r"^[ \t]*(?:from[ \t]+([\w.]+)[ \t]+import\b|import[ \t]+([\w.]+))")


def _imports_by_line(lines: list[str]) -> Iterator[Import]:
    """What is imported, as far as single lines show it: for files that only a newer Python parses."""
    for number, line in enumerate(lines[:MAX_IMPORT_LINES], 1):
        match = _IMPORT_LINE.match(line[:500])
        if match is not None:
            name = match[1] or match[2]
            level = len(name) - len(name.lstrip("."))
            yield Import(name.lstrip("."), (), number, level, certain=False)
