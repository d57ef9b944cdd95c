"""SQLite with many threads: a fair write lock and group commit.

SQLite allows one writer at a time. A connection that finds the database locked sleeps and retries, so some wait for
seconds while others overtake them; here the threads of a process queue up in order instead. With `synchronous=FULL`, a
writer holds the lock until its commit is on disk. This module sets NORMAL, where a commit does not wait for the disk
(sqlite.org/pragma.html#pragma_synchronous), and waits after the lock is released: one `fdatasync` of the write-ahead
log serves all commits before it (group commit). A commit still returns only when it is durable.
"""

from __future__ import annotations

import os
import sqlite3
import threading
from collections import deque
from typing import Any

_sync = getattr(os, "fdatasync", os.fsync)


class _WriterQueue:
    """A fair lock: waiters acquire it in order."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._held = False
        self._waiting: deque[threading.Lock] = deque()

    def acquire(self, timeout: float) -> bool:
        """Acquires the lock; returns False if it was not available within `timeout` seconds."""
        with self._lock:
            if not self._held:
                self._held = True
                return True
            waiter = threading.Lock()
            waiter.acquire()
            self._waiting.append(waiter)
        if waiter.acquire(timeout=timeout):
            return True
        with self._lock:
            if waiter in self._waiting:
                self._waiting.remove(waiter)
                return False
        # The lock was passed to this waiter just after its timeout.
        return True

    def release(self) -> None:
        """Passes the lock to the next waiter."""
        with self._lock:
            if self._waiting:
                self._waiting.popleft().release()
            else:
                self._held = False


class _Log:
    """The write-ahead log of a database; one fsync serves all threads that wait for it.

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
        """Returns when all earlier commits are on disk.

        Raises:
            OSError: fsync failed.
        """
        with self._changed:
            # A sync that has already begun may not cover the caller's commit.
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
            self._sync_file()
        except BaseException:
            number = 0
            raise
        finally:
            self._changed.acquire()
            self._busy = False
            self._done = max(self._done, number)
            self._changed.notify_all()

    def _sync_file(self) -> None:
        if self._file is not None and os.fstat(self._file).st_nlink == 0:
            os.close(self._file)
            self._file = None
        if self._file is None:
            try:
                self._file = os.open(self._path, os.O_RDONLY | os.O_CLOEXEC)
            except FileNotFoundError:
                # The last connection was closed, which checkpoints the log into the database file, durably.
                return
        _sync(self._file)


class _Database:
    """State shared by all connections of this process to one file."""

    def __init__(self, path: str) -> None:
        self.write_lock = _WriterQueue()
        self.log = _Log(f"{path}-wal")


_databases: dict[str, _Database] = {}
_opening = threading.Lock()


class Connection(sqlite3.Connection):
    """A connection whose write transactions use the fair lock; for the argument `factory` of `sqlite3.connect`."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._shared: _Database | None = None
        self._writing = False
        self._busy_timeout = -1.0
        self.skip_next_fsync = False
        """The next commit does not wait for the disk: it may be lost on a power failure, not otherwise."""

    def set_up(self) -> None:
        """Configures a new connection."""
        self.isolation_level = None
        self.execute("PRAGMA busy_timeout=4000")
        mode = self.execute("PRAGMA journal_mode=WAL").fetchone()[0]
        self.execute("PRAGMA foreign_keys=ON")
        path = self.execute("PRAGMA database_list").fetchone()[2]
        # A database in memory, or on a file system without shared memory, has no write-ahead log.
        shared = bool(path) and mode == "wal"
        self.execute(f"PRAGMA synchronous={'NORMAL' if shared else 'FULL'}")
        if shared:
            with _opening:
                self._shared = _databases.setdefault(path, _Database(path))

    def begin_writing(self, timeout: float) -> None:
        """Begins a write transaction.

        Args:
            timeout: seconds to wait for other writers.
        Raises:
            sqlite3.OperationalError: the database was locked for longer.
        """
        if self._shared is not None and not self._writing:
            if not self._shared.write_lock.acquire(timeout):
                raise sqlite3.OperationalError("database is locked")
            self._writing = True
        try:
            if timeout != self._busy_timeout:
                # For writers in other processes.
                self.execute(f"PRAGMA busy_timeout={int(timeout * 1000)}")
                self._busy_timeout = timeout
            self.execute("BEGIN IMMEDIATE")
        except BaseException:
            self._end_writing()
            raise

    def commit(self) -> None:
        """Commits, and returns when the commit is on disk.

        Raises:
            sqlite3.OperationalError: the commit or the fsync failed.
        """
        super().commit()
        durable, self.skip_next_fsync = not self.skip_next_fsync, False
        if self._end_writing() and durable:
            assert self._shared is not None
            try:
                self._shared.log.wait()
            except OSError as problem:
                raise sqlite3.OperationalError(f"disk I/O error: {problem.strerror}") from None

    def rollback(self) -> None:
        """Rolls back, and releases the write lock."""
        try:
            super().rollback()
        finally:
            self._end_writing()

    def close(self) -> None:
        """Closes the connection, and releases the write lock."""
        try:
            super().close()
        finally:
            self._end_writing()

    def _end_writing(self) -> bool:
        was, self._writing = self._writing, False
        if was and self._shared is not None:
            self._shared.write_lock.release()
        return was
