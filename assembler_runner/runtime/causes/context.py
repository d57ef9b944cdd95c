"""What is known of a Space beside its logs: type, front matter, files and, where the caller has them, their texts."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any

from assembler_runner.runtime.causes.tracebacks import Failure

DEFAULT_PORT = 7860
_FOLDERS = ("/home/user/app/", "/usr/src/app/", "/app/", "/code/", "/workspace/", "/src/", "./")
_INSTALLED = re.compile(r"(?:site|dist)-packages/|^/usr/(?:local/)?lib|/lib/python\d|^<|node_modules/|^node:")
_NAME = re.compile(r"[^a-z0-9]+")


@dataclass(frozen=True)
class Context:
    """A Space as its diagnosis needs it.

    Args:
        files: path → text, or None where only the name is known.
        card: front matter of README.md.
        space_type: the type that published it, or None.
    """

    files: Mapping[str, str | None] = field(default_factory=dict)
    card: Mapping[str, Any] = field(default_factory=dict)
    space_type: str | None = None

    @property
    def is_docker(self) -> bool:
        """Whether a Dockerfile builds it."""
        return "Dockerfile" in self.files or "docker" in (self.space_type, self.card.get("sdk"))

    @property
    def port(self) -> int:
        """The port on which the Hub expects the app."""
        value = str(self.card.get("app_port"))
        return int(value) if value.isdecimal() and len(value) <= 5 else DEFAULT_PORT

    def find(self, name: str) -> str | None:
        """Returns the file of the Space that a path in the container names, or None."""
        if name in self.files:
            return name
        short = next((name.removeprefix(folder) for folder in _FOLDERS if name.startswith(folder)), None)
        if short in self.files:
            return short
        if _INSTALLED.search(name):
            return None
        return next((ending for ending in _endings(name) if ending in self.files), None)

    def place(self, failure: Failure) -> tuple[str, int] | None:
        """Returns file and line of the deepest frame that is in the Space itself."""
        for frame in reversed(failure.frames):
            if path := self.find(frame.file):
                return path, frame.line
        return None

    def requirement(self, project: str) -> tuple[int, str] | None:
        """Returns number and text of the only line of requirements.txt that names a project, if its text is known."""
        wanted = normal(project)
        found = [
            (number, line)
            for number, line in enumerate((self.files.get("requirements.txt") or "").splitlines(), start=1)
            if normal(re.split(r"[\s\[=<>!~;@#]", line.strip(), maxsplit=1)[0]) == wanted
        ]
        return found[0] if len(found) == 1 else None


def make_context(
    files: Collection[str] | Mapping[str, str | None], card: Mapping[str, Any] | None, space_type: str | None
) -> Context:
    """Returns the context of names alone or of names with texts."""
    known = dict(files) if isinstance(files, Mapping) else dict.fromkeys(files)
    return Context(known, card or {}, space_type)


def normal(project: str) -> str:
    """Returns the name of a Python project as indexes compare it (PEP 503)."""
    return _NAME.sub("-", project.lower()).strip("-")


def is_installed(path: str) -> bool:
    """Whether a path of a traceback is of an installed package or of Python itself."""
    return bool(_INSTALLED.search(path))


def _endings(name: str) -> Iterator[str]:
    parts = PurePosixPath(name).parts
    return ("/".join(parts[start:]) for start in range(1, len(parts)))
