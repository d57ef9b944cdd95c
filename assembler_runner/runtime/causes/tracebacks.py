"""Exceptions in a log: tracebacks of Python and Node with their chains, and those whose beginning is cut off."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from assembler_runner.runtime.causes.text import Line

_HEADER = re.compile(r"(?P<indent>[ |]{0,40})(?:Exception Group )?Traceback \(most recent call last\):")
_FRAME = re.compile(r'[ |]{1,44}File "(?P<file>[^"]{1,300})", line (?P<line>\d{1,7})')
_EXCEPTION = re.compile(
    r"(?P<type>(?:[A-Za-z_]\w{0,60}\.){0,8}[A-Za-z_]\w{0,60})(?P<rest>: (?P<text>.*)|:?)$",
)
_BARE = re.compile(
    r"(?:Uncaught |Unhandled )?(?P<type>(?:[A-Za-z_]\w{0,60}\.){0,8}"
    r"(?:[A-Z]\w{0,60}(?:Error|Exception|Interrupt|Exit|Iteration|NotFound)|(?<=\.)Error|Error))"
    r"(?: \[(?P<js>[A-Z_0-9]{3,40})\])?: (?P<text>\S.*)$"
)
_TYPED = re.compile(
    r"(?i)(?P<own>.{0,60}?\b(?:command|input|prompt|query|question|user (?:said|text|message))\b[^:'\"\n]{0,20}[:'\"])"
)
_PLAIN = frozenset(
    {"ValueError", "RuntimeError", "Exception", "TypeError", "KeyError", "AssertionError", "LookupError"}
)
_CHAIN = re.compile(r"(?:During handling of the above exception|The above exception was the direct cause)")
_IGNORED = re.compile(
    r"(?:Exception ignored in|(?:Task|Future) exception was never retrieved|Exception in callback|--- Logging error ---"
    r"|.{0,80}future: <(?:Task|Future) finished)"
)
_OTHER = re.compile(
    r"(?:INFO|WARNING|WARN|ERROR|DEBUG|CRITICAL|FATAL)\b|During handling of|The above exception|Exception ignored in"
    r"|\[\w|\d{1,3}\.\d{1,3}\.\d{1,3}\.\d{1,3}\b|>>> "
    r"|(?:[Uu]ser|[Pp]rompt|[Qq]uestion|[Mm]essage|[Ii]nput)\b.{0,20}[:=]"
)
_SHUTDOWN = frozenset({"KeyboardInterrupt", "CancelledError", "SystemExit", "GeneratorExit", "BrokenPipeError"})
_JS_PLACE = re.compile(r"(?:file://)?(?P<file>/[^\s:]{1,200}\.[cm]?[jt]sx?):(?P<line>\d{1,7})$")
_JS_FRAME = re.compile(
    r"\s{2,8}at (?:[^(]{0,120}\()?(?:file://)?(?P<file>/[^\s:()]{1,200}):(?P<line>\d{1,7}):\d{1,6}\)?"
)
_JS_AT = re.compile(r"\s{2,8}at \S")
_MORE_LINES = 12


@dataclass(frozen=True)
class Frame:
    """One level of a traceback: file and line as the log names them."""

    file: str
    line: int


@dataclass(frozen=True)
class Failure:
    """One exception of a log.

    Args:
        type: name of its class with the module, as in `requests.exceptions.ConnectionError`.
        text: its message; several lines are kept.
        frames: from the outermost to the deepest.
        first: number of the line where it begins.
        shown: number of the line that names it.
        earlier: the exceptions it was raised from or while handling, nearest first.
        is_noise: whether the interpreter says that it was ignored, or it only tells that the app was ended.
        is_js: whether it is from Node.
    """

    type: str
    text: str
    frames: tuple[Frame, ...]
    first: int
    shown: int
    earlier: tuple[Failure, ...] = ()
    is_noise: bool = False
    is_js: bool = False

    @property
    def name(self) -> str:
        """Name of the class alone."""
        return self.type.rpartition(".")[2]

    @property
    def own_words(self) -> str:
        """The message without the text of a user that it quotes, as a complaint about an unknown command does."""
        match = _TYPED.match(self.text) if self.type in _PLAIN else None
        return match["own"] if match else self.text


def find_failures(lines: Sequence[Line]) -> list[Failure]:
    """Returns the exceptions of a log in its order; a chain is one of them, with its `earlier` ones."""
    found: list[Failure] = []
    chained = False
    at = 0
    while at < len(lines):
        text = lines[at].text
        if _CHAIN.match(text.lstrip(" |")):
            chained = True
            at += 1
            continue
        if header := _HEADER.match(text):
            failure, after = _read_traceback(lines, at, header["indent"])
        else:
            failure, after = _read_bare(lines, at)
        if failure is not None:
            if chained and found:
                before = found.pop()
                failure = replace(failure, first=before.first, earlier=(before, *before.earlier)[:8])
            found.append(failure)
            chained = False
        elif text.strip():
            chained = False
        at = max(after, at + 1)
    return found


def _read_traceback(lines: Sequence[Line], start: int, indent: str) -> tuple[Failure | None, int]:
    frames: list[Frame] = []
    at = start + 1
    while at < len(lines):
        text = lines[at].text
        if frame := _FRAME.match(text):
            frames.append(Frame(frame["file"], int(frame["line"])))
        elif text.startswith(indent) and text[len(indent) :][:1] not in ("", " ", "\t"):
            if match := _EXCEPTION.match(text[len(indent) :]):
                more = _continuation(lines, at + 1)
                noise = _is_ignored(lines, start) or match["type"].rpartition(".")[2] in _SHUTDOWN
                message = "\n".join([match["text"] or "", *more])
                numbers = (lines[start].number, lines[at].number)
                return Failure(match["type"], message, tuple(frames[-60:]), *numbers, is_noise=noise), at + 1
            return None, at
        elif not text.strip() and at + 1 < len(lines) and _CHAIN.match(lines[at + 1].text):
            return None, at
        at += 1
    return None, at


def _continuation(lines: Sequence[Line], start: int) -> list[str]:
    """Returns further lines of a message, up to what begins something else."""
    more: list[str] = []
    for at in range(start, min(start + _MORE_LINES, len(lines))):
        text = lines[at].text
        if lines[at].is_record or _OTHER.match(text) or _HEADER.match(text) or _BARE.match(text):
            break
        if not text.strip() and (at + 1 >= len(lines) or _OTHER.match(lines[at + 1].text)):
            break
        more.append(text)
    return more


def _is_ignored(lines: Sequence[Line], start: int) -> bool:
    return any(_IGNORED.match(line.text) for line in lines[max(0, start - 2) : start])


def _read_bare(lines: Sequence[Line], at: int) -> tuple[Failure | None, int]:
    """Reads an exception without a header: a syntax error, Node's, or one whose beginning is cut off."""
    text = lines[at].text
    if not (match := _BARE.match(text)):
        return None, at + 1
    frames = list(_frames_before(lines, at))
    more = _continuation(lines, at + 1)
    is_js = bool(match["js"]) or any(_JS_AT.match(line) or line.startswith("Require stack") for line in more)
    is_js = is_js or any(line.text.startswith("node:internal") for line in lines[max(0, at - 7) : at])
    if is_js or not frames:
        places = [*_js_frames(more), *_js_places_before(lines, at)]
        frames, is_js = places or frames, is_js or bool(places)
    if match["type"] == "Error" and not is_js and not frames:
        return None, at + 1
    message = "\n".join([match["text"], *more])
    noise = match["type"].rpartition(".")[2] in _SHUTDOWN
    numbers = (lines[max(0, at - len(frames))].number, lines[at].number)
    return Failure(match["type"], message, tuple(frames), *numbers, is_noise=noise, is_js=is_js), at + 1


def _js_frames(more: Sequence[str]) -> list[Frame]:
    """Returns the places of a stack of Node, the deepest last, as in Python."""
    found = [match for line in more if (match := _JS_FRAME.match(line))]
    return [Frame(match["file"], int(match["line"])) for match in reversed(found)]


def _js_places_before(lines: Sequence[Line], at: int) -> list[Frame]:
    found = [match for line in lines[max(0, at - 7) : at] if (match := _JS_PLACE.match(line.text))]
    return [Frame(match["file"], int(match["line"])) for match in found[-1:]]


def _frames_before(lines: Sequence[Line], at: int) -> Iterator[Frame]:
    """Yields the frames directly above a line, outermost first."""
    start = at
    while start > 0 and at - start < 80 and lines[start - 1].text[:1] in (" ", "\t"):
        start -= 1
    for line in lines[start:at]:
        if frame := _FRAME.match(line.text):
            yield Frame(frame["file"], int(frame["line"]))
