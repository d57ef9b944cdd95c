"""The HTTP server of `assembler serve`: waitress, with limits on the resources that one caller can occupy.

A connection that sends no complete request, or reads its response too slowly, is closed after a timeout. If there are
too many connections, idle ones are closed first, starting with the address that has the most.
"""

from __future__ import annotations

import json
import logging
import resource
import socket
import time
from collections import Counter
from typing import Any

from flask import Flask
from waitress.adjustments import Adjustments
from waitress.channel import HTTPChannel
from waitress.parser import HTTPRequestParser
from waitress.server import TcpWSGIServer
from waitress.task import ThreadedTaskDispatcher
from waitress.utilities import RequestEntityTooLarge

from assembler_runner.api.http.error_handlers import error_body
from assembler_runner.core.errors import SettingsError, TooLarge

log = logging.getLogger(__name__)

FIRST_THREADS, MOST_THREADS = 8, 64
MOST_CONNECTIONS = 10_000
RESERVED_FILES = 256
"""Number of open files reserved for everything but connections: database, repositories, spooled files, the Hub."""

FEW_FILES = 2048
"""The service logs a warning at its start if the limit of open files is lower."""

IDLE_SECONDS = 60.0
"""Maximum seconds a connection may be idle between requests."""

HEAD_SECONDS = 10.0
"""Maximum seconds from the first byte of a request to the end of its headers."""

WINDOW_SECONDS = 20.0
LEAST_BYTES_PER_SECOND = 1024
"""Minimum rate, over each window, of a caller that sends a body or reads a response."""


def listen(app: Flask, host: str, port: int, *, streams: int, behind_proxy: bool) -> HttpServer:
    """Opens the port.

    Args:
        app: the application.
        host: address to listen on.
        port: port; 0 for a free one.
        streams: maximum number of simultaneous streams; each occupies a thread.
        behind_proxy: whether to keep the headers set by a reverse proxy.
    Returns:
        The server; `run()` serves requests until a signal ends it.
    Raises:
        SettingsError: the address cannot be listened on.
    """
    most = connection_limit()
    try:
        adjustments = Adjustments(
            host=host,
            port=port,
            # select() fails on the first descriptor above 1023.
            asyncore_use_poll=True,
            connection_limit=most,
            cleanup_interval=1,
            ident=None,
            clear_untrusted_proxy_headers=not behind_proxy,
            max_request_body_size=app.config["MAX_CONTENT_LENGTH"] + 1,
        )
        dispatcher = _Threads(MOST_THREADS + streams)
        servers: list[HttpServer] = []
        shared: dict[int, Any] = {}
        for family, kind, protocol, address in adjustments.listen:
            # A name may have several addresses; all use the port of the first one.
            chosen = servers[0].effective_port if servers else address[1]
            sockinfo = (family, kind, protocol, (address[0], chosen, *address[2:]))
            servers.append(HttpServer(app, map=shared, dispatcher=dispatcher, adj=adjustments, sockinfo=sockinfo))
    except (OSError, ValueError) as problem:
        raise SettingsError(
            f"Cannot listen on {host}:{port}: {str(getattr(problem, 'strerror', None) or problem).rstrip('.')}.",
            hint="Choose another port with --port; 0 selects a free one.",
        ) from None
    return servers[0]


def connection_limit() -> int:
    """Raises the soft limit of open files to the hard one, and returns the resulting maximum of connections."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = MOST_CONNECTIONS + RESERVED_FILES
    most = wanted if hard == resource.RLIM_INFINITY else min(hard, wanted)
    if soft != resource.RLIM_INFINITY and soft < most:
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
        soft = most
    files = wanted if soft == resource.RLIM_INFINITY else min(soft, wanted)
    if files < FEW_FILES:
        log.warning("only %d files may be open at the same time; raise the limit with ulimit -n", files)
    return max(files - RESERVED_FILES, files // 2)


class HttpServer(TcpWSGIServer):  # type: ignore[misc]  # the library is not typed
    """A server that closes connections that occupy resources without using them."""

    def __init__(self, *arguments: Any, **keywords: Any) -> None:
        super().__init__(*arguments, **keywords)
        self.channel_class = _Channel

    def handle_accept(self) -> None:
        """Accepts a connection, and closes idle ones if the limit is near."""
        super().handle_accept()
        # Below the limit: closed connections are released only in the next round.
        surplus = len(self.active_channels) - self.adj.connection_limit * 9 // 10
        if surplus > 0:
            self._close_waiting(surplus)

    def maintenance(self, now: float) -> None:
        """Closes connections that exceeded their timeout; called once a second."""
        for channel in list(self.active_channels.values()):
            if channel.is_overdue(now):
                channel.will_close = True

    def _close_waiting(self, number: int) -> None:
        """Closes connections that wait for their caller: those of the busiest address first, then the oldest."""
        connections = Counter(channel.addr[0] for channel in self.active_channels.values())
        waiting = [channel for channel in self.active_channels.values() if channel.waits and not channel.will_close]
        waiting.sort(key=lambda channel: (-connections[channel.addr[0]], channel.since))
        for channel in waiting[:number]:
            channel.will_close = True


class _Threads(ThreadedTaskDispatcher):  # type: ignore[misc]  # the library is not typed
    """A thread pool that grows on demand, since each stream occupies a thread.

    Args:
        most: maximum number of threads.
    """

    def __init__(self, most: int) -> None:
        super().__init__()
        self._most = most
        self.set_thread_count(FIRST_THREADS)

    def add_task(self, task: Any) -> None:
        with self.lock:
            running = len(self.threads) - self.stop_count
            busy = len(self.queue) >= running - self.active_count
        if busy and running < self._most:
            self.set_thread_count(running + 1)
        super().add_task(task)


class _BodyTooLarge(RequestEntityTooLarge):  # type: ignore[misc]  # the library is not typed
    """Rejects a body in the HTTP server, before it is buffered, with the service's error format."""

    def to_response(self, ident: str | None = None) -> tuple[str, list[tuple[str, str]], bytes]:
        body = json.dumps(error_body(TooLarge("The body of the request is too large."))).encode()
        return "413 Request Entity Too Large", [("Content-Type", "application/json")], body


class _Parser(HTTPRequestParser):  # type: ignore[misc]  # the library is not typed
    error: Any

    def __init__(self, adj: Adjustments) -> None:
        super().__init__(adj)
        self.begun = time.time()

    def received(self, data: bytes) -> int:
        consumed: int = super().received(data)
        if isinstance(self.error, RequestEntityTooLarge):
            self.error = _BodyTooLarge(self.error.body)
        return consumed


class _Channel(HTTPChannel):  # type: ignore[misc]  # the library is not typed
    """One connection, with the number of bytes transferred since its last check."""

    parser_class = _Parser

    def __init__(self, server: HttpServer, sock: socket.socket, addr: Any, adj: Adjustments, map: Any = None) -> None:
        self._moved, self._window = 0, time.time()
        super().__init__(server, sock, addr, adj, map=map)

    def received(self, data: bytes) -> bool:
        self._moved += len(data)
        return bool(super().received(data))

    def send(self, data: bytes, do_close: bool = True) -> int:
        sent: int = super().send(data, do_close=do_close)
        self._moved += sent
        return sent

    @property
    def waits(self) -> bool:
        """Whether it only waits for its caller: no request is complete, and no response is on its way."""
        return not self.requests and not self.total_outbufs_len

    @property
    def since(self) -> float:
        """When its caller last began a request or was active, in seconds since 1970."""
        return float(self.request.begun if self.request is not None else self.last_activity)

    def is_overdue(self, now: float) -> bool:
        """Returns whether it exceeded a timeout: its caller is idle or too slow.

        Args:
            now: seconds since 1970.
        """
        request = self.request
        if self.waits and request is None:
            return bool(now - self.last_activity > IDLE_SECONDS)
        if self.waits and not request.headers_finished:
            return bool(now - request.begun > HEAD_SECONDS)
        if not self.waits and not self.total_outbufs_len:
            # The service is processing the request; the caller is not expected to act.
            self._moved, self._window = 0, now
            return False
        if now - self._window < WINDOW_SECONDS:
            return False
        moved, seconds = self._moved, now - self._window
        self._moved, self._window = 0, now
        return moved < LEAST_BYTES_PER_SECOND * seconds
