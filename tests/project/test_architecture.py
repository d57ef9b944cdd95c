"""What holds for all modules of the service, read from their source."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

import assembler_runner.app  # noqa: F401 - so that every class of errors is there
from assembler_runner.core.errors import AssemblerError, SettingsError

PROJECT = Path(__file__).resolve().parent.parent.parent
PACKAGE = PROJECT / "assembler_runner"
CLIENT = sorted((PROJECT / "client" / "assembler_client").rglob("*.py"))
MODULES = sorted(PACKAGE.rglob("*.py"))
SOURCES = [
    path
    for folder in ("assembler_runner", "client/assembler_client", "plugins", "docs", "examples", "tests", "benchmarks")
    for path in sorted((PROJECT / folder).rglob("*.py"))
    if not {"files", "cases"} & set(path.relative_to(PROJECT).parts)
] + [PROJECT / "tasks.py"]
EVERYWHERE = {"__init__", "__main__"}
MAX_LINES = 400

# Files that are still to be split, with what they may grow to until then; none may be added.
TO_SPLIT = {
    "tests/ui/test_local_pages.py": 420,
}


def name_of(path: Path) -> str:
    return str(path.relative_to(PROJECT))


@cache
def parse(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def documented_order() -> dict[str, int]:
    """Module → its place, from the line in docs/architecture.md."""
    text = (PROJECT / "docs" / "architecture.md").read_text(encoding="utf-8")
    (line,) = re.findall(r"^core → .*$", text, re.MULTILINE)
    places = [[name.strip() for name in place.split("|")] for place in line.split("→")]
    order = {name: number for number, names in enumerate(places) for name in names}
    assert len(order) == sum(map(len, places)), "a module stands in the line twice"
    return order


def part_of(path: Path) -> str:
    """The module or package directly inside assembler_runner that a file belongs to."""
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imports(path: Path) -> Iterator[tuple[int, str]]:
    """Line and part for each import of the package, also inside functions."""
    for node in ast.walk(parse(path)):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{name_of(path)}:{node.lineno} imports relatively"
            inside = node.module == "assembler_runner"
            names = [f"{node.module}.{alias.name}" for alias in node.names] if inside else [node.module or ""]
        else:
            continue
        for name in names:
            package, _, rest = name.partition(".")
            part = rest.partition(".")[0]
            if package == "assembler_runner" and part not in ("", "__version__"):
                yield node.lineno, part


def test_the_order_names_every_module() -> None:
    assert set(documented_order()) == {part_of(path) for path in MODULES} - EVERYWHERE


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_imports_lead_to_the_left(path: Path) -> None:
    order, own = documented_order(), part_of(path)
    place = order.get(own, -1 if own == "__init__" else len(order))
    wrong = [f"line {line}: {part}" for line, part in imports(path) if part != own and order[part] >= place]
    assert wrong == []


@pytest.mark.parametrize("path", sorted((PROJECT / "plugins").rglob("*.py")), ids=name_of)
def test_plugins_import_only_what_strangers_may(path: Path) -> None:
    assert {part for _, part in imports(path)} <= {"plugin"}


def test_client_and_service_do_not_import_each_other() -> None:
    for path in CLIENT:
        assert list(imports(path)) == [], name_of(path)
    for path in MODULES:
        assert "assembler_client" not in path.read_text(encoding="utf-8"), name_of(path)


@pytest.mark.parametrize("path", SOURCES, ids=name_of)
def test_files_are_short(path: Path) -> None:
    lines = len(path.read_text(encoding="utf-8").splitlines())
    assert lines < TO_SPLIT.get(name_of(path), MAX_LINES)


@pytest.mark.parametrize("path", SOURCES, ids=name_of)
def test_no_bare_except(path: Path) -> None:
    found = [node.lineno for node in ast.walk(parse(path)) if isinstance(node, ast.ExceptHandler) and not node.type]
    assert found == []


def _client_errors(cls: type[AssemblerError] = AssemblerError) -> set[str]:
    """Names of the errors that callers see; those of the start are for the operator."""
    return {cls.__name__} | {name for child in cls.__subclasses__() for name in _client_errors(child)}


CLIENT_ERRORS = _client_errors() - {SettingsError.__name__}


def shows(node: ast.AST, caught: str) -> bool:
    """Whether an expression is the text of a caught exception: str(x), repr(x), f"{x}", x.args."""
    for part in ast.walk(node):
        if isinstance(part, ast.Call) and isinstance(part.func, ast.Name) and part.func.id in ("str", "repr", "format"):
            shown = part.args[:1]
        elif isinstance(part, ast.FormattedValue) or (isinstance(part, ast.Attribute) and part.attr == "args"):
            shown = [part.value]
        else:
            continue
        if any(isinstance(value, ast.Name) and value.id == caught for value in shown):
            return True
    return False


def leaked_texts(tree: ast.Module) -> list[int]:
    """Lines where the text of a caught exception goes into an error for callers."""
    lines = []
    for handler in ast.walk(tree):
        if not isinstance(handler, ast.ExceptHandler) or handler.name is None:
            continue
        tainted = {handler.name}
        for node in ast.walk(handler):
            if isinstance(node, ast.Assign) and any(shows(node.value, name) for name in tainted):
                tainted |= {target.id for target in node.targets if isinstance(target, ast.Name)}
        for call in ast.walk(handler):
            if isinstance(call, ast.Call) and isinstance(call.func, ast.Name) and call.func.id in CLIENT_ERRORS:
                values = [*call.args, *(keyword.value for keyword in call.keywords)]
                plain = {value.id for value in values if isinstance(value, ast.Name)}
                if plain & tainted or any(shows(value, name) for value in values for name in tainted):
                    lines.append(call.lineno)
    return lines


# A target translates the answers of its Hub with care; the registry tells the operator what a plugin raised.
MAY_TELL = ("targets", "registry")


@pytest.mark.parametrize("path", [path for path in MODULES if part_of(path) not in MAY_TELL], ids=name_of)
def test_no_text_of_an_exception_goes_to_callers(path: Path) -> None:
    assert leaked_texts(parse(path)) == []


@pytest.mark.parametrize(
    "body",
    [
        "raise NotFound(str(e)) from e",
        'raise NotFound(f"It failed: {e}")',
        'return NotFound("It failed", hint=f"{e!r}")',
        "raise NotFound(e.args[0])",
        "raise NotFound(e)",
        "text = str(e)\n    raise NotFound(text)",
        'text = f"{e}"\n    problem = NotFound("x", hint=f"see {text}")',
    ],
)
def test_that_check_finds_what_it_looks_for(body: str) -> None:
    source = f"def f():\n  try:\n    g()\n  except ValueError as e:\n    {body}\n"
    assert leaked_texts(ast.parse(source))


def test_that_check_lets_single_facts_through() -> None:
    source = 'try:\n  g()\nexcept ValueError as e:\n  raise InvalidJson(f"line {e.lineno}, {type(e).__name__}")\n'
    assert leaked_texts(ast.parse(source)) == []
