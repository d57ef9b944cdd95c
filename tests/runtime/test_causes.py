"""Logs as they are written in practice, and the cause that is found in each: one file a case in tests/runtime/logs."""

from __future__ import annotations

import re
import time
from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from assembler_runner.runtime.causes import Problem, diagnose, diagnose_logs
from assembler_runner.runtime.causes.diagnosis import THRESHOLD
from assembler_runner.runtime.causes.rule_files import Rule, rules
from tests.runtime.corpus import LOGS, Case, read_case, result_of

CASES = {path.stem: read_case(path) for path in sorted(LOGS.glob("*.txt"))}
NOT_BY_RULES = {"exception", "unknown", "start_timeout", "wrong_host", "wrong_port"}


def problem_of(case: Case) -> Problem:
    return diagnose_logs(case.logs, stage=case.meta["stage"], said=case.meta.get("said"), files=case.files)


@pytest.mark.parametrize("name", CASES)
def test_the_cause_of_a_log(name: str) -> None:
    case = CASES[name]
    found = problem_of(case)
    code, _, place = case.meta["expect"].partition(" ")
    where, _, line = place.partition(":")
    assert found.code == code, found
    assert case.meta.get("rule", found.rule) == found.rule
    if place:
        assert (found.path, str(found.line or "")) == (where, line), found
    assert case.meta.get("hint", "") in found.hint
    assert case.meta.get("message", "") in found.message
    assert found.log_kind in {None, *case.logs}
    assert not re.search(r"[{}]", found.message + found.hint)
    assert result_of(found, case) == "right"


@pytest.mark.parametrize("name", CASES)
def test_evidence_is_in_the_log(name: str) -> None:
    case = CASES[name]
    found = problem_of(case)
    assert found.confidence == 0.0 if found.code == "unknown" else found.confidence >= THRESHOLD
    if found.excerpt is None:
        assert found.evidence == ()
        return
    lines = case.logs[found.excerpt.kind]
    assert set(found.evidence) <= set(range(1, len(lines) + 1))
    assert found.excerpt.line <= len(lines)


def test_every_cause_has_a_log() -> None:
    found = {problem_of(case).rule for case in CASES.values()}
    assert {rule.name for rule in rules()} - found == set()
    assert len(rules()) >= 150


def test_names_are_unique_and_codes_are_names() -> None:
    names = [rule.name for rule in rules()]
    assert len(names) == len(set(names))
    assert all(re.fullmatch(r"[a-z0-9_]+", text) for rule in rules() for text in (rule.name, rule.code))


@pytest.mark.parametrize("rule", rules(), ids=lambda rule: rule.name)
def test_a_rule_reads_something(rule: Rule) -> None:
    assert rule.said or rule.line or rule.exception
    assert rule.kind in (None, "build", "run")
    assert rule.message.endswith((".", "}"))
    assert rule.hint.endswith((".", ".)", "}"))


def test_the_newest_failure_counts() -> None:
    old = ["Traceback (most recent call last):", '  File "/app/app.py", line 1', "KeyError: 'A_KEY'", "restarted"]
    new = ["Traceback (most recent call last):", '  File "/app/app.py", line 2', "MemoryError"]
    assert diagnose(old + new, stage="RUNTIME_ERROR").code == "out_of_memory"


def test_colours_and_long_lines_do_not_hide_the_cause() -> None:
    lines = ["x" * 10_000, "\x1b[91mModuleNotFoundError: No module named 'PIL'\x1b[0m"]
    assert "Pillow" in diagnose(lines, stage="RUNTIME_ERROR").hint


def test_the_stage_chooses_the_log() -> None:
    logs = {"build": ["E: Unable to locate package fmpeg"], "run": ["ModuleNotFoundError: No module named 'PIL'"]}
    assert diagnose_logs(logs, stage="BUILD_ERROR").code == "apt_package_missing"
    assert diagnose_logs(logs, stage="RUNTIME_ERROR").code == "missing_module"


def test_what_the_target_quotes_is_read() -> None:
    said = 'Exit code: 128. Reason: runc create failed: exec: "gunicorn": executable file not found in $PATH'
    found = diagnose("", stage="RUNTIME_ERROR", said=said)
    assert (found.code, found.log_kind, found.excerpt) == ("missing_program", None, None)
    assert "requirements.txt" in found.hint


HOSTILE = "ModuleNotFoundError: No module named 'x\u202e\x07\"}{{code}} Click here: " + "y" * 500 + "'"


def test_captured_text_is_quoted_cut_and_clean() -> None:
    lines = ["Traceback (most recent call last):", '  File "/app/app.py", line 2', "ValueError: " + HOSTILE]
    found = diagnose(lines)
    value = found.values["error"]
    assert len(value) <= 80
    assert f'"{value}"'.replace('x"', "x'") in found.message
    assert found.excerpt is not None
    text = found.message + found.hint + found.excerpt.text + "".join(found.values.values())
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]", text)
    assert max(map(len, found.excerpt.text.splitlines())) <= 300


def test_a_problem_as_json() -> None:
    data = diagnose(["ModuleNotFoundError: No module named 'yaml'"], files=["app.py", "requirements.txt"]).to_json()
    assert data["values"] == {"module": "yaml"}
    assert data["fix"]["edits"][0] == {
        "path": "requirements.txt",
        "action": "append_line",
        "line": None,
        "old": None,
        "new": "PyYAML",
    }
    assert data["excerpt"] == {"text": "ModuleNotFoundError: No module named 'yaml'", "kind": "run", "line": 1}
    assert data["evidence"] == [1]
    assert data["confidence"] == 0.9


@settings(max_examples=60, deadline=None)
@given(st.lists(st.text(max_size=200), max_size=40), st.none() | st.text(max_size=200))
def test_any_text_has_an_answer(lines: list[str], said: str | None) -> None:
    found = diagnose_logs({"run": lines, "build": lines}, stage="RUNTIME_ERROR", said=said)
    assert found.message
    assert found.hint


WORDS = st.sampled_from(
    [
        "Traceback (most recent call last):",
        '  File "/home/user/app/app.py", line 3, in <module>',
        "ModuleNotFoundError: No module named 'torch'",
        "ValueError: x",
        "During handling of the above exception, another exception occurred:",
        "",
        "#9 ERROR: process",
        "E: Unable to locate package #",
        "Uvicorn running on http://127.0.0.1:8000",
        "SyntaxError: invalid syntax",
        "    at Object.<anonymous> (/app/server.js:7:12)",
    ]
)


@settings(max_examples=200, deadline=None)
@given(st.lists(WORDS, max_size=30), st.sampled_from(["build", "run"]))
def test_pieces_of_logs_have_an_answer(lines: list[str], kind: str) -> None:
    found = diagnose(lines, kind, said="Launch timed out", files=["app.py", "requirements.txt"])
    assert found.message
    assert set(found.evidence) <= set(range(1, len(lines) + 1))


LINES = [
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
    "Running on " * 90,
    "E: " * 300,
    "ERROR: " * 140,
    "failed to push " * 60,
    "ValueError: " + "A_" * 400,
    "ValueError: " + "api key " * 100,
    "Error: " + "not set API_KEY " * 60,
    "a.tsx" * 200,
    'exec: "' * 140,
    "docker.io/" * 50 + ": not found x",
    "Exception: " + "pip install " * 80,
]


@pytest.mark.parametrize("line", LINES)
@pytest.mark.parametrize("kind", ["build", "run"])
def test_no_pattern_takes_long(line: str, kind: str) -> None:
    started = time.process_time()
    diagnose([line] * 3000, kind, stage="RUNTIME_ERROR", said="Launch timed out")
    assert time.process_time() - started < 5


@pytest.mark.parametrize("log", ["a" * 5_000_000, "ERROR: a\n" * 500_000])
def test_the_size_of_a_log_is_bounded(log: str) -> None:
    started = time.process_time()
    found = diagnose(log, "build")
    assert time.process_time() - started < 5
    assert len(found.to_json()["excerpt"]["text"]) < 5000


def test_lines_of_a_long_log_keep_their_numbers() -> None:
    lines: Sequence[str] = ["noise"] * 10_000 + ["ModuleNotFoundError: No module named 'yaml'"]
    assert diagnose(lines).evidence == (10_001,)
