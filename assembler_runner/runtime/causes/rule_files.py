"""The known causes, as they are declared in `rules/*.toml`."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache, cached_property
from pathlib import Path
from typing import Any

ORDER = ("hub", "endings", "libraries", "models", "node", "docker", "pip", "servers", "python")
"""Files of rules, from the special to the general; within a file the first rule that fits is taken."""

OF_THE_CODE = frozenset(
    {"ModuleNotFoundError", "ImportError", "SyntaxError", "IndentationError", "TabError", "NameError", "AttributeError"}
    | {"KeyError", "IndexError", "UnboundLocalError", "ZeroDivisionError", "RecursionError", "FileNotFoundError"}
    | {"PermissionError", "UnicodeDecodeError", "UnicodeEncodeError", "NotADirectoryError", "ReferenceError"}
)
"""Classes of exceptions about the code itself: `*` does not mean them, only their names do."""


@dataclass(frozen=True)
class Rule:
    """One known cause.

    Args:
        name: unique name; `code` is what programs decide by, and may be shared.
        said: pattern of what the target says, matched from its beginning.
        line: pattern of a line that ended a build or an app, matched from its beginning.
        exception: names of classes of exceptions, separated by `|`; `*` is any but `OF_THE_CODE`. `text` is the pattern
            of their message.
        frame: pattern that must be found in the name of a file of the traceback; `^$` fits where its files are cut off.
        js: True for exceptions of JavaScript only.
        also, unless: patterns that the whole log must or must not contain; groups of `also` are captured, too.
        kind: the only log it is for, `build` or `run`; None for both.
        warning: whether a line that is only a warning may match.
        general: whether it tells only that something failed; taken when nothing special fits.
        confidence: from 0 to 1; None for the value that the evidence gives.
        message, hint: captured groups in braces are filled in, quoted and cut.
        path: the file of the Space to change.
        solve: name of a function in `solvers` that decides more than a pattern can.
        fix: how to repair it, see `repairs`.
    """

    name: str
    code: str
    message: str
    hint: str
    said: str | None = None
    line: str | None = None
    exception: str | None = None
    text: str = ""
    frame: str | None = None
    js: bool = False
    also: str | None = None
    unless: str | None = None
    kind: str | None = None
    warning: bool = False
    general: bool = False
    confidence: float | None = None
    path: str | None = None
    solve: str | None = None
    fix: Mapping[str, Any] = field(default_factory=dict)

    @cached_property
    def said_pattern(self) -> re.Pattern[str]:
        """Compiled when it is first needed: most rules never are."""
        return re.compile(self.said or "(?!)")

    @cached_property
    def line_pattern(self) -> re.Pattern[str]:
        """As `said_pattern`."""
        return re.compile(self.line or "(?!)")

    @cached_property
    def text_pattern(self) -> re.Pattern[str]:
        """As `said_pattern`."""
        return re.compile(self.text)

    @cached_property
    def frame_pattern(self) -> re.Pattern[str]:
        """As `said_pattern`."""
        return re.compile(self.frame or "")

    @cached_property
    def also_pattern(self) -> re.Pattern[str]:
        """As `said_pattern`."""
        return re.compile(self.also or "", re.MULTILINE)

    @cached_property
    def unless_pattern(self) -> re.Pattern[str]:
        """As `said_pattern`."""
        return re.compile(self.unless or "(?!)", re.MULTILINE)


@cache
def rules() -> tuple[Rule, ...]:
    """Returns the known causes, from the special to the general."""
    folder = Path(__file__).parent / "rules"
    texts = ((folder / f"{name}.toml").read_text(encoding="utf-8") for name in ORDER)
    return tuple(Rule(**row) for text in texts for row in tomllib.loads(text)["cause"])


@cache
def rules_of_exceptions() -> Mapping[str, tuple[Rule, ...]]:
    """Returns the rules for each name of an exception's class; `*` is for names that no rule has."""
    by_name: dict[str, list[Rule]] = {name: [] for name in ("*", *OF_THE_CODE)}
    for rule in rules():
        for name in (rule.exception or "").split("|"):
            by_name.setdefault(name, [])
    for rule in rules():
        names = set((rule.exception or "").split("|"))
        for name, chosen in by_name.items():
            if rule.exception and (name in names or ("*" in names and name not in OF_THE_CODE)):
                chosen.append(rule)
    return {name: tuple(chosen) for name, chosen in by_name.items()}


@cache
def rules_of_lines(kind: str, general: bool) -> tuple[Rule, ...]:
    """Returns the rules that read single lines of one log."""
    return tuple(rule for rule in rules() if rule.line and rule.kind in (None, kind) and rule.general is general)


@cache
def rules_of_target(general: bool) -> tuple[Rule, ...]:
    """Returns the rules that read what the target says."""
    return tuple(rule for rule in rules() if rule.said and rule.general is general)
