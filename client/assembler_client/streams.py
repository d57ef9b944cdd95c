"""Live events: streams resumed after a disconnect, with long polling as a fallback."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from typing import Any, TypeVar

import httpx
from pydantic import ValidationError

from assembler_client.errors import HubAPIError, InvalidAnswer, TransportError, Unavailable, WaitTimeout
from assembler_client.models import ErrorResponse, Event, LogLine, Model
from assembler_client.sansio.calls import parsed
from assembler_client.sansio.steps import Ask, Close, Flow, Item, Read, Send, Sleep

M = TypeVar("M", bound=Model)

SILENT_SECONDS = 45.0
"""A stream silent for this long is considered dead; the service sends a heartbeat every 15 seconds."""
LONG_POLL_SECONDS = 25.0
FINISHED = ("succeeded", "failed", "cancelled")
_LONGEST_LINE = 16 * 2**20
_LOG_BREAKS = 3


@dataclass(frozen=True)
class Message:
    """A message of a stream.

    Args:
        id: event id; may be empty.
        event: event type.
        data: event data.
    """

    id: str
    event: str
    data: str


class EventStream:
    """Incremental parser of server-sent events (WHATWG HTML, 9.2.6); chunks may be split anywhere."""

    def __init__(self) -> None:
        self._rest = b""
        self._after_cr = False
        self._fields: dict[str, str] = {}
        self._data: list[str] = []
        self.retry_seconds = 1.0

    def feed(self, piece: bytes) -> list[Message]:
        """Parses the next chunk.

        Returns:
            The messages completed by it.
        Raises:
            InvalidAnswer: a line exceeds the length limit.
        """
        if self._after_cr and piece.startswith(b"\n"):
            piece = piece[1:]
        self._after_cr = piece.endswith(b"\r") if piece else self._after_cr
        whole = self._rest + piece
        lines = whole.replace(b"\r\n", b"\n").replace(b"\r", b"\n").split(b"\n")
        self._rest = lines.pop()
        if len(self._rest) > _LONGEST_LINE:
            raise InvalidAnswer("A line of the event stream is too long.")
        found = (self._line(line.decode("utf-8", "replace")) for line in lines)
        return [message for message in found if message]

    def _line(self, line: str) -> Message | None:
        if not line:
            fields, data = self._fields, self._data
            self._fields, self._data = {}, []
            return Message(fields.get("id", ""), fields.get("event", "message"), "\n".join(data)) if data else None
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if name == "data":
            self._data.append(value)
        elif name == "retry" and value.isdecimal():
            self.retry_seconds = int(value) / 1000
        elif name:
            self._fields[name] = value
        return None


class Follower:
    """Follows the events of a Space or a request; each event is delivered exactly once.

    It reads a stream and resumes it after the last event when it breaks, even across a restart of the service. If
    streams are blocked on the way, it falls back to long polling.

    Args:
        path: path of the Space or the request.
        after: id of the last known event.
        deadline: time.monotonic() at which to give up, or None.
        patience: seconds without any response until giving up.
    """

    def __init__(self, path: str, after: int = 0, deadline: float | None = None, patience: float = 60.0) -> None:
        self._path = path
        self.last = after
        self._deadline = deadline
        self._patience = patience
        self._answered_at = time.monotonic()
        self._waiting: list[Event] = []
        self._response: httpx.Response | None = None
        self._parser = EventStream()
        self._streams = True
        self._silent_streams = 0
        self._over = False

    def next(self) -> Flow[Event | None]:
        """Waits for the next event.

        Returns:
            The event, or None after the last one.
        Raises:
            WaitTimeout: the deadline has passed.
            HubAPIError: the service returned an error, or did not answer for too long.
        """
        while not self._waiting:
            if self._over:
                return None
            left = self._left()
            try:
                if self._response is not None:
                    yield from self._read(self._response)
                elif self._streams and left > LONG_POLL_SECONDS:
                    yield from self._open(left)
                else:
                    yield from self._poll(left)
                self._answered_at = time.monotonic()
            except (TransportError, Unavailable):
                yield from self._drop()
                if time.monotonic() - self._answered_at > self._patience:
                    raise
                yield Sleep(min(self._parser.retry_seconds, self._left()))
        return self._waiting.pop(0)

    def _left(self) -> float:
        if self._deadline is None:
            return SILENT_SECONDS
        left = self._deadline - time.monotonic()
        if left <= 0:
            raise WaitTimeout("Timed out; the request continues on the service.")
        return left

    def _open(self, left: float) -> Flow[None]:
        headers = {"Accept": "text/event-stream", "Cache-Control": "no-store"}
        if self.last:
            headers["Last-Event-ID"] = str(self.last)
        ask = Ask("GET", f"{self._path}/events", headers=headers, read_timeout=min(SILENT_SECONDS, left))
        try:
            response = yield Send(ask, stream=True, patience=left)
        except Unavailable:
            # The limit of live streams may be reached; polling still works.
            self._streams = False
            raise
        self._response, self._parser = response, EventStream()
        if not response.headers.get("Content-Type", "").startswith("text/event-stream"):
            self._streams = False
            yield from self._drop()

    def _read(self, response: httpx.Response) -> Flow[None]:
        try:
            piece = yield Read(response)
        except TransportError:
            # Some proxies buffer streams: after two silent ones, use long polling.
            self._silent_streams += 1
            self._streams = self._silent_streams < 2
            raise
        if piece is not None:
            self._silent_streams = 0
            self._take([_event(message.data) for message in self._parser.feed(piece)])
            # Near the deadline, long polling keeps to it more precisely.
            if self._deadline is not None and self._left() < LONG_POLL_SECONDS and not self._waiting:
                yield from self._drop()
            return
        yield from self._drop()
        if not self._waiting and not (yield from self._has_ended()):
            yield Sleep(min(self._parser.retry_seconds, self._left()))

    def _poll(self, left: float) -> Flow[None]:
        wait = min(LONG_POLL_SECONDS, left)
        params = (("after", str(self.last)), ("wait", f"{wait:.3f}"), ("page[limit]", "200"))
        ask = Ask("GET", f"{self._path}/events", params, read_timeout=wait + 20)
        self._take(parsed(Event).many((yield Send(ask, patience=left))))
        if not self._waiting:
            yield from self._has_ended()

    def _take(self, events: list[Event]) -> None:
        for event in events:
            if event.id > self.last:
                self.last = event.id
                self._waiting.append(event)

    def _has_ended(self) -> Flow[bool]:
        """Checks whether the last event has been sent, and reads events that arrived meanwhile."""
        response = yield Send(Ask("GET", self._path))
        found = response.json()
        if found.get("status") not in FINISHED and found.get("state") != "deleted":
            return False
        ask = Ask("GET", f"{self._path}/events", (("after", str(self.last)), ("page[limit]", "200")))
        self._take(parsed(Event).many((yield Send(ask))))
        self._over = not self._waiting
        return True

    def _drop(self) -> Flow[None]:
        if self._response is not None:
            response, self._response = self._response, None
            yield Close(response)


def log_lines(path: str, kind: str, tail: int) -> Any:
    """Yields log lines as they are written, until the log ends; resumes after a disconnect.

    Args:
        path: path of the Space.
        kind: `run` or `build`.
        tail: number of existing lines to start with.
    """
    last, breaks, parser = "", 0, EventStream()
    while True:
        headers = {"Accept": "text/event-stream"} | ({"Last-Event-ID": last} if last else {})
        params = (("kind", kind), ("tail", str(tail)))
        try:
            ask = Ask("GET", f"{path}/logs", params, headers=headers, read_timeout=SILENT_SECONDS)
            response = yield Send(ask, stream=True)
            parser = EventStream()
            while (piece := (yield Read(response))) is not None:
                for message in parser.feed(piece):
                    if message.event == "end":
                        return
                    if message.event == "error":
                        raise _log_error(message.data)
                    last, breaks = message.id or last, 0
                    yield Item(_model(LogLine, message.data))
        except (TransportError, Unavailable):
            breaks += 1
            if breaks > _LOG_BREAKS:
                raise
        yield Sleep(parser.retry_seconds if breaks == 0 else float(breaks))


def _log_error(text: str) -> HubAPIError:
    try:
        found = ErrorResponse.model_validate_json(text)
    except ValidationError:
        return InvalidAnswer("The log stream ended with an unreadable error.")
    return HubAPIError(found.message, found)


def _event(text: str) -> Event:
    return _model(Event, text)


def _model(model: type[M], text: str) -> M:
    try:
        return model.model_validate(json.loads(text))
    except (ValueError, ValidationError):
        raise InvalidAnswer(f"The stream contains an invalid {model.__name__}.") from None
