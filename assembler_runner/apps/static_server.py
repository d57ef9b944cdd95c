"""A static Space on the loopback interface: for `assembler try`."""

from __future__ import annotations

from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from assembler_runner.apps.plan import LOOPBACK
from assembler_runner.core.errors import SettingsError


class StaticServer:
    """Serves a folder; listens as long as the context lasts.

    Args:
        folder: the folder.
        start_file: the page of `/`.
        port: the port; 0 for a free one.
    Raises:
        SettingsError: the port cannot be listened on.
    """

    def __init__(self, folder: Path, start_file: str, port: int) -> None:
        handler = partial(_Handler, directory=str(folder), start_file=start_file)
        try:
            self._server = ThreadingHTTPServer((LOOPBACK, port), handler)
        except OSError as problem:
            raise SettingsError(
                f"Cannot listen on {LOOPBACK}:{port}: {problem.strerror}.", hint="Choose another port with --port."
            ) from None

    def __enter__(self) -> StaticServer:
        return self

    def __exit__(self, *problem: object) -> None:
        self._server.server_close()

    @property
    def url(self) -> str:
        """The address."""
        return f"http://{LOOPBACK}:{self._server.server_address[1]}"

    def serve(self) -> None:
        """Answers requests until an exception, such as KeyboardInterrupt, ends it."""
        self._server.serve_forever()


class _Handler(SimpleHTTPRequestHandler):
    def __init__(self, *arguments: Any, start_file: str, **keywords: Any) -> None:
        self._start_file = start_file
        super().__init__(*arguments, **keywords)

    def do_GET(self) -> None:
        """Answers `/` with the start page, every other path with its file."""
        if self.path.partition("?")[0] == "/":
            self.path = f"/{self._start_file}"
        super().do_GET()

    def log_message(self, format: str, *arguments: Any) -> None:
        """Logs nothing."""
