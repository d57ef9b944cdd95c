"""Limits that are watched, because the kernel sets none for all processes of an app together without cgroups."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

from assembler_runner.apps.process import AppProcess
from assembler_runner.core.settings import Settings

BUSY_SECONDS = 60.0
"""An app that was used within this time is not sent to sleep to make room."""


DISK_SECONDS = 15.0
"""How often the files of an app are measured."""


def excess(settings: Settings, process: AppProcess, *, disk: bool) -> str | None:
    """Returns the limit that an app exceeds, in the Hub's words; None for none.

    Args:
        settings: the limits.
        process: the app.
        disk: whether to measure its files, too.
    """
    memory, _ = process.used()
    if settings.APPS_MEMORY and memory > settings.APPS_MEMORY:
        return f"Memory limit exceeded ({settings.APPS_MEMORY // 2**20} MiB)"
    frame = process.frame
    if disk and settings.APPS_DISK and _size(frame.data) + _size(frame.files) > settings.APPS_DISK:
        return f"Storage limit exceeded ({settings.APPS_DISK // 2**20} MiB)"
    return None


def _size(folder: Path) -> int:
    total = 0
    for root, _, names in os.walk(folder):
        for name in names:
            with suppress(OSError):
                # Blocks: a file with holes occupies less than its length.
                total += (Path(root) / name).lstat().st_blocks * 512
    return total
