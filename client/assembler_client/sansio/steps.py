"""Steps: what a client method does, without I/O. A transport executes them.

A method is written once, as a function that returns a :class:`Call` or as a generator of steps. :class:`method` and
:class:`stream` turn it into a method that returns its result on a :class:`Sync` client and an awaitable on an
:class:`Async` client.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import AsyncIterator, Callable, Coroutine, Generator, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, BinaryIO, Concatenate, Generic, ParamSpec, Protocol, TypeAlias, TypeVar, overload

import httpx

if TYPE_CHECKING:
    from assembler_client.errors import HubAPIError

P = ParamSpec("P")
T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)


class _Nothing:
    """No body; None is the JSON null."""


NOTHING = _Nothing()
Parts: TypeAlias = list[tuple[str, BinaryIO]]


@dataclass(frozen=True)
class Ask:
    """An HTTP request.

    Args:
        method: HTTP method.
        path: path below the service URL, with a leading slash.
        params: query parameters.
        json: JSON body.
        headers: additional headers.
        form: opens the files of a multipart form, once per attempt; file name and content of each.
        repeatable: whether a retry is safe even if an earlier attempt may have arrived.
        read_timeout: read timeout in seconds; None for the client's default.
    """

    method: str
    path: str
    params: tuple[tuple[str, str], ...] = ()
    json: Any = NOTHING
    headers: Mapping[str, str] = field(default_factory=dict)
    form: Callable[[], Parts] | None = None
    repeatable: bool = True
    read_timeout: float | None = None


@dataclass(frozen=True)
class Send:
    """Step: send with retries and return the response; errors are raised.

    Args:
        ask: the request.
        stream: whether the response body is streamed.
        patience: maximum seconds of retrying; None for the client's default.
    """

    ask: Ask
    stream: bool = False
    patience: float | None = None


@dataclass(frozen=True)
class Once:
    """Step: send once and return the response, whatever its status."""

    ask: Ask
    stream: bool = False


@dataclass(frozen=True)
class Read:
    """Step: return the next bytes of a streamed response, or None at its end."""

    response: httpx.Response


@dataclass(frozen=True)
class Close:
    """Step: close a streamed response."""

    response: httpx.Response


@dataclass(frozen=True)
class Sleep:
    """Step: sleep.

    Args:
        seconds: how long.
        problem: the error that the next attempt may not have, if this is the pause before a retry.
    """

    seconds: float
    problem: HubAPIError | None = None


@dataclass(frozen=True)
class Notify:
    """Step: call a listener; on an asynchronous client it may be a coroutine function."""

    listener: Callable[[Any], Any]
    value: Any


@dataclass(frozen=True)
class Item(Generic[T_co]):
    """Step: yield an item to the caller."""

    value: T_co


Step: TypeAlias = Send | Once | Read | Close | Sleep | Notify
Flow: TypeAlias = Generator[Any, Any, T]
"""Steps that return a result."""


class Steps(Protocol[T_co]):
    """Anything a transport can execute: a call or a flow."""

    def __iter__(self) -> Generator[Any, Any, T_co]:
        """Returns an iterator over the steps."""
        ...


@dataclass(frozen=True)
class Call(Generic[T]):
    """A request and the parser of its response.

    Args:
        ask: the request.
        parse: parses the response.
        gone_is: result for a missing object, as a tuple of one; empty to raise the error.
    """

    ask: Ask
    parse: Callable[[httpx.Response], T]
    gone_is: tuple[T, ...] = ()

    def __iter__(self) -> Generator[Any, Any, T]:
        """Sends the request and parses the response."""
        from assembler_client.errors import NotFound

        try:
            response = yield Send(self.ask)
        except NotFound:
            if not self.gone_is:
                raise
            return self.gone_is[0]
        return self.parse(response)


class Sync(Protocol):
    """A synchronous client: methods return results."""

    def run(self, steps: Steps[T]) -> T:
        """Executes steps and returns their result."""
        ...

    def iterate(self, steps: Generator[Any, Any, None]) -> Iterator[Any]:
        """Executes steps and yields their items."""
        ...


class Async(Protocol):
    """An asynchronous client: methods return awaitables."""

    async def arun(self, steps: Steps[T]) -> T:
        """Executes steps and returns their result."""
        ...

    def aiterate(self, steps: Generator[Any, Any, None]) -> AsyncIterator[Any]:
        """Executes steps and yields their items."""
        ...


class method(Generic[P, T]):  # noqa: N801 - used as a decorator
    """A method for synchronous and asynchronous clients.

    Args:
        build: returns the steps.
    """

    def __init__(self, build: Callable[Concatenate[Any, P], Steps[T]]) -> None:
        self.build = build
        self.__doc__ = build.__doc__

    @overload
    def __get__(self, instance: None, owner: type) -> Callable[Concatenate[Any, P], Steps[T]]: ...
    @overload
    def __get__(self, instance: Sync, owner: type) -> Callable[P, T]: ...
    @overload
    def __get__(self, instance: Async, owner: type) -> Callable[P, Coroutine[Any, Any, T]]: ...
    def __get__(self, instance: Any, owner: type) -> Any:
        """Returns the step function on a class, or the bound method on a client."""
        if instance is None:
            return self.build
        run = instance.run if hasattr(instance, "run") else instance.arun
        return _bound(self.build, lambda *args, **kwargs: run(self.build(instance, *args, **kwargs)))


class stream(Generic[P, T]):  # noqa: N801 - used as a decorator
    """A generator method for synchronous and asynchronous clients.

    Args:
        build: returns the steps, including :class:`Item` steps.
    """

    def __init__(self, build: Callable[Concatenate[Any, P], Generator[Step | Item[T], Any, None]]) -> None:
        self.build = build
        self.__doc__ = build.__doc__

    @overload
    def __get__(
        self, instance: None, owner: type
    ) -> Callable[Concatenate[Any, P], Generator[Step | Item[T], Any, None]]: ...
    @overload
    def __get__(self, instance: Sync, owner: type) -> Callable[P, Iterator[T]]: ...
    @overload
    def __get__(self, instance: Async, owner: type) -> Callable[P, AsyncIterator[T]]: ...
    def __get__(self, instance: Any, owner: type) -> Any:
        """Returns the step function on a class, or the bound method on a client."""
        if instance is None:
            return self.build
        iterate = instance.iterate if hasattr(instance, "iterate") else instance.aiterate
        return _bound(self.build, lambda *args, **kwargs: iterate(self.build(instance, *args, **kwargs)))


def _bound(build: Callable[..., Any], made: Callable[..., Any]) -> Callable[..., Any]:
    # help() and inspect shall show the docstring and arguments of the method, without self.
    functools.update_wrapper(made, build)
    del made.__dict__["__wrapped__"]
    made.__signature__ = _signature(build)  # type: ignore[attr-defined]  # read by inspect
    return made


@functools.cache
def _signature(build: Callable[..., Any]) -> inspect.Signature:
    whole = inspect.signature(build)
    return whole.replace(parameters=list(whole.parameters.values())[1:])
