"""The synchronous and the asynchronous transport, and the retry rules they share."""

from __future__ import annotations

import asyncio
import inspect
import random
import socket
import time
from collections.abc import AsyncIterator, Callable, Generator, Iterator
from contextlib import suppress
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from types import TracebackType
from typing import Any, Self, TypeVar

import httpx

from assembler_client.errors import HubAPIError, RateLimited, TransportError, Unavailable, error_of
from assembler_client.sansio.steps import NOTHING, Ask, Close, Flow, Item, Notify, Once, Parts, Read, Send, Sleep, Steps
from assembler_client.version import __version__

T = TypeVar("T")

TIMEOUT = httpx.Timeout(30.0, connect=10.0)
PATIENCE = 60.0
_FIRST_WAIT, _LONGEST_WAIT = 0.25, 5.0
_NOT_SENT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout)
_HEADERS = {"User-Agent": f"assembler-client/{__version__}", "Accept": "application/json"}
# All three are served below the same URL; the URL of any of them is accepted, too.
_SERVICES = ("/auth", "/core", "/storage")


class _Failed(Exception):
    """No response; `sent` is whether the request may have arrived."""

    def __init__(self, error: TransportError, sent: bool) -> None:
        super().__init__(error.message)
        self.error = error
        self.sent = sent


def attempts(ask: Ask, stream: bool, patience: float) -> Flow[httpx.Response]:
    """Sends a request, with retries as long as they are safe and the patience lasts.

    Args:
        ask: the request.
        stream: whether the response body is streamed.
        patience: seconds after the first attempt until retries stop.
    Returns:
        A response with a status below 400.
    Raises:
        HubAPIError: the service answered with an error, or not at all.
    """
    end = time.monotonic() + patience
    wait, repeated = _FIRST_WAIT, False
    while True:
        problem: HubAPIError
        maybe_done = False
        try:
            response: httpx.Response = yield Once(ask, stream)
        except _Failed as failed:
            problem, again, asked = failed.error, ask.repeatable or not failed.sent, None
            maybe_done = failed.sent
        except (Unavailable, RateLimited) as refused:
            # Raised while fetching a token: the request itself has not been sent.
            problem, again, asked = refused, True, getattr(refused, "retry_after", None)
        else:
            if response.status_code < 400:
                return response
            asked = retry_after(response)
            problem = error_of(response, asked)
            # 429 means that nothing was done; 503 may come from a proxy after the work was done.
            again = isinstance(problem, RateLimited) or (isinstance(problem, Unavailable) and ask.repeatable)
            again = again and problem.code != "quota_exceeded"
            maybe_done = isinstance(problem, Unavailable)
        # Jitter spreads the retries of many clients.
        pause = asked if asked is not None else wait * random.uniform(0.5, 1.0)  # noqa: S311 - jitter, not cryptography
        if not again or time.monotonic() + pause > end:
            problem.repeated = repeated
            raise problem
        repeated = repeated or maybe_done
        yield Sleep(pause, problem)
        wait = min(wait * 2, _LONGEST_WAIT)


def retry_after(response: httpx.Response) -> float | None:
    """Returns the Retry-After of a response in seconds, or None."""
    text = response.headers.get("Retry-After", "")
    if text.isdecimal():
        return float(text)
    with suppress(ValueError, TypeError):
        moment = parsedate_to_datetime(text)
        return max(0.0, (moment - datetime.now(moment.tzinfo or UTC)).total_seconds())
    return None


def _translated(problem: Exception, asked: httpx.URL | None) -> _Failed:
    """Translates an error of httpx."""
    url: httpx.URL | None = None
    sent = not isinstance(problem, _NOT_SENT)
    with suppress(RuntimeError):
        if isinstance(problem, httpx.RequestError):
            url = problem.request.url
            # While fetching a token, the request itself has not been sent.
            sent = sent and (asked is None or url == asked)
    return _Failed(TransportError(failure(problem, url)), sent)


def failure(problem: Exception, url: httpx.URL | None) -> str:
    """Returns the message for an error of httpx.

    Args:
        problem: the error.
        url: the requested URL, if known.
    """
    place = "the service" if url is None else str(url.copy_with(path="/", query=None, fragment=None)).rstrip("/")
    detail = f"{type(problem).__name__}: {problem}".removesuffix(": ")
    if isinstance(problem, httpx.ConnectTimeout):
        return f"Cannot reach {place}: connection timed out. Is the service running?"
    if isinstance(problem, httpx.TimeoutException):
        return f"{place} did not answer in time ({detail})."
    if not isinstance(problem, httpx.ConnectError):
        return f"The connection to {place} was lost ({detail})."
    causes = list(_causes(problem))
    if any(isinstance(cause, ConnectionRefusedError) for cause in causes):
        return f"Cannot reach {place}: connection refused. Is the service running?"
    if any(isinstance(cause, socket.gaierror) for cause in causes):
        return f"Cannot reach {place}: unknown host name. Check the address."
    return f"Cannot reach {place} ({detail}). Is the service running?"


def _causes(problem: BaseException | None) -> Iterator[BaseException]:
    while problem is not None:
        yield problem
        if isinstance(problem, BaseExceptionGroup):
            for one in problem.exceptions:
                yield from _causes(one)
        problem = problem.__cause__ or problem.__context__


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
        return _translated(problem, request.url)
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
                except (HubAPIError, _Failed, OSError) as error:
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
                    raise _translated(problem, None).error from problem
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
                except (HubAPIError, _Failed, OSError) as error:
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
                    raise _translated(problem, None).error from problem
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
