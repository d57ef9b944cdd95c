"""Reads untrusted zip files (PKWARE APPNOTE 6.3.10): the directory entry by entry, the contents by streaming.

The standard library's reader is not suitable: it reads the whole directory, with names and extra fields of up to
64 KiB each, before anything can be counted.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import BinaryIO

from assembler_runner.files.archive_budget import Budget
from assembler_runner.files.archive_streams import DamagedArchive, inflated
from assembler_runner.files.content import PIECE_BYTES

STORED, DEFLATED = 0, 8
MAX_NAME_BYTES = 4096

_END, _END64, _LOCATOR64, _CENTRAL, _LOCAL = b"PK\5\6", b"PK\6\6", b"PK\6\7", b"PK\1\2", b"PK\3\4"
_END_BYTES, _END64_BYTES, _LOCATOR64_BYTES, _CENTRAL_BYTES, _LOCAL_BYTES = 22, 56, 20, 46, 30
_MAX_COMMENT_BYTES = 2**16
_ENCRYPTED, _UTF8 = 0x1, 0x800
_IN_EXTRA = 0xFFFFFFFF
_ZIP64_EXTRA = 1


@dataclass(frozen=True)
class ZipEntry:
    """One entry of a zip file.

    Args:
        name: its path as stored.
        raw_name: its path as bytes.
        flags: the general purpose flags.
        method: the compression method.
        crc: CRC-32 of its content.
        packed: compressed size in bytes.
        size: size of its content in bytes.
        mode: the Unix mode; 0 if the archive has none.
        offset: position of its local header.
    """

    name: str
    raw_name: bytes
    flags: int
    method: int
    crc: int
    packed: int
    size: int
    mode: int
    offset: int

    @property
    def is_folder(self) -> bool:
        """Whether it is a folder."""
        return self.name.endswith("/")

    @property
    def is_encrypted(self) -> bool:
        """Whether its content is encrypted."""
        return bool(self.flags & _ENCRYPTED)


class ZipReader:
    """A zip file.

    Args:
        file: the file; must be seekable.
        size: its size in bytes.
        budget: what the archive may cost.
    """

    def __init__(self, file: BinaryIO, size: int, budget: Budget) -> None:
        self._file, self._size, self._budget = file, size, budget

    def entries(self) -> Iterator[ZipEntry]:
        """Yields the entries of the directory.

        Raises:
            DamagedArchive: the directory is damaged, or an entry has a name of more than 4 KiB.
            TooLarge: there are too many entries.
        """
        start, end, base = self._directory()
        position = start
        packed = 0
        while position < end:
            self._budget.count()
            self._budget.tick()
            header = self._at(position, _CENTRAL_BYTES)
            if header[:4] != _CENTRAL:
                raise DamagedArchive
            (flags, method, crc, size_packed, size) = struct.unpack("<8x2H4x3L18x", header)
            (name_length, extra_length, comment_length, external, offset) = struct.unpack("<28x3H4xLL", header)
            if name_length > MAX_NAME_BYTES:
                raise DamagedArchive
            variable = self._at(position + _CENTRAL_BYTES, name_length + extra_length)
            raw = variable[:name_length]
            if _IN_EXTRA in (size, size_packed, offset):
                size, size_packed, offset = _large(variable[name_length:], size, size_packed, offset)
            packed += size_packed
            position += _CENTRAL_BYTES + name_length + extra_length + comment_length
            name, mode = _decoded(raw, flags), external >> 16
            yield ZipEntry(name, raw, flags, method, crc, size_packed, size, mode, offset + base)
        # Entries that share compressed bytes could unpack to far more than was sent.
        if position != end or packed > self._size:
            raise DamagedArchive

    def content(self, entry: ZipEntry) -> Iterator[bytes]:
        """Yields the content of an entry in pieces.

        Raises:
            DamagedArchive: it does not match the directory.
            TooLarge: the archive is over its budget.
        """
        header = self._at(entry.offset, _LOCAL_BYTES)
        name_length, extra_length = struct.unpack("<26x2H", header)
        if header[:4] != _LOCAL or self._file.read(name_length) != entry.raw_name:
            raise DamagedArchive
        self._file.seek(entry.offset + _LOCAL_BYTES + name_length + extra_length)
        read = self._stored(entry) if entry.method == STORED else inflated(self._file, entry.packed, self._budget)
        left, crc = entry.size, 0
        while piece := read(PIECE_BYTES):
            self._budget.spend(len(piece))
            self._budget.deliver(len(piece))
            left, crc = left - len(piece), zlib.crc32(piece, crc)
            if left < 0:
                raise DamagedArchive
            yield piece
        if left or crc != entry.crc:
            raise DamagedArchive

    def _stored(self, entry: ZipEntry) -> Callable[[int], bytes]:
        left = entry.packed

        def read(size: int) -> bytes:
            nonlocal left
            piece = self._file.read(min(size, left))
            left -= len(piece)
            return piece

        return read

    def _directory(self) -> tuple[int, int, int]:
        """Returns where the directory starts and ends, and how many bytes precede the archive in the file."""
        tail_at = max(0, self._size - _END_BYTES - _MAX_COMMENT_BYTES)
        tail = self._at(tail_at, self._size - tail_at)
        found = len(tail)
        while (found := tail.rfind(_END, 0, found)) >= 0:
            record = tail[found : found + _END_BYTES]
            if len(record) == _END_BYTES and found + _END_BYTES + struct.unpack("<20xH", record)[0] == len(tail):
                break
        else:
            raise DamagedArchive
        size, offset = struct.unpack("<12x2L2x", record)
        end = tail_at + found
        locator = self._at(end - _LOCATOR64_BYTES, _LOCATOR64_BYTES) if end >= _LOCATOR64_BYTES else b""
        if locator[:4] == _LOCATOR64:
            end -= _LOCATOR64_BYTES + _END64_BYTES
            record = self._at(end, _END64_BYTES)
            if record[:4] != _END64:
                raise DamagedArchive
            size, offset = struct.unpack("<40x2Q", record)
        start = end - size
        if start < offset or start < 0:
            raise DamagedArchive
        return start, end, start - offset

    def _at(self, position: int, size: int) -> bytes:
        if position < 0 or position + size > self._size:
            raise DamagedArchive
        self._file.seek(position)
        found = self._file.read(size)
        if len(found) != size:
            raise DamagedArchive
        return found


def is_zip(head: bytes) -> bool:
    """Returns whether a file begins like a zip file.

    Args:
        head: its first bytes.
    """
    return head.startswith((_LOCAL, _END))


def _decoded(raw: bytes, flags: int) -> str:
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError:
        if flags & _UTF8:
            raise DamagedArchive from None
    # Without the flag, the standard specifies code page 437, but many programs write UTF-8.
    return raw.decode("cp437")


def _large(extra: bytes, size: int, packed: int, offset: int) -> tuple[int, int, int]:
    """Returns the numbers of an entry; those of more than four bytes come from its extra field (APPNOTE 4.5.3)."""
    position = 0
    while position + 4 <= len(extra):
        kind, length = struct.unpack_from("<2H", extra, position)
        if kind == _ZIP64_EXTRA:
            field = extra[position + 4 : position + 4 + length]
            numbers = iter(struct.unpack(f"<{len(field) // 8}Q", field[: len(field) // 8 * 8]))
            try:
                size = next(numbers) if size == _IN_EXTRA else size
                packed = next(numbers) if packed == _IN_EXTRA else packed
                offset = next(numbers) if offset == _IN_EXTRA else offset
            except StopIteration:
                raise DamagedArchive from None
            return size, packed, offset
        position += 4 + length
    raise DamagedArchive
