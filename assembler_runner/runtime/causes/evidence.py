"""What ended a build or an app: the last exception, the failed step, the last lines."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property

from assembler_runner.runtime.causes.context import Context, is_installed
from assembler_runner.runtime.causes.ports import is_server_start
from assembler_runner.runtime.causes.problem import BUILD, RUN
from assembler_runner.runtime.causes.text import Line, read_lines
from assembler_runner.runtime.causes.tracebacks import Failure, find_failures

_BUILD_LINES, _RUN_LINES, _AFTER_START = 400, 60, 3
_WARNING = re.compile(
    r"(?:WARNING\b|WARN\b|[Ww]arning: |npm (?:warn|WARN)\b|W: |DEPRECATION|\[notice\]|note: |INFO\b|DEBUG\b"
    r"|level=(?:info|warn)|\[(?:INFO|DEBUG|WARNING|WARN|info|warn)\]|ERROR: pip's dependency resolver"
    r"|[\w.-]{1,60} [\w.]{1,30} requires |\S{1,200}:\d{1,6}: \w{0,40}Warning: )"
)
_SUCCESS = re.compile(r'(?:INFO: {1,6})?.{0,80}"(?:GET|POST|HEAD|PUT) .{1,200}" (?:2|3)\d\d\b')
_SHUTDOWN_FILES = re.compile(
    r"multiprocessing/(?:resource_tracker|queues|connection|spawn|popen|pool|util)|weakref\.py|threading\.py|concurrent/futures"
    r"|logging/__init__|asyncio/|signal\.py|<frozen|socketserver|_bootstrap"
)


@dataclass(frozen=True)
class Log:
    """One log, read.

    Args:
        kind: `build` or `run`.
        lines: its last lines.
        is_said: whether it is not a log, but what the target quotes of one.
        contexts: what rules have found in the whole of it; kept so that each searches only once.
    """

    kind: str
    lines: Sequence[Line]
    is_said: bool = False
    contexts: dict[str, dict[str, str] | None] = field(default_factory=dict)

    @cached_property
    def text(self) -> str:
        """The lines as one text."""
        return "\n".join(line.text for line in self.lines)

    def is_warning(self, line: Line) -> bool:
        """Whether a line only warns or informs."""
        return bool(_WARNING.match(line.text.lstrip()[:300]))


@dataclass(frozen=True)
class Ending:
    """What ended a build or an app.

    Args:
        failure: the exception that ended it, or None.
        before: the last lines, where no exception ended it.
        after: the lines after the exception.
    """

    failure: Failure | None
    before: Sequence[Line]
    after: Sequence[Line]


def read_log(kind: str, log: str | Sequence[str]) -> Log:
    """Returns a log as it is read here."""
    return Log(kind, read_lines(log))


def find_ending(log: Log, context: Context, *, timed_out: bool = False) -> Ending:
    """Returns what ended the build or the app that wrote a log.

    Args:
        log: the log.
        context: the Space.
        timed_out: whether the target ended an app that was still running.
    """
    lines = _failed_step(log.lines) if log.kind == BUILD else log.lines
    started = 0 if log.kind == BUILD else _last_start(lines)
    failures = [one for one in find_failures(lines) if not one.is_noise and _is_of_app(one, log, context)]
    failure = _deciding(failures)
    if failure and log.kind == RUN and _is_past(lines, failure, started, timed_out):
        failure = None
    if failure:
        after = [line for line in lines if line.number > failure.shown]
        before = [line for line in lines if line.number < failure.first][-_BUILD_LINES:] if log.kind == BUILD else []
        return Ending(failure, before, after[:_BUILD_LINES] if log.kind == BUILD else after[-_RUN_LINES:])
    if log.kind == BUILD:
        return Ending(None, lines[-_BUILD_LINES:], ())
    rest = [line for line in lines if line.text.strip()]
    if started:
        return Ending(None, [line for line in rest if line.number > started][-_AFTER_START:], ())
    return Ending(None, rest[-_RUN_LINES:], ())


def _failed_step(lines: Sequence[Line]) -> Sequence[Line]:
    """Returns the lines of the step of a Docker build that failed, and what follows; all where no step is marked."""
    failed = next((line for line in reversed(lines) if line.step and line.text.startswith("ERROR")), None)
    if failed is None:
        return lines
    return [line for line in lines if line.step == failed.step or (line.step is None and line.number > failed.number)]


def _last_start(lines: Sequence[Line]) -> int:
    return next((line.number for line in reversed(lines) if is_server_start(line.text)), 0)


def _is_past(lines: Sequence[Line], failure: Failure, started: int, timed_out: bool) -> bool:
    """Whether an app went on after an exception, or runs and only prints the words of one, as of a user."""
    if failure.shown <= started or (started and not failure.frames):
        return True
    later = sum(line.number > failure.shown and bool(line.text.strip()) for line in lines)
    if timed_out and later > _AFTER_START:
        return True
    return any(line.number > failure.shown and _SUCCESS.match(line.text) for line in lines)


def _is_of_app(failure: Failure, log: Log, context: Context) -> bool:
    """Whether a traceback can be the app's own: one whose files are nowhere in the Space may be what a user typed."""
    if log.kind == BUILD or not context.files or not failure.frames:
        return True
    return any(is_installed(frame.file) or context.find(frame.file) for frame in failure.frames) or any(
        frame.file.startswith(("/app/", "/home/user/", "/code/", "/workspace/", "/usr/", "/opt/"))
        for frame in failure.frames
    )


def _deciding(failures: Sequence[Failure]) -> Failure | None:
    """Returns the last exception, or the one before where the last only tells that a pool or a loop was closed."""
    for failure in reversed(failures):
        closing = failure.frames and all(_SHUTDOWN_FILES.search(frame.file) for frame in failure.frames)
        if not closing or failure.earlier:
            return failure
    return failures[-1] if failures else None
