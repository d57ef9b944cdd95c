"""The logs of apps on disk, and how they are read."""

from __future__ import annotations

import io
from datetime import UTC, datetime
from pathlib import Path

import pytest

from assembler_runner.apps import log_file
from assembler_runner.apps.log_file import LogFile
from assembler_runner.targets.local.app_files import AppFiles
from assembler_runner.targets.local.running import FileLog


def texts(reader: FileLog) -> list[str]:
    found = []
    while (line := reader.read(0.0)) is not None:
        found.append(line.text)
    return found


def test_lines_have_their_time(tmp_path: Path) -> None:
    before = datetime.now(UTC)
    log = LogFile(tmp_path / "run.log")
    log.write("a\tb\rc\nd")
    log.close()
    log.write("too late")
    with FileLog([tmp_path / "run.log"], 10, follow=False) as reader:
        line = reader.read(0.0)
        assert line is not None and line.text == "a\tb c d"
        assert line.timestamp is not None and before <= line.timestamp <= datetime.now(UTC)
        assert reader.ended


def test_a_long_log_keeps_its_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log_file, "MOST_BYTES", 2000)
    files = AppFiles(tmp_path)
    log = LogFile(files.log("id", "run"))
    log.copy(io.BytesIO(b"".join(b"line %d\n" % number for number in range(1000))))
    log.close()
    assert sum(path.stat().st_size for path in files.logs("id", "run")) < 4200
    with FileLog(files.logs("id", "run"), 5, follow=False) as reader:
        assert texts(reader) == [f"line {number}" for number in range(995, 1000)]


def test_a_line_without_an_end_is_cut(tmp_path: Path) -> None:
    log = LogFile(tmp_path / "run.log")
    log.copy(io.BytesIO(b"x" * 20_000 + b"\xff\n"))
    log.close()
    with FileLog([tmp_path / "run.log"], 10, follow=False) as reader:
        assert [len(text) for text in texts(reader)] == [8192, 8192, 20_000 - 2 * 8192 + 1]


def test_a_log_is_followed_into_its_next_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log_file, "MOST_BYTES", 100)
    files = AppFiles(tmp_path)
    log = LogFile(files.log("id", "run"))
    with FileLog(files.logs("id", "run"), 100, follow=True) as reader:
        found = []
        for number in range(10):
            log.write(f"line {number}")
            line = reader.read(5.0)
            assert line is not None
            found.append(line.text)
        assert found == [f"line {number}" for number in range(10)]
        assert not reader.ended and reader.read(0.0) is None
        again = LogFile(files.log("id", "run"))
        again.write("the next run")
        line = reader.read(5.0)
        assert line is not None and line.text == "the next run"
        again.close()
    log.close()


def test_there_may_be_no_log_yet(tmp_path: Path) -> None:
    with FileLog([tmp_path / "missing.1", tmp_path / "missing"], 10, follow=False) as reader:
        assert reader.read(0.0) is None and reader.ended
