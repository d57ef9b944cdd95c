"""What an app depends on, where it says so elsewhere than in requirements.txt."""

from __future__ import annotations

import tomllib
from typing import Any

OTHER_FILES = ("pyproject.toml", "Pipfile", "environment.yml", "environment.yaml", "conda.yml", "setup.py", "setup.cfg")
MAX_DEPENDENCIES = 1000


def pyproject_dependencies(text: str) -> list[str]:
    """Returns the dependencies of a pyproject.toml as lines of a requirements file.

    Args:
        text: the file: `[project]` (PEP 621) or Poetry's own table.
    Returns:
        The lines in their order; empty where there are none or the file is not valid.
    """
    try:
        data = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError):
        return []
    project = data.get("project")
    named = project.get("dependencies") if isinstance(project, dict) else None
    if isinstance(named, list):
        return [entry for entry in named[:MAX_DEPENDENCIES] if isinstance(entry, str) and "\n" not in entry]
    tool = data.get("tool")
    poetry = tool.get("poetry") if isinstance(tool, dict) else None
    table = poetry.get("dependencies") if isinstance(poetry, dict) else None
    if not isinstance(table, dict):
        return []
    return [line for name, wanted in table.items() if name.lower() != "python" for line in _poetry_line(name, wanted)]


def _poetry_line(name: str, wanted: Any) -> list[str]:
    if isinstance(wanted, str):
        return [f"{name}{_poetry_version(wanted)}"]
    if not isinstance(wanted, dict) or wanted.get("optional") is True:
        return []
    extras = wanted.get("extras")
    shown = f"{name}[{','.join(map(str, extras))}]" if isinstance(extras, list) and extras else name
    if isinstance(wanted.get("git"), str):
        ref = wanted.get("rev") or wanted.get("tag") or wanted.get("branch")
        return [f"{shown} @ git+{wanted['git']}{f'@{ref}' if ref else ''}"]
    if "path" in wanted or "url" in wanted:
        return [f"{shown} @ {wanted['url']}"] if isinstance(wanted.get("url"), str) else []
    return [f"{shown}{_poetry_version(str(wanted.get('version', '*')))}"]


def _poetry_version(wanted: str) -> str:
    """Turns `^1.2` and `~1.2` into what pip knows (Poetry documentation, dependency specification)."""
    parts = []
    for part in (piece.strip() for piece in wanted.split(",")):
        if part in ("*", ""):
            continue
        if part[0] in "^~" and not part.startswith("~="):
            numbers = part[1:].strip().split(".")
            parts.append(f">={part[1:].strip()},<{_next(numbers, caret=part[0] == '^')}")
        else:
            parts.append(part if part[0] in "<>=!~" else f"=={part}")
    return ",".join(parts)


def _next(numbers: list[str], *, caret: bool) -> str:
    values = [int(number) if number.isdecimal() else 0 for number in numbers]
    if caret:
        position = next((index for index, value in enumerate(values) if value), len(values) - 1)
    else:
        position = 1 if len(values) > 1 else 0
    return ".".join(map(str, [*values[:position], values[position] + 1]))
