"""Secrets in logs: found wherever they stand, in time that grows with the text alone."""

from __future__ import annotations

import time

from hypothesis import given
from hypothesis import strategies as st

from assembler_runner.core.redaction import REPLACEMENT, add_fingerprints, redactor
from assembler_runner.core.vault import Vault

VAULT = Vault("a key of the tests that is long enough")


def redacted(text: str, *secrets: str) -> str:
    sealed = add_fingerprints(VAULT, None, {str(number): secret for number, secret in enumerate(secrets)})
    return redactor(VAULT, sealed).redact(text)


@given(
    st.lists(st.text("ab1", min_size=4, max_size=6), min_size=1, max_size=3, unique=True), st.text("ab1", max_size=40)
)
def test_no_secret_is_left(secrets: list[str], text: str) -> None:
    longest_first = sorted(secrets, key=len, reverse=True)
    shown = redacted(text, *secrets)
    assert not any(secret in part for secret in longest_first for part in shown.split(REPLACEMENT))
    if not any(secret in text for secret in secrets):
        assert shown == text


def test_a_line_full_of_a_secret_takes_little_time() -> None:
    secrets = ["abab", "baba", *(f"secret number {number}" for number in range(200))]
    text = "abab" * 25_000 + "baab" * 25_000
    began = time.process_time()
    shown = redacted(text, *secrets)
    assert time.process_time() - began < 5
    assert "abab" not in shown
