"""The logs of Spaces for callers: what is there now, or line by line as it comes, without known secrets."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from assembler_runner.accounts.permissions import Account
from assembler_runner.core.database import db
from assembler_runner.core.errors import AssemblerError, Conflict
from assembler_runner.core.redaction import Redactor
from assembler_runner.core.shares import Shares
from assembler_runner.runtime.causes.problem import BUILD, RUN
from assembler_runner.runtime.models import AppWatch, KeptLog
from assembler_runner.runtime.probe import place_of, redactor_of
from assembler_runner.services import Services
from assembler_runner.spaces.event_feed import TooManyReaders
from assembler_runner.spaces.models import Space
from assembler_runner.targets import LogLine, LogReader, PublishedSpace, Target

KINDS = (BUILD, RUN)
DEFAULT_TAIL, LONGEST_TAIL = 200, 2000
LONGEST_READ = 30.0


@dataclass(frozen=True)
class Log:
    """What is there of a log.

    Args:
        lines: its last lines, oldest first.
        note: what is to be known beside them, or None.
    """

    lines: list[LogLine]
    note: str | None = None


@dataclass(frozen=True)
class _Source:
    target: Target
    place: PublishedSpace
    redactor: Redactor


# Each log that is shown live holds a thread and a connection to its target.
streams = Shares()


def read(services: Services, space: Space, kind: str, tail: int) -> Log:
    """Reads the last lines of a log.

    Args:
        services: what the process holds.
        space: the Space.
        kind: `build` or `run`.
        tail: how many lines at most.
    Returns:
        The lines; where the target does not answer, those that were kept when the app failed, with a note.
    Raises:
        TargetError: the target does not answer, and nothing was kept.
        UnreadableSecret: its secrets cannot be told any more, so the log is not shown.
    """
    space_id = space.id
    source = _source(services, space)
    if source is None:
        return Log([], "The Space is not published yet, so there is no log.")
    try:
        with source.target.read_log(source.place, kind, tail) as reader:
            lines = [_without_secrets(source, line) for line in _lines(reader)]
            return Log(lines[-tail:], reader.note or (None if lines else "The log is empty."))
    except AssemblerError as problem:
        kept = db.session.get(KeptLog, (space_id, kind))
        if kept is None:
            raise
        moment = kept.taken_at.isoformat(timespec="seconds")
        note = f"{problem.message} These are the last lines as they were at {moment}."
        return Log([_kept_line(row) for row in kept.lines][-tail:], note)


class LiveLog:
    """A log line by line; closing it frees everything, and may be done twice.

    Args:
        services: what the process holds.
        space: the Space.
        kind: `build` or `run`.
        tail: at most so many of the lines that are there already.
        account: who reads.
    Raises:
        TooManyReaders: the process shows as many as it may, or the account or its realm has its share.
    """

    def __init__(self, services: Services, space: Space, kind: str, tail: int, account: Account) -> None:
        self._source = _source(services, space)
        self._counted = streams.take(services.settings.MAX_LOG_STREAMS, account.id, account.realm_id)
        if not self._counted.__enter__():
            raise TooManyReaders("Too many logs are read live.", hint="Ask for the log as JSON.", retry_after=10)
        self._closed = False
        self._reader = LogReader("The Space is not published yet, so there is no log.")
        if self._source:
            self._reader = self._source.target.read_log(self._source.place, kind, tail, follow=True)

    @property
    def note(self) -> str | None:
        """Why there is nothing to read, or None."""
        return self._reader.note

    @property
    def ended(self) -> bool:
        """Whether no more lines will come."""
        return self._reader.ended

    def read(self, timeout: float) -> LogLine | None:
        """Returns the next line, or None if none comes in time.

        Raises:
            TargetError: the target does not answer any more.
        """
        line = self._reader.read(timeout)
        return _without_secrets(self._source, line) if line and self._source else line

    def close(self) -> None:
        """Frees everything."""
        if not self._closed:
            self._closed = True
            self._reader.close()
            self._counted.__exit__(None, None, None)


def _source(services: Services, space: Space) -> _Source | None:
    place, realm_id, target_name, space_id = place_of(space), space.realm_id, space.target, space.id
    if place is None:
        db.session.rollback()
        return None
    target = services.targets.find(realm_id, target_name)
    followed = db.session.get(AppWatch, space_id)
    redactor = redactor_of(services, realm_id, followed.encrypted_fingerprints if followed else None)
    # Nothing is kept open while the target is asked.
    db.session.rollback()
    if target is None:
        hint = "Set a Hub token for the realm."
        raise Conflict("The realm has no access to the Space's target any more.", hint=hint)
    return _Source(target, place, redactor)


def _lines(reader: LogReader) -> Iterator[LogLine]:
    end = time.monotonic() + LONGEST_READ
    while not reader.ended and time.monotonic() < end:
        if line := reader.read(5.0):
            yield line


def _without_secrets(source: _Source, line: LogLine) -> LogLine:
    return replace(line, text=source.redactor.redact(line.text))


def _kept_line(row: dict[str, Any]) -> LogLine:
    moment = row.get("timestamp")
    return LogLine(datetime.fromisoformat(moment) if moment else None, row["text"])
