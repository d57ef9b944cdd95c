"""Reading of logs: what ended the build or the app, which known cause it is, and where in the Space."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from assembler_runner.runtime.causes.context import Context
from assembler_runner.runtime.causes.evidence import Ending, Log, find_ending, read_log
from assembler_runner.runtime.causes.problem import BUILD, RUN, UNKNOWN, Excerpt, Problem
from assembler_runner.runtime.causes.reachability import reachability
from assembler_runner.runtime.causes.repairs import repair
from assembler_runner.runtime.causes.rule_files import Rule, rules_of_exceptions, rules_of_lines, rules_of_target
from assembler_runner.runtime.causes.solvers import SOLVERS, Answer
from assembler_runner.runtime.causes.text import Line, clean, cut, quote
from assembler_runner.runtime.causes.tracebacks import Failure
from assembler_runner.runtime.causes.words import captured, derived, fill, shown

THRESHOLD = 0.5
"""Below this confidence no cause is reported."""

CONFIG_ERROR = "CONFIG_ERROR"
_BY_TARGET, _BY_EXCEPTION, _BY_CHAIN, _BY_LINE, _GENERAL = 0.95, 0.9, 0.75, 0.8, 0.6
_TIMEOUT = re.compile(r"(?i)timed out|not healthy|timeout")
_FAR = 25
_EXCERPT_LINES, _EXCERPT_LINE_LENGTH = 12, 300
_CODE_OF_EXIT = re.compile(r"^(?:Exit code: ?\d{1,4}\. ?)?Reason: ?", re.IGNORECASE)


@dataclass(frozen=True)
class _Found:
    """A rule that fits: what it captured, and the evidence."""

    rule: Rule
    values: Mapping[str, str]
    confidence: float
    lines: tuple[int, ...] = ()
    failure: Failure | None = None


def read(
    logs: Mapping[str, str | Sequence[str]], context: Context, stage: str | None = None, said: str | None = None
) -> Problem:
    """Finds the cause of an error.

    Args:
        logs: kind → log, as text or as lines.
        context: the Space.
        stage: the stage in the target's own word.
        said: what the target itself says of the error.
    Returns:
        The cause in the log that the stage is about, else in the other one; `unknown` where none is known for certain.
    """
    problem = _read(logs, context, stage, said)
    if stage != CONFIG_ERROR or not said or cut(said) in problem.message:
        return problem
    # Only the target knows which line of the configuration it refuses.
    return replace(problem, message=f"{problem.message} The target says: {quote(said)}")


def _read(logs: Mapping[str, str | Sequence[str]], context: Context, stage: str | None, said: str | None) -> Problem:
    kinds = (BUILD, RUN) if stage and "BUILD" in stage else (RUN, BUILD)
    logs_read = [read_log(kind, logs[kind]) for kind in kinds if logs.get(kind)]
    words = _words(stage, said)
    if found := _of_target(words, general=False):
        return _problem(found, None, context)
    if said and (quoted := _CODE_OF_EXIT.sub("", said)) != stage:
        logs_read.append(replace(read_log(RUN, quoted), is_said=True))
    timed_out = bool(said and _TIMEOUT.search(said[:1000]))
    for log in logs_read:
        if problem := _of_log(log, context, timed_out):
            return problem
    if timed_out:
        return reachability(next((log for log in logs_read if log.kind == RUN and not log.is_said), None), context)
    if found := _of_target(words, general=True):
        return _problem(found, None, context)
    return _unknown(stage, said, logs_read)


def _words(stage: str | None, said: str | None) -> list[str]:
    return [clean(line)[:600].strip() for line in [*(said or "")[:4000].split("\n")[:20], stage or ""] if line.strip()]


def _of_target(words: Sequence[str], *, general: bool) -> _Found | None:
    for rule in rules_of_target(general):
        for text in words:
            if (match := rule.said_pattern.match(text)) and not rule.unless_pattern.search(text):
                values = captured(match.groupdict())
                return _Found(rule, values or {"said": words[0] if general else text}, rule.confidence or _BY_TARGET)
    return None


def _of_log(log: Log, context: Context, timed_out: bool) -> Problem | None:
    """Reads one log: what ended it decides; what only failed on the way is not a cause."""
    ending = find_ending(log, context, timed_out=timed_out)
    for general in (False, True):
        for found in _candidates(log, ending, general):
            if found.confidence >= THRESHOLD:
                return _problem(found, log, context)
        if not general and ending.failure and log.kind == RUN:
            return _exception(log, ending.failure, context)
    return _exception(log, ending.failure, context) if ending.failure else None


def _candidates(log: Log, ending: Ending, general: bool) -> Iterator[_Found]:
    yield from _of_lines(log, ending.after, general)
    if ending.failure and not general:
        if found := _of_failure(log, ending.failure, _BY_EXCEPTION):
            yield found
        for earlier in ending.failure.earlier:
            if found := _of_failure(log, earlier, _BY_CHAIN):
                yield found
    yield from _of_lines(log, ending.before, general)


def _of_lines(log: Log, lines: Sequence[Line], general: bool) -> Iterator[_Found]:
    """Yields the rules that fit a line, from the last line back."""
    rules = rules_of_lines(log.kind, general)
    for back, line in enumerate(reversed(lines)):
        is_warning = log.is_warning(line)
        text = line.text.lstrip(" |│╰─>-×x") if line.text[:1] in " |│╰─>×x" else line.text
        for rule in rules:
            if is_warning and not rule.warning:
                continue
            match = rule.line_pattern.match(text) or (
                rule.line_pattern.match(line.text) if text is not line.text else None
            )
            if match and (more := _context_of(rule, log)) is not None:
                far = log.kind == RUN and back >= _FAR
                confidence = (rule.confidence or (_GENERAL if general else _BY_LINE)) - (0.4 if far else 0)
                yield _Found(rule, {**captured(match.groupdict()), **more}, confidence, (line.number,))


def _of_failure(log: Log, failure: Failure, confidence: float) -> _Found | None:
    by_name = rules_of_exceptions()
    text = failure.own_words[:2000]
    for rule in by_name.get(failure.name, by_name["*"]):
        if rule.kind not in (None, log.kind) or (rule.js and not failure.is_js):
            continue
        match = rule.text_pattern.match(text)
        if match is None or not _frames_fit(rule, failure):
            continue
        more = _context_of(rule, log)
        if more is None:
            continue
        values = {**captured(match.groupdict()), **more}
        lines = tuple(sorted({failure.first, failure.shown}))
        return _Found(rule, values, min(confidence, rule.confidence or 1.0), lines, failure)
    return None


def _frames_fit(rule: Rule, failure: Failure) -> bool:
    if rule.frame is None:
        return True
    files = [frame.file for frame in failure.frames] or [""]
    return any(rule.frame_pattern.search(file) for file in files)


def _context_of(rule: Rule, log: Log) -> dict[str, str] | None:
    """Returns what `also` captures, or None where the rest of the log speaks against the rule."""
    if rule.name not in log.contexts:
        log.contexts[rule.name] = _read_context(rule, log.text)
    return log.contexts[rule.name]


def _read_context(rule: Rule, text: str) -> dict[str, str] | None:
    if rule.unless and rule.unless_pattern.search(text):
        return None
    if not rule.also:
        return {}
    matches = (match for match in rule.also_pattern.finditer(text) if match[0])
    match = next(matches, None) or rule.also_pattern.search(text)
    return captured(match.groupdict()) if match else None


def _problem(found: _Found, log: Log | None, context: Context) -> Problem:
    rule, failure = found.rule, found.failure
    values = dict(found.values)
    place = context.place(failure) if failure else None
    if failure and failure.frames and failure.name.endswith(("SyntaxError", "IndentationError", "TabError")):
        last = failure.frames[-1]
        path = context.find(last.file)
        values = {"file": path or last.file, **values}
        place = (path, last.line) if path else None
    answer = SOLVERS[rule.solve](values, context, failure) if rule.solve else Answer()
    text = log.text if log else ""
    own = {**derived(values, context, text), **answer.own}
    values |= answer.values
    path, line = _place(rule, answer, values, place, context)
    fix = answer.fix or repair(rule.fix, values, context, place)
    return Problem(
        answer.code or rule.code,
        fill(answer.message or rule.message, values, own),
        fill(answer.hint or rule.hint, values, own),
        path,
        line,
        log.kind if log and not log.is_said else None,
        shown(values),
        fix,
        excerpt(log, found.lines) if log else None,
        found.lines if log and not log.is_said else (),
        round(found.confidence, 2),
        rule.name,
    )


def _place(
    rule: Rule, answer: Answer, values: Mapping[str, str], place: tuple[str, int] | None, context: Context
) -> tuple[str | None, int | None]:
    path = answer.path or rule.path
    named = values.get("line", "")
    line = int(named) if named.isdecimal() and len(named) < 8 else None
    if path == "README.md" and (answer.code or rule.code) == "wrong_python" and "Dockerfile" in context.files:
        path = "Dockerfile"
    if path is None and (file := values.get("file")) and (own := context.find(file)):
        return own, line if line is not None else (place[1] if place and place[0] == own else None)
    if path is None and place:
        return place
    return path, line


def _exception(log: Log, failure: Failure, context: Context) -> Problem:
    """Returns what is known of an exception that no rule knows: its own words and its place."""
    place = context.place(failure)
    name = failure.type if len(failure.type) < 60 else failure.name
    first = failure.text.partition("\n")[0]
    error = f"{name}: {first}" if first else name
    where = f"Correct line {place[1]} of {place[0]}" if place else "Correct the line that the traceback names"
    lines = tuple(sorted({failure.first, failure.shown}))
    return Problem(
        "exception",
        f"The app ended with an error: {quote(error)}"
        if log.kind == RUN
        else f"The build ended with an error: {quote(error)}",
        f"{where}; the excerpt shows what led there.",
        place[0] if place else None,
        place[1] if place else None,
        log.kind,
        shown({"error": error}),
        None,
        excerpt(log, lines),
        lines,
        _GENERAL,
        "exception",
    )


def _unknown(stage: str | None, said: str | None, read: Sequence[Log]) -> Problem:
    log = next((one for one in read if one.lines and not one.is_said), None)
    if said and said.strip():
        message = f"The cause is not known. The target says: {quote(said)}"
    else:
        message = "The cause is not known" + (f"; the target says {quote(stage)} and nothing more." if stage else ".")
    hint = (
        "Read the last lines of the log; they are in the excerpt." if log else "Check the Space's page on its target."
    )
    lines = (log.lines[-1].number,) if log else ()
    values = shown({"said": said}) if said else {}
    return Problem(
        UNKNOWN,
        message,
        hint,
        None,
        None,
        log.kind if log else None,
        values,
        None,
        excerpt(log, lines) if log else None,
    )


def excerpt(log: Log, numbers: Sequence[int]) -> Excerpt | None:
    """Returns the lines around the evidence: from its first line on, or the last ones before it."""
    if log.is_said or not log.lines or not numbers:
        return None
    offset = log.lines[0].number
    first, last = min(numbers), max(numbers)
    start = max(first, last - _EXCERPT_LINES + 3) if first != last else max(offset, last - 4)
    chosen = log.lines[start - offset : start - offset + _EXCERPT_LINES]
    shown_lines = [line.text[:_EXCERPT_LINE_LENGTH] for line in chosen]
    return Excerpt("\n".join(shown_lines), log.kind, start)
