"""What is repeated and what is not, and every error in one tree."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from assembler_client import (
    AsyncCoreClient,
    Conflict,
    CoreClient,
    Forbidden,
    HubAPIError,
    InvalidAnswer,
    InvalidRequest,
    NotFound,
    RateLimited,
    ServerError,
    StorageClient,
    TooLarge,
    TransportError,
    Unavailable,
)
from assembler_client import transport as transport_module

ID = "497dcba3-ecbf-4587-a2dd-5eb0665e6880"
EMPTY = {"data": [], "meta": {"total": 0}}
Answer = httpx.Response | Exception


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Keeps what would have been slept."""
    slept: list[float] = []
    monkeypatch.setattr(transport_module.time, "sleep", slept.append)
    return slept


class Script:
    """Answers one after the other, and keeps what was asked."""

    def __init__(self, *answers: Answer) -> None:
        self._answers = list(answers)
        self.asked: list[httpx.Request] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        request.read()
        self.asked.append(request)
        answer = self._answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    def core(self, **options: Any) -> CoreClient:
        return CoreClient("http://service", client=httpx.Client(transport=httpx.MockTransport(self)), **options)


def ok(body: Any = None) -> httpx.Response:
    return httpx.Response(200, json=EMPTY if body is None else body)


def fails(status: int, code: str = "x", headers: dict[str, str] | None = None, **more: Any) -> httpx.Response:
    return httpx.Response(status, json={"code": code, "message": "No.", **more}, headers=headers)


@pytest.mark.parametrize(
    "problem",
    [
        httpx.ConnectError("x"),
        httpx.ReadTimeout("x"),
        httpx.RemoteProtocolError("x"),
        fails(502),
        fails(503),
        fails(504),
    ],
)
def test_what_may_be_repeated_is(problem: Answer) -> None:
    script = Script(problem, problem, ok())
    assert script.core().get_spaces() == []
    assert len(script.asked) == 3


def test_a_new_space_is_repeated_with_the_same_key() -> None:
    script = Script(httpx.ReadTimeout("x"), httpx.Response(202, json={"id": ID, "name": "a"}))
    assert script.core().create_space(files={"a": "1"}).name == "a"
    keys = {request.headers["Idempotency-Key"] for request in script.asked}
    assert len(keys) == 1 and keys != {""}


def test_what_may_have_been_done_is_not_repeated() -> None:
    script = Script(httpx.ReadTimeout("x"))
    with pytest.raises(TransportError, match="ReadTimeout"):
        script.core().create_webhook(url="https://example.org")
    script = Script(httpx.ConnectError("x"), httpx.Response(201, json={"id": ID, "url": "https://example.org"}))
    assert script.core().create_webhook(url="https://example.org").url == "https://example.org"


def test_a_deletion_whose_answer_was_lost_is_done() -> None:
    http = httpx.Client(transport=httpx.MockTransport(Script(httpx.ReadTimeout("x"), fails(404))))
    StorageClient("http://service", client=http).delete_bucket(ID)
    for answers in ([fails(404)], [httpx.ConnectError("x"), fails(404)]):
        http = httpx.Client(transport=httpx.MockTransport(Script(*answers)))
        with pytest.raises(NotFound):
            StorageClient("http://service", client=http).delete_bucket(ID)


def test_retry_after_is_kept_to(no_pauses: list[float]) -> None:
    script = Script(fails(429, headers={"Retry-After": "7"}), fails(503, headers={"Retry-After": "3"}), ok())
    script.core().get_spaces()
    assert no_pauses == [7.0, 3.0]


def test_a_wait_that_is_too_long_is_told_at_once(no_pauses: list[float]) -> None:
    with pytest.raises(RateLimited) as limited:
        Script(fails(429, headers={"Retry-After": "600"})).core().get_spaces()
    assert (limited.value.retry_after, no_pauses) == (600.0, [])
    with pytest.raises(RateLimited):
        Script(fails(429, "quota_exceeded", {"Retry-After": "1"})).core().get_spaces()


def test_the_patience_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr(transport_module.time, "monotonic", lambda: now[0])
    monkeypatch.setattr(transport_module.time, "sleep", lambda seconds: now.__setitem__(0, now[0] + seconds))
    script = Script(*[httpx.ConnectError("x")] * 1000)
    with pytest.raises(TransportError, match="Cannot reach http://service"):
        script.core(patience=20).get_spaces()
    assert 5 < len(script.asked) < 20
    assert 10 < now[0] <= 20


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, InvalidRequest),
        (403, Forbidden),
        (404, NotFound),
        (409, Conflict),
        (410, NotFound),
        (412, Conflict),
        (413, TooLarge),
        (418, InvalidRequest),
        (422, InvalidRequest),
        (500, ServerError),
    ],
)
def test_errors_are_one_tree(status: int, kind: type[HubAPIError]) -> None:
    issues = [{"code": "syntax_error", "path": "app.py", "line": 3, "message": "What?", "hint": "Look.", "new": 1}, 7]
    with pytest.raises(HubAPIError) as raised:
        Script(fails(status, "some_code", issues=issues, hint="Do.")).core().get_spaces()
    problem = raised.value
    assert type(problem) is kind
    assert (problem.status_code, problem.code, problem.hint) == (status, "some_code", "Do.")
    assert problem.error_response is not None
    assert problem.error_response.model_dump()["message"] == "No."
    assert "app.py:3: error: What? Look." in str(problem)
    assert f"received status code {status} (some_code): No." in str(problem)


@pytest.mark.parametrize("text", ["<html>Bad gateway</html>", "", "[1]", '"x"', '{"message": null, "issues": {}}'])
def test_errors_of_proxies_are_errors_too(text: str) -> None:
    with pytest.raises(Unavailable) as raised:
        Script(httpx.Response(502, text=text)).core(patience=0).get_spaces()
    assert raised.value.status_code == 502
    assert raised.value.message


@pytest.mark.parametrize("text", ["<html>", "{}", "[]", '{"data": [{"id": 1}]}', '{"data": {}}'])
def test_answers_that_are_none_are_told(text: str) -> None:
    with pytest.raises(InvalidAnswer, match="/spaces did not return"):
        Script(httpx.Response(200, text=text)).core().get_spaces()


def test_new_fields_never_break_it_and_are_kept() -> None:
    space = {"id": ID, "name": "a", "state": "dancing", "shoes": {"left": 1}, "latest_request": None}
    found = Script(ok(space)).core().get_space(ID)
    assert found is not None
    assert found.model_extra == {"shoes": {"left": 1}}
    assert found.state == "dancing"


def test_a_missing_thing_is_none_but_a_missing_right_is_not() -> None:
    assert Script(fails(404)).core().get_space(ID) is None
    with pytest.raises(Forbidden):
        Script(fails(403)).core().get_space(ID)


def test_fields_are_checked_before_anything_is_sent() -> None:
    script = Script()
    with pytest.raises(InvalidRequest) as refused:
        script.core().create_space(
            files={"a": 1},  # type: ignore[dict-item]
            visibility="hidden",  # type: ignore[arg-type]
            option={},  # type: ignore[call-arg]
        )
    assert {issue.path.partition(".")[0] for issue in refused.value.issues if issue.path} == {
        "files",
        "visibility",
        "option",
    }
    assert script.asked == []


def test_null_is_not_left_out() -> None:
    script = Script(httpx.Response(202, json={"id": ID, "name": "a"}))
    script.core().update_space(ID, template=None, files={"old": None, "b": b"\xff", "c": b"text"}, mode="merge")
    assert script.asked[0].read() and __import__("json").loads(script.asked[0].content) == {
        "template": None,
        "files": {"old": None, "b": {"content": "/w==", "encoding": "base64"}, "c": "text"},
        "mode": "merge",
    }


# Downloads


def test_a_download_is_checked_and_leaves_nothing_behind(tmp_path: Path) -> None:
    content = b"0123456789" * 100
    file = {"id": ID, "bucket_id": ID, "name": "a.bin", "path": "a.bin"}
    good = file | {"size": 1000, "hash": hashlib.sha256(content).hexdigest()}

    def storage(*answers: httpx.Response) -> StorageClient:
        http = httpx.Client(transport=httpx.MockTransport(Script(*answers)))
        return StorageClient("http://service", client=http, patience=0)

    got: list[int] = []
    assert (
        storage(ok(good), httpx.Response(200, content=content)).download_bucket_file(ID, tmp_path, progress=got.append)
        == tmp_path / "a.bin"
    )
    assert (tmp_path / "a.bin").read_bytes() == content
    assert sum(got) == 1000
    wrong: list[tuple[tuple[httpx.Response, ...], type[HubAPIError]]] = [
        ((ok(good), httpx.Response(200, content=content[1:])), InvalidAnswer),
        ((ok(good), httpx.Response(200, content=b"x" + content[1:])), InvalidAnswer),
        ((ok(good), fails(404)), NotFound),
        ((fails(404),), NotFound),
    ]
    for answers, kind in wrong:
        with pytest.raises(kind):
            storage(*answers).download_bucket_file(ID, tmp_path / "b.bin")
    assert [path.name for path in tmp_path.iterdir()] == ["a.bin"]


# The asynchronous twin


def test_the_twin_repeats_and_translates_alike(monkeypatch: pytest.MonkeyPatch) -> None:
    async def no_pause(seconds: float) -> None:
        return None

    monkeypatch.setattr(transport_module.asyncio, "sleep", no_pause)

    async def work() -> None:
        script = Script(httpx.ReadTimeout("x"), fails(503), ok(), fails(409), httpx.ConnectError("x"))
        http = httpx.AsyncClient(transport=httpx.MockTransport(script))
        async with AsyncCoreClient("http://service", client=http, patience=5) as client:
            assert await client.get_spaces() == []
            with pytest.raises(Conflict):
                await client.get_spaces()
            client.patience = 0
            with pytest.raises(TransportError):
                await client.get_spaces()
        await http.aclose()

    asyncio.run(work())


def test_pages_are_fetched_as_they_are_needed() -> None:
    def page(first: int, count: int) -> httpx.Response:
        rows = [{"id": ID, "name": f"s{number}"} for number in range(first, first + count)]
        return ok({"data": rows, "meta": {"total": 450}})

    script = Script(page(0, 200), page(200, 200), page(400, 50))
    spaces = script.core().iter_spaces(filter={"state": "running"})
    assert next(spaces).name == "s0"
    assert len(script.asked) == 1
    assert [space.name for space in spaces] == [f"s{number}" for number in range(1, 450)]
    assert [request.url.params["page[offset]"] for request in script.asked] == ["0", "200", "400"]
    assert {request.url.params["filter[state]"] for request in script.asked} == {"running"}


def test_help_shows_arguments_and_text() -> None:
    import inspect

    client = Script().core()
    assert list(inspect.signature(client.get_space).parameters) == ["space", "refresh"]
    assert "None if it does not exist" in (client.get_space.__doc__ or "")
    listing: Callable[..., Any] = client.find_spaces
    assert list(inspect.signature(listing).parameters) == ["filter", "page", "sort", "fields", "include"]
