"""Contents by reference, so that large files are not held in memory, and the spool that buffers uploads on disk."""

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
"""Number of bytes read at once."""


class FileStoreUnavailable(AssemblerError):
    """The file store cannot be written or read: it is full or unreachable, or a permission is missing."""

    status = 503
    code = "file_store_unavailable"
    retryable = True
    default_message = "The file store is not available right now; nothing was stored."
    default_hint = "Send the request again in a few seconds; the operator has to check free space and permissions."


@dataclass(frozen=True)
class Content:
    """Bytes by reference.

    Args:
        sha256: SHA-256 of the content, in hex.
        size: size in bytes.
        opener: opens the content for reading from the start.
    """

    sha256: str
    size: int
    opener: Callable[[], BinaryIO] = field(repr=False, compare=False)

    def open(self) -> BinaryIO:
        """Opens the content for reading from the start; the caller closes it."""
        return self.opener()

    def read(self) -> bytes:
        """Returns the whole content, in memory."""
        with self.open() as file:
            return file.read()


def content_of(data: bytes) -> Content:
    """Wraps bytes in memory as content."""
    return Content(hashlib.sha256(data).hexdigest(), len(data), lambda: io.BytesIO(data))


def pieces_of(file: BinaryIO, size: int = PIECE_BYTES) -> Iterable[bytes]:
    """Yields the rest of a file in pieces of at most `size` bytes."""
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
    """Returns a seekable file that is fetched piece by piece.

    Args:
        size: its size in bytes.
        fetch: (start, length) → at least one and at most `length` bytes from `start`.
        piece: number of bytes fetched at once.
    """
    return cast(BinaryIO, io.BufferedReader(_Ranges(size, fetch), piece))


class Spool:
    """Buffers incoming contents in one unnamed temporary file, which is removed on exit or when the process ends.

    Args:
        folder: folder for the file; created if missing.
        most: maximum bytes of a single content.
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
        """Begins a content; only one at a time.

        Args:
            shown: its name in an error message.
        """
        return SpoolWriter(self, self._end, self._most, shown)

    def add(self, pieces: Iterable[bytes], shown: str = "A file") -> Content:
        """Adds a whole content.

        Raises:
            TooLarge: the content exceeds the maximum size.
        """
        writer = self.begin(shown)
        for piece in pieces:
            writer.write(piece)
        return writer.finish()

    def append(self, data: bytes) -> None:
        """Appends bytes to the file; used by the writers."""
        try:
            if self._file is None:
                self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
                self._file = cast(BinaryIO, tempfile.TemporaryFile(dir=self._folder, buffering=0))  # noqa: SIM115 - closed by __exit__
            rest = memoryview(data)
            while rest:
                rest = rest[self._file.write(rest) :]
        except OSError as problem:
            log.error("cannot write the upload spool: %s", problem.strerror)
            raise FileStoreUnavailable(retry_after=5) from None
        self._end += len(data)

    def open(self, start: int, size: int) -> BinaryIO:
        """Opens a range of the file for reading."""
        if self._file is None:
            return cast(BinaryIO, io.BytesIO())
        descriptor = self._file.fileno()
        return open_ranges(size, lambda position, length: os.pread(descriptor, length, start + position))


class SpoolWriter:
    """Writes one content to the spool, hashes it, and fails if it gets too large. See :meth:`Spool.begin`."""

    def __init__(self, spool: Spool, start: int, most: int, shown: str) -> None:
        self._spool = spool
        self._start = start
        self._most = most
        self._shown = shown
        self._digest = hashlib.sha256()
        self._size = 0

    def write(self, data: bytes) -> int:
        """Appends bytes.

        Raises:
            TooLarge: the content exceeds the maximum size.
        """
        self._size += len(data)
        if self._size > self._most:
            raise TooLarge(
                f"{self._shown} has more than {self._most} bytes, the maximum size of a single file.",
                hint="Send a smaller file; the operator can raise MAX_FILE_BYTES.",
            )
        self._digest.update(data)
        self._spool.append(bytes(data))
        return len(data)

    def seek(self, offset: int) -> int:
        """Does nothing; the form parser calls it at the end of a file."""
        return 0

    def close(self) -> None:
        """Does nothing: the spool is closed as a whole."""

    def finish(self) -> Content:
        """Returns the content."""
        start, size = self._start, self._size
        return Content(self._digest.hexdigest(), size, lambda: self._spool.open(start, size))
