"""Idle connections never block other callers."""

from __future__ import annotations

import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import httpx
import pytest

from tests.ops.test_serve import READY
from tests.support.services import PASSWORD, Process, wait_until

ANSWER_SECONDS = 5.0
HOLD = """
import socket, sys
port, count, sent = int(sys.argv[1]), int(sys.argv[2]), bytes.fromhex(sys.argv[3])
held = []
for _ in range(count):
    try:
        connection = socket.create_connection(("127.0.0.1", port), timeout=30)
        connection.sendall(sent)
    except OSError:
        continue
    held.append(connection)
print("held", flush=True)
sys.stdin.read()
"""
HEAD = b"POST /auth/token HTTP/1.1\r\nHost: x\r\n"
SENT = {
    "nothing": b"",
    "half a head": HEAD,
    "half a body": HEAD + b"Content-Type: application/json\r\nContent-Length: 1000\r\n\r\n{",
}


@contextmanager
def limited(instance: Path, files: int, **settings: str) -> Iterator[str]:
    """A service with a limit of open files."""
    line = f"ulimit -n {files}; exec {sys.executable} -m assembler_runner serve --port 0 --instance {instance}"
    with Process(
        "-c", f"import os; os.execvp('sh', ['sh', '-c', {line!r}])", ADMIN_PASSWORD=PASSWORD, **settings
    ) as one:
        yield one.wait_for_line(READY)[1]


@contextmanager
def held(url: str, count: int, sent: bytes) -> Iterator[None]:
    """Connections held by other processes, each with its own limit of open files."""
    port = url.rpartition(":")[2]
    with ExitStack() as stack:
        children = []
        for _ in range(4):
            command = [sys.executable, "-c", HOLD, port, str(count // 4), sent.hex()]
            child = stack.enter_context(
                subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
            )
            stack.callback(child.kill)
            children.append(child)
        for child in children:
            assert child.stdout is not None
            assert child.stdout.readline() == "held\n"
        yield


def answers_in_time(url: str) -> None:
    # Where connections block it, no call is fast; on a busy machine a single one may be slow.
    assert min(seconds_of_a_call(url) for _ in range(3)) < ANSWER_SECONDS


def seconds_of_a_call(url: str) -> float:
    begun = time.monotonic()
    assert httpx.get(f"{url}/health/live", timeout=30).status_code == 200
    return time.monotonic() - begun


@pytest.mark.slow
@pytest.mark.parametrize("files", [1024, 4096])
@pytest.mark.parametrize("sent", SENT.values(), ids=SENT)
def test_two_thousand_idle_connections_block_no_calls(files: int, sent: bytes, tmp_path: Path) -> None:
    with limited(tmp_path, files) as url:
        with held(url, 2000, sent):
            answers_in_time(url)
        answers_in_time(url)


@pytest.mark.slow
def test_incomplete_headers_time_out(tmp_path: Path) -> None:
    with limited(tmp_path, 2048) as url, socket.create_connection(("127.0.0.1", int(url.rpartition(":")[2]))) as one:
        one.settimeout(60)
        one.sendall(HEAD)
        # Sending a byte at a time does not keep the connection open.
        begun = time.monotonic()
        ended = False
        while not ended and time.monotonic() - begun < 50:
            one.settimeout(1)
            try:
                ended = one.recv(100) == b""
                one.sendall(b"X")
            except TimeoutError:
                one.sendall(b"X")
            except OSError:
                ended = True
        assert ended
        answers_in_time(url)


@pytest.mark.slow
def test_stalled_readers_free_their_threads(tmp_path: Path) -> None:
    with limited(tmp_path, 2048) as url, ExitStack() as stack:
        port = int(url.rpartition(":")[2])
        for _ in range(80):
            reader = stack.enter_context(socket.socket())
            reader.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            reader.connect(("127.0.0.1", port))
            reader.sendall(b"GET /api-spec.json HTTP/1.1\r\nHost: x\r\n\r\n")
        answers_in_time(url)
        wait_until(lambda: closed(reader), "the connection was closed", timeout=120)


def closed(reader: socket.socket) -> bool:
    """Returns whether the other side has closed the connection, although nothing was read from it."""
    try:
        reader.sendall(b"x")
    except OSError:
        return True
    return False
