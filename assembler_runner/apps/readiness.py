"""Whether an app answers: any HTTP response that is not an error of the server."""

from __future__ import annotations

import socket
from pathlib import Path

_SECONDS = 5.0
_MOST_BYTES = 4096


def status_of(address: tuple[str, int] | Path, path: str = "/") -> int | None:
    """Sends one request and returns the status of the response.

    Args:
        address: host and port, or the path of a Unix socket.
        path: path of the request.
    Returns:
        The status; None if nothing answers, or not in HTTP.
    """
    place, family = (str(address), socket.AF_UNIX) if isinstance(address, Path) else (address, socket.AF_INET)
    with socket.socket(family, socket.SOCK_STREAM) as connection:
        connection.settimeout(_SECONDS)
        try:
            connection.connect(place)
            head = f"GET {path} HTTP/1.1\r\nHost: localhost\r\nUser-Agent: assembler\r\nConnection: close\r\n\r\n"
            connection.sendall(head.encode())
            received = b""
            while b"\n" not in received and len(received) < _MOST_BYTES:
                piece = connection.recv(_MOST_BYTES)
                if not piece:
                    break
                received += piece
        except OSError:
            return None
    words = received.split(b"\n", 1)[0].split()
    if len(words) < 2 or not words[0].startswith(b"HTTP/") or not words[1].isdigit():
        return None
    return int(words[1])


def is_good(status: int | None) -> bool:
    """Whether a status shows that the app works."""
    return status is not None and 100 <= status < 500
