"""JSON bodies with long strings, such as large files in base64, which are never in memory as a whole.

The body is read in pieces. A long string is written to a spool and replaced by a short random token; the rest is parsed
as JSON.
"""

from __future__ import annotations

import codecs
import re
import secrets
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, BinaryIO, cast

from flask import request

from assembler_runner.api.http.json_body import MAX_DEPTH, NoBody, check_json_size, parse_json, read_json
from assembler_runner.core.errors import InvalidJson, TooLarge
from assembler_runner.files.content import Content, Spool, SpoolWriter, pieces_of

LONG_BYTES = 2**16
SMALL_BYTES = 2**20
"""Largest body that is parsed in memory, which takes a third of the time."""
MAX_REST_BYTES = 16 * 2**20
"""Maximum size of the JSON without its long strings; parsing small items takes many times their size in memory."""

# As much of a string as possible, without an incomplete escape sequence.
_INSIDE = re.compile(rb'[^"\\]*+(?:\\.[^"\\]*+)*+', re.DOTALL)
_WHOLE = re.compile(r"(?:[^\\]|\\u[0-9a-fA-F]{4}|\\[^u])*+", re.DOTALL)


@dataclass(frozen=True)
class LongText:
    """A string in a spool, in its JSON encoding without the quotes.

    Args:
        content: the encoded string.
    """

    content: Content

    def parts(self) -> Iterator[str]:
        """Reads the text piece by piece.

        Raises:
            InvalidJson: it is not a valid JSON string.
        """
        with self.content.open() as file:
            rest = ""
            for piece in _decoded(pieces_of(file)):
                text = rest + piece
                match = _WHOLE.match(text)
                end = match.end() if match else 0
                part, rest = parse_json(f'"{text[:end]}"'), text[end:]
                if part and "\ud800" <= part[-1] <= "\udbff":
                    # The first half of a surrogate pair; the second half is in the next piece.
                    part, rest = part[:-1], f"\\u{ord(part[-1]):04x}{rest}"
                yield part
            if rest:
                yield parse_json(f'"{rest}"')

    def __str__(self) -> str:
        return "".join(self.parts())


def read_light(spool: Spool) -> Any:
    """Reads the body as JSON.

    Args:
        spool: temporary storage for long strings.
    Returns:
        The value, with a :class:`LongText` instead of each long string that is not a key.
    Raises:
        InvalidJson: see `read_json`.
        TooLarge: the body exceeds MAX_JSON_BYTES, or its other parts exceed `MAX_REST_BYTES`.
    """
    if request.content_length is not None and request.content_length <= SMALL_BYTES:
        return _without_long_keys(read_json())
    check_json_size(request.content_length or 0)
    scanner = _scan(pieces_of(cast(BinaryIO, request.stream)), spool)
    rest, texts = scanner.rest, scanner.texts
    if not rest or rest.isspace():
        raise NoBody
    try:
        value = parse_json(rest.decode("utf-8"))
    except UnicodeDecodeError:
        raise InvalidJson("The body is not UTF-8.") from None
    try:
        return _restore(value, texts, scanner.token) if texts else value
    except RecursionError:
        raise InvalidJson("The body is nested too deeply.") from None


def in_memory(value: Any, depth: int = 0) -> Any:
    """Returns a value with all its strings in memory, except below the greatest depth, which is refused later."""
    if depth > MAX_DEPTH:
        return value
    if isinstance(value, LongText):
        return str(value)
    if isinstance(value, dict):
        return {key: in_memory(inner, depth + 1) for key, inner in value.items()}
    if isinstance(value, list):
        return [in_memory(inner, depth + 1) for inner in value]
    return value


class _Scanner:
    """Separates long strings from the rest of a JSON text that arrives in pieces."""

    def __init__(self, spool: Spool) -> None:
        self.rest = bytearray()
        self.texts: list[LongText] = []
        self.token = secrets.token_hex(16)
        self.inside = False
        self._spool = spool
        self._string = bytearray()
        self._writer: SpoolWriter | None = None
        self._cut = b""

    def feed(self, piece: bytes) -> None:
        """Reads the next piece; an escape sequence at its end waits for the piece after it."""
        data, at, self._cut = self._cut + piece, 0, b""
        while at < len(data):
            at = self._read_string(data, at) if self.inside else self._read_rest(data, at)
        if len(self.rest) > MAX_REST_BYTES:
            raise TooLarge(
                f"JSON may have at most {MAX_REST_BYTES} bytes in addition to its long strings.",
                hint="Send files as multipart/form-data, or as an archive.",
            )

    def _read_rest(self, data: bytes, at: int) -> int:
        quote = data.find(b'"', at)
        self.inside = quote >= 0
        end = quote if self.inside else len(data)
        self.rest += data[at:end]
        return end + 1

    def _read_string(self, data: bytes, at: int) -> int:
        match = _INSIDE.match(data, at)
        end = match.end() if match else at
        self._string += data[at:end]
        if len(self._string) > LONG_BYTES:
            self._writer = self._writer or self._spool.begin()
            self._writer.write(bytes(self._string))
            self._string.clear()
        if data[end : end + 1] == b"\\":
            self._cut = data[end:]
            return len(data)
        if end < len(data):
            self._end_string()
        return end + 1

    def _end_string(self) -> None:
        if self._writer is None:
            self.rest += b'"%b"' % bytes(self._string)
        else:
            self._writer.write(bytes(self._string))
            self.rest += f'"{self.token}{len(self.texts)}"'.encode()
            self.texts.append(LongText(self._writer.finish()))
        self._string.clear()
        self._writer, self.inside = None, False


def _scan(pieces: Iterable[bytes], spool: Spool) -> _Scanner:
    scanner, total = _Scanner(spool), 0
    for piece in pieces:
        total += len(piece)
        check_json_size(total)
        scanner.feed(piece)
    if scanner.inside:
        raise InvalidJson("The body is not valid JSON: a string is not terminated.")
    return scanner


def _without_long_keys(value: Any) -> Any:
    if (request.content_length or 0) > LONG_BYTES:
        try:
            _check_keys(value)
        except RecursionError:
            raise InvalidJson("The body is nested too deeply.") from None
    return value


def _check_keys(value: Any) -> None:
    if isinstance(value, dict):
        if any(len(key) > LONG_BYTES for key in value):
            raise _long_key()
        value = list(value.values())
    if isinstance(value, list):
        for inner in value:
            _check_keys(inner)


def _long_key() -> InvalidJson:
    return InvalidJson(f"A key has more than {LONG_BYTES} bytes.")


def _restore(value: Any, texts: list[LongText], token: str) -> Any:
    if isinstance(value, str):
        return texts[int(value[len(token) :])] if value.startswith(token) else value
    if isinstance(value, dict):
        if any(key.startswith(token) for key in value):
            raise _long_key()
        return {key: _restore(inner, texts, token) for key, inner in value.items()}
    if isinstance(value, list):
        return [_restore(inner, texts, token) for inner in value]
    return value


def _decoded(pieces: Iterable[bytes]) -> Iterator[str]:
    decoder = codecs.getincrementaldecoder("utf-8")()
    try:
        for piece in pieces:
            yield decoder.decode(piece)
        decoder.decode(b"", final=True)
    except UnicodeDecodeError:
        raise InvalidJson("The body is not UTF-8.") from None
