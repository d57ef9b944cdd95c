"""What a rule is: one declaration beside the function that finds it, and the register of all of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Literal

from assembler_runner.assembly.preflight.context import Context
from assembler_runner.core.errors import Finding, Severity
from assembler_runner.core.fixes import Fix

Topic = Literal["readme", "entry", "python", "requirements", "docker", "static", "files", "secrets", "request"]
TOPICS: tuple[Topic, ...] = (
    "secrets",
    "readme",
    "entry",
    "python",
    "requirements",
    "docker",
    "static",
    "files",
    "request",
)


@dataclass(frozen=True)
class Found:
    """What a rule found at one place; the declaration adds code and severity.

    Args:
        message: what is wrong; text of the sender only through :func:`quote`.
        path: the file, or the field of the request.
        line: line in that file as it was given, from 1, or None.
        hint: what to do.
        values: what was captured, cleaned by :func:`clean`.
        fix: a change that makes the finding disappear, or None.
        severity: where it differs from the declared one.
    """

    message: str
    path: str | None = None
    line: int | None = None
    hint: str | None = None
    values: Mapping[str, Any] = field(default_factory=dict)
    fix: Fix | None = None
    severity: Severity | None = None


Check = Callable[[Context], Iterator[Found]]


@dataclass(frozen=True)
class Rule:
    """The declaration of one code.

    Args:
        code: stable name in snake_case.
        severity: what it usually has.
        topic: what it is about.
        explanation: why it matters, for people.
        example: an input that has it.
        has_fix: whether a fix is offered where one is certain.
        allowable: whether `allow` lets an error of this code pass.
        check: finds it; None where another part of the service does.
    """

    code: str
    severity: Severity
    topic: Topic
    explanation: str
    example: str
    has_fix: bool = False
    allowable: bool = False
    check: Check | None = None

    def finding(self, found: Found) -> Finding:
        """Returns what was found at one place, with code and severity."""
        return Finding(
            self.code,
            found.message,
            found.severity or self.severity,
            found.path,
            found.line,
            found.hint,
            dict(found.values),
            found.fix,
        )

    def to_json(self) -> dict[str, Any]:
        """Returns the declaration as `GET /findings` shows it."""
        return {
            "code": self.code,
            "severity": self.severity,
            "topic": self.topic,
            "explanation": self.explanation,
            "example": self.example,
            "has_fix": self.has_fix,
            "allowable": self.allowable,
        }


_RULES: dict[str, Rule] = {}
RULES: Mapping[str, Rule] = MappingProxyType(_RULES)
"""Every declared rule by code."""


def declare(rule: Rule) -> Rule:
    """Adds a declaration to the register.

    Raises:
        ValueError: the code is declared already.
    """
    if rule.code in _RULES:
        raise ValueError(f"the code {rule.code} is declared twice")
    _RULES[rule.code] = rule
    return rule


def rule(
    code: str,
    severity: Severity,
    topic: Topic,
    *,
    explanation: str,
    example: str,
    has_fix: bool = False,
    allowable: bool = False,
) -> Callable[[Check], Check]:
    """Declares the decorated generator as the rule of a code; the arguments are those of :class:`Rule`."""

    def add(check: Check) -> Check:
        declare(Rule(code, severity, topic, explanation, example, has_fix, allowable, check))
        return check

    return add
