"""Findings about the input, problems of running apps, and their fixes."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from pydantic import BaseModel, ConfigDict


class Model(BaseModel):
    """Base of all models; unknown fields are kept in `model_extra`."""

    model_config = ConfigDict(extra="allow", protected_namespaces=())


class Edit(Model):
    """A change of a file; `action` is write, append_line, delete or replace; without `line` for the whole file."""

    path: str = ""
    action: str = ""
    line: int | None = None
    old: str | None = None
    new: str | None = None


class Fix(Model):
    """A change that resolves a finding or a problem; a `safe` one may be applied without a review."""

    title: str = ""
    safe: bool = False
    edits: list[Edit] = []
    options: dict[str, Any] = {}


class Finding(Model):
    """A problem or remark: file or field, line, message, and what to do."""

    code: str = "unknown"
    severity: str = "error"
    path: str | None = None
    line: int | None = None
    message: str = ""
    hint: str | None = None
    values: dict[str, Any] = {}
    fix: Fix | None = None

    def __str__(self) -> str:
        place = ":".join(str(part) for part in (self.path, self.line) if part is not None)
        shown = f"{place}: {self.severity}: {self.message}" if place else f"{self.severity}: {self.message}"
        return f"{shown} {self.hint}" if self.hint else shown


class FindingRule(Model):
    """A code of findings; `allow` accepts it if it is `allowable`."""

    code: str
    severity: str = ""
    topic: str = ""
    explanation: str = ""
    example: str = ""
    has_fix: bool = False
    allowable: bool = False


class Excerpt(Model):
    """The lines of a log that show a cause; untrusted text. `line` is the number of the first line, from 1."""

    text: str = ""
    kind: str = ""
    line: int | None = None


class Problem(Model):
    """Why an app does not run."""

    code: str
    message: str = ""
    hint: str | None = None
    path: str | None = None
    line: int | None = None
    log_kind: str | None = None
    values: dict[str, Any] = {}
    fix: Fix | None = None
    excerpt: Excerpt | None = None
    evidence: list[int] = []
    confidence: float | None = None
    source: str | None = None
    read_at: datetime | None = None

    def as_finding(self) -> Finding:
        """Returns the problem as a finding, with file and line if known."""
        shared = ("code", "message", "path", "line", "hint", "values", "fix")
        return Finding(**{name: getattr(self, name) for name in shared})
