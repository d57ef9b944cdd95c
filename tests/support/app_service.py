"""A service that runs apps in sandboxes, and visits of its apps."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest

from assembler_runner.apps import sandbox as bubblewrap
from tests.support.services import PASSWORD, Client, Process, wait_until

TRUSTED = ("PIP_", "UV_", "SSL_CERT_", "HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy")

ECHO = """\
import base64, hashlib, http.server, json, os, threading

released = threading.Event()

class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        if self.path == "/crash":
            os._exit(7)
        if self.path == "/events":
            self.send_response(200)
            self.send_header("Content-Type", "text/event-stream")
            self.send_header("Connection", "close")
            self.end_headers()
            self.wfile.write(b"data: first\\n\\n")
            released.wait(30)
            self.wfile.write(b"data: last\\n\\n")
            self.close_connection = True
            return
        if self.path == "/release":
            released.set()
        if self.headers.get("Upgrade", "").lower() == "websocket":
            return self.echo_frames()
        length = int(self.headers.get("Content-Length") or 0)
        digest = hashlib.sha256()
        while length > 0:
            piece = self.rfile.read(min(length, 65536))
            digest.update(piece)
            length -= len(piece)
        body = json.dumps({"path": self.path, "headers": self.headers.items(), "params": PARAMS,
                           "environ": dict(os.environ), "digest": digest.hexdigest()}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Set-Cookie", "own=1; Domain=localhost; Path=/")
        self.send_header("Set-Cookie", "assembler-app=forged; Path=/")
        self.end_headers()
        self.wfile.write(body)

    def echo_frames(self):
        key = self.headers["Sec-WebSocket-Key"] + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
        self.send_response(101)
        self.send_header("Upgrade", "websocket")
        self.send_header("Connection", "Upgrade")
        self.send_header("Sec-WebSocket-Accept", base64.b64encode(hashlib.sha1(key.encode()).digest()).decode())
        if "Sec-WebSocket-Protocol" in self.headers:
            self.send_header("Sec-WebSocket-Protocol", self.headers["Sec-WebSocket-Protocol"].split(",")[0])
        self.end_headers()
        while head := self.rfile.read(2):
            mask, data = self.rfile.read(4), self.rfile.read(head[1] & 127)
            data = bytes(byte ^ mask[place % 4] for place, byte in enumerate(data))
            if head[0] & 15 == 8:
                break
            self.wfile.write(bytes([head[0], len(data)]) + data)
        self.close_connection = True

    do_POST = do_GET

    def log_message(self, *args):
        pass

print("The app starts with", PARAMS, flush=True)
http.server.ThreadingHTTPServer(("0.0.0.0", 7860), Handler).serve_forever()
"""
"""An app that needs no packages and tells what it was asked."""


def needs_sandbox() -> None:
    """Skips a test where no sandbox works."""
    reason = bubblewrap.problem()
    if reason is not None:
        pytest.skip(f"no sandbox works here: {reason}")


class AppService:
    """The running service.

    Args:
        process: its process.
        client: the user admin.
        instance: its folder.
    """

    def __init__(self, process: Process, client: Client, instance: Path) -> None:
        self.process, self.client, self.instance = process, client, instance

    def publish(self, app: str = ECHO, **body: Any) -> dict[str, Any]:
        """Creates a docker Space of one Python file without packages; returns the Space once it is published."""
        whole = {
            "space_type": "docker",
            "files": {"app.py": app, "requirements.txt": ""},
            "parameters": {"n": 1},
            "target": "local",
            **body,
        }
        space = self.client.post("/spaces", whole)
        done = self.client.wait(space["latest_request"]["id"])
        assert done["status"] == "succeeded", done["error"]
        return self.space(space["id"])

    def change(self, space_id: str, **body: Any) -> dict[str, Any]:
        """Changes a Space and waits for the request."""
        return self._done(self.client.post(f"/spaces/{space_id}", body))

    def command(self, space_id: str, name: str) -> dict[str, Any]:
        """Sends a command and waits for the request."""
        return self._done(self.client.post(f"/spaces/{space_id}/command", {"command": name}))

    def _done(self, answer: dict[str, Any]) -> dict[str, Any]:
        request = answer.get("latest_request") or answer
        done = self.client.wait(request["id"])
        assert done["status"] == "succeeded", done["error"]
        return done

    def space(self, space_id: str) -> dict[str, Any]:
        """Returns a Space with the newest state of its app."""
        return self.client.get(f"/spaces/{space_id}")

    def until(self, space_id: str, *states: str, timeout: float = 180.0) -> dict[str, Any]:
        """Waits until a Space has one of these states; returns it."""
        last: dict[str, Any] = {}

        def reached() -> bool:
            last.update(self.space(space_id))
            return last["state"] in states

        try:
            wait_until(reached, f"the app is {states}", timeout, every=0.1)
        except AssertionError:
            raise AssertionError(f"{last.get('state')} {last.get('problem')} {self.log(space_id, 'build')}") from None
        return last

    def run(self, app: str = ECHO, **body: Any) -> dict[str, Any]:
        """Creates a Space and waits until it runs."""
        return self.until(self.publish(app, **body)["id"], "running")

    def log(self, space_id: str, kind: str = "run") -> list[str]:
        """Returns the lines of a log."""
        return [line["text"] for line in self.client.get(f"/spaces/{space_id}/logs?kind={kind}")["data"]]


def visit(url: str, path: str = "/", method: str = "GET", **more: Any) -> httpx.Response:
    """Sends a request to an app; its host name needs no DNS."""
    parts = urlsplit(url)
    headers = {"Host": parts.netloc, **more.pop("headers", {})}
    address = f"http://127.0.0.1:{parts.port}{parts.path.rstrip('/')}{path}"
    return httpx.request(method, address, headers=headers, timeout=60, **more)


def seen_by(url: str, path: str = "/", **more: Any) -> dict[str, Any]:
    """Returns what the app ECHO tells of a request."""
    answer = visit(url, path, **more)
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


@contextmanager
def app_service(instance: Path, *, sandbox: bool = True, **settings: str) -> Iterator[AppService]:
    """Runs a service that runs apps; skips the test if they need a sandbox, and none works."""
    if sandbox:
        needs_sandbox()
    kept = {name: value for name, value in os.environ.items() if name.startswith(TRUSTED)}
    own = {
        "APPS": "process",
        "APPS_PORT": "0",
        "ADMIN_PASSWORD": PASSWORD,
        "FOLLOW_SECONDS": "0.2",
        "WATCH_SECONDS": "0.3",
    }
    command = ("-m", "assembler_runner", "serve", "--port", "0", "--instance", str(instance))
    with Process(*command, **{**own, **kept, **settings}) as process:
        url = process.wait_for_line(r"ready at (\S+)")[1]
        with Client(url) as client:
            yield AppService(process, client, instance)
            if process.running:
                assert process.stop() == 0, process.log
