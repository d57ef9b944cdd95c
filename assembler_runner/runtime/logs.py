"""The logs of Spaces for callers: the last lines, or a live stream, with known secrets redacted."""

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
from assembler_runner.spaces.app_state import DELETED
from assembler_runner.spaces.event_feed import TooManyReaders
from assembler_runner.spaces.models import Space
from assembler_runner.targets import LogLine, LogReader, PublishedSpace, Target

KINDS = (BUILD, RUN)
DEFAULT_TAIL, LONGEST_TAIL = 200, 2000
LONGEST_READ = 30.0


@dataclass(frozen=True)
class Log:
    """The last lines of a log.

    Args:
        lines: the lines, oldest first.
        note: a remark about them for the reader, or None.
    """

    lines: list[LogLine]
    note: str | None = None


@dataclass(frozen=True)
class _Source:
    target: Target
    place: PublishedSpace
    redactor: Redactor


# Each live log uses a thread and a connection to its target.
streams = Shares()


def read(services: Services, space: Space, kind: str, tail: int) -> Log:
    """Reads the last lines of a log.

    Args:
        services: the services of this process.
        space: the Space.
        kind: `build` or `run`.
        tail: maximum number of lines.
    Returns:
        The lines; if the target does not respond, those that were stored when the app failed, with a note.
    Raises:
        TargetError: the target does not respond, and no lines are stored.
        UnreadableSecret: a secret of the Space cannot be decrypted any more, so the log must not be shown.
    """
    space_id = space.id
    source = _source(services, space)
    if source is None:
        return Log([], _without_log(space))
    try:
        with source.target.read_log(source.place, kind, tail) as reader:
            lines = [_without_secrets(source, line) for line in _lines(reader)]
            return Log(lines[-tail:], reader.note or (None if lines else "The log is empty."))
    except AssemblerError as problem:
        stored = db.session.get(KeptLog, (space_id, kind))
        if stored is None:
            raise
        taken_at = stored.taken_at.isoformat(timespec="seconds")
        note = f"{problem.message} These are the last lines as of {taken_at}."
        return Log([_stored_line(row) for row in stored.lines][-tail:], note)


def _without_log(space: Space) -> str:
    if space.state == DELETED:
        return "The Space is deleted, so there is no log."
    return "The Space is not published yet, so there is no log."


class LiveLog:
    """A live log, line by line; it must be closed, and may be closed twice.

    Args:
        services: the services of this process.
        space: the Space.
        kind: `build` or `run`.
        tail: maximum number of existing lines to start with.
        account: who reads it.
    Raises:
        TooManyReaders: the maximum number of live logs is reached, or the share of the account or its realm.
    """

    def __init__(self, services: Services, space: Space, kind: str, tail: int, account: Account) -> None:
        self._source = _source(services, space)
        self._counted = streams.take(services.settings.MAX_LOG_STREAMS, account.id, account.realm_id)
        if not self._counted.__enter__():
            raise TooManyReaders("Too many logs are read live.", hint="Ask for the log as JSON.", retry_after=10)
        self._closed = False
        self._reader = LogReader(_without_log(space))
        if self._source:
            self._reader = self._source.target.read_log(self._source.place, kind, tail, follow=True)

    @property
    def note(self) -> str | None:
        """The reason why there is nothing to read, or None."""
        return self._reader.note

    @property
    def ended(self) -> bool:
        """Whether no more lines will come."""
        return self._reader.ended

    def read(self, timeout: float) -> LogLine | None:
        """Returns the next line, or None if none arrives in time.

        Args:
            timeout: maximum seconds to wait.
        Raises:
            TargetError: the target does not respond any more.
        """
        line = self._reader.read(timeout)
        return _without_secrets(self._source, line) if line and self._source else line

    def close(self) -> None:
        """Stops reading and frees the connection."""
        if not self._closed:
            self._closed = True
            self._reader.close()
            self._counted.__exit__(None, None, None)


def _source(services: Services, space: Space) -> _Source | None:
    place, realm_id, target_name, space_id = place_of(space), space.realm_id, space.target, space.id
    if place is None:
        db.session.rollback()
        return None
    publisher_id = space.publisher_id
    watch = db.session.get(AppWatch, space_id)
    redactor = redactor_of(services, realm_id, publisher_id, watch.encrypted_fingerprints if watch else None)
    # No transaction stays open while the target is queried.
    target = services.targets.find(realm_id, target_name) if publisher_id is None else None
    db.session.rollback()
    if publisher_id is not None:
        target = services.targets.find(realm_id, target_name, publisher_id)
    if target is None:
        hint = "Set a Hub token for the realm."
        raise Conflict("The realm no longer has access to the Space's target.", hint=hint)
    return _Source(target, place, redactor)


def _lines(reader: LogReader) -> Iterator[LogLine]:
    end = time.monotonic() + LONGEST_READ
    while not reader.ended and time.monotonic() < end:
        if line := reader.read(5.0):
            yield line


def _without_secrets(source: _Source, line: LogLine) -> LogLine:
    return replace(line, text=source.redactor.redact(line.text))


def _stored_line(row: dict[str, Any]) -> LogLine:
    timestamp = row.get("timestamp")
    return LogLine(datetime.fromisoformat(timestamp) if timestamp else None, row["text"])
