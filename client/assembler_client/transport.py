"""The synchronous and the asynchronous transport, which execute steps."""

from __future__ import annotations

import asyncio
import inspect
import time
from collections.abc import AsyncIterator, Callable, Generator, Iterator
from types import TracebackType
from typing import Any, Self, TypeVar

import httpx

from assembler_client.errors import HubAPIError
from assembler_client.retries import Failed, attempts, translated
from assembler_client.sansio.steps import NOTHING, Ask, Close, Item, Notify, Once, Parts, Read, Send, Sleep, Steps
from assembler_client.version import __version__

T = TypeVar("T")

TIMEOUT = httpx.Timeout(30.0, connect=10.0)
PATIENCE = 60.0
_HEADERS = {"User-Agent": f"assembler-client/{__version__}", "Accept": "application/json"}
# All three are served below the same URL; the URL of any of them is accepted, too.
_SERVICES = ("/auth", "/core", "/storage")


def service_address(base_url: str) -> str:
    """Returns the URL of the service without a trailing slash and without /auth, /core or /storage.

    Raises:
        ValueError: the value is not an HTTP URL.
    """
    address = str(base_url).strip().rstrip("/")
    if not address.startswith(("http://", "https://")):
        raise ValueError(f"base_url must be the address of a service, such as http://127.0.0.1:5005, not {base_url!r}.")
    for name in _SERVICES:
        address = address.removesuffix(name)
    try:
        valid = bool(httpx.URL(address).host)
    except httpx.InvalidURL:
        valid = False
    if not valid:
        raise ValueError(f"base_url must be the address of a service; {base_url!r} is not a valid URL.")
    return address


class _Http:
    """Common parts of both transports: the URL and the request builder."""

    def __init__(self, base_url: str, patience: float) -> None:
        self.base_url = service_address(base_url)
        self.patience = patience
        self.on_retry: Callable[[HubAPIError], Any] | None = None
        """Called before each retry with the error of the failed attempt."""

    def _report(self, problem: HubAPIError | None) -> None:
        if problem is not None and self.on_retry is not None:
            self.on_retry(problem)

    def _patience(self, most: float | None) -> float:
        return self.patience if most is None else min(most, self.patience)

    def _build(self, http: httpx.Client | httpx.AsyncClient, ask: Ask) -> tuple[httpx.Request, Parts]:
        parts = ask.form() if ask.form else []
        timeout = http.timeout
        if ask.read_timeout is not None:
            timeout = httpx.Timeout(**{**timeout.as_dict(), "read": ask.read_timeout})
        request = http.build_request(
            ask.method,
            self.base_url + ask.path,
            params=list(ask.params) or None,
            json=None if ask.json is NOTHING else ask.json,
            headers={**_HEADERS, **ask.headers},
            files=[(f"file-{number}", part) for number, part in enumerate(parts)] or None,
            timeout=timeout,
        )
        return request, parts


def _problem_of(request: httpx.Request, problem: Exception) -> Exception:
    if isinstance(problem, (httpx.HTTPError, httpx.InvalidURL, httpx.StreamError)):
        return translated(problem, request.url)
    return problem


class SyncClient(_Http):
    """A synchronous client; thread-safe, and a context manager.

    Args:
        base_url: URL of the service, such as `http://127.0.0.1:5005`; a trailing /auth, /core or /storage is ignored.
        auth: authentication, such as :class:`PasswordAuth`.
        client: your own httpx.Client instead of `auth`, `timeout`, `proxy` and `verify`; you must close it.
        timeout: seconds, or httpx.Timeout.
        proxy: proxy URL; defaults to the proxy settings of the environment.
        verify: False to skip certificate checks, or an SSL context.
        patience: seconds to retry safe requests while the service is unavailable.
    """

    def __init__(
        self,
        base_url: str,
        auth: httpx.Auth | None = None,
        client: httpx.Client | None = None,
        *,
        timeout: float | httpx.Timeout = TIMEOUT,
        proxy: str | None = None,
        verify: Any = True,
        patience: float = PATIENCE,
    ) -> None:
        super().__init__(base_url, patience)
        self._own = client is None
        self.http = client or httpx.Client(auth=auth, timeout=timeout, proxy=proxy, verify=verify)

    def close(self) -> None:
        """Closes the connections."""
        if self._own:
            self.http.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def run(self, steps: Steps[T]) -> T:
        """Executes steps and returns their result."""
        walk = self._walk(iter(steps))
        while True:
            try:
                next(walk)
            except StopIteration as end:
                result: T = end.value
                return result

    def iterate(self, steps: Generator[Any, Any, None]) -> Iterator[Any]:
        """Executes steps and yields their items."""
        return self._walk(steps)

    def _walk(self, steps: Generator[Any, Any, Any]) -> Generator[Any, None, Any]:
        opened: dict[int, tuple[httpx.Response, Iterator[bytes]]] = {}
        result: Any = None
        problem: Exception | None = None
        try:
            while True:
                try:
                    step = steps.throw(problem) if problem else steps.send(result)
                except StopIteration as end:
                    return end.value
                result, problem = None, None
                if isinstance(step, Item):
                    yield step.value
                    continue
                try:
                    result = self._do(step, opened)
                except (HubAPIError, Failed, OSError) as error:
                    problem = error
        finally:
            steps.close()
            for response, _ in opened.values():
                response.close()

    def _do(self, step: Any, opened: dict[int, tuple[httpx.Response, Iterator[bytes]]]) -> Any:
        match step:
            case Send(ask, streamed, patience):
                walk = self._walk(attempts(ask, streamed, self._patience(patience)))
                try:
                    next(walk)
                except StopIteration as end:
                    if streamed:
                        opened[id(end.value)] = (end.value, end.value.iter_bytes())
                    return end.value
                raise AssertionError("attempts yield no items")
            case Once(ask, streamed):
                return self._once(ask, streamed)
            case Read(response):
                try:
                    return next(opened[id(response)][1], None)
                except (httpx.HTTPError, httpx.StreamError) as problem:
                    raise translated(problem, None).error from problem
            case Close(response):
                opened.pop(id(response), (response, None))[0].close()
            case Sleep(seconds, reason):
                self._report(reason)
                time.sleep(seconds)
            case Notify(listener, value):
                listener(value)
            case _:
                raise TypeError(f"{step!r} is not a step.")
        return None

    def _once(self, ask: Ask, streamed: bool) -> httpx.Response:
        request, parts = self._build(self.http, ask)
        try:
            response = self.http.send(request, stream=streamed)
            if streamed and response.status_code >= 400:
                response.read()
                response.close()
        except (httpx.HTTPError, httpx.InvalidURL, httpx.StreamError) as problem:
            raise _problem_of(request, problem) from problem
        finally:
            for _, file in parts:
                file.close()
        return response


class AsyncClient(_Http):
    """The asyncio counterpart of :class:`SyncClient`; an asynchronous context manager.

    Args:
        base_url: URL of the service.
        auth: authentication; the same objects as for :class:`SyncClient`.
        client: your own httpx.AsyncClient; you must close it.
        timeout: seconds, or httpx.Timeout.
        proxy: proxy URL.
        verify: False to skip certificate checks, or an SSL context.
        patience: seconds to retry safe requests while the service is unavailable.
    """

    def __init__(
        self,
        base_url: str,
        auth: httpx.Auth | None = None,
        client: httpx.AsyncClient | None = None,
        *,
        timeout: float | httpx.Timeout = TIMEOUT,
        proxy: str | None = None,
        verify: Any = True,
        patience: float = PATIENCE,
    ) -> None:
        super().__init__(base_url, patience)
        self._own = client is None
        self.http = client or httpx.AsyncClient(auth=auth, timeout=timeout, proxy=proxy, verify=verify)

    async def close(self) -> None:
        """Closes the connections."""
        if self._own:
            await self.http.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def arun(self, steps: Steps[T]) -> T:
        """Executes steps and returns their result."""
        result: list[T] = []
        async for _ in self._walk(iter(steps), result.append):
            raise AssertionError("a method yields no items")
        return result[0]

    def aiterate(self, steps: Generator[Any, Any, None]) -> AsyncIterator[Any]:
        """Executes steps and yields their items."""
        return self._walk(steps, lambda result: None)

    async def _walk(self, steps: Generator[Any, Any, Any], end_with: Callable[[Any], None]) -> AsyncIterator[Any]:
        opened: dict[int, tuple[httpx.Response, AsyncIterator[bytes]]] = {}
        result: Any = None
        problem: Exception | None = None
        try:
            while True:
                try:
                    step = steps.throw(problem) if problem else steps.send(result)
                except StopIteration as end:
                    end_with(end.value)
                    return
                result, problem = None, None
                if isinstance(step, Item):
                    yield step.value
                    continue
                try:
                    result = await self._do(step, opened)
                except (HubAPIError, Failed, OSError) as error:
                    problem = error
        finally:
            steps.close()
            for response, _ in opened.values():
                await response.aclose()

    async def _do(self, step: Any, opened: dict[int, tuple[httpx.Response, AsyncIterator[bytes]]]) -> Any:
        match step:
            case Send(ask, streamed, patience):
                results: list[httpx.Response] = []
                async for _ in self._walk(attempts(ask, streamed, self._patience(patience)), results.append):
                    raise AssertionError("attempts yield no items")
                if streamed:
                    opened[id(results[0])] = (results[0], results[0].aiter_bytes())
                return results[0]
            case Once(ask, streamed):
                return await self._once(ask, streamed)
            case Read(response):
                try:
                    return await anext(opened[id(response)][1], None)
                except (httpx.HTTPError, httpx.StreamError) as problem:
                    raise translated(problem, None).error from problem
            case Close(response):
                await opened.pop(id(response), (response, None))[0].aclose()
            case Sleep(seconds, reason):
                self._report(reason)
                await asyncio.sleep(seconds)
            case Notify(listener, value):
                answer = listener(value)
                if inspect.isawaitable(answer):
                    await answer
            case _:
                raise TypeError(f"{step!r} is not a step.")
        return None

    async def _once(self, ask: Ask, streamed: bool) -> httpx.Response:
        request, parts = self._build(self.http, ask)
        try:
            response = await self.http.send(request, stream=streamed)
            if streamed and response.status_code >= 400:
                await response.aread()
                await response.aclose()
        except (httpx.HTTPError, httpx.InvalidURL, httpx.StreamError) as problem:
            raise _problem_of(request, problem) from problem
        finally:
            for _, file in parts:
                file.close()
        return response
