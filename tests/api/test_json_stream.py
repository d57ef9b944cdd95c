"""JSON that is read without its long strings in memory has the same value as with the json module."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from assembler_runner.api.http import json_stream
from assembler_runner.api.http.json_stream import LongText, in_memory, read_light
from assembler_runner.core.errors import InvalidJson, TooLarge
from assembler_runner.files.content import Spool
from tests.conftest import Service

TEXTS = st.text(st.characters(codec=None, exclude_categories=())) | st.text('a\\"/\n\t😀é\ud83d\ude00\0', min_size=3)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**40), 2**40) | TEXTS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text("abc", max_size=3), inner, max_size=4),
    max_leaves=12,
)


def read(service: Service, folder: Path, body: bytes) -> Any:
    sent = {"input_stream": io.BytesIO(body), "content_length": len(body)}
    with service.app.test_request_context("/", method="POST", **sent), Spool(folder, 10**9) as spool:
        return in_memory(read_light(spool))


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Makes strings long from 8 bytes on, and reads 5 bytes at a time."""
    monkeypatch.setattr(json_stream, "SMALL_BYTES", 0)
    monkeypatch.setattr(json_stream, "LONG_BYTES", 8)
    pieces_of = json_stream.pieces_of
    monkeypatch.setattr(json_stream, "pieces_of", lambda file: pieces_of(file, 5))


def test_any_json_is_read_like_by_the_json_module(service: Service, tmp_path: Path, small: None) -> None:
    @given(VALUES, st.booleans())
    def same(value: Any, ascii_only: bool) -> None:
        try:
            body = json.dumps(value, ensure_ascii=ascii_only).encode()
        except UnicodeEncodeError:
            body = json.dumps(value).encode()
        assert read(service, tmp_path, body) == json.loads(body)

    same()


@pytest.mark.parametrize(
    "body",
    [
        b'"abc',
        b'"abcdefghijkl',
        b'["abcdefghijkl\\"]',
        b'["abcdefghijkl\\x"]',
        b'["abcdefghijkl\\u12"]',
        b"[",
        b'"abcdefghijkl\xff"',
        b'"\xff"',
        b'{"abcdefghijkl": 1}',
        b'["abcdefghij\nkl"]',
        b'{"a": 1, "a": 2}',
        b"NaN",
        b"",
        b"  ",
    ],
)
def test_invalid_json_is_reported(service: Service, tmp_path: Path, small: None, body: bytes) -> None:
    with pytest.raises(InvalidJson):
        read(service, tmp_path, body)


def test_the_rest_beside_long_strings_has_its_own_limit(
    service: Service, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(json_stream, "SMALL_BYTES", 0)
    monkeypatch.setattr(json_stream, "MAX_REST_BYTES", 1000)
    with pytest.raises(TooLarge, match="1000"):
        read(service, tmp_path, b"[" + b"[]," * 1000 + b"[]]")
    assert len(read(service, tmp_path, b'["' + b"x" * 10**6 + b'"]')[0]) == 10**6


def test_a_long_string_is_a_long_text(service: Service, tmp_path: Path) -> None:
    body = json.dumps({"a": "x" * 2 * 10**6, "b": "y"}).encode()
    with service.app.test_request_context("/", method="POST", data=body), Spool(tmp_path, 10**9) as spool:
        value = read_light(spool)
        assert isinstance(value["a"], LongText) and value["b"] == "y"
        assert max(map(len, value["a"].parts())) < 10**6 and str(value["a"]) == "x" * 2 * 10**6
