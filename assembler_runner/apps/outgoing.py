"""The proxy for the calls of apps: HTTP and HTTPS to public addresses only, so not to this machine or its network."""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from asyncio import StreamReader, StreamWriter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from urllib.parse import SplitResult, urlsplit

_PORTS = frozenset((80, 443))
_MOST_HEAD, _SECONDS = 65536, 15.0


async def serve_outgoing(path: str) -> asyncio.AbstractServer:
    """Listens on a Unix socket.

    Args:
        path: path of the socket.
    """
    server = await asyncio.start_unix_server(_answer, path, limit=_MOST_HEAD)
    # The account of the apps is another one if the service runs as root; its folder is closed to everyone else.
    Path(path).chmod(0o666)
    return server


async def _answer(reader: StreamReader, writer: StreamWriter) -> None:
    async with _closed(writer):
        try:
            head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), _SECONDS)
            method, target, _ = head.split(b"\r\n", 1)[0].decode("latin-1").split(" ", 2)
            address = urlsplit(f"//{target}" if method == "CONNECT" else target)
            port = address.port or 80
            if not address.hostname or port not in _PORTS:
                raise PermissionError
            place = await _public_address(address.hostname, port)
            outer = await asyncio.wait_for(asyncio.open_connection(place, port), _SECONDS)
        except (OSError, ValueError, asyncio.IncompleteReadError, asyncio.LimitOverrunError, TimeoutError):
            writer.write(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
            return
        async with _closed(outer[1]):
            if method == "CONNECT":
                writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
            else:
                outer[1].write(_forwarded(head, method, address))
            await asyncio.gather(_pump(reader, outer[1]), _pump(outer[0], writer))


@asynccontextmanager
async def _closed(writer: StreamWriter) -> AsyncIterator[None]:
    """Closes a connection at the end, and waits until what was written is sent."""
    try:
        yield
    finally:
        writer.close()
        with suppress(OSError, TimeoutError):
            await asyncio.wait_for(writer.wait_closed(), _SECONDS)


def _forwarded(head: bytes, method: str, address: SplitResult) -> bytes:
    """Returns the head of a request as the server of the address gets it."""
    path = f"{address.path or '/'}{'?' + address.query if address.query else ''}"
    lines = [line for line in head.split(b"\r\n")[1:] if not line.lower().startswith((b"proxy-", b"connection:"))]
    first = f"{method} {path} HTTP/1.1".encode("latin-1")
    return b"\r\n".join([first, b"Connection: close", *lines])


async def _public_address(host: str, port: int) -> str:
    """Returns an address of a host; the connection uses it, so that a second answer of the DNS changes nothing.

    Raises:
        PermissionError: an address of the host is not public.
    """
    loop = asyncio.get_running_loop()
    found = await asyncio.wait_for(loop.getaddrinfo(host, port, type=socket.SOCK_STREAM), _SECONDS)
    addresses = [ipaddress.ip_address(row[4][0]) for row in found]
    for address in addresses:
        inner = getattr(address, "ipv4_mapped", None) or getattr(address, "sixtofour", None) or address
        if not address.is_global or not inner.is_global or address.is_multicast:
            raise PermissionError
    return str(addresses[0])


async def _pump(reader: StreamReader, writer: StreamWriter) -> None:
    with suppress(OSError):
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
        if writer.can_write_eof():
            writer.write_eof()
