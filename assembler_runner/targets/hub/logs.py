"""Logs of Spaces on the Hub: a stream of server-sent events, read by a thread and resumed after a lost connection."""

from __future__ import annotations

import json
import logging
import queue
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, suppress
from datetime import datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any

from assembler_runner.core.errors import AssemblerError, TargetError
from assembler_runner.targets.base import LogLine, LogReader

if TYPE_CHECKING:
    import httpx2

log = logging.getLogger(__name__)

FIRST_SILENCE, SILENCE = 4.0, 1.5
"""Seconds without a line after which all existing lines count as read, because the Hub never closes the stream."""

LONGEST_READ = 20.0
TRIES, LONGEST_DELAY = 5, 10.0
_WAITING_LINES = 1000
_LINE_LENGTH = 10_000
_EVENT_BYTES = 2**20
_LINES_IN_EVENT, _LINES_AT_ONCE = 1000, 10_000
_END = None


class HubLog(LogReader):
    """The lines of one log.

    Args:
        connect: opens the stream; translates exceptions inside it into errors of this service.
        follow: whether to continue with new lines.
    """

    def __init__(self, connect: Callable[[], AbstractContextManager[httpx2.Response]], follow: bool) -> None:
        super().__init__()
        self._connect, self._follow = connect, follow
        self._lines: queue.Queue[LogLine | AssemblerError | None] = queue.Queue(_WAITING_LINES)
        self._opened, self._closed = threading.Event(), threading.Event()
        self._silence = FIRST_SILENCE
        self._deadline = time.monotonic() + LONGEST_READ
        self._socket: socket.socket | None = None
        self._seen = _Seen()
        self._ended = False
        self._thread = threading.Thread(target=self._read_forever, name="hub log", daemon=True)
        self._thread.start()

    @property
    def ended(self) -> bool:
        """See :attr:`LogReader.ended`."""
        return self._ended

    def read(self, timeout: float) -> LogLine | None:
        """See :meth:`LogReader.read`."""
        if self._ended:
            return None
        if not self._follow:
            self._opened.wait(max(0.0, self._deadline - time.monotonic()))
            timeout = min(timeout, self._silence, max(0.0, self._deadline - time.monotonic()))
        try:
            line = self._lines.get(timeout=timeout)
        except queue.Empty:
            self._ended = not self._follow
            return None
        self._silence = SILENCE
        self._ended = not isinstance(line, LogLine)
        if isinstance(line, AssemblerError):
            raise line
        return line

    def close(self) -> None:
        """See :meth:`LogReader.close`."""
        self._closed.set()
        self._ended = True
        if connected := self._socket:
            # Wakes the thread that waits for the next line; closing the response would not.
            with suppress(OSError):
                connected.shutdown(socket.SHUT_RDWR)

    def _read_forever(self) -> None:
        failures = 0
        while not self._closed.is_set():
            try:
                with self._connect() as response:
                    failures = 0
                    self._read_once(response)
                self._put(_END)
                return
            except AssemblerError as problem:
                failures += 1
                if not (self._follow and problem.retryable) or failures > TRIES:
                    self._put(problem)
                    return
                self._closed.wait(problem.retry_after or min(LONGEST_DELAY, 0.5 * 2**failures))
            # The reader must not wait for a thread that has ended.
            except Exception as problem:
                log.error("reading a log ended with %s", type(problem).__name__, exc_info=problem)
                self._put(TargetError())
                return
            finally:
                self._opened.set()

    def _read_once(self, response: httpx2.Response) -> None:
        self._socket = response.extensions["network_stream"].get_extra_info("socket")
        self._opened.set()
        self._seen.start_again()
        # A close() during the connection attempt found no socket to shut down.
        if self._closed.is_set():
            return
        try:
            self._enqueue(response)
        except Exception:
            # An exception after close() is expected, because it breaks the connection.
            if not self._closed.is_set():
                raise

    def _enqueue(self, response: httpx2.Response) -> None:
        newest = None if self._follow else _date_of(response)
        for event in split_lines(response.iter_bytes()):
            for line in _lines_of(event):
                if newest and line.timestamp and line.timestamp > newest:
                    return
                if self._seen.is_new(line) and not self._put(line):
                    return

    def _put(self, item: LogLine | AssemblerError | None) -> bool:
        """Enqueues an item; waits for a slow reader, but not after close(). Returns False after close()."""
        while not self._closed.is_set():
            try:
                self._lines.put(item, timeout=1.0)
            except queue.Full:
                continue
            return True
        return False


class _Seen:
    """Detects lines that are sent again when a broken stream is resumed, by their timestamps."""

    def __init__(self) -> None:
        self._newest: datetime | None = None
        self._at_newest: Counter[str] = Counter()
        self._again: Counter[str] = Counter()

    def start_again(self) -> None:
        """Call this when the stream is opened again."""
        self._again = Counter(self._at_newest)

    def is_new(self, line: LogLine) -> bool:
        """Returns whether a line was not read before the stream broke."""
        if line.timestamp is None:
            return True
        if self._newest is not None and line.timestamp < self._newest:
            return False
        if line.timestamp == self._newest:
            if self._again[line.text] > 0:
                self._again[line.text] -= 1
                return False
        else:
            self._newest, self._at_newest, self._again = line.timestamp, Counter(), Counter()
        if len(self._at_newest) >= _LINES_AT_ONCE:
            # After a break these would come again; better than to keep any number of them.
            self._at_newest.clear()
        self._at_newest[line.text] += 1
        return True


def split_lines(pieces: Iterable[bytes]) -> Iterator[str]:
    """Yields the lines of a stream that may never end one; a line over 1 MiB is left out.

    Args:
        pieces: the stream.
    """
    begun, skips = bytearray(), False
    for piece in pieces:
        *ended, rest = piece.split(b"\n")
        for number, line in enumerate(ended):
            whole = bytes(begun) + line if number == 0 else line
            if not skips and len(whole) <= _EVENT_BYTES:
                yield whole.decode("utf-8", "replace").removesuffix("\r")
            begun.clear()
            skips = False
        if not skips:
            begun += rest
        if len(begun) > _EVENT_BYTES:
            begun.clear()
            skips = True


def _lines_of(event: str) -> list[LogLine]:
    """Parses one line of the stream: `data: {"data": "text\\n", "timestamp": "…"}`; ignores all others."""
    if not event.startswith("data: {"):
        return []
    try:
        parsed: Any = json.loads(event.removeprefix("data: "))
        timestamp = datetime.fromisoformat(parsed["timestamp"]) if parsed.get("timestamp") else None
        texts = str(parsed["data"]).removesuffix("\n").split("\n", _LINES_IN_EVENT)[:_LINES_IN_EVENT]
    except (ValueError, KeyError, TypeError, AttributeError):
        return []
    return [LogLine(timestamp, text.rstrip("\r")[:_LINE_LENGTH]) for text in texts]


def _date_of(response: httpx2.Response) -> datetime | None:
    """Returns the time after which lines are newer than the call; the header has a resolution of one second."""
    try:
        return parsedate_to_datetime(response.headers["Date"]) + timedelta(seconds=1)
    except (KeyError, ValueError, TypeError):
        return None
