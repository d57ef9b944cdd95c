"""Limits that are watched, because the kernel sets none for all processes of an app together without cgroups."""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from assembler_runner.core.settings import Settings

BUSY_SECONDS = 60.0
"""An app that was used within this time is not sent to sleep to make room."""


DISK_SECONDS = 15.0
"""How often the files of an app are measured."""


def memory_excess(settings: Settings) -> str:
    """Returns what is said of an app that exceeds its memory, in the Hub's words."""
    return f"Memory limit exceeded ({settings.APPS_MEMORY // 2**20} MiB)"


def disk_excess(settings: Settings, folders: Sequence[Path], more_bytes: int = 0) -> str | None:
    """Returns what is said of an app whose files exceed the limit; None if they do not.

    Args:
        settings: the limits.
        folders: folders with its files.
        more_bytes: size of further files.
    """
    if settings.APPS_DISK and more_bytes + sum(map(size_of, folders)) > settings.APPS_DISK:
        return f"Storage limit exceeded ({settings.APPS_DISK // 2**20} MiB)"
    return None


def size_of(folder: Path) -> int:
    """Returns the bytes that the files of a folder occupy on disk."""
    total = 0
    for root, _, names in os.walk(folder):
        for name in names:
            with suppress(OSError):
                # Blocks: a file with holes occupies less than its length.
                total += (Path(root) / name).lstat().st_blocks * 512
    return total
