"""Logs as they look in earnest, and the cause that is found in each: one file a case in tests/runtime/logs."""

from __future__ import annotations

import re
import time
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from assembler_runner.runtime.causes import diagnose
from assembler_runner.runtime.causes.diagnosis import rules

CASES = sorted((Path(__file__).parent / "logs").glob("*.txt"))


@dataclass
class Case:
    """One file: `name: value` lines, an empty line, then the logs, each below `--- build` or `--- run`."""

    meta: dict[str, str]
    logs: dict[str, list[str]]


def read(path: Path) -> Case:
    head, _, rest = path.read_text(encoding="utf-8").partition("\n\n")
    meta = dict(line.split(": ", 1) for line in head.splitlines())
    logs: dict[str, list[str]] = {}
    for part in re.split(r"^--- ", rest, flags=re.MULTILINE)[1:]:
        kind, _, text = part.partition("\n")
        logs[kind] = text.splitlines()
    return Case(meta, logs)


@pytest.mark.parametrize("path", CASES, ids=lambda path: path.stem)
def test_the_cause_of_a_log(path: Path) -> None:
    case = read(path)
    files = case.meta.get("files", "").split(", ")
    found = diagnose(case.meta["stage"], case.meta.get("said"), case.logs, files)
    code, _, place = case.meta["expect"].partition(" ")
    where, _, line = place.partition(":")
    assert found.code == code, found
    if place:
        assert (found.path, str(found.line or "")) == (where, line), found
    assert case.meta.get("hint", "") in found.hint
    assert case.meta.get("message", "") in found.message
    assert found.log_kind in {None, *case.logs}
    assert not re.search(r"[{}]", found.message + found.hint)


def test_every_cause_has_a_case() -> None:
    expected = {read(path).meta["expect"].partition(" ")[0] for path in CASES}
    assert {rule.code for rule in rules()} <= expected
    assert len(expected) >= 60


def test_the_newest_trouble_counts() -> None:
    old = ["Traceback (most recent call last):", '  File "/app/app.py", line 1', "KeyError: 'A_KEY'", "restarted"]
    new = ["Traceback (most recent call last):", '  File "/app/app.py", line 2', "MemoryError"]
    assert diagnose("RUNTIME_ERROR", None, {"run": old + new}).code == "out_of_memory"


def test_colours_and_long_lines_do_not_hide_the_cause() -> None:
    lines = ["x" * 10_000, "\x1b[91mModuleNotFoundError: No module named 'PIL'\x1b[0m"]
    assert "Pillow" in diagnose("RUNTIME_ERROR", None, {"run": lines}).hint


@settings(max_examples=60, deadline=None)
@given(st.lists(st.text(max_size=200), max_size=40), st.none() | st.text(max_size=200))
def test_any_text_has_an_answer(lines: list[str], said: str | None) -> None:
    found = diagnose("RUNTIME_ERROR", said, {"run": lines, "build": lines})
    assert found.message
    assert found.hint


@pytest.mark.parametrize(
    "line",
    [
        "a" * 1000,
        "1" * 1000,
        "a.b" * 333,
        "open " * 200,
        " " * 1000,
        "Error " * 160,
        'File "x", line 1' * 60,
        "A_B" * 300,
        "/a" * 500,
        "Missing: " * 110,
        "'" * 999,
    ],
)
def test_no_pattern_takes_long(line: str) -> None:
    started = time.process_time()
    diagnose("RUNTIME_ERROR", None, {"run": [line] * 200, "build": [line] * 200})
    assert time.process_time() - started < 5
