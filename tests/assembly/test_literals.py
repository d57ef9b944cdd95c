"""Many literals searched in one pass."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from assembler_runner.assembly.preflight import literals
from assembler_runner.assembly.preflight.literals import Literals

WORDS = ("sk-", "sk-ant-", "ant-x", "key", "eykey", "aa")


@given(st.lists(st.sampled_from([*WORDS, "SK-", "s", "k", "-", "a", "x", "ß", "\udc80"]), max_size=60))
def test_the_same_is_found_as_by_one_search_for_each(pieces: list[str]) -> None:
    text = "".join(pieces)
    found = Literals(WORDS).found_in(text.encode("utf-8", "surrogatepass"))
    assert found == {word for word in WORDS if word in text.lower()}


@pytest.mark.parametrize("before", range(20))
def test_a_literal_between_two_windows_is_found(monkeypatch: pytest.MonkeyPatch, before: int) -> None:
    monkeypatch.setattr(literals, "_WINDOW", 8)
    assert Literals(WORDS).found_in(b"." * before + b"sk-ant-") == {"sk-", "sk-ant-"}
