"""The one form of answer for agents: what to do next, in few characters.

`{state, space, url, commit, notes: [{severity, code, at, message, fix}], untrusted: {source, text, cut}, next}`; what
is null or empty is left out. An answer has at most 1,500 characters, one with a log 6,000.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from assembler_runner.core.errors import AssemblerError, Finding
from assembler_runner.mcp.untrusted import Quotes, Untrusted, clean

SHORT, LONG = 1500, 6000
"""Most characters of an answer, and of one with a log."""

INVALID, REFUSED, OK = "invalid", "refused", "ok"

_ORDER = {"error": 0, "warning": 1, "info": 2}
_MESSAGE, _FIX = 240, 200
_TIGHT = 70


@dataclass(frozen=True)
class Note:
    """Something that the agent should know.

    Args:
        severity: error, warning or info.
        code: stable code.
        message: what happened; no text of strangers.
        at: file, file and line, or argument, or None.
        fix: what to do, or None.
    """

    severity: str
    code: str
    message: str
    at: str | None = None
    fix: str | None = None

    def to_json(self, message: int, fix: int) -> dict[str, Any]:
        """Returns the note with cut texts.

        Args:
            message: most characters of the message.
            fix: most characters of the fix; 0 leaves it out.
        """
        values = {
            "severity": self.severity,
            "code": self.code,
            "at": self.at,
            "message": _cut(self.message, message),
            "fix": _cut(self.fix, fix) if self.fix and fix else None,
        }
        return {name: value for name, value in values.items() if value}


@dataclass(frozen=True)
class Call:
    """A call that makes sense next.

    Args:
        tool: name of the tool.
        arguments: its arguments.
        repeat: whether the arguments of the answered call are to be sent, too.
    """

    tool: str
    arguments: Mapping[str, Any] = field(default_factory=dict)
    repeat: bool = False

    def to_json(self) -> dict[str, Any]:
        """Returns the form of an answer."""
        shown: dict[str, Any] = {"tool": self.tool, "arguments": dict(self.arguments)}
        return {**shown, "repeat": True} if self.repeat else shown


@dataclass
class Answer:
    """The result of a tool.

    Args:
        state: what the state is; `invalid` and `refused` for a call that did nothing.
        space: id of the Space.
        url: its address.
        commit: the live commit.
        notes: what to know.
        more: further parts: `types`, `spaces`, `page`.
        log: text of strangers that was asked for, or that tells a cause.
        quotes: captured texts that were taken out of the notes.
        next: the next call.
        most: most characters.
        is_error: whether the call did nothing.
    """

    state: str
    space: str | None = None
    url: str | None = None
    commit: str | None = None
    notes: list[Note] = field(default_factory=list)
    more: Mapping[str, Any] = field(default_factory=dict)
    log: Untrusted | None = None
    quotes: Quotes = field(default_factory=Quotes)
    next: Call | None = None
    most: int = SHORT
    is_error: bool = False

    def add(self, severity: str, code: str, message: str, at: str | None = None, fix: str | None = None) -> None:
        """Adds a note in the service's own words."""
        self.notes.append(Note(severity, code, message, at, fix))

    def add_findings(self, findings: Iterable[Finding | Mapping[str, Any]]) -> None:
        """Adds a note for each finding, without captured texts."""
        for finding in findings:
            shown = finding.to_json() if isinstance(finding, Finding) else finding
            self.notes.append(self._note(shown, shown.get("severity", "error")))

    def add_problem(self, problem: Mapping[str, Any]) -> None:
        """Adds a note for the problem of an app, and the log lines that show it."""
        self.notes.append(self._note(problem, "error"))
        excerpt = problem.get("excerpt")
        if excerpt and excerpt.get("text"):
            self.log = Untrusted(f"{excerpt.get('kind', 'run')}_log", str(excerpt["text"]))

    def add_error(self, problem: AssemblerError) -> None:
        """Adds the notes of an error: all its issues, or the error itself."""
        if problem.issues:
            self.add_findings(problem.issues)
        else:
            self.add_failure({"code": problem.code, "message": problem.message, "hint": problem.hint})

    def add_failure(self, error: Mapping[str, Any]) -> None:
        """Adds a note for the error of a request."""
        self.notes.append(self._note(error, "error"))

    def _note(self, shown: Mapping[str, Any], severity: str) -> Note:
        values = [shown.get("values"), shown.get("path")]
        message = self.quotes.sentence(str(shown.get("message") or ""), values) or ""
        fix = shown.get("fix") or {}
        hint = fix.get("title") or shown.get("hint")
        at = self.quotes.name(shown.get("path"))
        if at and shown.get("line"):
            at = f"{at}:{shown['line']}"
        return Note(severity, str(shown.get("code")), message, at, self.quotes.sentence(hint, values))

    def to_json(self) -> dict[str, Any]:
        """Returns the answer within its limit: first what matters least is cut, then counted only."""
        notes = sorted(dict.fromkeys(self.notes), key=lambda note: _ORDER.get(note.severity, 0))
        body = self._body()
        for message, fix, text in ((_MESSAGE, _FIX, self.most), (160, 120, 600), (110, 80, 300), (_TIGHT, 0, 150)):
            shown = self._whole([note.to_json(message, fix) for note in notes], body, text)
            if length_of(shown) <= self.most:
                return shown
        for kept in range(len(notes) - 1, -1, -1):
            rest = Counter(note.code for note in notes[kept:])
            more = ", ".join(f"{code} x{count}" if count > 1 else code for code, count in rest.most_common(6))
            last = Note("info", "more", f"{sum(rest.values())} more: {more}.").to_json(_MESSAGE, 0)
            shown = self._whole([*(note.to_json(_TIGHT, 0) for note in notes[:kept]), last], body, 0)
            if length_of(shown) <= self.most:
                return shown
        return self._whole([last], self._body(), 0)

    def _body(self) -> str:
        parts = [*([self.log.body] if self.log else []), *self.quotes.lines()]
        return "\n".join(parts)

    def _whole(self, notes: list[dict[str, Any]], body: str, most_text: int) -> dict[str, Any]:
        values: dict[str, Any] = {"state": self.state, "space": self.space, "url": self.url, "commit": self.commit}
        values |= {"notes": notes, **self.more}
        values["next"] = self.next.to_json() if self.next else None
        shown = {name: value for name, value in values.items() if value not in (None, [], {})}
        if body and most_text:
            source = self.log.source if self.log else "input"
            room = min(most_text, self.most - length_of(shown) - 130)
            if room > 0:
                shown["untrusted"] = _fitting(Untrusted(source, body), room)
        return shown


def length_of(shown: Mapping[str, Any]) -> int:
    """Returns the number of characters of an answer."""
    return len(as_text(shown))


def as_text(shown: Mapping[str, Any]) -> str:
    """Returns an answer as compact JSON."""
    return json.dumps(shown, separators=(",", ":"), ensure_ascii=False)


def _fitting(untrusted: Untrusted, room: int) -> dict[str, Any]:
    """Returns text of strangers that has at most `room` characters as JSON, where newlines and quotes count twice."""
    most = room
    while True:
        shown = untrusted.to_json(most)
        over = len(as_text(shown)) - 100 - room
        if over <= 0 or most <= 0:
            return shown
        most = max(0, most - over)


def _cut(text: str, most: int) -> str:
    flat = " ".join(clean(text).split())
    return flat if len(flat) <= most else flat[: most - 1] + "…"
