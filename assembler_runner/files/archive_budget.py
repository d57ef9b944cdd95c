"""How much one archive may cost: bytes, entries, time."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

from assembler_runner.core.errors import TooLarge

RATIO_FROM_BYTES = 10 * 2**20
"""Up to here an archive may unpack to any multiple of its size."""

STALL_SECONDS = 5.0
"""Longest time in which an archive may yield less than :data:`PROGRESS_BYTES`, such as for headers or empty frames."""

PROGRESS_BYTES = 2**16


@dataclass
class Budget:
    """How much an archive may cost; what it has used is counted here.

    Args:
        most_bytes: bytes after unpacking.
        most_entries: files, folders and extended headers.
        most_ratio: bytes after unpacking divided by bytes before.
        most_seconds: time to unpack.
        most_depth: parts of a path.
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
        """Checks the clock; called wherever packed bytes are read, also where nothing comes of them.

        Raises:
            TooLarge: unpacking takes too long, or makes no progress.
        """
        now = time.monotonic()
        if now > self._until:
            raise too_large(f"takes more than {self.most_seconds:g} seconds to unpack", "MAX_ARCHIVE_SECONDS")
        if now > self._stalls_at:
            raise TooLarge(
                f"The archive yields almost nothing for {STALL_SECONDS:g} seconds.", hint="Pack the files anew."
            )

    def spend(self, count: int) -> None:
        """Counts unpacked bytes.

        Raises:
            TooLarge: they are too many, or took too long.
        """
        self.used_bytes += count
        self.check(self.used_bytes)
        self.tick()

    def deliver(self, count: int) -> None:
        """Counts bytes of files: they, not headers, are the progress of an archive."""
        self._progress += count
        if self._progress >= PROGRESS_BYTES:
            self._progress = 0
            self._stalls_at = time.monotonic() + STALL_SECONDS

    def check(self, total: int) -> None:
        """Checks a number of unpacked bytes.

        Raises:
            TooLarge: it is too large.
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
    """Returns the error for an archive over a limit.

    Args:
        what: what it does, to follow "The archive".
        setting: the setting with the limit.
    """
    return TooLarge(f"The archive {what}.", hint=f"Send less at once; the operator can raise {setting}.")
