"""The proxy for the calls of apps: HTTP and HTTPS to public addresses only, so not to this machine or its network."""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from asyncio import StreamReader, StreamWriter
from contextlib import suppress
from pathlib import Path
from urllib.parse import urlsplit

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
        with suppress(OSError):
            writer.write(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
            await writer.drain()
        writer.close()
        return
    if method == "CONNECT":
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
    else:
        path = f"{address.path or '/'}{'?' + address.query if address.query else ''}"
        lines = [line for line in head.split(b"\r\n")[1:] if not line.lower().startswith((b"proxy-", b"connection:"))]
        first = f"{method} {path} HTTP/1.1".encode("latin-1")
        outer[1].write(b"\r\n".join([first, b"Connection: close", *lines]))
    await asyncio.gather(_pump(reader, outer[1]), _pump(outer[0], writer))
    outer[1].close()
    writer.close()


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
