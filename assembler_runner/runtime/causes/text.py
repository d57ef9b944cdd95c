"""Untrusted text made fit to be read and shown: bounded, without control characters, quoted."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

LINE_LENGTH, SHOWN_LENGTH, KEPT_LINES = 600, 80, 3000
"""Longest line that is read, longest captured value that is shown, most lines of a log that are read."""

_ESCAPES = re.compile(r"\x1b(?:\[[0-9;?]{0,20}[ -/]?[@-~]|\][^\x07\x1b]{0,200}(?:\x07|\x1b\\)?|[@-Z\\-_])")
_CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff\ud800-\udfff]")
_STEP = re.compile(r"#(?P<step>\d{1,4}) (?:\d{1,6}\.\d{1,3} )?")
_STAMP = re.compile(
    r"(?:\[?\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(?:[.,]\d{1,9})?(?:Z| ?[+-]\d\d:?\d\d)?\]?:? {1,3})"
    r"(?:\[\d{1,7}\] (?:\[(?:DEBUG|INFO|WARNING|ERROR|CRITICAL)\] )?)?"
)


@dataclass(frozen=True)
class Line:
    """One line of a log.

    Args:
        number: its place in the log, from 1.
        text: what it says, without colours, control characters, the time and the step of a build.
        step: the step of a Docker build that wrote it, or None.
        is_record: whether it began with a time, as a record of a log does.
    """

    number: int
    text: str
    step: str | None = None
    is_record: bool = False


def read_lines(log: str | Sequence[str]) -> list[Line]:
    """Returns the last lines of a log, each cut; numbers are those in the whole log."""
    raw = log.split("\n") if isinstance(log, str) else log
    skipped = max(0, len(raw) - KEPT_LINES)
    return [_line(number, text) for number, text in enumerate(raw[skipped:], start=skipped + 1)]


def _line(number: int, raw: str) -> Line:
    text = clean(raw[: LINE_LENGTH + 40])
    step = None
    if match := _STEP.match(text):
        step, text = match["step"], text[match.end() :]
    stamp = _STAMP.match(text)
    if stamp:
        text = text[stamp.end() :]
    return Line(number, text[:LINE_LENGTH].rstrip(), step, stamp is not None)


def clean(text: str) -> str:
    """Returns a text without terminal sequences, control characters and marks that turn its direction."""
    if text.isprintable():
        return text
    return _CONTROLS.sub("", _ESCAPES.sub("", text.rstrip("\r\n").replace("\r", "\\r")))


def cut(text: str) -> str:
    """Returns a captured text as one short line."""
    flat = " ".join(clean(text[:2000].replace("\n", " ")).split())
    return flat if len(flat) <= SHOWN_LENGTH else flat[: SHOWN_LENGTH - 1] + "…"


def quote(text: str) -> str:
    """Returns a captured text as it is used in our sentences: short, in quotation marks; numbers as they are."""
    short = cut(text)
    return short if short.isdecimal() and short.isascii() else '"{}"'.format(short.replace('"', "'"))
