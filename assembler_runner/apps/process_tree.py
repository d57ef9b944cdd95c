"""The processes below a process, read from /proc."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

_DEATH_SIGNAL, _SUBREAPER = 1, 36
"""PR_SET_PDEATHSIG and PR_SET_CHILD_SUBREAPER (Linux, prctl.h)."""

_LIBC = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None


def adopt_orphans() -> None:
    """Makes this process the parent of all orphans below it, so that none escapes; only on Linux."""
    if _LIBC is not None:
        _LIBC.prctl(_SUBREAPER, 1, 0, 0, 0)


def end_with_parent() -> None:
    """Makes this process end with the thread that started it; only on Linux. To be called in the new process."""
    if _LIBC is not None:
        _LIBC.prctl(_DEATH_SIGNAL, signal.SIGKILL, 0, 0, 0)


def descendants(pid: int) -> list[int]:
    """Returns the ids of all processes below a process, children before their own children."""
    children: dict[int, list[int]] = {}
    for child, parent in _parents():
        children.setdefault(parent, []).append(child)
    found: list[int] = []
    waiting = [pid]
    while waiting:
        below = children.get(waiting.pop(), [])
        found += below
        waiting += below
    return found


def kill_all(pids: list[int]) -> None:
    """Kills processes; those that have ended are skipped."""
    for pid in pids:
        with suppress(ProcessLookupError, PermissionError):
            os.kill(pid, signal.SIGKILL)


def inside_sandbox(pids: list[int]) -> list[int]:
    """Returns the processes that are in a process namespace of their own: those of a sandbox, without its monitors."""
    found = []
    for pid in pids:
        with suppress(OSError):
            for line in Path(f"/proc/{pid}/status").read_text().splitlines():
                if line.startswith("NSpid:") and len(line.split()) > 2:
                    found.append(pid)
    return found


def used_memory(pids: list[int], limit: int = 0) -> int:
    """Returns the memory of processes in bytes, swapped pages and memory that they share among them.

    Args:
        pids: the processes.
        limit: above this sum, pages that processes share are counted once, which takes longer.
    """
    # Without pages of files: libraries are shared by all apps.
    total = _sum_of(pids, "status", ("RssAnon", "RssShmem", "VmSwap"))
    if total <= limit:
        return total
    exact = _sum_of(pids, "smaps_rollup", ("Pss_Anon", "Pss_Shmem", "SwapPss"))
    # Not every machine shows it.
    return exact or total


def _sum_of(pids: list[int], file: str, names: tuple[str, ...]) -> int:
    total = 0
    for pid in pids:
        with suppress(OSError, ValueError):
            for line in Path(f"/proc/{pid}/{file}").read_text().splitlines():
                name, _, value = line.partition(":")
                if name in names:
                    total += int(value.split()[0]) * 1024
    return total


def _parents() -> Iterator[tuple[int, int]]:
    for entry in Path("/proc").iterdir() if sys.platform == "linux" else ():
        if entry.name.isdecimal():
            with suppress(OSError, ValueError, IndexError):
                # The name of the program is in brackets and may contain anything.
                rest = (entry / "stat").read_text().rpartition(")")[2].split()
                yield int(entry.name), int(rest[1])
