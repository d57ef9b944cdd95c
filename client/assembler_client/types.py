"""Argument types of the clients: references, filters, pages and sort orders."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import Any, Literal, TypeAlias
from uuid import UUID

from typing_extensions import TypedDict

from assembler_client.errors import invalid_input
from assembler_client.models import Finding, Model, Thing

Ref: TypeAlias = Thing | UUID | str
"""An object of the service, or its id."""


class FilterOperator(StrEnum):
    """Comparison operators of filters."""

    eq = ""
    neq = "!"
    like = "~"
    not_like = "!~"
    lt = "<"
    le = "<="
    gt = ">"
    ge = ">="


Plain: TypeAlias = str | int | float | bool | datetime | UUID | Model | None
Condition: TypeAlias = Plain | Collection[Plain] | tuple[FilterOperator, Any] | list[tuple[FilterOperator, Any]]
"""A value, a collection of values (one must match), (operator, value), or a list of such pairs (all must match)."""
Filter: TypeAlias = Mapping[str, Condition]
"""Field → condition; all conditions must match."""


class Page(TypedDict, total=False):
    """A page of a list: at most `limit` rows (default 50, maximum 200), starting at `offset`."""

    limit: int
    offset: int


class Sort(TypedDict, total=False):
    """The field a list is sorted by; ascending by default."""

    by: str
    order: Literal["ascending", "descending"]


Order: TypeAlias = Sort | str | list[Sort]
"""One or more fields; a string uses the syntax of the service, such as `-created_at,name`."""
FileContent: TypeAlias = str | bytes | Path | Mapping[str, str]
"""Text, bytes, a local file, or the JSON form of the service, such as `{"bucket_file_id": "…"}`."""


def contains(text: str) -> tuple[FilterOperator, str]:
    """Returns the condition that a field contains a text, ignoring case."""
    return FilterOperator.like, f"%{text}%"


def begins_with(text: str) -> tuple[FilterOperator, str]:
    """Returns the condition that a field begins with a text, ignoring case."""
    return FilterOperator.like, text


def between(low: Plain = None, high: Plain = None) -> list[tuple[FilterOperator, Any]]:
    """Returns the condition that a field is in an inclusive range; None leaves that end open."""
    ends = [(FilterOperator.ge, low), (FilterOperator.le, high)]
    return [(operator, value) for operator, value in ends if value is not None]


def id_of(ref: Ref) -> str:
    """Returns the id of an object.

    Raises:
        InvalidRequest: the value is not a UUID; anything else could change the requested URL.
    """
    if isinstance(ref, Thing):
        return str(ref.id)
    try:
        return str(ref if isinstance(ref, UUID) else UUID(ref))
    except (ValueError, AttributeError, TypeError):
        hint = "Pass the object, or its id as a UUID or as text."
        finding = Finding(code="invalid_id", message=f"{ref!r} is not an id.", hint=hint)
        raise invalid_input([finding]) from None


def query(
    filter: Filter | None = None,
    page: Page | None = None,
    sort: Order | None = None,
    fields: str | Collection[str] | None = None,
    include: str | Collection[str] | None = None,
) -> tuple[tuple[str, str], ...]:
    """Returns the query parameters of a list.

    Raises:
        InvalidRequest: a key of `page` or `sort`, or a sort order, is unknown.
    """
    pairs = [(f"filter[{name}]", text) for name, value in (filter or {}).items() for text in _conditions(value)]
    findings = [_unknown("page", key, Page.__annotations__) for key in (page or {}) if key not in Page.__annotations__]
    pairs += [(f"page[{name}]", str(value)) for name, value in (page or {}).items()]
    if sort:
        parts = [sort] if isinstance(sort, (str, dict)) else sort
        texts, problems = zip(*(_order(part) for part in parts), strict=True)
        findings += [problem for problem in problems if problem]
        pairs.append(("sort", ",".join(texts)))
    if findings:
        raise invalid_input(findings)
    for name, added in (("fields", fields), ("include", include)):
        if added:
            names = [added] if isinstance(added, str) else list(added)
            pairs.append((name, ",".join(f"+{one}" if name == "fields" else one for one in names)))
    return tuple(pairs)


def _unknown(where: str, key: str, known: Collection[str]) -> Finding:
    hint = f"Known: {', '.join(known)}."
    return Finding(code="unknown_field", path=f"{where}.{key}", message=f"Unknown key {key} in {where}.", hint=hint)


def _order(sort: Any) -> tuple[str, Finding | None]:
    if isinstance(sort, str):
        return sort, None
    unknown = [key for key in sort if key not in Sort.__annotations__]
    if unknown or "by" not in sort:
        return "", _unknown("sort", (unknown or ["…"])[0], Sort.__annotations__)
    order = sort.get("order", "ascending")
    if order not in ("ascending", "descending"):
        return "", _unknown("sort.order", str(order), ("ascending", "descending"))
    return f"-{sort['by']}" if order == "descending" else str(sort["by"]), None


def _conditions(value: Any) -> list[str]:
    if isinstance(value, list) and value and all(_is_pair(part) for part in value):
        return [text for part in value for text in _conditions(part)]
    if _is_pair(value):
        return [f"{value[0].value}{_values(value[1])}"]
    return [_values(value)]


def _is_pair(value: Any) -> bool:
    return isinstance(value, tuple) and len(value) == 2 and isinstance(value[0], FilterOperator)


def _values(value: Any) -> str:
    if isinstance(value, (list, tuple, set, frozenset)):
        return ",".join(_text(part) for part in value)
    return _text(value)


def _text(value: Any) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, Model):
        return str(getattr(value, "id", ""))
    return str(value)
