"""The log of an app on disk, with a time for each line and a limit of its size."""

from __future__ import annotations

import threading
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO

MOST_BYTES, LINE_BYTES = 1024 * 1024, 8192
"""Size at which a log continues in a new file, and length at which a line is cut."""


class LogFile:
    """One log; the newest lines are in `path`, the ones before in `path.1`.

    Args:
        path: the file.
        keeps: whether lines of the run before are kept.
    """

    def __init__(self, path: Path, *, keeps: bool = False) -> None:
        self._path = path
        self._lock = threading.Lock()
        path.parent.mkdir(parents=True, exist_ok=True)
        if not keeps:
            self._old.unlink(missing_ok=True)
            # A reader that follows the log notices a new file, not one that was made shorter.
            path.unlink(missing_ok=True)
        self._file = path.open("ab", buffering=0)

    def write(self, line: str) -> None:
        """Appends a line."""
        stamp = datetime.now(UTC).isoformat(timespec="microseconds")
        text = line.replace("\n", " ").replace("\r", " ").replace("\0", " ")
        with self._lock:
            if self._file.closed:
                return
            with suppress(OSError):
                self._file.write(f"{stamp}\t{text}\n".encode("utf-8", "replace"))
                if self._file.tell() > MOST_BYTES:
                    self._file.close()
                    self._path.replace(self._old)
                    self._file = self._path.open("ab", buffering=0)

    def copy(self, output: BinaryIO) -> None:
        """Appends all lines of a pipe until it ends."""
        with output:
            while line := output.readline(LINE_BYTES):
                self.write(line.decode("utf-8", "replace").rstrip("\r\n"))

    def close(self) -> None:
        """Closes the file; further lines are dropped."""
        with self._lock:
            self._file.close()

    @property
    def _old(self) -> Path:
        return self._path.with_name(f"{self._path.name}.1")
