"""Bytes that need not be in memory: what is known of them, and where they wait until they are stored."""

from __future__ import annotations

import hashlib
import io
import logging
import os
import tempfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Self, cast

from assembler_runner.core.errors import AssemblerError, TooLarge

log = logging.getLogger(__name__)

PIECE_BYTES = 2**18
"""How much is read at once."""


class FileStoreUnavailable(AssemblerError):
    """The place for files cannot be written or read: it is full, away, or a right is missing."""

    status = 503
    code = "file_store_unavailable"
    retryable = True
    default_message = "The file store cannot be used right now; nothing was stored."
    default_hint = "Send the request again in a few seconds; the operator has to check free space and rights."


@dataclass(frozen=True)
class Content:
    """Bytes by reference.

    Args:
        sha256: SHA-256 of all of them, in hex.
        size: how many.
        opener: opens them for reading from the start.
    """

    sha256: str
    size: int
    opener: Callable[[], BinaryIO] = field(repr=False, compare=False)

    def open(self) -> BinaryIO:
        """Opens them for reading from the start; the caller closes."""
        return self.opener()

    def read(self) -> bytes:
        """Returns all of them, in memory."""
        with self.open() as file:
            return file.read()


def content_of(data: bytes) -> Content:
    """Returns bytes in memory as content."""
    return Content(hashlib.sha256(data).hexdigest(), len(data), lambda: io.BytesIO(data))


def pieces_of(file: BinaryIO, size: int = PIECE_BYTES) -> Iterable[bytes]:
    """Reads a file to its end in pieces of at most `size` bytes."""
    while piece := file.read(size):
        yield piece


class _Ranges(io.RawIOBase):
    def __init__(self, size: int, fetch: Callable[[int, int], bytes]) -> None:
        self._size = size
        self._fetch = fetch
        self._position = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        start = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._size}[whence]
        self._position = max(0, start + offset)
        return self._position

    def readinto(self, buffer: bytearray) -> int:  # type: ignore[override]  # the stubs name a wider protocol
        wanted = min(len(buffer), self._size - self._position)
        if wanted <= 0:
            return 0
        data = self._fetch(self._position, wanted)
        buffer[: len(data)] = data
        self._position += len(data)
        return len(data)


def open_ranges(size: int, fetch: Callable[[int, int], bytes], piece: int = PIECE_BYTES) -> BinaryIO:
    """Returns a file that is fetched piece by piece.

    Args:
        size: its size in bytes.
        fetch: (start, length) → at least one and at most `length` bytes from there.
        piece: how many bytes are fetched at once.
    """
    return cast(BinaryIO, io.BufferedReader(_Ranges(size, fetch), piece))


class Spool:
    """Contents on their way in: one file without a name, which is gone with the process or when this is left.

    Args:
        folder: where the file is made; the folder is made if it is not there.
        most: the most bytes of a single content.
    """

    def __init__(self, folder: Path, most: int) -> None:
        self._folder = folder
        self._most = most
        self._file: BinaryIO | None = None
        self._end = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._file is not None:
            self._file.close()

    def begin(self, shown: str = "A file") -> SpoolWriter:
        """Begins a content; one after the other.

        Args:
            shown: what it is called in an error.
        """
        return SpoolWriter(self, self._end, self._most, shown)

    def add(self, pieces: Iterable[bytes], shown: str = "A file") -> Content:
        """Takes a whole content.

        Raises:
            TooLarge: it is larger than a single content may be.
        """
        writer = self.begin(shown)
        for piece in pieces:
            writer.write(piece)
        return writer.finish()

    def append(self, data: bytes) -> None:
        """Writes at the end; used by the writers."""
        try:
            if self._file is None:
                self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
                self._file = cast(BinaryIO, tempfile.TemporaryFile(dir=self._folder, buffering=0))  # noqa: SIM115 - closed by __exit__
            rest = memoryview(data)
            while rest:
                rest = rest[self._file.write(rest) :]
        except OSError as problem:
            log.error("what comes in cannot be written: %s", problem.strerror)
            raise FileStoreUnavailable(retry_after=5) from None
        self._end += len(data)

    def open(self, start: int, size: int) -> BinaryIO:
        """Opens a part for reading."""
        if self._file is None:
            return cast(BinaryIO, io.BytesIO())
        descriptor = self._file.fileno()
        return open_ranges(size, lambda position, length: os.pread(descriptor, length, start + position))


class SpoolWriter:
    """Takes one content, hashes it on the way, and stops where it gets too large. See :meth:`Spool.begin`."""

    def __init__(self, spool: Spool, start: int, most: int, shown: str) -> None:
        self._spool = spool
        self._start = start
        self._most = most
        self._shown = shown
        self._digest = hashlib.sha256()
        self._size = 0

    def write(self, data: bytes) -> int:
        """Takes more bytes.

        Raises:
            TooLarge: it is more than a single content may have.
        """
        self._size += len(data)
        if self._size > self._most:
            raise TooLarge(
                f"{self._shown} has more than {self._most} bytes, the most a single file may have.",
                hint="Send a smaller file; the operator can raise MAX_FILE_BYTES.",
            )
        self._digest.update(data)
        self._spool.append(bytes(data))
        return len(data)

    def seek(self, offset: int) -> int:
        """Does nothing: who parses forms calls it at the end."""
        return 0

    def close(self) -> None:
        """Does nothing: the spool is closed as a whole."""

    def finish(self) -> Content:
        """Returns what was taken."""
        start, size = self._start, self._size
        return Content(self._digest.hexdigest(), size, lambda: self._spool.open(start, size))
