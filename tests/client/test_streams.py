"""Streams of events: read however they are cut, taken up where they broke, replaced where they fail."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from assembler_client import CoreClient, WaitTimeout
from assembler_client import transport as transport_module
from assembler_client.models import Request
from assembler_client.streams import EventStream, Message

ID = "497dcba3-ecbf-4587-a2dd-5eb0665e6880"
REQUEST = Request.model_validate({"id": ID, "space_id": ID})

TEXT = st.text(st.characters(blacklist_characters="\r\n\0", blacklist_categories=["Cs"]), min_size=1)
MESSAGES = st.lists(st.tuples(st.integers(1, 10**9), st.lists(TEXT, min_size=1, max_size=3)), max_size=5)


@given(MESSAGES, st.sampled_from(["\n", "\r\n", "\r"]), st.lists(st.integers(0, 400), max_size=8))
def test_messages_come_out_however_they_are_cut(
    messages: list[tuple[int, list[str]]], newline: str, cuts: list[int]
) -> None:
    lines = ["retry: 2500", "", ": still here", ""]
    for number, data in messages:
        lines += [f"id: {number}", "event: x", *(f"data: {line}" for line in data), ""]
    whole = (newline.join(lines) + newline).encode()
    stream, found, last = EventStream(), [], 0
    for cut in [*sorted(cut for cut in cuts if cut < len(whole)), len(whole)]:
        found += stream.feed(whole[last:cut])
        last = cut
    assert found == [Message(str(number), "x", "\n".join(data)) for number, data in messages]
    assert stream.retry_seconds == 2.5


def event(number: int, kind: str = "running") -> dict[str, Any]:
    return {"id": number, "space_id": ID, "request_id": ID, "type": kind, "data": {}}


def streamed(*events: dict[str, Any], broken: bool = False) -> httpx.Response:
    def pieces() -> Iterator[bytes]:
        for one in events:
            yield f"id: {one['id']}\nevent: {one['type']}\ndata: {json.dumps(one)}\n\n".encode()
        if broken:
            raise httpx.RemoteProtocolError("cut off")

    return httpx.Response(200, headers={"Content-Type": "text/event-stream"}, content=pieces())


def listed(*events: dict[str, Any]) -> httpx.Response:
    return httpx.Response(200, json={"data": list(events), "meta": {"total": len(events)}})


def request_is(status: str) -> httpx.Response:
    return httpx.Response(200, json={"id": ID, "space_id": ID, "status": status})


class Script:
    """Answers one after the other, and keeps what was asked."""

    def __init__(self, *answers: httpx.Response | Exception) -> None:
        self._answers = list(answers)
        self.asked: list[httpx.Request] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.asked.append(request)
        answer = self._answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    def follow(self, **options: Any) -> list[int]:
        with httpx.Client(transport=httpx.MockTransport(self)) as http:
            client = CoreClient("http://service", client=http)
            return [event.id for event in client.follow_events(REQUEST, **options)]

    def starts(self) -> list[str]:
        return [asked.headers.get("Last-Event-ID", asked.url.params.get("after", "-")) for asked in self.asked]


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transport_module.time, "sleep", lambda seconds: None)


def test_a_broken_stream_goes_on_after_the_last_event() -> None:
    script = Script(
        streamed(event(1), event(2), broken=True),
        httpx.ConnectError("away"),
        streamed(event(2), event(3)),
        request_is("running"),
        streamed(event(4), event(5, "succeeded")),
        request_is("succeeded"),
        listed(),
    )
    assert script.follow() == [1, 2, 3, 4, 5]
    assert script.starts() == ["-", "2", "2", "-", "3", "-", "5"]


def test_what_came_between_the_last_look_and_the_end_is_not_lost() -> None:
    script = Script(
        streamed(event(1)),
        request_is("succeeded"),
        listed(event(2, "succeeded")),
        streamed(),
        request_is("succeeded"),
        listed(),
    )
    assert script.follow() == [1, 2]


@pytest.mark.parametrize(
    "first",
    [listed(event(1)), httpx.Response(503, json={"code": "too_many_readers", "message": "x"})],
    ids=["proxy", "too many"],
)
def test_lists_that_wait_where_streams_do_not_get_through(first: httpx.Response) -> None:
    answers = [first] * (1 if first.status_code == 200 else 40)
    script = Script(
        *answers, listed(event(1)), listed(event(2, "succeeded")), listed(), request_is("succeeded"), listed()
    )
    with httpx.Client(transport=httpx.MockTransport(script)) as http:
        client = CoreClient("http://service", client=http, patience=0)
        if first.status_code == 503:
            script._answers = script._answers[39:]
        assert [event.id for event in client.follow_events(REQUEST)] == [1, 2]
    assert float(script.asked[-3].url.params["wait"]) > 20


def test_streams_that_stay_silent_are_given_up() -> None:
    silent = httpx.ReadTimeout("silent")

    def never() -> Iterator[bytes]:
        raise silent
        yield b""

    def quiet() -> httpx.Response:
        return httpx.Response(200, headers={"Content-Type": "text/event-stream"}, content=never())

    script = Script(quiet(), quiet(), listed(event(1, "failed")), listed(), request_is("failed"), listed())
    assert script.follow() == [1]


def test_a_wait_ends_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr("assembler_client.streams.time.monotonic", lambda: now[0])

    class Slow(Script):
        def __call__(self, request: httpx.Request) -> httpx.Response:
            now[0] += float(request.url.params.get("wait", 0))
            return super().__call__(request)

    script = Slow(listed(event(1)), listed(), request_is("running"), listed(), request_is("running"))
    with pytest.raises(WaitTimeout):
        script.follow(timeout=10)
    assert now[0] == pytest.approx(10, abs=0.01)
