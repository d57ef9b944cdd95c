"""The calls that most resources have: one, many, find, iterate, make, change, delete."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Generator, Iterator, Mapping
from typing import Any, Generic, Protocol, TypeVar, overload

import httpx
from pydantic import ValidationError

from assembler_client.errors import InvalidAnswer, NotFound
from assembler_client.inputs import body_of
from assembler_client.models import Model
from assembler_client.sansio.steps import Ask, Async, Call, Flow, Item, Send, Steps, Sync, method, stream
from assembler_client.types import Filter, Order, Page, Ref, id_of, query

M = TypeVar("M", bound=Model)
M_co = TypeVar("M_co", covariant=True)
PAGE_SIZE = 200
"""The largest page that the service gives."""

Names = str | Collection[str] | None


class parsed(Generic[M]):  # noqa: N801 - it stands where a function does
    """Reads an answer as a model.

    Args:
        model: the class.
    """

    def __init__(self, model: type[M]) -> None:
        self.model = model

    def __call__(self, response: httpx.Response) -> M:
        """Reads one object.

        Raises:
            InvalidAnswer: it is something else.
        """
        return self._made(_json(response), response)

    def many(self, response: httpx.Response) -> list[M]:
        """Reads a list.

        Raises:
            InvalidAnswer: it is something else.
        """
        body = _json(response)
        rows = body.get("data") if isinstance(body, dict) else None
        if not isinstance(rows, list):
            raise InvalidAnswer(f"{response.request.url.path} did not answer with a list; is it an Assembler?")
        return [self._made(row, response) for row in rows]

    def _made(self, value: Any, response: httpx.Response) -> M:
        try:
            return self.model.model_validate(value)
        except ValidationError as problem:
            wrong = ", ".join(".".join(map(str, error["loc"])) or "all" for error in problem.errors()[:3])
            name = self.model.__name__
            raise InvalidAnswer(f"{response.request.url.path} did not answer with a {name}: {wrong}.") from None


def _json(response: httpx.Response) -> Any:
    try:
        return response.json()
    except (json.JSONDecodeError, UnicodeDecodeError):
        raise InvalidAnswer(f"{response.request.url.path} did not answer with JSON; is it an Assembler?") from None


def one(path: str, ref: Ref, model: type[M], params: tuple[tuple[str, str], ...] = ()) -> Call[M | None]:
    """Asks for one thing; None if it is not there."""
    read: Callable[[httpx.Response], M | None] = parsed(model)
    return Call(Ask("GET", f"{path}/{id_of(ref)}", params), read, (None,))


def made(path: str, kind: Any, fields: Mapping[str, Any], model: type[M]) -> Call[M]:
    """Makes a thing."""
    return Call(Ask("POST", path, json=body_of(kind, fields), repeatable=False), parsed(model))


def changed(path: str, ref: Ref, kind: Any, fields: Mapping[str, Any], model: type[M]) -> Call[M]:
    """Changes the given fields of a thing; twice the same is the same."""
    return Call(Ask("POST", f"{path}/{id_of(ref)}", json=body_of(kind, fields)), parsed(model))


def deleted(path: str, ref: Ref) -> Flow[None]:
    """Deletes a thing."""
    try:
        yield Send(Ask("DELETE", f"{path}/{id_of(ref)}"))
    except NotFound as problem:
        # It is gone because an earlier attempt has done it.
        if not problem.repeated:
            raise


def pages(ask: Ask, model: type[M], sort: str | None = None) -> Any:
    """Gives all things of a list, page by page.

    A page is asked for by its number of things so far, so of a list that changes meanwhile one may be missing or come
    twice; in the order of creation, oldest first, only deletions do that.
    """
    read, offset = parsed(model), 0
    while True:
        page = (("page[limit]", str(PAGE_SIZE)), ("page[offset]", str(offset)))
        response = yield Send(Ask(ask.method, ask.path, (*ask.params, *page)))
        rows = read.many(response)
        for row in rows:
            yield Item(row)
        offset += len(rows)
        if not rows or offset >= int(response.json().get("meta", {}).get("total", 0)):
            return


class _Finds(Protocol[M_co]):
    def __call__(
        self,
        *,
        filter: Filter | None = None,
        page: Page | None = None,
        sort: Order | None = None,
        fields: Names = None,
        include: Names = None,
    ) -> M_co:
        """Finds what matches."""
        ...


class _Iterates(Protocol[M_co]):
    def __call__(
        self,
        *,
        filter: Filter | None = None,
        sort: Order | None = None,
        fields: Names = None,
        include: Names = None,
    ) -> M_co:
        """Finds everything that matches."""
        ...


class _Gets(Protocol[M_co]):
    def __call__(self, ref: Ref, *, fields: Names = None, include: Names = None) -> M_co:
        """Gets one."""
        ...


class _OfList(Generic[M]):
    """Base of the methods below: descriptors, as :class:`method` is one.

    Args:
        path: of the list.
        model: what is in it.
    """

    text = ""

    def __init__(self, path: str, model: type[M]) -> None:
        self.path = path
        self.model = model
        self.__doc__ = self.text.format(model.__name__)


class getting(_OfList[M]):  # noqa: N801 - it stands where a decorator does
    """The method `get_<one>`."""

    text = "Gets one {}; None if it is not there."

    @overload
    def __get__(self, instance: None, owner: type) -> Callable[[Any, Ref], Steps[M | None]]: ...
    @overload
    def __get__(self, instance: Sync, owner: type) -> _Gets[M | None]: ...
    @overload
    def __get__(self, instance: Async, owner: type) -> _Gets[Awaitable[M | None]]: ...
    def __get__(self, instance: Any, owner: type) -> Any:
        """Returns the method."""

        def build(self_: Any, ref: Ref, *, fields: Names = None, include: Names = None) -> Call[M | None]:
            return one(self.path, ref, self.model, query(fields=fields, include=include))

        build.__doc__ = self.__doc__
        return method(build).__get__(instance, owner)


class listing(_OfList[M]):  # noqa: N801 - read like a function
    """The method `get_<plural>`: the first 50."""

    text = "Gets the first 50 of the type {}."

    @overload
    def __get__(self, instance: None, owner: type) -> Callable[..., Steps[list[M]]]: ...
    @overload
    def __get__(self, instance: Sync, owner: type) -> _Finds[list[M]]: ...
    @overload
    def __get__(self, instance: Async, owner: type) -> _Finds[Awaitable[list[M]]]: ...
    def __get__(self, instance: Any, owner: type) -> Any:
        """Returns the method."""

        def build(
            self_: Any,
            *,
            filter: Filter | None = None,
            page: Page | None = None,
            sort: Order | None = None,
            fields: Names = None,
            include: Names = None,
        ) -> Call[list[M]]:
            ask = Ask("GET", self.path, query(filter, page, sort, fields, include))
            return Call(ask, parsed(self.model).many)

        build.__doc__ = self.__doc__
        return method(build).__get__(instance, owner)


class finding(listing[M]):  # noqa: N801 - read like a function
    """The method `find_<plural>`: a filter, a page, an order."""

    text = "Finds those of the type {} that match the filter, in an order, a page of them."


class finding_one(_OfList[M]):  # noqa: N801 - read like a function
    """The method `find_one_<one>`: the first that matches."""

    text = "Finds the first {} that matches; None if none does."

    @overload
    def __get__(self, instance: None, owner: type) -> Callable[..., Steps[M | None]]: ...
    @overload
    def __get__(self, instance: Sync, owner: type) -> _Iterates[M | None]: ...
    @overload
    def __get__(self, instance: Async, owner: type) -> _Iterates[Awaitable[M | None]]: ...
    def __get__(self, instance: Any, owner: type) -> Any:
        """Returns the method."""

        def build(
            self_: Any,
            *,
            filter: Filter | None = None,
            sort: Order | None = None,
            fields: Names = None,
            include: Names = None,
        ) -> Call[M | None]:
            ask = Ask("GET", self.path, query(filter, {"limit": 1}, sort, fields, include))
            read = parsed(self.model)
            return Call(ask, lambda response: next(iter(read.many(response)), None))

        build.__doc__ = self.__doc__
        return method(build).__get__(instance, owner)


class iterating(_OfList[M]):  # noqa: N801 - read like a function
    """The method `iter_<plural>`: all that match, page by page."""

    text = "Gives all of the type {} that match, page by page, oldest first if no order is given."

    @overload
    def __get__(self, instance: None, owner: type) -> Callable[..., Generator[Any, Any, None]]: ...
    @overload
    def __get__(self, instance: Sync, owner: type) -> _Iterates[Iterator[M]]: ...
    @overload
    def __get__(self, instance: Async, owner: type) -> _Iterates[AsyncIterator[M]]: ...
    def __get__(self, instance: Any, owner: type) -> Any:
        """Returns the method."""

        def build(
            self_: Any,
            *,
            filter: Filter | None = None,
            sort: Order | None = None,
            fields: Names = None,
            include: Names = None,
        ) -> Any:
            return pages(Ask("GET", self.path, query(filter, None, sort or "created_at", fields, include)), self.model)

        build.__doc__ = self.__doc__
        return stream(build).__get__(instance, owner)
