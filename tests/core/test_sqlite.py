"""SQLite with many threads: the fair write lock and group commit."""

from __future__ import annotations

import os
import sqlite3
import threading
import time
from pathlib import Path

import pytest

from assembler_runner.core import sqlite


def connect(path: Path) -> sqlite.Connection:
    connection = sqlite3.connect(path, factory=sqlite.Connection, check_same_thread=False)
    connection.set_up()
    return connection


@pytest.fixture
def path(tmp_path: Path) -> Path:
    connection = connect(tmp_path / "some.db")
    connection.begin_writing(1)
    connection.execute("CREATE TABLE t (thread INTEGER, number INTEGER)")
    connection.commit()
    connection.close()
    return tmp_path / "some.db"


def test_many_threads_write_everything(path: Path) -> None:
    def write(thread: int) -> None:
        connection = connect(path)
        for number in range(30):
            connection.begin_writing(20)
            connection.execute("INSERT INTO t VALUES (?, ?)", (thread, number))
            (connection.rollback if number % 10 == 9 else connection.commit)()
        connection.close()

    threads = [threading.Thread(target=write, args=[number]) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    found = connect(path).execute("SELECT count(*), count(DISTINCT thread) FROM t").fetchone()
    assert found == (8 * 27, 8)


def test_waiters_acquire_the_lock_in_order(path: Path) -> None:
    holder = connect(path)
    holder.begin_writing(1)
    order: list[int] = []
    threads = []

    def wait(number: int) -> None:
        connection = connect(path)
        connection.begin_writing(20)
        order.append(number)
        connection.commit()
        connection.close()

    for number in range(5):
        threads.append(threading.Thread(target=wait, args=[number]))
        threads[-1].start()
        shared = sqlite._databases[str(path)]
        while len(shared.write_lock._waiting) <= number:
            time.sleep(0.001)
    holder.commit()
    for thread in threads:
        thread.join()
    assert order == list(range(5))


def test_a_writer_that_times_out_fails_and_leaves_the_queue(path: Path) -> None:
    holder, other = connect(path), connect(path)
    holder.begin_writing(1)
    with pytest.raises(sqlite3.OperationalError, match="locked"):
        other.begin_writing(0.01)
    holder.close()
    other.begin_writing(0.01)
    other.rollback()


def test_a_writer_waits_for_another_process(path: Path) -> None:
    stranger = sqlite3.connect(path, isolation_level=None)
    stranger.execute("BEGIN IMMEDIATE")
    ours, next_one = connect(path), connect(path)
    with pytest.raises(sqlite3.OperationalError, match="locked"):
        ours.begin_writing(0.05)
    stranger.execute("COMMIT")
    next_one.begin_writing(0.05)
    next_one.rollback()


def test_a_commit_returns_when_it_is_on_disk(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[int] = []
    enter, leave = threading.Event(), threading.Event()

    def sync(file: int) -> None:
        enter.set()
        leave.wait(10)
        synced.append(os.fstat(file).st_size)

    monkeypatch.setattr(sqlite, "_sync", sync)
    done: list[int] = []

    def write(number: int) -> None:
        connection = connect(path)
        connection.begin_writing(5)
        connection.execute("INSERT INTO t VALUES (0, ?)", (number,))
        connection.commit()
        done.append(number)

    reader = connect(path)
    first = threading.Thread(target=write, args=[0])
    first.start()
    assert enter.wait(10)
    others = [threading.Thread(target=write, args=[number]) for number in range(1, 6)]
    for thread in others:
        thread.start()
    # While the disk is at the first one, the others write already; none is done.
    while reader.execute("SELECT count(*) FROM t").fetchone()[0] < 6:
        time.sleep(0.001)
    assert done == []
    leave.set()
    for thread in (first, *others):
        thread.join()
    assert sorted(done) == list(range(6))
    # The first wait served one, the second all the others.
    assert len(synced) == 2
    assert synced[0] <= synced[1]


def test_a_disk_error_is_raised(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def sync(file: int) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(sqlite, "_sync", sync)
    connection = connect(path)
    connection.begin_writing(1)
    connection.execute("INSERT INTO t VALUES (0, 0)")
    with pytest.raises(sqlite3.OperationalError, match="disk I/O error"):
        connection.commit()
    monkeypatch.undo()
    other = connect(path)
    other.begin_writing(1)
    other.commit()


def test_a_replaced_log_is_reopened(path: Path) -> None:
    for number in range(3):
        connection = connect(path)
        connection.begin_writing(1)
        connection.execute("INSERT INTO t VALUES (0, ?)", (number,))
        connection.commit()
        # Closing the last connection removes the log.
        connection.close()
    assert connect(path).execute("SELECT count(*) FROM t").fetchone() == (3,)


def test_a_database_in_memory_works() -> None:
    connection = sqlite3.connect(":memory:", factory=sqlite.Connection)
    connection.set_up()
    connection.begin_writing(1)
    connection.execute("CREATE TABLE t (x)")
    connection.commit()
    assert connection.execute("SELECT count(*) FROM t").fetchone() == (0,)


def test_a_commit_without_fsync_does_not_wait(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[int] = []
    monkeypatch.setattr(sqlite, "_sync", synced.append)
    connection = connect(path)
    for light, waits in ((True, 0), (False, 1)):
        connection.begin_writing(1)
        connection.execute("INSERT INTO t VALUES (0, 0)")
        connection.skip_next_fsync = light
        connection.commit()
        assert len(synced) == waits
    assert connect(path).execute("SELECT count(*) FROM t").fetchone() == (2,)
