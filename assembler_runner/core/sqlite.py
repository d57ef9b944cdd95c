"""SQLite with many threads: they write in the order in which they came, and wait for the disk together.

SQLite lets one connection write at a time. Who finds it taken sleeps and asks again, so some wait for seconds while
others overtake them; here the threads of a process queue up instead. And with `synchronous=FULL` a writer keeps the
others out until the disk has its commit. So it is set to NORMAL, where a commit ends without waiting for the disk
(sqlite.org/pragma.html#pragma_synchronous), and the wait comes after it: one `fdatasync` of the write-ahead log serves
all who have committed before it. A commit still returns only when it is on the disk.
"""

from __future__ import annotations

import os
import sqlite3
import threading
from collections import deque
from typing import Any

_sync = getattr(os, "fdatasync", os.fsync)


class _WriterQueue:
    """A lock that is given to who has waited longest."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._held = False
        self._waiting: deque[threading.Lock] = deque()

    def take(self, timeout: float) -> bool:
        """Waits for the turn; returns whether it came in time."""
        with self._lock:
            if not self._held:
                self._held = True
                return True
            turn = threading.Lock()
            turn.acquire()
            self._waiting.append(turn)
        if turn.acquire(timeout=timeout):
            return True
        with self._lock:
            if turn in self._waiting:
                self._waiting.remove(turn)
                return False
        # It came at the last moment.
        return True

    def hand_over(self) -> None:
        """Gives the turn to the next one."""
        with self._lock:
            if self._waiting:
                self._waiting.popleft().release()
            else:
                self._held = False


class _Log:
    """The write-ahead log of a database; one wait for the disk serves all who wait.

    Args:
        path: the file.
    """

    def __init__(self, path: str) -> None:
        self._path = path
        self._file: int | None = None
        self._changed = threading.Condition()
        self._begun = self._done = 0
        self._busy = False

    def wait(self) -> None:
        """Returns when everything that was committed before is on the disk.

        Raises:
            OSError: the disk does not take it.
        """
        with self._changed:
            # One that has begun already may have come too early.
            wanted = self._begun + 1
            while self._done < wanted:
                if self._busy:
                    self._changed.wait()
                else:
                    self._lead()

    def _lead(self) -> None:
        self._busy = True
        self._begun += 1
        number = self._begun
        self._changed.release()
        try:
            self._write_out()
        except BaseException:
            number = 0
            raise
        finally:
            self._changed.acquire()
            self._busy = False
            self._done = max(self._done, number)
            self._changed.notify_all()

    def _write_out(self) -> None:
        if self._file is not None and os.fstat(self._file).st_nlink == 0:
            os.close(self._file)
            self._file = None
        if self._file is None:
            try:
                self._file = os.open(self._path, os.O_RDONLY | os.O_CLOEXEC)
            except FileNotFoundError:
                # The last connection was closed: what it held stands in the database, on the disk.
                return
        _sync(self._file)


class _Database:
    """What all connections of this process to one file share."""

    def __init__(self, path: str) -> None:
        self.turns = _WriterQueue()
        self.log = _Log(f"{path}-wal")


_databases: dict[str, _Database] = {}
_opening = threading.Lock()


class Connection(sqlite3.Connection):
    """A connection whose write transactions wait for their turn; for the argument `factory` of `sqlite3.connect`."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._shared: _Database | None = None
        self._writing = False
        self._patience = -1.0
        self.skip_next_fsync = False
        """The next commit does not wait for the disk: it may be lost when the power fails, not otherwise."""

    def set_up(self) -> None:
        """Sets what a new connection needs."""
        self.isolation_level = None
        self.execute("PRAGMA busy_timeout=4000")
        mode = self.execute("PRAGMA journal_mode=WAL").fetchone()[0]
        self.execute("PRAGMA foreign_keys=ON")
        path = self.execute("PRAGMA database_list").fetchone()[2]
        # One in memory, or on a file system without shared memory, has no such log.
        shared = bool(path) and mode == "wal"
        self.execute(f"PRAGMA synchronous={'NORMAL' if shared else 'FULL'}")
        if shared:
            with _opening:
                self._shared = _databases.setdefault(path, _Database(path))

    def begin_writing(self, patience: float) -> None:
        """Begins a transaction that writes.

        Args:
            patience: seconds to wait for others.
        Raises:
            sqlite3.OperationalError: they took longer.
        """
        if self._shared is not None and not self._writing:
            if not self._shared.turns.take(patience):
                raise sqlite3.OperationalError("database is locked")
            self._writing = True
        try:
            if patience != self._patience:
                # For writers in other processes.
                self.execute(f"PRAGMA busy_timeout={int(patience * 1000)}")
                self._patience = patience
            self.execute("BEGIN IMMEDIATE")
        except BaseException:
            self._end_writing()
            raise

    def commit(self) -> None:
        """Commits; what was written is on the disk then.

        Raises:
            sqlite3.OperationalError: it is not.
        """
        super().commit()
        waits, self.skip_next_fsync = not self.skip_next_fsync, False
        if self._end_writing() and waits:
            assert self._shared is not None
            try:
                self._shared.log.wait()
            except OSError as problem:
                raise sqlite3.OperationalError(f"disk I/O error: {problem.strerror}") from None

    def rollback(self) -> None:
        """Gives everything up that was not committed."""
        try:
            super().rollback()
        finally:
            self._end_writing()

    def close(self) -> None:
        """Closes it."""
        try:
            super().close()
        finally:
            self._end_writing()

    def _end_writing(self) -> bool:
        was, self._writing = self._writing, False
        if was and self._shared is not None:
            self._shared.turns.hand_over()
        return was
