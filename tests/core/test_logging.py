"""The service's log: its format, its ids, and redaction of secrets."""

from __future__ import annotations

import json
import logging
import re
import sys
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from assembler_runner.core.logging import JsonLines, Lines, configuration
from assembler_runner.core.request_ids import call_id, chosen_id, working_on
from assembler_runner.core.settings import load
from tests.conftest import Service

SECRET = "a secret of the settings 0123456789"


def record(message: str, *arguments: object, **extra: object) -> logging.LogRecord:
    made = logging.getLogger("test").makeRecord("test", logging.INFO, "f", 1, message, arguments, None, extra=extra)
    assert isinstance(made, logging.LogRecord)
    return made


def shown(found: logging.LogRecord, *secrets: str) -> dict[str, object]:
    line = JsonLines(secrets).format(found)
    assert "\n" not in line
    return dict(json.loads(line))


def test_a_json_line_has_all_fields() -> None:
    with working_on("request-1", "call-1"):
        found = shown(record("done %s", "well", seconds=1.5, route="/x"))
    assert found.pop("time", "").endswith("+00:00")  # type: ignore[attr-defined]
    assert found == {
        "level": "INFO",
        "logger": "test",
        "message": "done well",
        "request_id": "call-1",
        "space_request_id": "request-1",
        "seconds": 1.5,
        "route": "/x",
    }


def test_ids_are_reset_after_the_block() -> None:
    with working_on("request-1", "call-1"):
        with working_on("request-2"):
            assert Lines().format(record("x")).endswith("test: x [space_request_id=request-2]")
        assert call_id.get() == "call-1"
    assert Lines().format(record("x")).endswith("test: x")


@pytest.mark.parametrize(
    ("before", "secret", "behind"),
    [
        ("it is ", SECRET, ""),
        ("token ", "hf_abcdefghijklmnop", "."),
        ("Authorization: Bearer ", "abc.def-ghi", ""),
        ("got ", "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJ4In0.c2lnbmF0dXJl", " back"),
        ("postgresql+psycopg://user:", "pass-word", "@host/db"),
        ("signed with ", "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", ""),
    ],
)
def test_secrets_in_texts_are_redacted(before: str, secret: str, behind: str) -> None:
    text = f"{before}{secret}{behind}"
    try:
        raise ValueError(text)
    except ValueError:
        with_trace = record(text)
        with_trace.exc_info = sys.exc_info()
    for formatter in (Lines((SECRET,)), JsonLines((SECRET,))):
        line = formatter.format(with_trace)
        assert line.count(f"{before}[secret]{behind}") >= 2
        assert secret not in line


_KEYS = st.sampled_from(
    ["password", "secret", "secrets", "token", "access_token", "Authorization", "hub_token", "client_secret", "cookie"]
)


@given(key=_KEYS, depth=st.integers(0, 3), value=st.sampled_from(["opensesame", ["opensesame"], {"a": "opensesame"}]))
def test_secret_fields_are_redacted_at_any_depth(key: str, depth: int, value: object) -> None:
    data: object = {key: value, "plain": "stays"}
    for _ in range(depth):
        data = [{"inner": data}]
    line = JsonLines().format(record("x", given=data))
    assert "opensesame" not in line
    assert "stays" in line


def test_all_secret_settings_are_known_to_the_log() -> None:
    settings = load(
        {}, HF_TOKEN="opensesame-hub", OLD_SECRET_KEYS="opensesame-1\nopensesame-2", ADMIN_PASSWORD="sesame-3"
    )
    secrets = configuration(settings)["formatters"]["lines"]["secrets"]
    assert {"opensesame-hub", "opensesame-1", "opensesame-2", "sesame-3"} <= set(secrets)


@pytest.mark.parametrize("given_id", ["a", "Root=1-67-x", "A.b_c-9", "x" * 128])
def test_a_valid_id_is_used(given_id: str) -> None:
    assert chosen_id(given_id) == given_id


@given(st.text(st.characters(exclude_characters="._=-", exclude_categories=["Lu", "Ll", "Nd"])))
def test_other_ids_are_replaced(given_id: str) -> None:
    made = chosen_id(given_id)
    assert made != given_id
    assert re.fullmatch("[0-9a-f]{32}", made)


@pytest.fixture
def lines() -> Iterator[list[logging.LogRecord]]:
    kept: list[logging.LogRecord] = []
    handler = logging.Handler()
    handler.emit = kept.append  # type: ignore[method-assign]
    logger = logging.getLogger("assembler_runner.api.http.access_log")
    logger.addHandler(handler)
    yield kept
    logger.removeHandler(handler)


def test_every_response_has_an_id(service: Service, lines: list[logging.LogRecord]) -> None:
    for path, status in (("/spaces", 200), ("/nowhere", 404), ("/spaces/x", 404)):
        answer = service.get(path, headers={"X-Request-Id": "mine"})
        assert (answer.status_code, answer.headers["X-Request-Id"]) == (status, "mine")
    assert len(service.client.get("/spaces").headers["X-Request-Id"]) == 32
    assert [line.getMessage() for line in lines] == [
        "GET /spaces 200", "GET unmatched 404", "GET /spaces/{space_id} 404", "GET /spaces 401",
    ]  # fmt: skip
    assert call_id.get() is None
