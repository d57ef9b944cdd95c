"""Signed texts of private apps."""

from __future__ import annotations

import pytest

from assembler_runner.apps.tickets import COOKIE, TICKET, is_valid, key_of, sign

KEY = key_of("the key of the tests, 0123456789 abcdef")


def test_a_signed_text_is_valid_for_its_use_only() -> None:
    text = sign(KEY, TICKET, "host", "app", 60)
    assert is_valid(KEY, text, TICKET, "host", "app")
    assert not is_valid(KEY, text, COOKIE, "host", "app")
    assert not is_valid(KEY, text, TICKET, "other", "app")
    assert not is_valid(KEY, text, TICKET, "host", "other")
    assert not is_valid(key_of("another key, 0123456789 abcdef"), text, TICKET, "host", "app")
    assert sign(KEY, TICKET, "host", "app", 60) != text


def test_it_expires() -> None:
    assert not is_valid(KEY, sign(KEY, TICKET, "host", "app", -1), TICKET, "host", "app")


@pytest.mark.parametrize("text", ["", ".", "a", "a.b", "ä.ö", "\udcff.\udcff", "." * 1000, "W10.x"])
def test_nonsense_is_not_valid(text: str) -> None:
    assert not is_valid(KEY, text, TICKET, "host", "app")


def test_every_changed_character_is_noticed() -> None:
    text = sign(KEY, TICKET, "host", "app", 60)
    for place, character in enumerate(text):
        changed = text[:place] + ("A" if character != "A" else "B") + text[place + 1 :]
        assert not is_valid(KEY, changed, TICKET, "host", "app")
