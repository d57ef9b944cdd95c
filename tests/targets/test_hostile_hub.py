"""A Hub that answers anything: bounded time, size and number, an error of ours, and nothing kept for the next call."""

from __future__ import annotations

import gzip
import json
import socket
import threading
import time
import tracemalloc
import zlib
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from assembler_runner.core.errors import TargetError, TargetUnavailable
from assembler_runner.targets.base import PublishedSpace
from assembler_runner.targets.hub import bounded_client, logs
from assembler_runner.targets.hub.logs import split_lines
from assembler_runner.targets.hub.target import MAX_ORGANISATIONS, HuggingFaceTarget

Answer = Callable[[socket.socket, str], None]
OK = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
SPACE = PublishedSpace("alice", "greeter", "")


class HostileHub:
    """Answers every call as the test says, byte by byte."""

    def __init__(self, answer: Answer) -> None:
        self._answer = answer
        self.heads: list[str] = []
        self.sent = 0
        self.over = threading.Event()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                connection, _ = self._listener.accept()
                threading.Thread(target=self._serve, args=[connection], daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with connection, suppress(OSError):
            head = b""
            while b"\r\n\r\n" not in head:
                if not (came := connection.recv(65536)):
                    return
                head += came
            self.heads.append(head.decode())
            self._answer(connection, head.decode())

    def repeat(self, connection: socket.socket, piece: bytes, pause: float = 0.0) -> None:
        while not self.over.is_set():
            connection.sendall(piece)
            self.sent += len(piece)
            if pause:
                self.over.wait(pause)

    def close(self) -> None:
        self.over.set()
        self._listener.close()


@pytest.fixture
def serve(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[Answer], HostileHub]]:
    monkeypatch.setattr(bounded_client, "SHORTEST_ANSWER_SECONDS", 2.0)
    monkeypatch.setattr(bounded_client, "MAX_ANSWER_BYTES", 2**20)
    opened: list[HostileHub] = []

    def make(answer: Answer) -> HostileHub:
        opened.append(HostileHub(answer))
        return opened[-1]

    yield make
    for hub in opened:
        hub.close()


@pytest.fixture
def make_target(tmp_path: Path) -> Callable[[HostileHub, str], HuggingFaceTarget]:
    return lambda hub, token: HuggingFaceTarget(hub.url, token, 1.0, tmp_path)


MakeTarget = Callable[[HostileHub, str], HuggingFaceTarget]


def body(connection: socket.socket, value: Any, *headers: bytes) -> None:
    content = json.dumps(value).encode()
    lines = b"".join(header + b"\r\n" for header in headers)
    connection.sendall(OK + lines + b"Content-Length: %d\r\nConnection: close\r\n\r\n" % len(content) + content)


def bomb() -> bytes:
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    return b"".join(packer.compress(b" " * 2**20) for _ in range(300)) + packer.flush()


ENDLESS: dict[str, tuple[bytes, bytes, float]] = {
    "informing answers": (b"", b"HTTP/1.1 103 Early Hints\r\n\r\n", 0.0),
    "informing answers, slowly": (b"", b"HTTP/1.1 103 Early Hints\r\n\r\n", 0.2),
    "head, slowly": (OK, b"X: y\r\n", 0.2),
    "head": (OK, b"X: " + b"y" * 1000 + b"\r\n", 0.0),
    "one header": (OK + b"X: ", b"y" * 1000, 0.0),
    "body": (OK + b"\r\n[", b'"x",' * 1000, 0.0),
    "body, slowly": (OK + b"\r\n[", b'"x",', 0.2),
    "chunks": (OK + b"Transfer-Encoding: chunked\r\n\r\n", b"1\r\n \r\n", 0.2),
    "error": (b"HTTP/1.1 400 Bad\r\nContent-Type: application/json\r\n\r\n", b"x" * 1000, 0.0),
    "empty gzip members": (OK + b"Content-Encoding: gzip\r\n\r\n", gzip.compress(b""), 0.0),
    "gzip header": (OK + b"Content-Encoding: gzip\r\n\r\n\x1f\x8b\x08\x08\0\0\0\0\0\0", b"x" * 1000, 0.0),
}


@pytest.mark.parametrize("name", ENDLESS)
def test_what_does_not_end_is_given_up(
    serve: Callable[[Answer], HostileHub], make_target: MakeTarget, name: str
) -> None:
    begin, piece, pause = ENDLESS[name]

    def answer(connection: socket.socket, _: str) -> None:
        connection.sendall(begin)
        hub.repeat(connection, piece, pause)

    hub = serve(answer)
    began = time.monotonic()
    with pytest.raises(TargetUnavailable):
        make_target(hub, "t-" + name).whoami()
    assert time.monotonic() - began < 20
    assert hub.sent < 50 * 2**20


@pytest.mark.parametrize("packing", [b"gzip", b"GZIP", b"br", b"zstd", b"gzip, gzip"])
def test_a_packed_bomb_costs_little(
    serve: Callable[[Answer], HostileHub], make_target: MakeTarget, packing: bytes
) -> None:
    packed = bomb()
    hub = serve(lambda connection, _: connection.sendall(OK + b"Content-Encoding: " + packing + b"\r\n\r\n" + packed))
    target = make_target(hub, f"t-bomb-{packing!r}")
    with suppress(TargetError):
        make_target(serve(lambda connection, _: body(connection, {})), "t-load").whoami()  # loads the library
    tracemalloc.start()
    try:
        with pytest.raises(TargetUnavailable):
            target.whoami()
        assert tracemalloc.get_traced_memory()[1] < 50 * 2**20
    finally:
        tracemalloc.stop()


def test_a_packed_answer_is_read(serve: Callable[[Answer], HostileHub], make_target: MakeTarget) -> None:
    packed = gzip.compress(json.dumps(account(3)).encode())
    hub = serve(
        lambda connection, _: connection.sendall(
            OK + b"Content-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(packed) + packed
        )
    )
    assert make_target(hub, "t-packed").whoami().name == "alice"


def account(organisations: int) -> dict[str, Any]:
    orgs = [{"name": f"o{number}", "roleInOrg": "admin"} for number in range(organisations)]
    return {"name": "alice", "auth": {"accessToken": {"role": "write"}}, "orgs": orgs}


def test_any_number_of_organisations(
    serve: Callable[[Answer], HostileHub], make_target: MakeTarget, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bounded_client, "MAX_ANSWER_BYTES", 16 * 2**20)
    found = make_target(serve(lambda connection, _: body(connection, account(50_000))), "t-orgs").whoami()
    assert len(found.namespaces) == MAX_ORGANISATIONS + 1
    assert found.namespaces is found.namespaces, "made once"


@pytest.mark.slow
def test_pages_without_end(
    serve: Callable[[Answer], HostileHub], make_target: MakeTarget, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bounded_client, "MAX_PAGES", 20)
    commit = {"id": "0" * 40, "title": "x", "message": "", "authors": [], "date": "2026-01-01T00:00:00.000Z"}

    def answer(connection: socket.socket, _: str) -> None:
        body(connection, [commit], f'Link: <{hub.url}/api/next>; rel="next"'.encode())

    hub = serve(answer)
    with pytest.raises(TargetUnavailable):
        make_target(hub, "t-pages").commits(SPACE)
    assert len(hub.heads) == 20


def test_cookies_of_one_call_do_not_go_with_another(
    serve: Callable[[Answer], HostileHub], make_target: MakeTarget
) -> None:
    hub = serve(lambda connection, _: body(connection, account(1), b"Set-Cookie: realm=a; Path=/"))
    for token in ("t-a", "t-b"):
        make_target(hub, token).whoami()
    assert len(hub.heads) == 2
    assert not any("cookie" in head.lower() for head in hub.heads)


@pytest.mark.parametrize(
    "value", [[], 1, "x", None, {}, {"name": {}}, {"name": "a", "auth": []}, {**account(1), "orgs": {"a": 1}}]
)
def test_answers_of_another_form(serve: Callable[[Answer], HostileHub], make_target: MakeTarget, value: Any) -> None:
    with pytest.raises(TargetUnavailable):
        make_target(serve(lambda connection, _: body(connection, value)), f"t-{value!r}"[:60]).whoami()


def test_a_log_line_without_an_end_is_left_out(serve: Callable[[Answer], HostileHub], make_target: MakeTarget) -> None:
    event = b'data: {"data": "after\\n", "timestamp": "2026-01-01T00:00:00.000Z"}\n\n'

    def answer(connection: socket.socket, _: str) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\ndata: ")
        for _number in range(64):
            connection.sendall(b"x" * 2**20)
        connection.sendall(b"\n\n" + event)

    tracemalloc.start()
    try:
        with make_target(serve(answer), "t-log").read_log(SPACE, "run", 10) as reader:
            texts = [line.text for line in iter(lambda: reader.read(10.0), None)]
        assert texts == ["after"]
        assert tracemalloc.get_traced_memory()[1] < 50 * 2**20
    finally:
        tracemalloc.stop()


@given(st.lists(st.binary(max_size=30)))
def test_lines_are_split_as_they_were_written(pieces: list[bytes]) -> None:
    whole = b"".join(pieces)
    ended = whole.split(b"\n")[:-1]
    assert list(split_lines(pieces)) == [line.decode("utf-8", "replace").removesuffix("\r") for line in ended]


def test_many_lines_of_one_moment_are_not_kept() -> None:
    seen = logs._Seen()
    for number in range(3 * logs._LINES_AT_ONCE):
        assert seen.is_new(logs.LogLine(None if number % 2 else logs.datetime(2026, 1, 1), str(number)))
    assert len(seen._at_newest) <= logs._LINES_AT_ONCE
