"""Reads untrusted tar files: ustar, pax and GNU (POSIX.1-2017 pax, GNU tar manual "Basic Tar Format").

The standard library's reader is not suitable: it parses extended headers with regular expressions and follows
sparse maps without a limit, so that a few hundred bytes can cost minutes.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from assembler_runner.files.archive_budget import Budget
from assembler_runner.files.archive_streams import DamagedArchive, Forward
from assembler_runner.files.content import PIECE_BYTES

BLOCK = 512
MAX_EXTENDED_BYTES = 2**16
"""Largest extended header, such as a long name."""

MAX_EXTENDED_HEADERS = 2
"""Most extended headers before one entry."""

_MAX_LENGTH_DIGITS = 6
_MAX_SIZE_DIGITS = 19
_LINKS, _SPECIAL, _FOLDERS = (b"1", b"2"), (b"3", b"4", b"6"), (b"5",)
_PAX, _PAX_GLOBAL, _LONG_NAME, _LONG_LINK, _SPARSE = b"x", b"g", b"L", b"K", b"S"

Kind = Literal["file", "folder", "link", "special", "sparse"]


@dataclass(frozen=True)
class TarEntry:
    """One entry of a tar file.

    Args:
        name: its path as stored, without a slash at the end.
        kind: its kind; reading stops after a `sparse` entry.
        size: size of its content in bytes; 0 if it has none.
    """

    name: str
    kind: Kind
    size: int


class TarReader:
    """The entries of a tar file, read forward.

    Args:
        stream: the unpacked bytes.
        budget: what the archive may cost.
    """

    def __init__(self, stream: Forward, budget: Budget) -> None:
        self._stream, self._budget = stream, budget
        self._unread = self._padding = 0

    def entries(self) -> Iterator[TarEntry]:
        """Yields the entries in order; unread content of an entry is skipped.

        Raises:
            DamagedArchive: the file is damaged, or an extended header is not acceptable.
            TooLarge: the archive is over its budget.
        """
        extended: dict[str, bytes] = {}
        headers = 0
        while (header := self._next_header()) is not None:
            self._budget.count()
            kind, size = header[156:157], _number(header[124:136])
            if kind in (_PAX, _PAX_GLOBAL, _LONG_NAME, _LONG_LINK):
                headers += 1
                if headers > MAX_EXTENDED_HEADERS or size > MAX_EXTENDED_BYTES:
                    raise DamagedArchive
                content = self._stream.exactly(size)
                self._stream.skip(-size % BLOCK)
                if kind == _PAX:
                    extended |= _records(content)
                elif kind == _LONG_NAME:
                    extended["path"] = content.rstrip(b"\0")
                continue
            entry = _entry(header, kind, size, extended)
            extended, headers = {}, 0
            has_content = entry.kind == "file"
            self._unread, self._padding = (entry.size, -entry.size % BLOCK) if has_content else (0, 0)
            yield entry
            if entry.kind == "sparse":
                return
            while self._unread:
                self._take(min(self._unread, PIECE_BYTES))
            self._stream.skip(self._padding)
        if extended:
            raise DamagedArchive

    def content(self) -> Iterator[bytes]:
        """Yields the content of the current entry in pieces."""
        while self._unread:
            piece = self._take(min(self._unread, PIECE_BYTES))
            self._budget.deliver(len(piece))
            yield piece

    def _take(self, size: int) -> bytes:
        self._unread -= size
        return self._stream.exactly(size)

    def _next_header(self) -> bytes | None:
        header = self._stream.read(BLOCK)
        if not header or header == bytes(BLOCK):
            return None
        if len(header) < BLOCK or not _sum_is_right(header):
            raise DamagedArchive
        return header


def is_tar(head: bytes) -> bool:
    """Returns whether a file begins like a tar file.

    Args:
        head: its first 512 bytes.
    """
    return head[257:262] == b"ustar"


def _entry(header: bytes, kind: bytes, size: int, extended: dict[str, bytes]) -> TarEntry:
    if (given := extended.get("size")) is not None:
        if not given.isdigit() or len(given) > _MAX_SIZE_DIGITS:
            raise DamagedArchive
        size = int(given)
    raw = extended.get("path") or _stored_name(header)
    is_folder = kind in _FOLDERS or (kind in (b"\0", b"0") and raw.endswith(b"/"))
    name = raw.rstrip(b"/").decode("utf-8", "surrogateescape")
    if kind == _SPARSE or any(key.startswith("GNU.sparse.") for key in extended):
        return TarEntry(name, "sparse", 0)
    if is_folder:
        return TarEntry(name, "folder", 0)
    if kind in _LINKS:
        return TarEntry(name, "link", 0)
    if kind in _SPECIAL:
        return TarEntry(name, "special", 0)
    # POSIX: an unknown kind is a regular file. Vendors use letters for other things, so it is rejected.
    return TarEntry(name, "file" if kind in (b"\0", b"0", b"7") else "sparse", size)


def _stored_name(header: bytes) -> bytes:
    name, prefix = header[:100].partition(b"\0")[0], header[345:500].partition(b"\0")[0]
    # The GNU format has other fields instead of the prefix.
    is_posix = header[257:263] == b"ustar\0"
    return prefix + b"/" + name if is_posix and prefix else name


def _records(content: bytes) -> dict[str, bytes]:
    """Reads the records of a pax header: `length key=value`, each with a line break."""
    found: dict[str, bytes] = {}
    position = 0
    while position < len(content) and content[position]:
        blank = content.find(b" ", position, position + _MAX_LENGTH_DIGITS + 1)
        digits = content[position:blank] if blank > 0 else b""
        if not digits.isdigit():
            raise DamagedArchive
        end = position + int(digits)
        record = content[blank + 1 : end]
        key, equals, value = record.partition(b"=")
        if end <= blank + 1 or end > len(content) or not equals or not value.endswith(b"\n"):
            raise DamagedArchive
        found[key.decode("utf-8", "replace")] = value[:-1]
        position = end
    return found


def _number(field: bytes) -> int:
    """Reads a number: octal digits, or GNU's binary form for large ones."""
    if field[0] in (0x80, 0xFF):
        number = int.from_bytes(field[1:], "big")
        if field[0] == 0xFF or number >= 2**63:
            raise DamagedArchive
        return number
    digits = field.strip(b" \0")
    if not digits:
        return 0
    if any(digit not in b"01234567" for digit in digits):
        raise DamagedArchive
    return int(digits, 8)


def _sum_is_right(header: bytes) -> bool:
    stored = _number(header[148:156])
    plain = sum(header[:148]) + 8 * 32 + sum(header[156:])
    if stored == plain:
        return True
    # Old programs summed the bytes as signed numbers.
    signed = plain - 256 * sum(byte > 127 for byte in header[:148] + header[156:])
    return stored == signed
