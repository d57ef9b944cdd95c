"""Decompression of gzip and zstd as forward-only streams that check the budget at every read."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from typing import BinaryIO

import zstandard

from assembler_runner.files.archive_budget import Budget
from assembler_runner.files.content import PIECE_BYTES

_PACKED_PIECE_BYTES = 2**14
_ZSTD_WINDOW_BYTES = 2**25
_GZIP = 31  # zlib's number for the format of gzip (zlib.net/manual.html, inflateInit2)


class DamagedArchive(Exception):  # not an AssemblerError: `archives` converts it
    """The archive violates its format."""


class Forward:
    """Unpacked bytes, read forward and counted.

    Args:
        read: returns up to the given number of bytes; none at the end.
        budget: limits for unpacking.
    """

    def __init__(self, read: Callable[[int], bytes], budget: Budget) -> None:
        self._read = read
        self._budget = budget

    def read(self, size: int) -> bytes:
        """Returns up to `size` bytes; fewer only at the end.

        Raises:
            TooLarge: the archive is over its budget.
        """
        pieces = []
        while size > 0 and (piece := self._read(min(size, PIECE_BYTES))):
            self._budget.spend(len(piece))
            size -= len(piece)
            pieces.append(piece)
        return b"".join(pieces)

    def exactly(self, size: int) -> bytes:
        """Returns `size` bytes.

        Raises:
            DamagedArchive: there are fewer.
            TooLarge: the archive is over its budget.
        """
        found = self.read(size)
        if len(found) != size:
            raise DamagedArchive
        return found

    def skip(self, size: int) -> None:
        """Reads over `size` bytes.

        Raises:
            DamagedArchive: there are fewer.
            TooLarge: the archive is over its budget.
        """
        while size > 0:
            size -= len(self.exactly(min(size, PIECE_BYTES)))

    def finish(self) -> None:
        """Reads to the end, which verifies the checksum of the compression."""
        while self.read(PIECE_BYTES):
            pass


class _Packed:
    """The compressed file; every read checks the time."""

    def __init__(self, file: BinaryIO, budget: Budget) -> None:
        self._file, self._budget = file, budget

    def read(self, size: int = -1) -> bytes:
        self._budget.tick()
        return self._file.read(min(size, PIECE_BYTES) if size >= 0 else PIECE_BYTES)


class _Gzip:
    """A sequence of gzip members (RFC 1952): members may be empty, zeros may follow the last one."""

    def __init__(self, packed: _Packed, budget: Budget) -> None:
        self._packed, self._budget = packed, budget
        self._member = zlib.decompressobj(_GZIP)
        self._input = b""
        self._fresh = True

    def read(self, size: int) -> bytes:
        while True:
            if not self._input and not (next_piece := self._packed.read(_PACKED_PIECE_BYTES)):
                if self._fresh:
                    return b""
                raise DamagedArchive
            self._input = self._input or next_piece
            if self._fresh:
                self._input = self._input.lstrip(b"\0")
                if not self._input:
                    continue
            self._fresh = False
            found = self._member.decompress(self._input, size)
            self._input = self._member.unconsumed_tail
            if self._member.eof:
                self._input = self._member.unused_data
                self._member, self._fresh = zlib.decompressobj(_GZIP), True
                self._budget.tick()
            if found:
                return found


def plain(file: BinaryIO, budget: Budget) -> Forward:
    """Returns the bytes of an uncompressed file."""
    return Forward(_Packed(file, budget).read, budget)


def gzipped(file: BinaryIO, budget: Budget) -> Forward:
    """Returns the unpacked bytes of a gzip file."""
    return Forward(_Gzip(_Packed(file, budget), budget).read, budget)


def zstandarded(file: BinaryIO, budget: Budget) -> Forward:
    """Returns the unpacked bytes of a zstd file (RFC 8878) with a window of at most 32 MiB."""
    reader = zstandard.ZstdDecompressor(max_window_size=_ZSTD_WINDOW_BYTES)
    source: BinaryIO = _Packed(file, budget)  # type: ignore[assignment]  # the library calls only its read
    return Forward(reader.stream_reader(source, read_across_frames=True).read, budget)


def inflated(file: BinaryIO, packed: int, budget: Budget) -> Callable[[int], bytes]:
    """Returns a function that reads the unpacked bytes of one deflated entry.

    Args:
        file: the archive, at the entry's data.
        packed: size of the data in bytes.
        budget: limits for unpacking.
    """
    source = _Packed(file, budget)
    stream = zlib.decompressobj(-zlib.MAX_WBITS)
    left, waiting = packed, b""

    def read(size: int) -> bytes:
        nonlocal left, waiting
        while not stream.eof:
            if not waiting and left:
                waiting = source.read(min(left, _PACKED_PIECE_BYTES))
                if not waiting:
                    raise DamagedArchive
                left -= len(waiting)
            found = stream.decompress(waiting, size)
            waiting = stream.unconsumed_tail
            if found:
                return found
            if not waiting and not left and not stream.eof:
                raise DamagedArchive
        return b""

    return read
