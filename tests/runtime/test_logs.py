"""Logs for callers: as JSON, as text, live; broken streams, streams that stay open, disconnected readers, secrets."""

from __future__ import annotations

import json
import string
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from assembler_runner.core.redaction import REPLACEMENT, add_fingerprints, redactor
from assembler_runner.core.vault import Vault
from assembler_runner.devhub import Fault, StandInHub
from assembler_runner.ops import key_rotation
from assembler_runner.runtime.logs import streams
from tests.conftest import MakeService, Service
from tests.ops.test_serve import served
from tests.support.services import Client, hub_settings, wait_until

NAME = "alice/greeter"
STREAM = {"Accept": "text/event-stream"}


def published(service: Service, **more: Any) -> str:
    body = {"space_type": "gradio", "name": "greeter", "files": {"app.py": "print(1)\n"}}
    return str(service.publish(**body, **more)["space_id"])


def logs_of(service: Service, space_id: str, query: str = "", **headers: str) -> Any:
    return service.get(f"/spaces/{space_id}/logs{query}", headers=headers)


def events(text: str) -> list[tuple[str, dict[str, Any]]]:
    """The events of a stream: name and data."""
    found = []
    for block in text.split("\n\n"):
        fields = dict(line.split(": ", 1) for line in block.splitlines() if not line.startswith(":"))
        if "event" in fields:
            found.append((fields["event"], json.loads(fields["data"])))
    return found


@pytest.mark.parametrize("stays_open", [0, 60])
def test_a_log_as_json(hub_service: Service, hub: StandInHub, stays_open: float) -> None:
    hub.settings.logs_stay_open = stays_open
    space_id = published(hub_service)
    hub.set_logs(NAME, "run", [f"line {number}" for number in range(9)])
    hub.set_logs(NAME, "build", ["built"])
    answer = logs_of(hub_service, space_id, "?tail=3")
    assert [line["text"] for line in answer.json["data"]] == ["line 6", "line 7", "line 8"]
    assert all(line["timestamp"].endswith("Z") for line in answer.json["data"])
    assert answer.json["meta"] == {
        "total": 3, "limit": 3, "offset": 0, "schema": {}, "kind": "run", "note": None,
    }  # fmt: skip
    assert [line["text"] for line in logs_of(hub_service, space_id, "?kind=build").json["data"]] == ["built"]
    wait_until(lambda: hub.state.open_logs == 0, "nothing is left open at the Hub", 30)


def test_a_log_as_text(hub_service: Service, hub: StandInHub) -> None:
    space_id = published(hub_service)
    hub.set_logs(NAME, "run", ["one", "", "zwölf"])
    answer = logs_of(hub_service, space_id, Accept="text/plain")
    assert (answer.mimetype, answer.text) == ("text/plain", "one\n\nzwölf\n")


def test_a_log_that_is_empty_says_so(hub_service: Service, hub: StandInHub) -> None:
    answer = logs_of(hub_service, published(hub_service))
    assert (answer.json["data"], answer.json["meta"]["note"]) == ([], "The log is empty.")


@pytest.mark.parametrize("query", ["?kind=boot", "?tail=0", "?tail=x", "?tail=99999", "?tail=-1", "?tial=3"])
def test_invalid_queries_are_reported(service: Service, query: str) -> None:
    answer = logs_of(service, service.submit()["id"], query)
    assert (answer.status_code, answer.json["code"]) == (400, "invalid_query")
    assert answer.json["issues"][0]["path"] in query


def test_local_spaces_have_no_logs(service: Service) -> None:
    waiting = service.submit(name="waiting")["id"]
    assert "not published yet" in logs_of(service, waiting).json["meta"]["note"]
    space_id = service.publish(name="site")["space_id"]
    answer = logs_of(service, space_id)
    assert answer.json["data"] == []
    assert "neither builds nor runs" in answer.json["meta"]["note"]
    ((name, data),) = events(logs_of(service, space_id, **STREAM).text)
    assert (name, "neither builds" in data["note"]) == ("end", True)


@pytest.mark.parametrize("status", [401, 403, 404, 429, 503])
def test_a_rejection_by_the_hub_is_reported(hub_service: Service, hub: StandInHub, status: int) -> None:
    space_id = published(hub_service)
    hub.faults.add(Fault("status", path="/logs/", status=status, times=None, headers={"Retry-After": "9"}))
    answer = logs_of(hub_service, space_id)
    assert answer.status_code == {401: 502, 403: 502}.get(status, status)
    assert answer.json["hint"]
    if status < 429:  # the others are waited for
        ((name, data),) = events(logs_of(hub_service, space_id, **STREAM).text)
        assert (name, data["code"]) == ("error", answer.json["code"])


def test_a_stream_that_breaks_goes_on_without_lines_twice(hub_service: Service, hub: StandInHub) -> None:
    space_id = published(hub_service)
    lines = [f"line {number}" for number in range(9)]
    hub.set_logs(NAME, "run", lines)
    hub.faults.add(Fault("truncate", path="/logs/", times=2), Fault("status", path="/logs/", status=502))
    found = events(logs_of(hub_service, space_id, **STREAM).text)
    assert [data["text"] for name, data in found if name == "line"] == lines
    assert found[-1] == ("end", {"note": None})
    assert sum("/logs/" in record.path for record in hub.requests) == 4


def test_a_stream_resumes_where_it_was_left(hub_service: Service, hub: StandInHub) -> None:
    space_id = published(hub_service)
    start = datetime(2026, 1, 1, tzinfo=UTC)
    hub.space(NAME).logs["run"] += [(start + timedelta(seconds=number), f"line {number}\n") for number in range(4)]
    text = logs_of(hub_service, space_id, **STREAM).text
    ids = [line.removeprefix("id: ") for line in text.splitlines() if line.startswith("id: ")]
    assert len(ids) == 4
    answer = logs_of(hub_service, space_id, **STREAM, **{"Last-Event-ID": ids[1]})
    assert [data["text"] for name, data in events(answer.text) if name == "line"] == ["line 2", "line 3"]


def test_live_readers_are_limited(make_service: MakeService, hub: StandInHub) -> None:
    service = make_service(HF_TOKEN="hf_alice", HF_ENDPOINT=hub.url, MAX_LOG_STREAMS=1)
    space_id = published(service)
    hub.settings.logs_stay_open = 60
    first = service.client.get(f"/spaces/{space_id}/logs", headers=service.headers | STREAM, buffered=False)
    pieces = iter(first.response)
    assert next(pieces)
    refused = logs_of(service, space_id, **STREAM)
    assert (refused.status_code, refused.json["code"]) == (503, "too_many_readers")
    assert refused.headers["Retry-After"] == "10"
    wait_until(lambda: hub.state.open_logs == 1, "the Hub is read")
    first.close()
    assert streams.open == 0
    wait_until(lambda: hub.state.open_logs == 0, "nothing is left open at the Hub", 30)
    wait_until(
        lambda: not any(thread.name == "hub log" for thread in threading.enumerate()), "its thread has ended", 30
    )


def test_a_reader_that_leaves_while_the_hub_is_connected_leaves_nothing_open(
    hub_service: Service, hub: StandInHub
) -> None:
    space_id = published(hub_service)
    hub.settings.logs_stay_open = 60
    slow = Fault("hang", path="/logs/", seconds=1.0)
    hub.faults.add(slow)
    answer = hub_service.client.get(f"/spaces/{space_id}/logs", headers=hub_service.headers | STREAM, buffered=False)
    wait_until(lambda: slow.fired == 1, "the Hub is asked")
    answer.close()
    wait_until(lambda: not any(thread.name == "hub log" for thread in threading.enumerate()), "its thread has ended")
    wait_until(lambda: hub.state.open_logs == 0, "nothing is left open at the Hub", 30)


@contextmanager
def reading(client: Client, space_id: str) -> Iterator[Iterator[str]]:
    """A reader over a real connection: the lines of the stream."""
    with client._http.stream("GET", f"/spaces/{space_id}/logs", headers=STREAM) as answer:
        assert answer.status_code == 200
        yield answer.iter_lines()


@pytest.mark.slow
def test_live_lines_reach_a_reader_and_its_leaving_frees_everything(tmp_path: Path, hub: StandInHub) -> None:
    hub.settings.logs_stay_open = 60
    with served(tmp_path / "instance", **hub_settings(hub)) as (process, client):
        space_id = client.wait(client.submit("greeter"))["space_id"]
        with reading(client, space_id) as lines:
            for number in range(3):
                hub.space(NAME).log("run", f"live {number}")
                wanted = next(json.loads(line[6:])["text"] for line in lines if line.startswith("data: "))
                assert wanted == f"live {number}"
            assert hub.state.open_logs == 1
        hub.space(NAME).log("run", "nobody reads this", "nor this")
        wait_until(lambda: hub.state.open_logs == 0, "nothing is left open at the Hub", 30)
        assert process.running


def test_known_secrets_are_in_no_log(hub_service: Service, hub: StandInHub) -> None:
    key = "-----BEGIN KEY-----\nfirst part of it\nsecond part of it\n-----END KEY-----"
    space_id = published(hub_service, secrets={"TOKEN": "s3cr3t-value", "KEY": key, "TINY": "abc"})
    said = ["TOKEN=s3cr3t-value; s3cr3t-values3cr3t-value", "second part of it", "hf_alice and abc", "s3cr3t-valu"]
    hub.set_logs(NAME, "run", said)
    expected = ["TOKEN=[secret]; [secret][secret]", "[secret]", "[secret] and abc", "s3cr3t-valu"]
    assert [line["text"] for line in logs_of(hub_service, space_id).json["data"]] == expected
    assert [data["text"] for _, data in events(logs_of(hub_service, space_id, **STREAM).text)[:-1]] == expected


def test_secrets_are_known_after_the_key_was_rotated(make_service: MakeService, hub: StandInHub) -> None:
    service = make_service(HF_TOKEN="hf_alice", HF_ENDPOINT=hub.url)
    space_id = published(service, secrets={"TOKEN": "s3cr3t-value"})
    hub.set_logs(NAME, "run", ["it is s3cr3t-value"])
    new, old = "a new key of the tests, 0123456789 abcdef", service.services.settings.SECRET_KEY
    with service.app.app_context():
        assert key_rotation.rotate(Vault(new, old)) == 1
    # This process still has the old key: it shows no log that it cannot redact.
    answer = logs_of(service, space_id)
    assert (answer.status_code, answer.json["code"]) == (500, "unreadable_secret")
    service.services.vault._fernet = Vault(new)._fernet
    assert logs_of(service, space_id).json["data"][0]["text"] == "it is [secret]"


VAULT = Vault("a key for the tests of redaction 0123456789")
SECRET = st.text(st.characters(exclude_categories=["Cs", "Cc", "Zl", "Zp", "Zs"]), min_size=4, max_size=30)


@given(
    st.lists(SECRET, min_size=1, max_size=3), st.lists(st.text(string.printable, max_size=20), min_size=1, max_size=4)
)
def test_no_secret_survives(secrets: list[str], around: list[str]) -> None:
    sealed = add_fingerprints(VAULT, None, {str(number): secret for number, secret in enumerate(secrets)})
    by_mark, by_value = redactor(VAULT, sealed), redactor(VAULT, None, secrets)
    text = secrets[0].join([*around, ""])
    for found in (by_mark.redact(text), by_value.redact(text)):
        assert secrets[0] not in found.replace(REPLACEMENT, "\0"), (text, found)


@given(st.text(max_size=60))
def test_other_texts_stay_as_they_are(text: str) -> None:
    sealed = add_fingerprints(VAULT, None, {"KEY": "a secret that is nowhere in there"})
    assert redactor(VAULT, sealed).redact(text) == text
