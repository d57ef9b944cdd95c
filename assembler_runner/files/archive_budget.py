"""Limits for unpacking one archive: bytes, entries, time."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

from assembler_runner.core.errors import TooLarge

RATIO_FROM_BYTES = 10 * 2**20
"""The ratio is checked only above this unpacked size."""

STALL_SECONDS = 5.0
"""Maximum time in which an archive may yield less than :data:`PROGRESS_BYTES`, e.g. for headers or empty frames."""

PROGRESS_BYTES = 2**16


@dataclass
class Budget:
    """Limits for unpacking an archive, and counters of what it has used.

    Args:
        most_bytes: bytes after unpacking.
        most_entries: files, folders and extended headers.
        most_ratio: bytes after unpacking divided by bytes before.
        most_seconds: time to unpack.
        most_depth: segments of a path.
    """

    most_bytes: int
    most_entries: int
    most_ratio: int
    most_seconds: float
    most_depth: int
    packed: int = 0
    used_bytes: int = 0
    used_entries: int = 0
    _until: float = field(default=0.0, init=False)
    _stalls_at: float = field(default=0.0, init=False)
    _progress: int = field(default=0, init=False)

    def begin(self, packed: int) -> None:
        """Starts the clock.

        Args:
            packed: size of the archive in bytes.
        """
        self.packed = packed
        now = time.monotonic()
        self._until, self._stalls_at = now + self.most_seconds, now + STALL_SECONDS

    def tick(self) -> None:
        """Checks the time; called for every read of packed bytes, also if they yield no output.

        Raises:
            TooLarge: unpacking takes too long, or makes no progress.
        """
        now = time.monotonic()
        if now > self._until:
            raise too_large(f"takes more than {self.most_seconds:g} seconds to unpack", "MAX_ARCHIVE_SECONDS")
        if now > self._stalls_at:
            raise TooLarge(
                f"The archive yields almost no data for {STALL_SECONDS:g} seconds.", hint="Create the archive again."
            )

    def spend(self, count: int) -> None:
        """Counts unpacked bytes.

        Raises:
            TooLarge: there are too many, or unpacking takes too long.
        """
        self.used_bytes += count
        self.check(self.used_bytes)
        self.tick()

    def deliver(self, count: int) -> None:
        """Counts bytes of files: progress is measured by these, not by headers."""
        self._progress += count
        if self._progress >= PROGRESS_BYTES:
            self._progress = 0
            self._stalls_at = time.monotonic() + STALL_SECONDS

    def check(self, total: int) -> None:
        """Checks a number of unpacked bytes.

        Raises:
            TooLarge: the number exceeds a limit.
        """
        if total > self.most_bytes:
            raise too_large(f"unpacks to more than {self.most_bytes} bytes", "MAX_ARCHIVE_BYTES")
        if total > RATIO_FROM_BYTES and total > self.packed * self.most_ratio:
            raise too_large(f"unpacks to more than {self.most_ratio} times its size", "MAX_ARCHIVE_RATIO")

    def count(self, entries: int = 1) -> None:
        """Counts files, folders and extended headers.

        Raises:
            TooLarge: there are too many.
        """
        self.used_entries += entries
        if self.used_entries > self.most_entries:
            raise too_large(f"contains more than {self.most_entries} files and folders", "MAX_ARCHIVE_ENTRIES")


def too_large(what: str, setting: str) -> TooLarge:
    """Returns the error for an archive that exceeds a limit.

    Args:
        what: the end of the sentence that starts with "The archive".
        setting: the setting with the limit.
    """
    return TooLarge(f"The archive {what}.", hint=f"Send a smaller archive; the operator can raise {setting}.")
