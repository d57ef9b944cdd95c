"""The HTTP client for Hubs: whatever answers is read within bounds of time, size and number, and leaves no cookies.

A Hub may be hostile, or something else may pose as it. Imported on first use only, as the library is.
"""

from __future__ import annotations

import threading
import time
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any

import httpcore2
import httpx2

MAX_ANSWER_BYTES = 16 * 2**20
"""Largest answer of the API, unpacked."""

MAX_DOWNLOAD_BYTES = 5 * 2**30
"""Largest file that is downloaded."""

MAX_HEAD_BYTES = 2**20
"""Most bytes before the body: heads, and answers that only inform (1xx), of which there may be any number."""

MAX_PAGES = 500
"""Most calls for one thing that is asked: lists come in pages, each of which names the next."""

SHORTEST_ANSWER_SECONDS = 20.0
DOWNLOAD_SECONDS, ACTION_SECONDS = 3600.0, 300.0
_PIECE = 64 * 1024


class UnboundedAnswer(httpx2.RemoteProtocolError):
    """An answer passes a bound; for callers it is one that cannot be read."""


@dataclass
class _Action:
    pages: int = 0
    ends: float = field(default_factory=lambda: time.monotonic() + ACTION_SECONDS)


_action: ContextVar[_Action | None] = ContextVar("hub_action", default=None)


@contextmanager
def one_action() -> Iterator[None]:
    """Counts all pages that the body reads together, those of its threads that got a copy of the context, too."""
    token = _action.set(_Action())
    try:
        yield
    finally:
        _action.reset(token)


class BoundedClient(httpx2.Client):
    """See the module; the ways around proxies that the environment names are kept."""

    def _init_transport(self, *args: Any, **kwargs: Any) -> httpx2.BaseTransport:
        return _bounded(super()._init_transport(*args, **kwargs))

    def _init_proxy_transport(self, *args: Any, **kwargs: Any) -> httpx2.BaseTransport:
        return _bounded(super()._init_proxy_transport(*args, **kwargs))


def _bounded(transport: httpx2.BaseTransport) -> httpx2.BaseTransport:
    # The only way to every connection of a pool, those through proxies included.
    pool = transport._pool  # type: ignore[attr-defined]  # a test fails if it is not there any more
    pool._network_backend = _Backend(pool._network_backend)
    return _Transport(transport)


class _Transport(httpx2.BaseTransport):
    def __init__(self, inner: httpx2.BaseTransport) -> None:
        self._inner = inner

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        is_api = request.method != "GET" or "/api/" in request.url.path
        if request.method == "GET" and is_api:
            _count_page()
        silence = request.extensions.get("timeout", {}).get("read") or SHORTEST_ANSWER_SECONDS
        with _head_within(max(SHORTEST_ANSWER_SECONDS, 2 * silence)):
            response = self._inner.handle_request(request)
        is_log = is_api and "/logs/" in request.url.path and response.is_success
        bounds = _Bounds(
            None if is_log else MAX_ANSWER_BYTES if is_api else MAX_DOWNLOAD_BYTES,
            None if is_log else max(SHORTEST_ANSWER_SECONDS, 2 * silence) if is_api else DOWNLOAD_SECONDS,
        )
        headers = [(name, value) for name, value in response.headers.raw if name.lower() not in _TAKEN_OUT]
        packing = response.headers.get("content-encoding", "identity").strip().lower()
        if packing in ("", "identity"):
            headers += [(b"content-length", length.encode()) for length in response.headers.get_list("content-length")]
        assert isinstance(response.stream, httpx2.SyncByteStream)
        stream = _Stream(response.stream, packing, bounds)
        return httpx2.Response(response.status_code, headers=headers, stream=stream, extensions=response.extensions)

    def close(self) -> None:
        self._inner.close()


# Cookies of one realm's call would go with another's; what is unpacked here has another length and no packing any more.
_TAKEN_OUT = (b"set-cookie", b"content-encoding", b"content-length")


def _count_page() -> None:
    action = _action.get()
    if action is not None:
        action.pages += 1
        if action.pages > MAX_PAGES or time.monotonic() > action.ends:
            raise UnboundedAnswer("too many answers for one thing that was asked")


@dataclass
class _Bounds:
    """How many bytes may come, within how many seconds; None for any number."""

    size: int | None
    seconds: float | None

    def __post_init__(self) -> None:
        self._ends = None if self.seconds is None else time.monotonic() + self.seconds
        self._came = 0

    def check(self, size: int) -> None:
        self._came += size
        if self.size is not None and self._came > self.size:
            raise UnboundedAnswer("an answer is too large")
        if self._ends is not None and time.monotonic() > self._ends:
            raise UnboundedAnswer("an answer takes too long")


class _Stream(httpx2.SyncByteStream):
    """A body, unpacked in small pieces that are counted one by one."""

    def __init__(self, inner: httpx2.SyncByteStream, packing: str, bounds: _Bounds) -> None:
        self._inner, self._packing, self._bounds = inner, packing, bounds

    def __iter__(self) -> Iterator[bytes]:
        for piece in self._unpacked():
            self._bounds.check(len(piece))
            if piece:
                yield piece

    def _unpacked(self) -> Iterable[bytes]:
        if self._packing in ("", "identity"):
            return self._inner
        if self._packing in ("gzip", "x-gzip", "deflate"):
            return self._inflated()
        raise UnboundedAnswer("an answer is packed in a way that was not asked for")

    def _inflated(self) -> Iterator[bytes]:
        unpacker = zlib.decompressobj(zlib.MAX_WBITS | 32)
        try:
            for packed in self._inner:
                # Counted as well: a header without an end unpacks to nothing.
                self._bounds.check(len(packed))
                rest = packed
                while rest:
                    yield unpacker.decompress(rest, _PIECE)
                    rest = unpacker.unconsumed_tail
                if unpacker.eof:
                    return
        except zlib.error as problem:
            raise UnboundedAnswer("an answer cannot be unpacked") from problem

    def close(self) -> None:
        self._inner.close()


class _Head(threading.local):
    """The head that this thread waits for."""

    seconds: float | None = None
    ends: float | None = None
    came = 0


_head = _Head()


@contextmanager
def _head_within(seconds: float) -> Iterator[None]:
    """Bounds what is read in the body, from the first byte that is waited for: sending may take longer."""
    _head.seconds, _head.ends, _head.came = seconds, None, 0
    try:
        yield
    finally:
        _head.seconds = None


class _Backend(httpcore2.NetworkBackend):
    def __init__(self, inner: httpcore2.NetworkBackend) -> None:
        self._inner = inner

    def connect_tcp(self, *args: Any, **kwargs: Any) -> httpcore2.NetworkStream:
        return _Connection(self._inner.connect_tcp(*args, **kwargs))

    def connect_unix_socket(self, *args: Any, **kwargs: Any) -> httpcore2.NetworkStream:
        return _Connection(self._inner.connect_unix_socket(*args, **kwargs))

    def sleep(self, seconds: float) -> None:
        self._inner.sleep(seconds)


class _Connection(httpcore2.NetworkStream):
    def __init__(self, inner: httpcore2.NetworkStream) -> None:
        self._inner = inner

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        if _head.seconds is None:
            return self._inner.read(max_bytes, timeout)
        if _head.ends is None:
            _head.ends = time.monotonic() + _head.seconds
        left = _head.ends - time.monotonic()
        if left <= 0 or _head.came > MAX_HEAD_BYTES:
            raise httpcore2.RemoteProtocolError("the head of an answer does not end")
        came = self._inner.read(max_bytes, left if timeout is None else min(left, timeout))
        _head.came += len(came)
        return came

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._inner.write(buffer, timeout)

    def close(self) -> None:
        self._inner.close()

    def start_tls(self, *args: Any, **kwargs: Any) -> httpcore2.NetworkStream:
        return _Connection(self._inner.start_tls(*args, **kwargs))

    def get_extra_info(self, info: str) -> Any:
        return self._inner.get_extra_info(info)
