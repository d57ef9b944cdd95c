"""What a set of files is found to be, and how a plugin says that its own type is recognised."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Recognised:
    """What a set of files is.

    Args:
        space_type: name of the type; None where nothing tells.
        reason: one sentence that says why, or what is missing.
        options: options that follow from the files, such as `app_file`; only those that differ from a default.
        framework: what the app is made with, such as flask; empty where it is not known.
        app: name of the application object in the app file; empty where there is none.
        needs_dockerfile: whether the type cannot run the files without a Dockerfile of the sender's.
    """

    space_type: str | None
    reason: str
    options: Mapping[str, Any] = field(default_factory=dict)
    framework: str = ""
    app: str = ""
    needs_dockerfile: bool = False


@dataclass(frozen=True)
class Hint:
    """How a plugin says that its type is recognised.

    Args:
        space_type: name of the type.
        files: names at the top of the Space, any of which tells; `*.x` for an ending.
        imports: Python modules, any of which the app file imports.
        packages: names in the dependencies of package.json, any of which tells.
    """

    space_type: str
    files: tuple[str, ...] = ()
    imports: tuple[str, ...] = ()
    packages: tuple[str, ...] = ()
