"""Texts from outside cannot control a terminal."""

from __future__ import annotations

import json
import unicodedata
from datetime import UTC, datetime
from uuid import uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from assembler_client.cli.output import Shell
from assembler_client.cli.text import printable, printable_json
from assembler_client.errors import HubAPIError
from assembler_client.models import Event, Finding
from assembler_client.suggest import did_you_mean

HOSTILE = "a\x1b[2Jb\x1b]0;title\x07c\x9b31md\u202ee\u2066f\x08g\rh\x85i"
BIDIRECTIONAL = {"LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI"}


def steers(text: str) -> set[str]:
    """The characters of a text that could control a terminal or reorder a line."""
    return {
        char
        for char in text
        if (unicodedata.category(char) == "Cc" and char not in "\n\t")
        or unicodedata.bidirectional(char) in BIDIRECTIONAL
    }


def test_styles_are_removed_and_controls_are_replaced() -> None:
    assert printable("a\x1b[31mred\x1b[0m\x1b]0;title\x07\tb\r\n\x08c\x9b1md\u202ee") == "ared\tb\n\ufffdcd\ufffde"
    assert printable("a\nb\tc\r\nd", single_line=True) == "a b c d"
    assert printable("Grüße 👋🏽 שלום") == "Grüße 👋🏽 שלום"


@given(st.text())
def test_no_text_controls_a_terminal(text: str) -> None:
    assert steers(printable(text)) == set()
    assert not set(printable(text, single_line=True)) & set("\n\t\u2028\u2029")
    assert printable(printable(text)) == printable(text)


@given(st.recursive(st.text(), lambda part: st.lists(part) | st.dictionaries(st.text(), part)))
def test_json_keeps_every_value_and_controls_nothing(value: object) -> None:
    shown = printable_json(value, indent=1)
    assert json.loads(shown) == value
    assert steers(shown) == set()


def test_everything_shown_is_printable(capsys: pytest.CaptureFixture[str]) -> None:
    shell = Shell(False, None, None)
    shell.findings([Finding(code=HOSTILE, message=HOSTILE, path=f"{HOSTILE}.py", line=1, hint=HOSTILE)])
    shell.event(Event(id=1, type="state", space_id=uuid4(), message=HOSTILE, created_at=datetime.now(UTC)))
    shell.say(HOSTILE)
    shell.echo(HOSTILE)
    shell.table((), [(HOSTILE,)])
    shell.result({HOSTILE: HOSTILE})
    with pytest.raises(Exception, match="4"):
        shell.fail(HubAPIError(HOSTILE))
    shown = capsys.readouterr()
    assert steers(shown.out + shown.err) == set()
    assert shown.out.count("bcd") == 2


def test_only_similar_names_are_suggested() -> None:
    assert did_you_mean("greter", ["greeter", "weather"]) == "Did you mean greeter?"
    assert did_you_mean("xyzzy", ["greeter", "weather"]) is None
