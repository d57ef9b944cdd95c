"""Downloads: streams that are read after the request's context has ended, and their names."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from urllib.parse import quote

from flask import Response, current_app

from assembler_runner.core.database import read_transaction


def in_context(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """Yields pieces with the application and a transaction of their own."""
    app = current_app._get_current_object()  # type: ignore[attr-defined]  # the stream outlives the request's context

    def generate() -> Iterator[bytes]:
        with app.app_context(), read_transaction():
            yield from pieces

    return generate()


def attachment(pieces: Iterator[bytes], name: str, mimetype: str) -> Response:
    """Returns a response that is saved as a file.

    Args:
        pieces: its content.
        name: name of the file, any text.
        mimetype: its media type.
    """
    response = Response(pieces, mimetype=mimetype)
    # RFC 6266: an ASCII name for old clients, and the exact name.
    plain = "".join(char if char.isascii() and char.isprintable() and char not in '"\\' else "_" for char in name)
    response.headers["Content-Disposition"] = (
        f"attachment; filename=\"{plain}\"; filename*=UTF-8''{quote(name, safe='')}"
    )
    return response
