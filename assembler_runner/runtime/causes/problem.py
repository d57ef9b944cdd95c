"""A problem of a Space: the cause, what it is read from, and how to repair it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from assembler_runner.core.fixes import Fix

UNKNOWN = "unknown"
BUILD, RUN = "build", "run"


@dataclass(frozen=True)
class Excerpt:
    """The lines of a log that tell the cause; untrusted text.

    Args:
        text: a few lines, cut, without control characters.
        kind: the log, `build` or `run`.
        line: number of the first line in the log, from 1.
    """

    text: str
    kind: str
    line: int


@dataclass(frozen=True)
class Problem:
    """Why a Space does not run.

    Args:
        code: stable name of the cause, for programs; `unknown` where none fits.
        message: what happened; captured text in it is quoted and cut.
        hint: what to do.
        path: the file of the Space it is about, or None.
        line: the line in that file, from 1, or None.
        log_kind: the log that shows it, `build` or `run`; None where the target says it itself.
        values: what was captured, by name; untrusted text.
        fix: what to change, or None where no change is known to be right.
        excerpt: the lines that show it, or None.
        evidence: numbers of the lines of the log that decided, from 1.
        confidence: how sure the cause is, from 0 to 1; 0 for `unknown`.
        rule: name of the rule that found it, or None.
    """

    code: str
    message: str
    hint: str
    path: str | None = None
    line: int | None = None
    log_kind: str | None = None
    values: Mapping[str, str] = field(default_factory=dict)
    fix: Fix | None = None
    excerpt: Excerpt | None = None
    evidence: tuple[int, ...] = ()
    confidence: float = 0.0
    rule: str | None = None

    def to_json(self) -> dict[str, Any]:
        """Returns the problem as the API shows it."""
        excerpt = self.excerpt
        return {
            "code": self.code,
            "message": self.message,
            "hint": self.hint,
            "path": self.path,
            "line": self.line,
            "log_kind": self.log_kind,
            "values": dict(self.values),
            "fix": self.fix.to_json() if self.fix else None,
            "excerpt": {"text": excerpt.text, "kind": excerpt.kind, "line": excerpt.line} if excerpt else None,
            "evidence": list(self.evidence),
            "confidence": self.confidence,
        }
