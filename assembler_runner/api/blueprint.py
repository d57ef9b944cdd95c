"""Blueprints that declare who may call, what is taken, and which errors there are."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import flask_smorest
import marshmallow as ma

from assembler_runner.accounts.auth import public
from assembler_runner.accounts.permissions import requires
from assembler_runner.api.schemas.base import ErrorSchema


class Blueprint(flask_smorest.Blueprint):
    """A blueprint whose views declare who may call them; the declaration stands in the API's documentation, too."""

    @staticmethod
    def doc(**kwargs: Any) -> Callable[[Any], Any]:
        """Adds to the documentation of a view.

        The library's own wraps the view and copies all that was said of it, each time: a twentieth of the start.
        """

        def add(view: Any) -> Any:
            known = getattr(view, "_apidoc", {})
            view._apidoc = {**known, "manual_doc": _merged(known.get("manual_doc", {}), kwargs)}
            return view

        return add

    def needs(self, permission: str) -> Callable[[Any], Any]:
        """Declares the permission that a view needs.

        Args:
            permission: its name, or `any` for whoever is logged in.
        """
        documented = self.doc(**{"x-permission": permission}, **fails(401, 403))
        return lambda view: documented(requires(permission)(view))

    def open(self) -> Callable[[Any], Any]:
        """Declares that a view needs no token."""
        documented = self.doc(security=[])
        return lambda view: documented(public(view))


def _merged(old: dict[str, Any], new: dict[str, Any]) -> dict[str, Any]:
    both = {key: _merged(old[key], new[key]) for key in new if isinstance(old.get(key), dict)}
    return {**old, **new, **both}


def takes(schema: type[ma.Schema], more: dict[str, Any] | None = None) -> dict[str, Any]:
    """Returns the documentation of a JSON body; the view reads it, so that all problems are told at once.

    Args:
        schema: the JSON.
        more: media type → what else is taken.
    """
    content: dict[str, Any] = {"schema": schema}
    if example := getattr(schema, "example", None):
        content["example"] = example
    return {"requestBody": {"required": True, "content": {"application/json": content, **(more or {})}}}


def fails(*statuses: int, schema: type[ErrorSchema] = ErrorSchema) -> dict[str, Any]:
    """Returns the documentation of error answers."""
    texts = {
        400: "Not understood",
        401: "No valid token",
        403: "Not allowed",
        404: "Not there",
        409: "Conflict",
        412: "Changed since",
        413: "Too large",
        422: "Not valid",
        429: "Too much in too short a time",
        502: "The Hub refused",
        503: "The Hub or the database does not answer",
    }
    return {
        "responses": {
            str(status): {"description": texts[status], "content": {"application/json": {"schema": schema}}}
            for status in statuses
        }
    }
