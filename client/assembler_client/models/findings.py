"""Findings about the input, problems of running apps, and their fixes."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any, ClassVar

from pydantic import BaseModel, ConfigDict

from assembler_client.models.literals import EditAction, LogKind, Severity


class Model(BaseModel):
    """Base of all models; unknown fields are kept in `model_extra`."""

    model_config = ConfigDict(extra="allow", protected_namespaces=())
    shown: ClassVar[tuple[str, ...]] = ()
    """Fields in `repr`; all of them if empty."""

    def __repr_args__(self) -> Iterable[tuple[str | None, Any]]:
        """Returns what `repr` shows: long objects are named by a few fields."""
        return [(name, getattr(self, name)) for name in self.shown] if self.shown else super().__repr_args__()


class Edit(Model):
    """A change of a file; `action` is write, append_line, delete or replace; without `line` for the whole file."""

    path: str = ""
    """The file."""
    action: EditAction = "write"
    """What is done to the file."""
    line: int | None = None
    """Line, from 1; null for the whole file."""
    old: str | None = None
    """The expected current text."""
    new: str | None = None
    """The new text."""


class Fix(Model):
    """A change that resolves a finding or a problem; a `safe` one may be applied without a review."""

    title: str = ""
    """What it does."""
    safe: bool = False
    """Whether it may be applied without a review."""
    edits: list[Edit] = []
    """Changes of files."""
    options: dict[str, Any] = {}
    """Options of the type to set."""


class Finding(Model):
    """A problem or remark: file or field, line, message, and what to do."""

    code: str = "unknown"
    """Stable code, for programs."""
    severity: Severity = "error"
    """error rejects the request."""
    path: str | None = None
    """Field of the request, or file."""
    line: int | None = None
    """Line in the file, from 1."""
    message: str = ""
    """Description of the problem."""
    hint: str | None = None
    """What to do."""
    values: dict[str, Any] = {}
    """Captured values by name."""
    fix: Fix | None = None
    """A change that resolves it."""

    def __str__(self) -> str:
        place = ":".join(str(part) for part in (self.path, self.line) if part is not None)
        shown = f"{place}: {self.severity}: {self.message}" if place else f"{self.severity}: {self.message}"
        return f"{shown} {self.hint}" if self.hint else shown


class FindingRule(Model):
    """A code of findings; `allow` accepts it if it is `allowable`."""

    code: str
    """Stable code, for programs."""
    severity: Severity = "error"
    """error, warning or info."""
    topic: str = ""
    """Subject of the check."""
    explanation: str = ""
    """Description of the problem and its reason."""
    example: str = ""
    """An input that causes it."""
    has_fix: bool = False
    """Whether findings may have a fix."""
    allowable: bool = False
    """Whether `allow` accepts this code."""


class Excerpt(Model):
    """The lines of a log that show a cause; untrusted text. `line` is the number of the first line, from 1."""

    text: str = ""
    """The lines; untrusted."""
    kind: LogKind = "run"
    """Which log they are from."""
    line: int | None = None
    """Number of the first line, from 1."""


class Problem(Model):
    """Why an app does not run."""

    code: str
    """Stable code of the cause, or `unknown`."""
    message: str = ""
    """What happened."""
    hint: str | None = None
    """What to do."""
    path: str | None = None
    """The file of the Space that causes it."""
    line: int | None = None
    """Line in the file, from 1."""
    log_kind: LogKind | None = None
    """The log with the evidence: build or run."""
    values: dict[str, Any] = {}
    """Captured values by name; untrusted text."""
    fix: Fix | None = None
    """Fix: title, safe, edits, options."""
    excerpt: Excerpt | None = None
    """Relevant lines: text (untrusted), kind, line."""
    evidence: list[int] = []
    """Line numbers in the log that prove the cause."""
    confidence: float | None = None
    """Confidence in the cause, from 0 to 1."""
    source: str | None = None
    """Where it was read: build_log, run_log, target (its own words) or timeout."""
    read_at: datetime | None = None
    """When it was read, UTC."""

    def as_finding(self) -> Finding:
        """Returns the problem as a finding, with file and line if known."""
        shared = ("code", "message", "path", "line", "hint", "values", "fix")
        return Finding(**{name: getattr(self, name) for name in shared})
