"""Retries: which requests are sent again and when, and errors of httpx as errors of the client."""

from __future__ import annotations

import random
import socket
import time
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

import httpx

from assembler_client.errors import HubAPIError, RateLimited, TransportError, Unavailable, error_of
from assembler_client.sansio.steps import Ask, Flow, Once, Sleep

_FIRST_WAIT, _LONGEST_WAIT = 0.25, 5.0
_NOT_SENT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout)


class Failed(Exception):
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
        except Failed as failed:
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


def translated(problem: Exception, asked: httpx.URL | None) -> Failed:
    """Translates an error of httpx."""
    url: httpx.URL | None = None
    sent = not isinstance(problem, _NOT_SENT)
    with suppress(RuntimeError):
        if isinstance(problem, httpx.RequestError):
            url = problem.request.url
            # While fetching a token, the request itself has not been sent.
            sent = sent and (asked is None or url == asked)
    return Failed(TransportError(failure(problem, url)), sent)


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
