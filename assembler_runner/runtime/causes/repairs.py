"""Fixes for causes: each only where the files that are known make it right."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from assembler_runner.core.fixes import Edit, Fix
from assembler_runner.runtime.causes.context import Context
from assembler_runner.runtime.causes.modules import project_name
from assembler_runner.runtime.causes.package_names import package_of_library, package_of_program
from assembler_runner.runtime.causes.text import cut

REQUIREMENTS = "requirements.txt"
OPTIONS = frozenset({"app_port", "startup_duration_timeout"})
"""Keys of the front matter that are options of the bundled types, too."""

Values = Mapping[str, str]


def repair(wanted: Mapping[str, Any], values: Values, context: Context, place: tuple[str, int] | None) -> Fix | None:
    """Returns the first fix of a rule that fits.

    Args:
        wanted: the rule's `fix`: name of a kind of fix → its argument; names in braces are filled in.
        values: what was captured.
        context: the Space.
        place: file and line of the Space that the cause is about.
    """
    safe = bool(wanted.get("safe", True))
    for name, argument in wanted.items():
        if name != "safe" and (fix := _KINDS[name](_fill(argument, values), context, place, safe)):
            return fix
    return None


def require(requirement: str, context: Context, safe: bool = True) -> Fix | None:
    """Returns the fix that adds a package to requirements.txt."""
    if not requirement or len(requirement) > 120 or "\n" in requirement:
        return None
    project = project_name(requirement)
    if "requirements.txt" not in context.files and context.is_docker:
        return None
    if known := context.requirement(project):
        number, line = known
        if line.strip() == requirement or "[" not in requirement:
            return None
        new = line.replace(project_name(line), requirement, 1) if "[" not in line else requirement
        return Fix(_title("Write {} into requirements.txt", requirement), safe, (_replace(number, line, new),))
    return Fix(
        _title("Add {} to requirements.txt", requirement), safe, (Edit(REQUIREMENTS, "append_line", new=requirement),)
    )


def card_fix(key: str, value: str | int, context: Context, *, safe: bool = True) -> Fix | None:
    """Returns the fix that sets a value of the front matter of README.md.

    Args:
        key, value: what to write.
        context: the Space; where the text of README.md is not known the fix sets the option of the type, unless the
            card has another value.
        safe: see `Fix`.
    Returns:
        The fix, or None where README.md has no front matter or already has the value.
    """
    title = f"Write {key}: {value} into README.md"
    lines = (context.files.get("README.md") or "").splitlines()
    if not lines:
        return Fix(title, safe, options={key: value}) if key in OPTIONS and key not in context.card else None
    end = next((number for number, line in enumerate(lines[1:], start=2) if line.strip() == "---"), 0)
    if lines[0].strip() != "---" or not end:
        return None
    wanted = f"{key}: {value}"
    found = [number for number in range(2, end) if lines[number - 1].startswith(f"{key}:")]
    if found:
        old = lines[found[0] - 1]
        return None if old == wanted else Fix(title, safe, (Edit("README.md", "replace", found[0], old, wanted),))
    old = lines[end - 2]
    return Fix(title, safe, (Edit("README.md", "replace", end - 1, old, f"{old}\n{wanted}"),)) if end > 2 else None


def _card(pair: list[str], context: Context, place: tuple[str, int] | None, safe: bool) -> Fix | None:
    return card_fix(pair[0], pair[1], context, safe=safe)


def _pin(requirement: str, context: Context, place: tuple[str, int] | None, safe: bool) -> Fix | None:
    """Returns a fix for the version of a package; only where the text of requirements.txt is known."""
    if not context.files.get(REQUIREMENTS):
        return None
    title = _title("Write {} into requirements.txt", requirement)
    if known := context.requirement(project_name(requirement)):
        number, line = known
        return None if line.strip() == requirement else Fix(title, False, (_replace(number, line, requirement),))
    return Fix(title, False, (Edit(REQUIREMENTS, "append_line", new=requirement),))


def _require(requirement: str, context: Context, place: tuple[str, int] | None, safe: bool) -> Fix | None:
    return require(requirement, context, safe)


def _forget(project: str, context: Context, place: tuple[str, int] | None, safe: bool) -> Fix | None:
    """Returns the fix that takes a line out of requirements.txt."""
    known = context.requirement(project)
    if not known:
        return None
    number, line = known
    title = _title("Delete the line {} from requirements.txt", line)
    return Fix(title, safe, (Edit(REQUIREMENTS, "delete", number, line),))


def _swap(names: list[str], context: Context, place: tuple[str, int] | None, safe: bool) -> Fix | None:
    """Returns the fix that writes another package in the place of one."""
    known = context.requirement(names[0])
    if not known or not names[1]:
        return None
    number, line = known
    title = _title("Write {} in place of {}", names[1], line)
    return Fix(title, safe, (_replace(number, line, names[1]),))


def _swap_line(names: list[str], context: Context, place: tuple[str, int] | None, safe: bool) -> Fix | None:
    """Returns the fix that renames a package in packages.txt."""
    lines = (context.files.get("packages.txt") or "").splitlines()
    found = [number for number, line in enumerate(lines, start=1) if line.strip() == names[0]]
    if len(found) != 1 or context.is_docker:
        return None
    edit = Edit("packages.txt", "replace", found[0], names[0], names[1])
    return Fix(_title("Write {} in place of {}", names[1], names[0]), safe, (edit,))


def _forget_comments(path: str, context: Context, place: tuple[str, int] | None, safe: bool) -> Fix | None:
    lines = list(enumerate((context.files.get(path) or "").splitlines(), start=1))
    edits = [Edit(path, "delete", number, line) for number, line in lines if line.lstrip().startswith("#")]
    edits += [
        Edit(path, "replace", number, line, line.partition("#")[0].rstrip())
        for number, line in lines
        if "#" in line and not line.lstrip().startswith("#")
    ]
    return Fix(f"Take the comments out of {path}", safe, tuple(edits)) if edits else None


def _debian(packages: list[str], context: Context, place: tuple[str, int] | None, safe: bool) -> Fix | None:
    """Returns the fix that adds Debian packages to packages.txt, which only Spaces without a Dockerfile use."""
    if context.is_docker or context.space_type not in (None, "gradio"):
        return None
    edits = tuple(Edit("packages.txt", "append_line", new=package) for package in packages)
    return Fix(_title("Add {} to packages.txt", " ".join(packages)), safe, edits)


def _library(file: str, context: Context, place: tuple[str, int] | None, safe: bool) -> Fix | None:
    package = package_of_library(file)
    return _debian([package], context, place, safe) if package else None


def _program(program: str, context: Context, place: tuple[str, int] | None, safe: bool) -> Fix | None:
    package = package_of_program(program)
    return _debian([package], context, place, safe) if package else None


def _unix_lines(file: str, context: Context, place: tuple[str, int] | None, safe: bool) -> Fix | None:
    named = context.find(file) if file else None
    scripts = [named] if named else [path for path in context.files if path.endswith((".sh", ".bash"))]
    edits = tuple(
        Edit(path, "replace", None, "\r\n", "\n") for path in scripts if path and "\r\n" in (context.files[path] or "")
    )
    return Fix("Give the script line ends of Unix", safe, edits) if edits else None


def _replace_text(texts: list[str], context: Context, place: tuple[str, int] | None, safe: bool) -> Fix | None:
    """Returns the fix that replaces a text in the line of the Space that failed."""
    if place is None:
        return None
    path, number = place
    lines = (context.files.get(path) or "").splitlines()
    if not 0 < number <= len(lines) or texts[0] not in lines[number - 1]:
        return None
    edit = Edit(path, "replace", number, texts[0], texts[1])
    return Fix(f"Write {texts[1]} in place of {texts[0]}", safe, (edit,))


def _import_first(module: str, context: Context, place: tuple[str, int] | None, safe: bool) -> Fix | None:
    """Returns the fix that moves an import before all others of the app file, after docstring and __future__."""
    if place is None or not (text := context.files.get(place[0])):
        return None
    path, number = place
    lines = text.splitlines()
    if not 0 < number <= len(lines) or lines[number - 1].strip() != f"import {module}":
        return None
    first = next(
        (n for n, line in enumerate(lines, 1) if line.startswith(("import ", "from ")) and "__future__" not in line),
        None,
    )
    if first is None or first >= number:
        return None
    old = lines[first - 1]
    edits = (
        Edit(path, "replace", first, old, f"import {module}\n{old}"),
        Edit(path, "delete", number, lines[number - 1]),
    )
    return Fix(f"Import {module} first", safe, edits)


def _replace(number: int, old: str, new: str) -> Edit:
    return Edit(REQUIREMENTS, "replace", number, old, new)


def _title(template: str, *texts: str) -> str:
    return template.format(*(cut(text) for text in texts))


def _fill(argument: Any, values: Values) -> Any:
    if isinstance(argument, list):
        return [_fill(one, values) for one in argument]
    if not isinstance(argument, str):
        return argument
    return argument.format_map(_Known(values))


class _Known(dict[str, str]):
    def __missing__(self, key: str) -> str:
        return ""


_KINDS: Mapping[str, Callable[[Any, Context, tuple[str, int] | None, bool], Fix | None]] = {
    "card": _card,
    "require": _require,
    "pin": _pin,
    "forget": _forget,
    "swap": _swap,
    "swap_line": _swap_line,
    "forget_comments": _forget_comments,
    "debian": _debian,
    "library": _library,
    "program": _program,
    "unix_lines": _unix_lines,
    "replace_text": _replace_text,
    "import_first": _import_first,
}
