"""Requirement files, line by line (pip documentation, requirements file format)."""

from __future__ import annotations

import posixpath
import re
from dataclasses import dataclass
from typing import Literal

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

Kind = Literal["requirement", "include", "constraint", "editable", "path", "url", "option", "wrong"]
MAX_LINES = 5000
MAX_LINE = 2000

_COMMENT = re.compile(r"(^|\s+)#.*$")
_OPTION = re.compile(r"^(-r|--requirement|-c|--constraint|-e|--editable)(?:[ \t]*=[ \t]*|[ \t]*)(\S.*)$")
_HASHES = re.compile(r"\s--(?:hash|config-settings|global-option)[= ].*$")
_URL = re.compile(r"^(?:git|hg|svn|bzr)\+[\w+]+:|^https?://|^file:", re.I)
_ARCHIVES = (".whl", ".tar.gz", ".zip", ".tgz")


@dataclass(frozen=True)
class RequirementLine:
    """One line that is no comment.

    Args:
        kind: what it is.
        text: without comment, continued lines joined.
        path: the file that contains it.
        line: line from 1.
        written: its first line as written.
        requirement: parsed, where it is one.
        target: path in the Space that an include, a constraint, an editable or a local file means; None for others.
    """

    kind: Kind
    text: str
    path: str
    line: int
    written: str
    requirement: Requirement | None = None
    target: str | None = None

    @property
    def name(self) -> str:
        """The canonical name of the package; empty where there is none."""
        return canonicalize_name(self.requirement.name) if self.requirement is not None else ""

    @property
    def url(self) -> str:
        """The address that the package comes from; empty for an index."""
        if self.requirement is not None:
            return self.requirement.url or ""
        return (
            self.text.partition(" ")[2].strip() if self.kind == "editable" else self.text if self.kind == "url" else ""
        )


def parse_requirements(text: str, path: str = "requirements.txt") -> list[RequirementLine]:
    """Parses a requirements file; never raises for what is in it.

    Args:
        text: the file.
        path: where it is in the Space; what it includes is relative to it.
    """
    rows = text.removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n").split("\n")
    found = []
    number = 0
    while number < len(rows) and number < MAX_LINES:
        start, written = number + 1, rows[number]
        joined = ""
        while rows[number].endswith("\\") and not rows[number].lstrip().startswith("#") and number + 1 < len(rows):
            joined += rows[number][:-1] + " "
            number += 1
        joined += rows[number]
        number += 1
        line = _COMMENT.sub("", joined[:MAX_LINE]).strip()
        if line:
            found.append(_parse(line, path, start, written))
    return found


def _parse(line: str, path: str, number: int, written: str) -> RequirementLine:
    option = _OPTION.match(line)
    if option is not None:
        name, value = option[1].lstrip("-")[:1], option[2].strip("\"'")
        kind: Kind = {"r": "include", "c": "constraint"}.get(name, "editable")  # type: ignore[assignment]  # a str
        target = None if _URL.match(value) else _in_space(path, value.partition("#")[0].partition("[")[0])
        return RequirementLine(kind, line, path, number, written, target=target)
    if re.match(r"--?[a-zA-Z]", line):
        return RequirementLine("option", line, path, number, written)
    bare = _HASHES.sub("", line)
    if _URL.match(bare):
        return RequirementLine("url", line, path, number, written)
    local = bare.partition(";")[0].strip()
    if local.startswith((".", "/")) or (local.endswith(_ARCHIVES) and " @ " not in local and "://" not in local):
        return RequirementLine("path", line, path, number, written, target=_in_space(path, local.partition("[")[0]))
    try:
        requirement = Requirement(bare)
    except InvalidRequirement:
        return RequirementLine("wrong", line, path, number, written)
    return RequirementLine("requirement", line, path, number, written, requirement)


def _in_space(path: str, target: str) -> str:
    joined = posixpath.normpath(posixpath.join(posixpath.dirname(path), target))
    return "" if joined == "." else joined
