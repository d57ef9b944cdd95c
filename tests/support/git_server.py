"""Git repositories over real smart HTTP, with git's own server, for tests."""

from __future__ import annotations

import base64
import os
import subprocess
import threading
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Any, Self

_WHO = {f"GIT_{role}_{what}": "t@localhost" for role in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}


class WorkTree:
    """A repository with a work tree."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True)
        self.git("init", "--quiet", "--initial-branch=main")

    def git(self, *arguments: str) -> str:
        command = ["git", *arguments]
        environ = os.environ | _WHO
        done = subprocess.run(command, cwd=self.folder, env=environ, capture_output=True, text=True, check=True)
        return done.stdout.strip()

    def commit(self, files: dict[str, str | bytes] | None = None) -> str:
        """Writes files, commits everything that is there, and returns the id of the commit."""
        for path, content in (files or {}).items():
            place = self.folder / path
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(content.encode() if isinstance(content, str) else content)
        self.git("add", "--all")
        self.git("commit", "--quiet", "--allow-empty", "--message", "change")
        return self.git("rev-parse", "HEAD")


class GitServer:
    """Serves the repositories in a folder, as a context manager.

    Args:
        folder: `name/.git` is served at `/name`.
        login: user name and password that it wants, or None.
    """

    def __init__(self, folder: Path, login: tuple[str, str] | None = None) -> None:
        wanted = "Basic " + base64.b64encode(":".join(login).encode()).decode() if login else None
        self.calls: list[str] = []
        self.hold: threading.Event | None = None
        self.redirect: str | None = None
        server = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.0"

            def do_GET(self) -> None:
                server.calls.append(self.path)
                if server.hold is not None:
                    server.hold.wait(60)
                if server.redirect is not None:
                    self.send_response(302)
                    self.send_header("Location", server.redirect + self.path)
                    self.end_headers()
                    return
                if wanted is not None and self.headers["Authorization"] != wanted:
                    self.send_response(401)
                    self.send_header("WWW-Authenticate", 'Basic realm="x"')
                    self.end_headers()
                    return
                self._backend()

            def do_POST(self) -> None:
                self.do_GET()

            def _backend(self) -> None:
                path, _, query = self.path.partition("?")
                body = self.rfile.read(int(self.headers["Content-Length"] or 0))
                environ = {
                    **{"PATH": os.environ["PATH"], "GIT_PROJECT_ROOT": str(folder), "GIT_HTTP_EXPORT_ALL": "1"},
                    **{"REQUEST_METHOD": self.command, "PATH_INFO": path, "QUERY_STRING": query},
                    **{"CONTENT_TYPE": self.headers["Content-Type"] or "", "CONTENT_LENGTH": str(len(body))},
                    **{"GIT_PROTOCOL": self.headers["Git-Protocol"] or "", "REMOTE_ADDR": "127.0.0.1"},
                    **{"HTTP_CONTENT_ENCODING": self.headers["Content-Encoding"] or ""},
                    **{"GIT_CONFIG_COUNT": "1", "GIT_CONFIG_KEY_0": "safe.directory", "GIT_CONFIG_VALUE_0": "*"},
                }
                done = subprocess.run(
                    ["git", "http-backend"], input=body, env=environ, capture_output=True, check=False
                )
                head, _, content = done.stdout.partition(b"\r\n\r\n")
                lines = [line.split(": ", 1) for line in head.decode().split("\r\n") if line]
                status = next((value for name, value in lines if name == "Status"), "200 OK")
                self.send_response(int(status.split()[0]))
                for name, value in lines:
                    if name != "Status":
                        self.send_header(name, value)
                self.end_headers()
                with suppress(BrokenPipeError, ConnectionResetError):
                    self.wfile.write(content)

            def log_message(self, *_: Any) -> None:
                pass

        self._http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.host = f"127.0.0.1:{self._http.server_address[1]}"
        self.url = f"http://{self.host}"
        self._thread = threading.Thread(target=self._http.serve_forever)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.hold is not None:
            self.hold.set()
        self._http.shutdown()
        self._http.server_close()
        self._thread.join()
