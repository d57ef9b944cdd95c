"""The HTTP server: keep-alive, one thread per connection, nothing but loopback."""

from __future__ import annotations

import logging
import socket
import threading
import time
from collections.abc import Callable, Generator, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from assembler_runner.devhub.wire import Answer, Request

Respond = Callable[[Request], Answer]
_logger = logging.getLogger(__name__)
_CLOSING_SECONDS = 2.0
_CUT_AFTER = 2
"""Pieces of a stream that still arrive when it is cut."""


class HubServer(ThreadingHTTPServer):
    """Serves `respond` on a port of 127.0.0.1."""

    request_queue_size = 1024
    daemon_threads = True

    def __init__(self, respond: Respond, port: int = 0) -> None:
        super().__init__(("127.0.0.1", port), _Handler)
        self.respond = respond
        self._connections: set[socket.socket] = set()
        self._lock = threading.Lock()
        self._thread = threading.Thread(target=self.serve_forever, args=(0.02,), daemon=True)

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.server_address[1]}"

    def start(self) -> None:
        """Serve in the background."""
        self._thread.start()

    def stop(self) -> None:
        """Stop listening and end all connections, idle ones included."""
        self.shutdown()
        self._thread.join()
        with self._lock:
            for connection in self._connections:
                _hang_up(connection)
        self.server_close()
        deadline = time.monotonic() + _CLOSING_SECONDS
        while self._connections and time.monotonic() < deadline:
            time.sleep(0.002)

    def process_request(self, request: Any, client_address: Any) -> None:
        """Remember the connection, so that `stop` can end it."""
        with self._lock:
            self._connections.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        """Forget the connection."""
        super().shutdown_request(request)
        with self._lock:
            self._connections.discard(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that went away is no news."""
        _logger.debug("Connection of %s ended early", client_address, exc_info=True)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server_version = "StandInHub"
    disable_nagle_algorithm = True
    wbufsize = 1 << 16
    server: HubServer

    def _serve(self) -> None:
        path, _, query = self.path.partition("?")
        base_url = f"http://{self.headers.get('Host') or self.server.url.removeprefix('http://')}"
        headers = {name.lower(): value for name, value in self.headers.items()}
        self._send(self.server.respond(Request(self.command, path, query, headers, self._body(), base_url)))

    do_GET = do_HEAD = do_POST = do_PUT = do_DELETE = do_PATCH = _serve  # noqa: N815

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding", "").lower() == "chunked":
            return b"".join(self._chunks())
        return self.rfile.read(int(self.headers.get("Content-Length") or 0))

    def _chunks(self) -> Iterator[bytes]:
        while size := int(self.rfile.readline().split(b";")[0], 16):
            yield self.rfile.read(size)
            self.rfile.readline()
        while self.rfile.readline().strip():
            pass

    def _send(self, answer: Answer) -> None:
        if answer.delivery == "never":
            self._close()
            return
        self.send_response(answer.status)
        for name, value in answer.headers.items():
            self.send_header(name, value.replace("\n", " "))
        if answer.stream is not None:
            self._send_stream(answer.stream, cut=answer.delivery == "cut")
            return
        self.send_header("Content-Length", str(len(answer.body)))
        self.end_headers()
        whole = answer.delivery == "whole"
        if self.command != "HEAD":
            self.wfile.write(answer.body if whole else answer.body[: len(answer.body) // 2])
        self.wfile.flush()
        if not whole:
            self._close()

    def _send_stream(self, stream: Generator[bytes], cut: bool) -> None:
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        try:
            for number, piece in enumerate(stream if self.command != "HEAD" else ()):
                if cut and number == _CUT_AFTER:
                    self._close()
                    return
                self.wfile.write(b"%x\r\n%s\r\n" % (len(piece), piece))
                self.wfile.flush()
        finally:
            stream.close()
        self.wfile.write(b"0\r\n\r\n" if self.command != "HEAD" else b"")
        self.wfile.flush()

    def _close(self) -> None:
        self.close_connection = True
        _hang_up(self.connection)

    def log_message(self, format: str, *args: Any) -> None:
        _logger.debug(format, *args)


def _hang_up(connection: socket.socket) -> None:
    try:
        connection.shutdown(socket.SHUT_RDWR)
    except OSError:
        _logger.debug("The other side was faster")
