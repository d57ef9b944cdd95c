"""Blueprints whose views declare required permissions, bodies and errors."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import flask_smorest
import marshmallow as ma

from assembler_runner.accounts.auth import public
from assembler_runner.accounts.permissions import requires
from assembler_runner.api.schemas.base import ErrorSchema
from assembler_runner.core.listing import AFTER, DEFAULT_LIMIT, MAX_LIMIT, Listing


class Blueprint(flask_smorest.Blueprint):
    """A blueprint whose views declare the permission they require; the API's documentation shows it."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._documented: list[tuple[tuple[Any, ...], dict[str, Any]]] = []

    @staticmethod
    def doc(**kwargs: Any) -> Callable[[Any], Any]:
        """Adds to the documentation of a view.

        The library's own decorator wraps the view and copies its documentation each time, which takes 5 % of the
        start-up time.
        """

        def add(view: Any) -> Any:
            known = getattr(view, "_apidoc", {})
            view._apidoc = {**known, "manual_doc": _merged(known.get("manual_doc", {}), kwargs)}
            return view

        return add

    def add_url_rule(
        self, rule: str, endpoint: str | None = None, view_func: Any = None, *more: Any, **options: Any
    ) -> None:
        """Adds a view; its name is the operationId of the documentation, from which generators name their functions."""
        view_func = self.doc(operationId=view_func.__name__)(view_func)
        super().add_url_rule(rule, endpoint, view_func, *more, **options)

    def _store_endpoint_docs(self, *arguments: Any, **options: Any) -> None:
        # The library copies the documentation of each view here, which takes 4 % of the start-up time.
        self._documented.append((arguments, options))

    def register_views_in_doc(self, *arguments: Any, **options: Any) -> None:
        """Adds the views to a document."""
        for view, methods in self._documented:
            super()._store_endpoint_docs(*view, **methods)
        super().register_views_in_doc(*arguments, **options)

    def lists(self, listing: Listing) -> Callable[[Any], Any]:
        """Documents the query parameters of a list.

        Args:
            listing: the fields that it filters and sorts by.
        """
        return self.doc(parameters=list(_list_parameters(listing)))

    def needs(self, permission: str) -> Callable[[Any], Any]:
        """Declares the permission that a view needs.

        Args:
            permission: its name, or `any` for every authenticated account.
        """
        documented = self.doc(**{"x-permission": permission}, **fails(401, 403))
        return lambda view: documented(requires(permission)(view))

    def open(self) -> Callable[[Any], Any]:
        """Declares that a view requires no token."""
        documented = self.doc(security=[])
        return lambda view: documented(public(view))


def _merged(old: dict[str, Any], new: dict[str, Any]) -> dict[str, Any]:
    both = {key: _merged(old[key], new[key]) for key in new if isinstance(old.get(key), dict)}
    lists = {key: [*old[key], *new[key]] for key in new if isinstance(old.get(key), list)}
    return {**old, **new, **both, **lists}


_OPERATORS = "A value, or an operator and a value: `!`, `~`, `!~`, `<`, `<=`, `>`, `>=`."


def _list_parameters(listing: Listing) -> Iterator[dict[str, Any]]:
    sorts = [sign + name for name in sorted(listing.fields) for sign in ("", "-")]
    integer, text = {"type": "integer", "minimum": 0}, {"type": "string"}
    limit = {"type": "integer", "minimum": 1, "maximum": MAX_LIMIT, "default": DEFAULT_LIMIT}
    yield _query("page[limit]", limit, "Maximum number of rows.")
    yield _query("page[offset]", integer, "Number of rows to skip.")
    yield _query(AFTER, text, "`meta.after` of the page before: continues at the same cost on every page.")
    sort = {"type": "string", "enum": sorts, "default": listing.default_sort}
    yield _query("sort", sort, "Field to sort by; a leading - sorts in descending order.")
    for name in listing.filters:
        yield _query(f"filter[{name}]", text, _OPERATORS)


def _query(name: str, schema: dict[str, Any], description: str) -> dict[str, Any]:
    return {"in": "query", "name": name, "schema": schema, "description": description}


def takes(schema: type[ma.Schema], more: dict[str, Any] | None = None) -> dict[str, Any]:
    """Returns the documentation of a JSON body. The view parses the body itself, to report all problems at once.

    Args:
        schema: the schema of the JSON.
        more: further media types → their documentation.
    """
    content: dict[str, Any] = {"schema": schema}
    if example := getattr(schema, "example", None):
        content["example"] = example
    return {"requestBody": {"required": True, "content": {"application/json": content, **(more or {})}}}


def fails(*statuses: int, schema: type[ErrorSchema] = ErrorSchema) -> dict[str, Any]:
    """Returns the documentation of error responses."""
    texts = {
        400: "Malformed request",
        401: "No valid token",
        403: "Permission denied",
        404: "Not found",
        409: "Conflict",
        412: "Precondition failed: changed since",
        413: "Too large",
        422: "Invalid input",
        429: "Too many requests",
        502: "The Hub rejected the call",
        503: "The Hub or the database is unavailable",
    }
    return {
        "responses": {
            str(status): {"description": texts[status], "content": {"application/json": {"schema": schema}}}
            for status in statuses
        }
    }
