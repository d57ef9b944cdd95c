"""Authentication: one renewal at a time, one retry after 401, synchronous and asynchronous httpx."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import httpx
import httpx2
import pytest

from assembler_client import (
    AsyncAuthClient,
    AuthClient,
    AuthError,
    ClientAuth,
    CoreClient,
    InvalidAnswer,
    PasswordAuth,
    RobotAuth,
    StaticAuth,
    TransportError,
)
from tests.client.conftest import Running
from tests.support.services import PASSWORD

TOKEN_URL = "http://service/auth/token"
Handler = Callable[[httpx.Request], httpx.Response]


class Tokens:
    """A service that only issues tokens, and answers requests with a valid one."""

    def __init__(self, expires_in: int = 3600, refresh: bool = True, refuse_refresh: bool = False) -> None:
        self.expires_in = expires_in
        self.refresh = refresh
        self.refuse_refresh = refuse_refresh
        self.grants: list[str] = []
        self.good: set[str] = set()
        self.seen: Counter[str] = Counter()
        self._lock = threading.Lock()

    def __call__(self, request: httpx.Request) -> httpx.Response:
        with self._lock:
            if request.url.path != "/auth/token":
                token = request.headers.get("Authorization", "").removeprefix("Bearer ")
                self.seen[token] += 1
                body = {"data": [], "meta": {"total": 0}}
                return httpx.Response(200, json=body) if token in self.good else httpx.Response(401, json={})
            grant = json.loads(request.content)["grant_type"]
            self.grants.append(grant)
            if grant == "refresh_token" and self.refuse_refresh:
                return httpx.Response(400, json={"code": "inactive_token", "message": "It was used."})
            token = f"token-{len(self.grants)}"
            self.good.add(token)
            made = {"access_token": token, "expires_in": self.expires_in, "token_type": "Bearer", "scope": "global"}
            return httpx.Response(200, json=made | ({"refresh_token": f"r-{token}"} if self.refresh else {}))

    def client(self, auth: httpx.Auth) -> CoreClient:
        return CoreClient("http://service", client=httpx.Client(transport=httpx.MockTransport(self), auth=auth))


def password_auth() -> PasswordAuth:
    return PasswordAuth("admin", "secret", "http://service/auth/")


def test_a_token_is_fetched_once_and_renewed_before_it_ends() -> None:
    tokens, auth = Tokens(), password_auth()
    client = tokens.client(auth)
    for _ in range(3):
        client.get_spaces()
    assert tokens.grants == ["password"]
    auth._ends_at = time.time() + 29
    client.get_spaces()
    assert tokens.grants == ["password", "refresh_token"]
    assert set(tokens.seen) == {"token-1", "token-2"}


def test_a_token_that_is_short_lived_from_the_start_is_used() -> None:
    tokens = Tokens(expires_in=4)
    client = tokens.client(password_auth())
    client.get_spaces()
    client.get_spaces()
    assert tokens.grants == ["password"]


def test_token_calls_have_the_time_out_of_the_client() -> None:
    asked: list[httpx.Request] = []
    tokens = Tokens()

    def handler(request: httpx.Request) -> httpx.Response:
        asked.append(request)
        return tokens(request)

    http = httpx.Client(transport=httpx.MockTransport(handler), auth=password_auth(), timeout=7)
    CoreClient("http://service", client=http).get_spaces()
    assert [request.extensions["timeout"]["read"] for request in asked] == [7, 7]


def test_a_refused_token_is_replaced_once() -> None:
    tokens = Tokens()
    client = tokens.client(password_auth())
    client.get_spaces()
    tokens.good.clear()
    client.get_spaces()
    assert tokens.grants == ["password", "refresh_token"]


def test_a_refused_refresh_token_falls_back_to_the_password() -> None:
    tokens = Tokens(refuse_refresh=True)
    client = tokens.client(password_auth())
    client.get_spaces()
    tokens.good.clear()
    client.get_spaces()
    assert tokens.grants == ["password", "refresh_token", "password"]


def test_a_token_refused_twice_is_an_error() -> None:
    client = CoreClient(
        "http://service", client=httpx.Client(transport=httpx.MockTransport(Tokens()), auth=StaticAuth("x"))
    )
    with pytest.raises(AuthError) as refused:
        client.get_spaces()
    assert refused.value.status_code == 401


def test_an_invalid_token_response_is_an_error() -> None:
    transport = httpx.MockTransport(lambda request: httpx.Response(200, text="<html>"))
    client = CoreClient("http://service", client=httpx.Client(transport=transport, auth=password_auth()))
    with pytest.raises(InvalidAnswer, match="did not return a token"):
        client.get_spaces()


@pytest.mark.parametrize("path", ["", "/", "/auth", "/auth/", "/core/", "/storage"])
def test_addresses_of_single_services_are_that_of_the_service(path: str) -> None:
    assert CoreClient(f"http://service{path}").base_url == "http://service"
    assert PasswordAuth("a", "b", f"http://service/below{path}").base_url == "http://service/below"


@pytest.mark.parametrize("wrong", ["", "service:5005", "ftp://service"])
def test_an_address_is_needed(wrong: str) -> None:
    with pytest.raises(ValueError, match="must be the address"):
        PasswordAuth("a", "b", wrong)
    with pytest.raises(TypeError):
        CoreClient()  # type: ignore[call-arg]


def test_threads_and_tasks_renew_one_at_a_time() -> None:
    tokens, auth = Tokens(), password_auth()
    client = tokens.client(auth)
    with ThreadPoolExecutor(16) as pool:
        list(pool.map(lambda _: client.get_spaces(), range(64)))
    assert tokens.grants == ["password"]

    async def many() -> None:
        http = httpx.AsyncClient(transport=httpx.MockTransport(tokens), auth=auth)
        twin = AsyncAuthClient("http://service", client=http)
        await asyncio.gather(*(twin.get_users() for _ in range(32)))
        await http.aclose()

    for _ in range(2):
        # A new event loop each time.
        auth._ends_at = 0.0
        asyncio.run(many())
    assert tokens.grants == ["password", "refresh_token", "refresh_token"]


# Against a service that really runs


@pytest.fixture(scope="module")
def short_lived(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A service whose access tokens expire after two seconds."""
    service = Running(tmp_path_factory.mktemp("short"), ACCESS_TOKEN_SECONDS="2")
    service.start()
    service.wait()
    yield service
    service.kill()


@pytest.mark.slow
def test_sixteen_threads_over_the_end_of_a_token_all_succeed(short_lived: Running) -> None:
    auth = PasswordAuth("admin", PASSWORD, short_lived.url)
    fetched: list[float] = []
    auth.received = lambda tokens, ends_at: fetched.append(ends_at)  # type: ignore[method-assign]
    with AuthClient(short_lived.url, auth) as client:
        end = time.monotonic() + 5

        def calls(_: int) -> int:
            count = 0
            while time.monotonic() < end:
                assert [realm.name for realm in client.get_realms()] == ["master"]
                count += 1
            return count

        with ThreadPoolExecutor(16) as pool:
            assert min(pool.map(calls, range(16))) >= 1
    assert 3 <= len(fetched) <= 8


def test_robots_and_clients_log_in(running: Running) -> None:
    with running.assembler() as assembler:
        robot = assembler.create_robot(name=f"robot-{time.monotonic_ns()}")
        assert robot.secret
        for auth in (RobotAuth(robot, robot.secret, running.url), ClientAuth(robot.id, robot.secret, running.url)):
            with CoreClient(running.url, auth) as client:
                assert client.get_health().database == "ok"
                client.get_spaces()
        with (
            CoreClient(running.url, RobotAuth(robot.id, "wrong", running.url)) as client,
            pytest.raises(AuthError) as no,
        ):
            client.get_spaces()
        assert no.value.code == "invalid_credentials"
        assembler.delete_robot(robot)


def test_auth_objects_work_with_httpx_and_httpx2(running: Running) -> None:
    auth = PasswordAuth("admin", PASSWORD, running.url)
    assert httpx.get(f"{running.url}/auth/users/@me", auth=auth).json()["name"] == "admin"
    for made in (auth, PasswordAuth("admin", PASSWORD, running.url), StaticAuth(auth._present())):
        with httpx2.Client(auth=made) as client:
            assert client.get(f"{running.url}/auth/users/@me").json()["name"] == "admin"
    with httpx2.Client(auth=PasswordAuth("admin", "wrong", running.url)) as client, pytest.raises(AuthError):
        client.get(running.url)
    nobody = PasswordAuth("admin", "x", "http://127.0.0.1:1")
    with httpx2.Client(auth=nobody) as client, pytest.raises(TransportError):
        client.get(running.url)


def test_token_calls_go_the_way_of_the_client() -> None:
    """The proxy of a client is also used for its token calls."""
    auth = PasswordAuth("admin", "secret", "http://service.invalid")
    client = CoreClient("http://service.invalid", auth, proxy="http://127.0.0.1:1", patience=0)
    with client, pytest.raises(TransportError, match=r"Cannot reach http://\S+: connection refused"):
        client.get_spaces()
