"""Authentication for the clients of this package and for httpx; also usable as plain callables.

One thread or task at a time renews a token, 30 seconds before it expires; the others wait and use the new token. A
request answered with 401 is sent once more with a new token.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncGenerator, Callable, Generator
from contextlib import nullcontext
from typing import Any, TypeVar
from weakref import WeakKeyDictionary

import httpx
from pydantic import ValidationError

from assembler_client.errors import InvalidAnswer, RateLimited, TransportError, error_of
from assembler_client.models.accounts import Token
from assembler_client.retries import failure, retry_after
from assembler_client.transport import TIMEOUT, service_address
from assembler_client.types import Ref, id_of

__all__ = ["ClientAuth", "ExchangeAuth", "PasswordAuth", "RobotAuth", "StaticAuth", "TokenAuth"]

R = TypeVar("R")
_EARLY_SECONDS = 30.0
_Tokens = Generator[httpx.Request, httpx.Response, None]


class StaticAuth(httpx.Auth):
    """An access token issued elsewhere.

    Args:
        token: the access token.
    """

    def __init__(self, token: str) -> None:
        self._token = token

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        """Sends the request with the token."""
        yield self(request)

    def __call__(self, request: R) -> R:
        """Adds the token to a request."""
        return _with_token(request, self._token)


class TokenAuth(httpx.Auth):
    """Base of authentication that fetches tokens.

    Args:
        base_url: URL of the service, or of its /auth.
        client: httpx.Client for token calls outside the clients of this package.
        timeout: timeout of those calls in seconds.
        proxy: proxy URL for those calls.
        verify: False or an SSL context, for those calls.
    """

    def __init__(
        self,
        base_url: str,
        client: httpx.Client | None = None,
        *,
        timeout: float | httpx.Timeout = TIMEOUT,
        proxy: str | None = None,
        verify: Any = True,
    ) -> None:
        self.base_url = service_address(base_url)
        self._timeout = httpx.Timeout(timeout)
        self._make_client: Callable[[], httpx.Client] = lambda: httpx.Client(proxy=proxy, verify=verify)
        self._client = client
        self._tokens: Token | None = None
        self._ends_at = 0.0
        self._lock = threading.Lock()
        self._loop_locks: WeakKeyDictionary[asyncio.AbstractEventLoop, asyncio.Lock] = WeakKeyDictionary()

    def grant(self) -> dict[str, str]:
        """Returns the request body of a login."""
        raise NotImplementedError

    def received(self, tokens: Token, ends_at: float) -> None:
        """Called with new tokens; subclasses may store them.

        Args:
            tokens: the new tokens.
            ends_at: expiry of the access token, in seconds since 1970.
        """

    def sync_auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        """Fetches a token if needed and sends the request with it."""
        token = self._usable(None)
        if token is None:
            token = yield from self._fetch_alone(None, request)
        response = yield _with_token(request, token)
        if response.status_code == 401:
            token = yield from self._fetch_alone(token, request)
            yield _with_token(request, token)

    async def async_auth_flow(self, request: httpx.Request) -> AsyncGenerator[httpx.Request, httpx.Response]:
        """The same for asynchronous clients."""
        refused: str | None = None
        for _ in range(2):
            token = self._usable(refused)
            if token is None:
                lock = self._loop_locks.setdefault(asyncio.get_running_loop(), asyncio.Lock())
                async with lock:
                    token = self._usable(refused)
                    if token is None:
                        fetching = self._fetch(_timeout_of(request))
                        asked = next(fetching)
                        while True:
                            answer = yield asked
                            await answer.aread()
                            try:
                                asked = fetching.send(answer)
                            except StopIteration:
                                break
                        token = self._present()
            response = yield _with_token(request, token)
            if response.status_code != 401:
                return
            refused = token

    def __call__(self, request: R) -> R:
        """Adds a token to a request of any library; fetches one first if needed.

        Args:
            request: any object with `headers`.
        Returns:
            The same request.
        """
        token = self._usable(None)
        if token is None:
            with self._lock:
                token = self._usable(None)
                if token is None:
                    token = self._fetch_here()
        return _with_token(request, token)

    def _fetch_here(self) -> str:
        fetching = self._fetch(self._timeout.as_dict())
        with nullcontext(self._client) if self._client else self._make_client() as client:
            asked = next(fetching)
            while True:
                try:
                    asked = fetching.send(client.send(asked))
                except StopIteration:
                    return self._present()
                except httpx.HTTPError as problem:
                    raise TransportError(failure(problem, asked.url)) from problem

    def _fetch_alone(
        self, refused: str | None, request: httpx.Request
    ) -> Generator[httpx.Request, httpx.Response, str]:
        with self._lock:
            token = self._usable(refused)
            if token is not None:
                return token
            fetching = self._fetch(_timeout_of(request))
            asked = next(fetching)
            while True:
                answer = yield asked
                answer.read()
                try:
                    asked = fetching.send(answer)
                except StopIteration:
                    return self._present()

    def _usable(self, refused: str | None) -> str | None:
        """Returns the token, unless it expires soon or was refused."""
        tokens, ends_at = self._tokens, self._ends_at
        if tokens is None or tokens.access_token == refused:
            return None
        early = min(_EARLY_SECONDS, tokens.expires_in / 2)
        return tokens.access_token if time.time() < ends_at - early else None

    def _present(self) -> str:
        if self._tokens is None:
            raise AssertionError("no token after fetching one")
        return self._tokens.access_token

    def _fetch(self, timeout: Any) -> _Tokens:
        """Renews the token; logs in if there is no refresh token or it is not accepted."""
        tokens = self._tokens
        if tokens is not None and tokens.refresh_token:
            body = {"grant_type": "refresh_token", "refresh_token": tokens.refresh_token}
            answer = yield self._token_request(body, timeout)
            if answer.status_code == 200:
                self._take(answer, tokens.refresh_token)
                return
            problem = error_of(answer, retry_after(answer))
            if isinstance(problem, RateLimited) or answer.status_code >= 500:
                raise problem
        answer = yield self._token_request(self.grant(), timeout)
        if answer.status_code != 200:
            raise error_of(answer, retry_after(answer))
        self._take(answer, None)

    def _token_request(self, body: dict[str, str], timeout: Any) -> httpx.Request:
        # Built without a client, so the timeout must be set here.
        extensions = {"timeout": timeout}
        headers = {"Accept": "application/json"}
        return httpx.Request("POST", f"{self.base_url}/auth/token", json=body, headers=headers, extensions=extensions)

    def _take(self, answer: httpx.Response, refresh_token: str | None) -> None:
        try:
            tokens = Token.model_validate_json(answer.content)
        except ValidationError:
            raise InvalidAnswer(
                f"{self.base_url}/auth/token did not return a token. Is this an Assembler service?"
            ) from None
        if tokens.refresh_token is None and refresh_token is not None:
            tokens = tokens.model_copy(update={"refresh_token": refresh_token})
        self._ends_at = time.time() + tokens.expires_in
        self._tokens = tokens
        self.received(tokens, self._ends_at)


class PasswordAuth(TokenAuth):
    """Logs in as a user.

    Args:
        username: name of the user.
        password: the password.
        base_url: URL of the service, or of its /auth.
        client: httpx.Client for token calls outside the clients of this package.
        realm: name or id of the user's realm; defaults to `master`.
        options: `timeout`, `proxy` and `verify` as in :class:`TokenAuth`.
    """

    def __init__(
        self,
        username: str,
        password: str,
        base_url: str,
        client: httpx.Client | None = None,
        *,
        realm: str | None = None,
        **options: Any,
    ) -> None:
        super().__init__(base_url, client, **options)
        self._body = {"grant_type": "password", "username": username, "password": password}
        if realm is not None:
            self._body["realm"] = realm

    def grant(self) -> dict[str, str]:
        """Returns the request body of a login."""
        return self._body


class RobotAuth(TokenAuth):
    """Logs in as a robot.

    Args:
        robot_id: the robot, or its id.
        robot_secret: its secret.
        base_url: URL of the service, or of its /auth.
        client: httpx.Client for token calls outside the clients of this package.
        options: `timeout`, `proxy` and `verify` as in :class:`TokenAuth`.
    """

    def __init__(
        self, robot_id: Ref, robot_secret: str, base_url: str, client: httpx.Client | None = None, **options: Any
    ) -> None:
        super().__init__(base_url, client, **options)
        self._body = {"grant_type": "robot_credentials", "id": id_of(robot_id), "secret": robot_secret}

    def grant(self) -> dict[str, str]:
        """Returns the request body of a login."""
        return self._body


class ClientAuth(TokenAuth):
    """Logs in as a client, with the client credentials of OAuth 2.

    Args:
        client_id: the client, or its id.
        client_secret: its secret.
        base_url: URL of the service, or of its /auth.
        client: httpx.Client for token calls outside the clients of this package.
        options: `timeout`, `proxy` and `verify` as in :class:`TokenAuth`.
    """

    def __init__(
        self, client_id: Ref, client_secret: str, base_url: str, client: httpx.Client | None = None, **options: Any
    ) -> None:
        super().__init__(base_url, client, **options)
        body = {"grant_type": "client_credentials", "client_id": id_of(client_id), "client_secret": client_secret}
        self._body = body

    def grant(self) -> dict[str, str]:
        """Returns the request body of a login."""
        return self._body


class ExchangeAuth(TokenAuth):
    """Logs in as the robot that a trusted publisher names, with the identity token of a pipeline (RFC 8693).

    Args:
        subject_token: the token of the pipeline.
        base_url: URL of the service, or of its /auth.
        client: httpx.Client for token calls outside the clients of this package.
        robot: the robot or its id, if trusted publishers of several robots accept the token.
        options: `timeout`, `proxy` and `verify` as in :class:`TokenAuth`.
    """

    def __init__(
        self,
        subject_token: str,
        base_url: str,
        client: httpx.Client | None = None,
        *,
        robot: Ref | None = None,
        **options: Any,
    ) -> None:
        super().__init__(base_url, client, **options)
        self._body = {
            "grant_type": "urn:ietf:params:oauth:grant-type:token-exchange",
            "subject_token": subject_token,
            "subject_token_type": "urn:ietf:params:oauth:token-type:id_token",
        }
        if robot is not None:
            self._body["client_id"] = id_of(robot)

    def grant(self) -> dict[str, str]:
        """Returns the request body of a login."""
        return self._body


def _timeout_of(request: httpx.Request) -> Any:
    return request.extensions.get("timeout") or TIMEOUT.as_dict()


def _with_token(request: R, token: str) -> R:
    request.headers["Authorization"] = f"Bearer {token}"  # type: ignore[attr-defined]  # every request class has headers
    return request
