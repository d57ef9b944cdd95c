"""What passes through the proxy of the apps, and who."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import httpx
import pytest

from tests.support.app_service import AppService, app_service, seen_by, visit
from tests.support.services import wait_until

pytestmark = pytest.mark.slow

MEGABYTES = 200


@pytest.fixture(scope="module")
def public(apps: AppService) -> dict[str, Any]:
    return apps.run(name="public")


@pytest.fixture(scope="module")
def private(apps: AppService) -> dict[str, Any]:
    return apps.run(name="private", visibility="private")


def headers_seen(url: str, path: str = "/", **more: Any) -> dict[str, str]:
    return {name.lower(): value for name, value in seen_by(url, path, **more)["headers"]}


def open_privately(apps: AppService, space: dict[str, Any]) -> tuple[httpx.Response, str]:
    """Exchanges a ticket; returns the response of the proxy, and the opened URL."""
    opened = apps.client.post(f"/spaces/{space['id']}/open", {})
    parts = urlsplit(opened["url"])
    path = f"{parts.path}?{parts.query}"
    return visit(space["app_url"], path), path


def cookie_of(answer: httpx.Response) -> dict[str, str]:
    return {"Cookie": answer.headers["Set-Cookie"].partition(";")[0]}


def test_paths_and_queries_arrive_unchanged(public: dict[str, Any]) -> None:
    for path in ("/a%2Fb/c?x=1&y=%20", "/%C3%A4?b", "/x?next=http://y/?z"):
        assert seen_by(public["app_url"], path)["path"] == path


def test_the_app_is_told_who_asks(public: dict[str, Any]) -> None:
    url = public["app_url"]
    told = headers_seen(url, headers={"X-Forwarded-For": "10.1.1.1", "X-Forwarded-Host": "evil", "X-Own": "kept"})
    assert told["x-forwarded-for"] == "127.0.0.1" and told["x-forwarded-proto"] == "http"
    assert told["host"] == told["x-forwarded-host"] == urlsplit(url).netloc
    assert told["x-own"] == "kept"
    removed = headers_seen(url, headers={"Connection": "keep-alive, X-Hop", "X-Hop": "1", "TE": "trailers"})
    assert not {"x-hop", "te"} & set(removed)


def test_an_app_sets_no_cookies_for_others(public: dict[str, Any]) -> None:
    assert visit(public["app_url"]).headers.get_list("Set-Cookie") == ["own=1; Path=/"]


def test_a_large_upload_is_passed_on(public: dict[str, Any]) -> None:
    piece, digest = b"0123456789abcdef" * 65536, hashlib.sha256()

    def pieces() -> Iterator[bytes]:
        for _ in range(MEGABYTES):
            digest.update(piece)
            yield piece

    headers = {"Content-Length": str(MEGABYTES * len(piece))}
    told = seen_by(public["app_url"], "/upload", method="POST", content=pieces(), headers=headers)
    assert told["digest"] == digest.hexdigest()


def test_events_arrive_as_they_are_sent(public: dict[str, Any]) -> None:
    parts = urlsplit(public["app_url"])
    address, headers = f"http://127.0.0.1:{parts.port}", {"Host": parts.netloc}
    with httpx.stream("GET", f"{address}/events", headers=headers, timeout=60) as events:
        lines = events.iter_lines()
        assert next(lines) == "data: first"
        visit(public["app_url"], "/release")
        assert [line for line in lines if line] == ["data: last"]


def frames(url: str, headers: dict[str, str], *messages: str | bytes) -> list[Any]:
    """Sends frames through a WebSocket and returns the answers; the status if it was refused."""
    parts = urlsplit(url)

    async def talk() -> list[Any]:
        async with aiohttp.ClientSession() as session:
            try:
                socket = await session.ws_connect(
                    f"http://127.0.0.1:{parts.port}/ws", headers={"Host": parts.netloc, **headers}, protocols=["chat"]
                )
            except aiohttp.WSServerHandshakeError as problem:
                return [problem.status]
            async with socket:
                answers: list[Any] = [socket.protocol]
                for message in messages:
                    await (socket.send_str(message) if isinstance(message, str) else socket.send_bytes(message))
                    answers.append((await socket.receive()).data)
                return answers

    return asyncio.run(talk())


def test_websockets(public: dict[str, Any]) -> None:
    assert frames(public["app_url"], {}, "hello", b"\x00\xff") == ["chat", "hello", b"\x00\xff"]


def test_what_is_not_there(apps: AppService, public: dict[str, Any]) -> None:
    port = urlsplit(public["app_url"]).port
    for host in ("other.localhost", "localhost", "admin-public.localhost.example.org", "127.0.0.1", "..localhost"):
        assert httpx.get(f"http://127.0.0.1:{port}/", headers={"Host": f"{host}:{port}"}).status_code == 404
    answer = httpx.get(f"http://127.0.0.1:{port}/", headers={"Host": "x.localhost"})
    assert answer.headers["Content-Security-Policy"] == "default-src 'none'"


def test_a_public_app_needs_no_ticket(apps: AppService, public: dict[str, Any]) -> None:
    opened = apps.client.post(f"/spaces/{public['id']}/open", {})
    assert opened == {"url": public["app_url"], "expires_at": None}


def test_a_private_app_needs_a_ticket(apps: AppService, private: dict[str, Any]) -> None:
    url = private["app_url"]
    assert visit(url).status_code == 401
    assert frames(url, {}, "hello") == [401]
    answer, path = open_privately(apps, private)
    assert (answer.status_code, answer.headers["Location"]) == (303, "/")
    attributes = answer.headers["Set-Cookie"].lower()
    assert "httponly" in attributes and "samesite=lax" in attributes and "domain" not in attributes
    cookie = cookie_of(answer)
    assert visit(url, headers=cookie).status_code == 200
    assert frames(url, cookie, "hello") == ["chat", "hello"]
    assert visit(url, path).status_code == 401, "a ticket works once"


def test_the_app_does_not_see_the_cookie(apps: AppService, private: dict[str, Any]) -> None:
    cookie = cookie_of(open_privately(apps, private)[0])["Cookie"]
    assert headers_seen(private["app_url"], headers={"Cookie": f"a=1; {cookie}; b=2"})["cookie"] == "a=1; b=2"
    assert "cookie" not in headers_seen(private["app_url"], headers={"Cookie": cookie})


def test_tickets_and_cookies_are_for_one_app(apps: AppService, private: dict[str, Any]) -> None:
    other = apps.run(name="other-private", visibility="private")
    answer, _ = open_privately(apps, other)
    opened = apps.client.post(f"/spaces/{other['id']}/open", {})["url"]
    path = f"/.assembler/open?{urlsplit(opened).query}"
    assert visit(private["app_url"], path).status_code == 401
    assert visit(private["app_url"], headers=cookie_of(answer)).status_code == 401
    ticket = urlsplit(opened).query.partition("=")[2]
    assert visit(other["app_url"], headers={"Cookie": f"assembler-app={ticket}"}).status_code == 401
    forged = cookie_of(answer)["Cookie"][:-1] + "0"
    assert visit(other["app_url"], headers={"Cookie": forged + "0"}).status_code == 401
    for broken in (b"assembler-app=.\xff", b"assembler-app=a.b.c", b"assembler-app"):
        assert visit(other["app_url"], headers={"Cookie": broken}).status_code == 401


def test_pages_of_others_cannot_use_a_private_app(apps: AppService, private: dict[str, Any]) -> None:
    cookie = cookie_of(open_privately(apps, private)[0])
    url = private["app_url"]
    assert visit(url, headers={**cookie, "Origin": "http://admin-public.localhost"}).status_code == 403
    assert frames(url, {**cookie, "Origin": "http://admin-public.localhost"}, "x") == [403]
    assert visit(url, headers={**cookie, "Origin": url}).status_code == 200


def test_a_space_that_is_made_private_is_closed(apps: AppService) -> None:
    space = apps.run(name="closing")
    assert visit(space["app_url"]).status_code == 200
    apps.change(space["id"], visibility="private")
    wait_until(lambda: visit(space["app_url"]).status_code == 401, "the app is closed")


def test_only_accounts_that_see_a_space_open_it(apps: AppService, private: dict[str, Any]) -> None:
    address = str(apps.client._http.base_url)
    assert httpx.post(f"{address}/spaces/{private['id']}/open").status_code == 401


def test_apps_below_a_path(tmp_path: Path) -> None:
    with app_service(tmp_path / "instance", APPS_ROUTING="path") as apps:
        space = apps.run(name="by-path")
        url = space["app_url"]
        assert url.endswith("/apps/admin-by-path/")
        told = seen_by(url, "/page?x=1")
        assert told["path"] == "/page?x=1"
        headers = {name.lower(): value for name, value in told["headers"]}
        assert headers["x-forwarded-prefix"] == "/apps/admin-by-path"
        assert visit(url.rstrip("/"), "").status_code == 308
        private = apps.run(name="private-path", visibility="private")
        assert visit(private["app_url"]).status_code == 401
        opened = urlsplit(apps.client.post(f"/spaces/{private['id']}/open", {})["url"])
        answer = visit(private["app_url"], f"/.assembler/open?{opened.query}")
        assert "path=/apps/admin-private-path/" in answer.headers["Set-Cookie"].lower()
        assert visit(private["app_url"], headers=cookie_of(answer)).status_code == 200
