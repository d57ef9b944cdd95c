"""The core without input and output: what a client does, as steps that a transport carries out.

A method is written once, as a function that returns a :class:`Call` or is a generator of steps. :class:`method` and
:class:`stream` make of it a method that returns its result on a client of :class:`Sync`, and an awaitable of it on one
of :class:`Async`.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import AsyncIterator, Callable, Coroutine, Generator, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, BinaryIO, Concatenate, Generic, ParamSpec, Protocol, TypeAlias, TypeVar, overload

import httpx

P = ParamSpec("P")
T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)


class _Nothing:
    """No body at all; None is the JSON null."""


NOTHING = _Nothing()
Parts: TypeAlias = list[tuple[str, BinaryIO]]


@dataclass(frozen=True)
class Ask:
    """One request.

    Args:
        method: of HTTP.
        path: below the address of the service, with a slash in front.
        params: of the query.
        json: the body.
        headers: beside the usual ones.
        form: opens the files of a form anew for each attempt; file name and content of each.
        repeatable: whether it may be sent again although an earlier one may have arrived.
        read_timeout: seconds of silence; None for the client's own.
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
    """Step: send, repeat what may be repeated, and give the answer; errors are raised.

    Args:
        ask: the request.
        stream: whether the answer is read piece by piece.
        patience: most seconds of repeating; None for the client's own.
    """

    ask: Ask
    stream: bool = False
    patience: float | None = None


@dataclass(frozen=True)
class Once:
    """Step: send once; gives the answer, whatever its status is."""

    ask: Ask
    stream: bool = False


@dataclass(frozen=True)
class Read:
    """Step: gives the next bytes of a streamed answer, or None at its end."""

    response: httpx.Response


@dataclass(frozen=True)
class Close:
    """Step: closes a streamed answer."""

    response: httpx.Response


@dataclass(frozen=True)
class Sleep:
    """Step: wait some seconds."""

    seconds: float


@dataclass(frozen=True)
class Tell:
    """Step: call a function of the caller; on an asynchronous client it may be a coroutine function."""

    listener: Callable[[Any], Any]
    value: Any


@dataclass(frozen=True)
class Item(Generic[T_co]):
    """Step: give one item to who iterates."""

    value: T_co


Step: TypeAlias = Send | Once | Read | Close | Sleep | Tell
Flow: TypeAlias = Generator[Any, Any, T]
"""Steps that end with a result."""


class Steps(Protocol[T_co]):
    """What can be carried out: a call or a flow."""

    def __iter__(self) -> Generator[Any, Any, T_co]:
        """Returns the steps."""
        ...


@dataclass(frozen=True)
class Call(Generic[T]):
    """One request and what is made of its answer.

    Args:
        ask: the request.
        parse: reads the answer.
        gone_is: what a missing thing gives instead of an error, as a tuple of one; empty for the error.
    """

    ask: Ask
    parse: Callable[[httpx.Response], T]
    gone_is: tuple[T, ...] = ()

    def __iter__(self) -> Generator[Any, Any, T]:
        """Sends it."""
        from assembler_client.errors import NotFound

        try:
            response = yield Send(self.ask)
        except NotFound:
            if not self.gone_is:
                raise
            return self.gone_is[0]
        return self.parse(response)


class Sync(Protocol):
    """A client whose methods return results."""

    def run(self, steps: Steps[T]) -> T:
        """Carries out steps."""
        ...

    def iterate(self, steps: Generator[Any, Any, None]) -> Iterator[Any]:
        """Carries out steps, and gives the items among them."""
        ...


class Async(Protocol):
    """A client whose methods return awaitables."""

    async def arun(self, steps: Steps[T]) -> T:
        """Carries out steps."""
        ...

    def aiterate(self, steps: Generator[Any, Any, None]) -> AsyncIterator[Any]:
        """Carries out steps, and gives the items among them."""
        ...


class method(Generic[P, T]):  # noqa: N801 - it is used as a decorator
    """A method of both kinds of clients.

    Args:
        build: gives the steps.
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
        """Returns the steps' maker of the class, or the method of a client."""
        if instance is None:
            return self.build
        run = instance.run if hasattr(instance, "run") else instance.arun
        return _bound(self.build, lambda *args, **kwargs: run(self.build(instance, *args, **kwargs)))


class stream(Generic[P, T]):  # noqa: N801 - it is used as a decorator
    """A method that gives items one by one, on both kinds of clients.

    Args:
        build: gives the steps, and :class:`Item` among them.
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
        """Returns the steps' maker of the class, or the method of a client."""
        if instance is None:
            return self.build
        iterate = instance.iterate if hasattr(instance, "iterate") else instance.aiterate
        return _bound(self.build, lambda *args, **kwargs: iterate(self.build(instance, *args, **kwargs)))


def _bound(build: Callable[..., Any], made: Callable[..., Any]) -> Callable[..., Any]:
    # So that help() and inspect show the method's own text and arguments, without self.
    functools.update_wrapper(made, build)
    del made.__dict__["__wrapped__"]
    made.__signature__ = _signature(build)  # type: ignore[attr-defined]  # what inspect looks for
    return made


@functools.cache
def _signature(build: Callable[..., Any]) -> inspect.Signature:
    whole = inspect.signature(build)
    return whole.replace(parameters=list(whole.parameters.values())[1:])
