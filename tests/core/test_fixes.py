"""Fixes: what their edits do to files, and that a fix which no longer fits changes nothing."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from assembler_runner.core.fixes import Action, Edit, Fix, FixDoesNotFit, apply

APP = "import flask\napp = flask.Flask(__name__)\napp.run(host='127.0.0.1', port=5000)\n"


def fix(*edits: Edit) -> Fix:
    return Fix("Change it", True, edits)


def test_a_line_is_appended_after_a_last_line_without_an_end() -> None:
    files = {"requirements.txt": b"flask"}
    assert apply(files, fix(Edit("requirements.txt", "append_line", new="numpy"))) == {
        "requirements.txt": b"flask\nnumpy\n"
    }


def test_appending_keeps_line_ends_of_windows_and_is_done_once() -> None:
    once = apply({"r.txt": "flask\r\n"}, fix(Edit("r.txt", "append_line", new="numpy")))
    assert once == {"r.txt": "flask\r\nnumpy\r\n"}
    assert apply(once, fix(Edit("r.txt", "append_line", new="numpy"))) == once


def test_appending_makes_the_file() -> None:
    assert apply({}, fix(Edit("packages.txt", "append_line", new="ffmpeg"))) == {"packages.txt": "ffmpeg\n"}


def test_a_text_in_a_line_is_replaced_once() -> None:
    edit = Edit("app.py", "replace", 3, "127.0.0.1", "0.0.0.0")
    assert apply({"app.py": APP}, fix(edit))["app.py"] == APP.replace("127.0.0.1", "0.0.0.0")
    assert apply({"a": "x x\r\n"}, fix(Edit("a", "replace", 1, "x", "y")))["a"] == "y x\r\n"


def test_without_a_line_every_occurrence_is_replaced() -> None:
    files = {"start.sh": b"#!/bin/sh\r\nexec python app.py\r\n"}
    assert apply(files, fix(Edit("start.sh", "replace", old="\r\n", new="\n")))["start.sh"] == (
        b"#!/bin/sh\nexec python app.py\n"
    )


def test_lines_are_counted_before_the_fix() -> None:
    edits = (
        Edit("a", "delete", 1, "one"),
        Edit("a", "replace", 3, "three", "3\n3b"),
        Edit("a", "append_line", new="4"),
    )
    assert apply({"a": "one\ntwo\nthree\n"}, fix(*edits))["a"] == "two\n3\n3b\n4\n"


def test_files_are_written_and_deleted() -> None:
    edits = (Edit("old.txt", "delete"), Edit("new.txt", "write", new="text\n"))
    assert apply({"old.txt": "x", "kept": b"\xff"}, fix(*edits)) == {"kept": b"\xff", "new.txt": "text\n"}


@pytest.mark.parametrize(
    ("edit", "line"),
    [
        (Edit("app.py", "replace", 3, "0.0.0.0", "x"), 3),
        (Edit("app.py", "replace", 99, "a", "b"), 99),
        (Edit("app.py", "delete", 1, "import django"), 1),
        (Edit("app.py", "replace", None, "django", "flask"), None),
        (Edit("app.py", "write", None, "other", "x"), None),
        (Edit("missing.py", "replace", 1, "a", "b"), None),
        (Edit("missing.py", "delete"), None),
        (Edit("data.bin", "append_line", new="x"), None),
    ],
)
def test_a_fix_that_does_not_fit_is_refused(edit: Edit, line: int | None) -> None:
    with pytest.raises(FixDoesNotFit) as raised:
        apply({"app.py": APP, "data.bin": b"\xff\xfe"}, fix(edit))
    assert (raised.value.path, raised.value.line) == (edit.path, line)
    assert raised.value.reason


def test_a_fix_survives_json() -> None:
    given_fix = Fix("Set it", False, (Edit("a", "replace", 1, "x", "y"),), {"app_port": 8000})
    assert Fix.from_json(json.loads(json.dumps(given_fix.to_json()))) == given_fix


def test_an_unknown_action_is_refused() -> None:
    with pytest.raises(ValueError, match="explode"):
        Fix.from_json({"title": "x", "safe": True, "edits": [{"path": "a", "action": "explode"}]})


EDITS = st.builds(
    Edit,
    path=st.sampled_from(["a", "b"]),
    action=st.sampled_from(Action.__args__),  # type: ignore[attr-defined]  # Literal's members, not typed
    line=st.none() | st.integers(-1, 5),
    old=st.none() | st.text("ab\r\n", max_size=3),
    new=st.none() | st.text("ab\r\n", max_size=3),
)


@given(st.dictionaries(st.sampled_from(["a", "b"]), st.text("ab\r\n") | st.binary(max_size=9)), st.lists(EDITS))
def test_any_fix_is_applied_or_refused(files: dict[str, str | bytes], edits: list[Edit]) -> None:
    before = dict(files)
    try:
        after = apply(files, fix(*edits))
    except FixDoesNotFit:
        after = before
    assert files == before
    assert set(after) <= {"a", "b"}
