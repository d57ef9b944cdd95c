"""What a Hub says in an error is quoted without the token, in whatever form it repeats it."""

from __future__ import annotations

import base64
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from assembler_runner.targets.hub.errors import without_token

TOKEN = "hf" + "_" + "AbCdEfGhIjKlMnOpQrStUvWxYz01234567"
FORMS = {
    "whole": TOKEN,
    "beginning": TOKEN[:12],
    "end": TOKEN[-12:],
    "middle": TOKEN[9:21],
    "upper case": TOKEN.upper(),
    "percent-encoded": "".join(f"%{ord(letter):02x}" for letter in TOKEN),
    "percent-encoded twice": quote("".join(f"%{ord(letter):02x}" for letter in TOKEN)),
    "base64": base64.b64encode(TOKEN.encode()).decode(),
    "basic": base64.b64encode(f"user:{TOKEN}".encode()).decode(),
    "reversed": TOKEN[::-1],
}


@pytest.mark.parametrize("form", FORMS)
def test_no_part_of_a_token_is_shown(form: str) -> None:
    shown = without_token(f"The token {FORMS[form]} is bad.", TOKEN)
    assert shown.startswith("The token ")
    assert shown.endswith(" is bad.")
    assert len(shown) <= len("The token  is bad.") + 10


@given(st.text())
def test_other_text_stays(text: str) -> None:
    text = text.replace("%", "").replace("\0", "")
    assert without_token(text, TOKEN) == text
