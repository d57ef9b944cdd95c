"""Lists: filter, sort and page in the manner of the FLAME Hub, declared per resource.

`filter[name]=~gree`, `sort=-created_at`, `page[limit]=50&page[offset]=0`. An unknown filter or sort field is an error
that names the known ones: a typing error must not return everything.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import InstrumentedAttribute, Session

from assembler_runner.errors import Finding, InvalidRequest
from assembler_runner.models import UtcDateTime

DEFAULT_LIMIT, MAX_LIMIT = 50, 200

_PARAMETER = re.compile(r"(page|filter)\[([A-Za-z_.]+)\]")
_OPERATORS = ("<=", ">=", "!~", "!", "~", "<", ">", "=")


class InvalidQuery(InvalidRequest):
    """A filter, sort or page parameter that is not understood."""

    status = 400
    code = "invalid_query"
    default_message = "The query is not valid."
    default_hint = "Correct what is listed in issues."


@dataclass(frozen=True)
class Listing:
    """What may be asked of one list.

    Args:
        fields: name → column, for filters and for sorting.
        tie_break: column that makes the order total.
        default_sort: order without a request for one.
        includes: names of nested objects that `include` adds.
        optional: names of fields that only `fields` adds.
    """

    fields: Mapping[str, InstrumentedAttribute[Any]]
    tie_break: InstrumentedAttribute[Any]
    default_sort: str = "-created_at"
    includes: tuple[str, ...] = ()
    optional: tuple[str, ...] = ()


@dataclass(frozen=True)
class Page:
    """One page of a list."""

    rows: list[Any]
    total: int
    limit: int
    offset: int
    added: frozenset[str] = frozenset()

    def meta(self) -> dict[str, Any]:
        """Returns what stands beside the data."""
        return {"total": self.total, "limit": self.limit, "offset": self.offset, "schema": {}}


def read_page(session: Session, query: sa.Select[Any], listing: Listing, arguments: Mapping[str, str]) -> Page:
    """Answers one request for a list.

    Args:
        session: the session.
        query: all rows the caller may see.
        listing: what may be asked.
        arguments: the parameters of the URL.
    Raises:
        InvalidQuery: with one finding per parameter that is not understood.
    """
    added, findings = _added(listing, arguments)
    limit, offset = DEFAULT_LIMIT, 0
    for name, value in arguments.items():
        match = _PARAMETER.fullmatch(name)
        if match and match[1] == "filter":
            query, problems = _filtered(query, listing, match[2], value)
            findings += problems
        elif match and match[2] in ("limit", "offset"):
            number = int(value) if re.fullmatch(r"-?\d{1,15}", value) else None
            if number is None:
                findings.append(Finding("invalid_page", f"{name} must be a whole number.", path=name))
            elif match[2] == "limit":
                limit = max(1, min(number, MAX_LIMIT))
            else:
                offset = max(0, number)
        elif name not in ("sort", "fields", "include"):
            hint = (
                "Known: page[limit], page[offset], sort and filter[…] with " + ", ".join(sorted(listing.fields)) + "."
            )
            findings.append(Finding("unknown_parameter", f"The parameter {name} is not known.", path=name, hint=hint))
    order, problems = _order(listing, arguments.get("sort") or listing.default_sort)
    findings += problems
    if findings:
        raise InvalidQuery(issues=findings)
    total = session.scalar(sa.select(sa.func.count()).select_from(query.order_by(None).subquery())) or 0
    rows = list(session.scalars(query.order_by(*order).limit(limit).offset(offset)))
    return Page(rows, total, limit, offset, added)


def read_added(listing: Listing, arguments: Mapping[str, str]) -> frozenset[str]:
    """Reads what a request for one object wants beside the usual fields.

    Args:
        listing: what may be asked.
        arguments: the parameters of the URL.
    Returns:
        Names of fields and nested objects.
    Raises:
        InvalidQuery: with one finding per name that is not known.
    """
    added, findings = _added(listing, arguments)
    for name in arguments:
        if name not in ("fields", "include"):
            hint = "Known for one object: fields and include."
            findings.append(Finding("unknown_parameter", f"The parameter {name} is not known.", path=name, hint=hint))
    if findings:
        raise InvalidQuery(issues=findings)
    return added


def _added(listing: Listing, arguments: Mapping[str, str]) -> tuple[frozenset[str], list[Finding]]:
    findings = []
    added = set()
    known = {"fields": {*listing.fields, *listing.optional}, "include": set(listing.includes)}
    for parameter, names in known.items():
        for part in filter(None, arguments.get(parameter, "").split(",")):
            # A plus sign that was not escaped arrives as a blank.
            name = snake(part.strip().lstrip("+"))
            if name in names:
                added.add(name)
                continue
            hint = f"Known: {', '.join(sorted(names)) or 'none'}."
            findings.append(
                Finding(f"unknown_{parameter}", f"{parameter} knows no {part.strip()}.", path=parameter, hint=hint)
            )
    return frozenset(added & {*listing.optional, *listing.includes}), findings


def _filtered(query: sa.Select[Any], listing: Listing, name: str, value: str) -> tuple[sa.Select[Any], list[Finding]]:
    column = listing.fields.get(snake(name))
    if column is None:
        hint = f"Fields to filter by: {', '.join(sorted(listing.fields))}."
        return query, [Finding("unknown_filter", f"There is no filter {name}.", path=f"filter[{name}]", hint=hint)]
    operator = next((sign for sign in _OPERATORS if value.startswith(sign)), "")
    text = value[len(operator) :]
    if "\0" in text:
        return query, [Finding("invalid_filter", f"The value of filter {name} holds a NUL.", path=f"filter[{name}]")]
    try:
        return query.where(_condition(column, operator, text)), []
    except ValueError as problem:
        return query, [Finding("invalid_filter", f"The value of filter {name} {problem}.", path=f"filter[{name}]")]


def _condition(column: InstrumentedAttribute[Any], operator: str, text: str) -> sa.ColumnElement[bool]:
    if operator in ("~", "!~"):
        pattern = (text if "%" in text else text + "%").lower().replace("\\", "\\\\").replace("_", "\\_")
        found = sa.func.lower(sa.cast(column, sa.String)).like(pattern, escape="\\")
        return sa.not_(found) if operator == "!~" else found
    if operator in ("<", "<=", ">", ">="):
        value = _typed(column, text)
        compare = {"<": column.__lt__, "<=": column.__le__, ">": column.__gt__, ">=": column.__ge__}[operator]
        return compare(value)
    if text == "null":
        return column.is_not(None) if operator == "!" else column.is_(None)
    values = [_typed(column, part) for part in text.split(",")]
    return column.not_in(values) if operator == "!" else column.in_(values)


def _typed(column: InstrumentedAttribute[Any], text: str) -> Any:
    kind = column.type
    if isinstance(kind, UtcDateTime):
        try:
            moment = datetime.fromisoformat(text)
        except ValueError:
            raise ValueError("must be a moment such as 2026-01-31T12:00:00Z") from None
        return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    if isinstance(kind, sa.Boolean):
        if text.lower() not in ("true", "false", "1", "0"):
            raise ValueError("must be true or false")
        return text.lower() in ("true", "1")
    if isinstance(kind, sa.Integer):
        if not re.fullmatch(r"-?\d{1,15}", text):
            raise ValueError("must be a whole number")
        return int(text)
    return text


def _order(listing: Listing, sort: str) -> tuple[list[Any], list[Finding]]:
    order: list[Any] = []
    findings = []
    for part in sort.split(","):
        name = part.strip()
        column = listing.fields.get(snake(name.lstrip("-+")))
        if column is None:
            hint = f"Fields to sort by: {', '.join(sorted(listing.fields))}."
            findings.append(
                Finding("unknown_sort", f"There is no field {name.lstrip('-+')} to sort by.", path="sort", hint=hint)
            )
        else:
            order.append(column.desc() if name.startswith("-") else column.asc())
    return [*order, listing.tie_break], findings


def snake(name: str) -> str:
    """Returns a name in snake_case, as published clients send them in camelCase, too."""
    return re.sub(r"(?<=[a-z0-9])([A-Z])", r"_\1", name).lower()
