"""Calls common to most resources: get, list, find, iterate, create, update, delete."""

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
"""Maximum page size of the service."""

Names = str | Collection[str] | None


class parsed(Generic[M]):  # noqa: N801 - used like a function
    """Parses responses into a model.

    Args:
        model: the model class.
    """

    def __init__(self, model: type[M]) -> None:
        self.model = model

    def __call__(self, response: httpx.Response) -> M:
        """Parses one object.

        Raises:
            InvalidAnswer: the response is not such an object.
        """
        return self._validated(_json(response), response)

    def many(self, response: httpx.Response) -> list[M]:
        """Parses a list of objects.

        Raises:
            InvalidAnswer: the response is not such a list.
        """
        body = _json(response)
        rows = body.get("data") if isinstance(body, dict) else None
        if not isinstance(rows, list):
            raise InvalidAnswer(f"{response.request.url.path} did not return a list. Is this an Assembler service?")
        return [self._validated(row, response) for row in rows]

    def _validated(self, value: Any, response: httpx.Response) -> M:
        try:
            return self.model.model_validate(value)
        except ValidationError as problem:
            wrong = ", ".join(".".join(map(str, error["loc"])) or "all" for error in problem.errors()[:3])
            name = self.model.__name__
            raise InvalidAnswer(
                f"{response.request.url.path} did not return a valid {name}; invalid fields: {wrong}."
            ) from None


def _json(response: httpx.Response) -> Any:
    try:
        return response.json()
    except (json.JSONDecodeError, UnicodeDecodeError):
        raise InvalidAnswer(f"{response.request.url.path} did not return JSON. Is this an Assembler service?") from None


def one(path: str, ref: Ref, model: type[M], params: tuple[tuple[str, str], ...] = ()) -> Call[M | None]:
    """Gets one object, or None if it does not exist."""
    read: Callable[[httpx.Response], M | None] = parsed(model)
    return Call(Ask("GET", f"{path}/{id_of(ref)}", params), read, (None,))


def create(path: str, kind: Any, fields: Mapping[str, Any], model: type[M]) -> Call[M]:
    """Creates an object."""
    return Call(Ask("POST", path, json=body_of(kind, fields), repeatable=False), parsed(model))


def update(path: str, ref: Ref, kind: Any, fields: Mapping[str, Any], model: type[M]) -> Call[M]:
    """Updates the given fields of an object; idempotent."""
    return Call(Ask("POST", f"{path}/{id_of(ref)}", json=body_of(kind, fields)), parsed(model))


def delete(path: str, ref: Ref) -> Flow[None]:
    """Deletes an object."""
    try:
        yield Send(Ask("DELETE", f"{path}/{id_of(ref)}"))
    except NotFound as problem:
        # Not found after a retry: an earlier attempt has deleted it.
        if not problem.repeated:
            raise


def pages(ask: Ask, model: type[M], sort: str | None = None) -> Any:
    """Yields all objects of a list, page by page.

    Pages are requested by offset: if the list changes meanwhile, an object may be skipped or repeated. Sorted by
    creation, oldest first, only deletions have this effect.
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
        """Finds matching objects."""
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
        """Finds all matching objects."""
        ...


class _Gets(Protocol[M_co]):
    def __call__(self, ref: Ref, *, fields: Names = None, include: Names = None) -> M_co:
        """Gets one object."""
        ...


class _OfList(Generic[M]):
    """Base of the descriptors below, which work like :class:`method`.

    Args:
        path: path of the list.
        model: class of its objects.
    """

    text = ""

    def __init__(self, path: str, model: type[M]) -> None:
        self.path = path
        self.model = model
        self.__doc__ = self.text.format(model.__name__)


class getting(_OfList[M]):  # noqa: N801 - used like a decorator
    """The method `get_<one>`."""

    text = "Gets one {}, or None if it does not exist."

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


class listing(_OfList[M]):  # noqa: N801 - used like a function
    """The method `get_<plural>`: the first 50 objects."""

    text = "Gets the first 50 objects of type {}."

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


class finding(listing[M]):  # noqa: N801 - used like a function
    """The method `find_<plural>`: filter, page and sort order."""

    text = "Finds objects of type {} by filter, page and sort order."


class finding_one(_OfList[M]):  # noqa: N801 - used like a function
    """The method `find_one_<one>`: the first match."""

    text = "Finds the first {} that matches, or None."

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


class iterating(_OfList[M]):  # noqa: N801 - used like a function
    """The method `iter_<plural>`: all matches, page by page."""

    text = "Iterates over all matching objects of type {}, page by page, oldest first by default."

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
