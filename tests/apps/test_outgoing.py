"""The proxy for the calls of apps refuses everything that is not public."""

from __future__ import annotations

import asyncio
import socket
import tempfile
from pathlib import Path

import pytest

from assembler_runner.apps import outgoing
from assembler_runner.apps.outgoing import serve_outgoing


async def handlers_end() -> None:
    """Waits until the connections of all servers of this loop are closed."""
    await asyncio.gather(*(asyncio.all_tasks() - {asyncio.current_task()}))


def ask(head: str) -> str:
    """Sends the head of a request to the proxy, and returns the first line of its response."""

    async def talk() -> str:
        with tempfile.TemporaryDirectory() as folder:
            path = str(Path(folder) / "outgoing")
            server = await serve_outgoing(path)
            reader, writer = await asyncio.open_unix_connection(path)
            writer.write(head.encode("latin-1"))
            line = await asyncio.wait_for(reader.readline(), 30)
            writer.close()
            await writer.wait_closed()
            server.close()
            await handlers_end()
            return line.decode().strip()

    return asyncio.run(talk())


@pytest.mark.parametrize(
    "target",
    [
        *("127.0.0.1:443", "localhost:443", "10.0.0.1:443", "192.168.1.1:80", "172.16.0.1:443", "100.64.0.1:443"),
        *("169.254.169.254:80", "0.0.0.0:443", "[::1]:443", "[::ffff:127.0.0.1]:443", "[fe80::1]:443", "[fd00::1]:443"),
        *("224.0.0.1:443", "8.8.8.8:22", "8.8.8.8:5432", "nowhere.invalid:443", ":443", "", "x" * 300 + ":443"),
        *("2130706433:80", "0x7f000001:80", "127.1:80", "[64:ff9b::7f00:1]:443", "[2002:7f00:1::]:443"),
    ],
)
def test_what_is_not_public_is_refused(target: str) -> None:
    refused = "HTTP/1.1 403 Forbidden"
    assert ask(f"CONNECT {target} HTTP/1.1\r\nHost: x\r\n\r\n") == refused
    assert ask(f"GET http://{target}/path HTTP/1.1\r\nHost: x\r\n\r\n") == refused


@pytest.mark.parametrize(
    "head", ["nonsense\r\n\r\n", "GET\r\n\r\n", "CONNECT a:b HTTP/1.1\r\n\r\n", "GET / HTTP/1.1\r\n\r\n"]
)
def test_what_is_no_request_is_refused(head: str) -> None:
    assert ask(head) == "HTTP/1.1 403 Forbidden"


def test_what_is_allowed_is_passed_on(monkeypatch: pytest.MonkeyPatch) -> None:
    received: list[bytes] = []

    async def talk() -> tuple[bytes, bytes]:
        async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            received.append(await reader.readuntil(b"\r\n\r\n"))
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
            await writer.drain()
            writer.close()
            await writer.wait_closed()

        listener = socket.create_server(("127.0.0.1", 0))
        port = listener.getsockname()[1]
        server = await asyncio.start_server(answer, sock=listener)

        async def public(host: str, wanted: int) -> str:
            assert (host, wanted) == ("public.example.org", port)
            return "127.0.0.1"

        # No public server can be asked in a test; only the choice of the address is replaced.
        monkeypatch.setattr(outgoing, "_public_address", public)
        monkeypatch.setattr(outgoing, "_PORTS", frozenset([port]))
        answers = []
        with tempfile.TemporaryDirectory() as folder:
            path = str(Path(folder) / "outgoing")
            proxy = await serve_outgoing(path)
            name = f"public.example.org:{port}"
            plain = f"GET http://{name}/a?b HTTP/1.1\r\nHost: {name}\r\nProxy-Authorization: x\r\n\r\n"
            for head in (plain, f"CONNECT {name} HTTP/1.1\r\n\r\n"):
                reader, writer = await asyncio.open_unix_connection(path)
                writer.write(head.encode())
                if head.startswith("CONNECT"):
                    assert await reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 200 OK\r\n\r\n"
                    writer.write(b"GET /inside HTTP/1.1\r\n\r\n")
                answers.append(await asyncio.wait_for(reader.read(), 30))
                writer.close()
                await writer.wait_closed()
            proxy.close()
        server.close()
        await handlers_end()
        return answers[0], answers[1]

    plain, inside = asyncio.run(talk())
    assert plain == inside == b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
    assert received[0].startswith(b"GET /a?b HTTP/1.1\r\n") and b"Proxy-Authorization" not in received[0]
    assert received[1] == b"GET /inside HTTP/1.1\r\n\r\n"
