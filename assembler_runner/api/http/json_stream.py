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

from assembler_runner.api.http.json_body import MAX_DEPTH, NoBody, check_json_size, parse_json
from assembler_runner.core.errors import InvalidJson, TooLarge
from assembler_runner.files.content import Content, Spool, SpoolWriter, pieces_of

LONG_BYTES = 2**16
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
    check_json_size(request.content_length or 0)
    rest, texts, token = _without_long_strings(pieces_of(cast(BinaryIO, request.stream)), spool)
    if not rest or rest.isspace():
        raise NoBody
    try:
        value = parse_json(rest.decode("utf-8"))
    except UnicodeDecodeError:
        raise InvalidJson("The body is not UTF-8.") from None
    try:
        return _restore(value, texts, token) if texts else value
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


def _without_long_strings(pieces: Iterable[bytes], spool: Spool) -> tuple[bytearray, list[LongText], str]:
    rest, token = bytearray(), secrets.token_hex(16)
    texts: list[LongText] = []
    string, inside, cut, total = bytearray(), False, b"", 0
    writer: SpoolWriter | None = None
    for piece in pieces:
        total += len(piece)
        check_json_size(total)
        data, at, cut = cut + piece, 0, b""
        while at < len(data):
            if not inside:
                quote = data.find(b'"', at)
                rest += data[at : quote if quote >= 0 else len(data)]
                at, inside = (quote + 1, True) if quote >= 0 else (len(data), False)
                continue
            match = _INSIDE.match(data, at)
            end = match.end() if match else at
            string += data[at:end]
            at = end
            if len(string) > LONG_BYTES:
                writer = writer or spool.begin()
                writer.write(bytes(string))
                string.clear()
            if data[at : at + 1] == b"\\":
                cut, at = data[at:], len(data)
            elif at < len(data):
                if writer is None:
                    rest += b'"%b"' % bytes(string)
                else:
                    writer.write(bytes(string))
                    rest += f'"{token}{len(texts)}"'.encode()
                    texts.append(LongText(writer.finish()))
                string.clear()
                writer, inside, at = None, False, at + 1
        if len(rest) > MAX_REST_BYTES:
            raise TooLarge(
                f"JSON may have at most {MAX_REST_BYTES} bytes in addition to its long strings.",
                hint="Send files as multipart/form-data, or as an archive.",
            )
    if inside:
        raise InvalidJson("The body is not valid JSON: a string is not terminated.")
    return rest, texts, token


def _restore(value: Any, texts: list[LongText], token: str) -> Any:
    if isinstance(value, str):
        return texts[int(value[len(token) :])] if value.startswith(token) else value
    if isinstance(value, dict):
        if any(key.startswith(token) for key in value):
            raise InvalidJson(f"A key has more than {LONG_BYTES} bytes.")
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
