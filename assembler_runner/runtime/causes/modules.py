"""Which package provides a Python module, where that is known for certain."""

from __future__ import annotations

import re
import sys
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Provider:
    """What provides a module.

    Args:
        requirement: the line for requirements.txt, or None where no package is known for certain.
        advice: what to do where a line is not the answer, or None.
        moved: whether the package is installed and the submodule left it.
    """

    requirement: str | None = None
    advice: str | None = None
    moved: bool = False


@cache
def tables() -> Mapping[str, Any]:
    """Returns `modules.toml`; `own` is module → project."""
    data = tomllib.loads((Path(__file__).parent / "modules.toml").read_text(encoding="utf-8"))
    return data | {"own": {name: name.replace("_", "-") for name in data["own"].split()}}


def provider_of(module: str) -> Provider:
    """Finds what provides a module.

    Args:
        module: the dotted name that Python did not find. Python names the first part that is missing, so the parent
            of a dotted name is installed, or a namespace of several projects.
    Returns:
        A requirement, advice, or neither where nothing is known.
    """
    parts = module.split(".")
    known = tables()
    prefixes = [".".join(parts[:end]) for end in range(len(parts), 0, -1)]
    for prefix in prefixes:
        if advice := known["advice"].get(prefix):
            if "." not in prefix and len(parts) > 1:
                continue
            return Provider(None, advice)
        if requirement := known["parts"].get(prefix):
            return Provider(requirement)
    for prefix in prefixes:
        size = known["families"].get(prefix)
        if size and len(parts) >= size:
            return Provider("-".join(parts[:size]).replace("_", "-"))
    if len(parts) > 1:
        return Provider(
            None, next((known["moved"][one] for one in prefixes if one in known["moved"]), None), moved=True
        )
    return Provider(project_of(module))


def project_of(module: str) -> str | None:
    """Returns the project on PyPI that provides a top-level module, or None where it is not known for certain."""
    known = tables()
    name = module.partition(".")[0]
    found: str | None = known["distributions"].get(name) or known["own"].get(name)
    return found


def is_standard(module: str) -> bool:
    """Whether a module belongs to Python itself."""
    return module.partition(".")[0] in sys.stdlib_module_names


def project_name(requirement: str) -> str:
    """Returns the name alone of a requirement such as `setuptools<81` or `gradio[mcp]`."""
    return re.split(r"[\s\[=<>!~;@]", requirement, maxsplit=1)[0]
