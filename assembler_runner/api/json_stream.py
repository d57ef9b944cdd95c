"""JSON bodies whose long strings never stand in memory as a whole: large files come as base64 in them.

The body is read in pieces. A long string goes into a spool, and a short word that nobody can guess takes its place;
what is left is read as JSON as always.
"""

from __future__ import annotations

import codecs
import re
import secrets
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, BinaryIO, cast

from flask import request

from assembler_runner.api.json_body import MAX_DEPTH, NoBody, check_json_size, parse_json
from assembler_runner.core.errors import InvalidJson, TooLarge
from assembler_runner.files.content import Content, Spool, SpoolWriter, pieces_of

LONG_BYTES = 2**16
MAX_REST_BYTES = 16 * 2**20
"""Most JSON beside the long strings; lists of small things take many times their size in memory."""

# As much of a string as there is, without an escape that is cut in two.
_INSIDE = re.compile(rb'[^"\\]*+(?:\\.[^"\\]*+)*+', re.DOTALL)
_WHOLE = re.compile(r"(?:[^\\]|\\u[0-9a-fA-F]{4}|\\[^u])*+", re.DOTALL)


@dataclass(frozen=True)
class LongText:
    """A string that stands in a spool as JSON writes it, without the quotes.

    Args:
        content: where it stands.
    """

    content: Content

    def parts(self) -> Iterator[str]:
        """Reads the text piece by piece.

        Raises:
            InvalidJson: it is no valid string.
        """
        with self.content.open() as file:
            rest = ""
            for piece in _decoded(pieces_of(file)):
                text = rest + piece
                match = _WHOLE.match(text)
                end = match.end() if match else 0
                part, rest = parse_json(f'"{text[:end]}"'), text[end:]
                if part and "\ud800" <= part[-1] <= "\udbff":
                    # The first half of a character; the second one stands in the next piece.
                    part, rest = part[:-1], f"\\u{ord(part[-1]):04x}{rest}"
                yield part
            if rest:
                yield parse_json(f'"{rest}"')

    def __str__(self) -> str:
        return "".join(self.parts())


def read_light(spool: Spool) -> Any:
    """Reads the body as JSON.

    Args:
        spool: where long strings stand.
    Returns:
        The value, with a :class:`LongText` in the place of each long string that is no key.
    Raises:
        InvalidJson: see `read_json`.
        TooLarge: there is more of it than the service takes.
    """
    check_json_size(request.content_length or 0)
    rest, texts, word = _without_long_strings(pieces_of(cast(BinaryIO, request.stream)), spool)
    if not rest or rest.isspace():
        raise NoBody
    try:
        value = parse_json(rest.decode("utf-8"))
    except UnicodeDecodeError:
        raise InvalidJson("The body is not UTF-8.") from None
    try:
        return _put_back(value, texts, word) if texts else value
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
    rest, word = bytearray(), secrets.token_hex(16)
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
                    rest += f'"{word}{len(texts)}"'.encode()
                    texts.append(LongText(writer.finish()))
                string.clear()
                writer, inside, at = None, False, at + 1
        if len(rest) > MAX_REST_BYTES:
            raise TooLarge(
                f"JSON may have at most {MAX_REST_BYTES} bytes beside its long strings.",
                hint="Send files as multipart/form-data, or as an archive.",
            )
    if inside:
        raise InvalidJson("The body is not valid JSON: a string does not end.")
    return rest, texts, word


def _put_back(value: Any, texts: list[LongText], word: str) -> Any:
    if isinstance(value, str):
        return texts[int(value[len(word) :])] if value.startswith(word) else value
    if isinstance(value, dict):
        if any(key.startswith(word) for key in value):
            raise InvalidJson(f"A key has more than {LONG_BYTES} bytes.")
        return {key: _put_back(inner, texts, word) for key, inner in value.items()}
    if isinstance(value, list):
        return [_put_back(inner, texts, word) for inner in value]
    return value


def _decoded(pieces: Iterable[bytes]) -> Iterator[str]:
    decoder = codecs.getincrementaldecoder("utf-8")()
    try:
        for piece in pieces:
            yield decoder.decode(piece)
        decoder.decode(b"", final=True)
    except UnicodeDecodeError:
        raise InvalidJson("The body is not UTF-8.") from None
