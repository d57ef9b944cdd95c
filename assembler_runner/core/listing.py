"""Lists with filters, sorting and pages in the syntax of the FLAME Hub, declared per resource.

`filter[name]=~gree`, `filter[realm.name]=lab`, `sort=-created_at`, `page[limit]=50&page[offset]=0`. An unknown filter
or sort field is an error that names the known ones: a typo must not return the whole list.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import InstrumentedAttribute, Session
from werkzeug.datastructures import MultiDict

from assembler_runner.core import paging
from assembler_runner.core.database import UtcDateTime
from assembler_runner.core.errors import Finding, InvalidRequest

DEFAULT_LIMIT, MAX_LIMIT = 50, 200
AFTER = "page[after]"

_PARAMETER = re.compile(r"(page|filter)\[([A-Za-z_.]+)\]")
_OPERATORS = ("<=", ">=", "!~", "!", "~", "<", ">", "=")


class InvalidQuery(InvalidRequest):
    """An invalid filter, sort or page parameter."""

    status = 400
    code = "invalid_query"
    default_message = "The query is not valid."
    default_hint = "Correct the problems listed in issues."


@dataclass(frozen=True)
class Listing:
    """The query parameters that one list supports.

    Args:
        fields: name → column, for filters and for sorting.
        tie_break: column that makes the order total.
        default_sort: order if the query has no `sort`.
        includes: names of nested objects that `include` adds.
        optional: names of fields that are included only if `fields` names them.
        contains: name → condition that a list of words contains a word; for filters only.
        related: name, such as `realm.name` → relationship, and column of the related object; for filters only.
    """

    fields: Mapping[str, InstrumentedAttribute[Any]]
    tie_break: InstrumentedAttribute[Any]
    default_sort: str = "-created_at"
    includes: tuple[str, ...] = ()
    optional: tuple[str, ...] = ()
    contains: Mapping[str, Callable[[str], sa.ColumnElement[bool]]] = field(default_factory=dict)
    related: Mapping[str, tuple[Any, InstrumentedAttribute[Any]]] = field(default_factory=dict)

    @property
    def filters(self) -> list[str]:
        """The names of all filters."""
        return sorted({*self.fields, *self.contains, *self.related})


@dataclass(frozen=True)
class Page:
    """One page of a list."""

    rows: list[Any]
    total: int
    limit: int
    offset: int
    added: frozenset[str] = frozenset()
    after: str | None = None

    def meta(self) -> dict[str, Any]:
        """Returns the `meta` object of the response."""
        more = {"after": self.after} if self.after else {}
        return {"total": self.total, "limit": self.limit, "offset": self.offset, **more, "schema": {}}


def read_page(session: Session, query: sa.Select[Any], listing: Listing, arguments: Mapping[str, str]) -> Page:
    """Reads one page of a list.

    Args:
        session: the session.
        query: all rows the caller may see.
        listing: the supported parameters.
        arguments: the query parameters of the URL.
    Raises:
        InvalidQuery: with one finding per invalid parameter.
    """
    added, findings = _added(listing, arguments)
    limit, offset = DEFAULT_LIMIT, 0
    # Repeated filters all apply, so that a range can be queried.
    pairs = arguments.items(multi=True) if isinstance(arguments, MultiDict) else arguments.items()
    for name, value in pairs:
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
        elif name not in ("sort", "fields", "include", AFTER):
            names = ", ".join(listing.filters)
            hint = f"Known: page[limit], page[offset], {AFTER}, sort and filter[…] with {names}."
            findings.append(Finding("unknown_parameter", f"Unknown parameter {name}.", path=name, hint=hint))
    order, problems = _order(listing, arguments.get("sort") or listing.default_sort)
    findings += problems
    wanted = query
    if cursor := arguments.get(AFTER):
        try:
            wanted = paging.after(query, order, cursor)
        except paging.BadCursor:
            hint = "Use meta.after of the previous page, with the same sort."
            findings.append(Finding("invalid_page", f"{AFTER} is not a cursor of this list.", path=AFTER, hint=hint))
    if findings:
        raise InvalidQuery(issues=findings)
    rows = list(session.scalars(paging.ordered(wanted, order).limit(limit + 1).offset(offset)))
    more = paging.cursor_after(rows[limit - 1], order) if len(rows) > limit else None
    return Page(rows[:limit], paging.total_of(session, query), limit, offset, added, more)


def filtered(query: sa.Select[Any], listing: Listing, wanted: Mapping[str, str]) -> sa.Select[Any]:
    """Applies filters to a query.

    Args:
        query: all rows the caller may see.
        listing: the supported parameters.
        wanted: field → operator and value, as in `filter[field]=value`.
    Raises:
        InvalidQuery: with one finding per invalid filter.
    """
    findings = []
    for name, value in wanted.items():
        query, problems = _filtered(query, listing, name, value)
        findings += problems
    if findings:
        raise InvalidQuery(issues=findings)
    return query


def read_added(listing: Listing, arguments: Mapping[str, str]) -> frozenset[str]:
    """Reads which optional fields and nested objects a query for one object requests.

    Args:
        listing: the supported parameters.
        arguments: the query parameters of the URL.
    Returns:
        Names of fields and nested objects.
    Raises:
        InvalidQuery: with one finding per unknown name.
    """
    added, findings = _added(listing, arguments)
    for name in arguments:
        if name not in ("fields", "include"):
            hint = "Known for one object: fields and include."
            findings.append(Finding("unknown_parameter", f"Unknown parameter {name}.", path=name, hint=hint))
    if findings:
        raise InvalidQuery(issues=findings)
    return added


def _added(listing: Listing, arguments: Mapping[str, str]) -> tuple[frozenset[str], list[Finding]]:
    findings = []
    added = set()
    known = {"fields": {*listing.fields, *listing.optional}, "include": set(listing.includes)}
    for parameter, names in known.items():
        for part in filter(None, arguments.get(parameter, "").split(",")):
            # An unescaped plus sign arrives as a space.
            name = snake(part.strip().lstrip("+"))
            if name in names:
                added.add(name)
                continue
            hint = f"Known: {', '.join(sorted(names)) or 'none'}."
            findings.append(
                Finding(
                    f"unknown_{parameter}", f"{parameter} does not support {part.strip()}.", path=parameter, hint=hint
                )
            )
    return frozenset(added & {*listing.optional, *listing.includes}), findings


def _filtered(query: sa.Select[Any], listing: Listing, name: str, value: str) -> tuple[sa.Select[Any], list[Finding]]:
    if has := listing.contains.get(snake(name)):
        words = value.removeprefix("!").removeprefix("=").split(",")
        found = sa.or_(*(has(word) for word in words))
        return query.where(sa.not_(found) if value.startswith("!") else found), []
    relation, column = listing.related.get(snake(name), (None, listing.fields.get(snake(name))))
    if column is None:
        hint = f"Fields to filter by: {', '.join(listing.filters)}."
        return query, [Finding("unknown_filter", f"There is no filter {name}.", path=f"filter[{name}]", hint=hint)]
    operator = next((sign for sign in _OPERATORS if value.startswith(sign)), "")
    text = value[len(operator) :]
    if "\0" in text:
        return query, [
            Finding("invalid_filter", f"The value of filter {name} contains a NUL character.", path=f"filter[{name}]")
        ]
    try:
        found = _condition(column, operator, text)
        return query.where(found if relation is None else relation.has(found)), []
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
            timestamp = datetime.fromisoformat(text)
        except ValueError:
            raise ValueError("must be a timestamp such as 2026-01-31T12:00:00Z") from None
        return timestamp if timestamp.tzinfo else timestamp.replace(tzinfo=UTC)
    if isinstance(kind, sa.Boolean):
        if text.lower() not in ("true", "false", "1", "0"):
            raise ValueError("must be true or false")
        return text.lower() in ("true", "1")
    if isinstance(kind, sa.Integer):
        if not re.fullmatch(r"-?\d{1,15}", text):
            raise ValueError("must be a whole number")
        return int(text)
    return text


def _order(listing: Listing, sort: str) -> tuple[paging.Order, list[Finding]]:
    order: list[tuple[InstrumentedAttribute[Any], bool]] = []
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
            order.append((column, name.startswith("-")))
    return [*order, (listing.tie_break, False)], findings


def snake(name: str) -> str:
    """Converts a name to snake_case: published clients also send camelCase."""
    return re.sub(r"(?<=[a-z0-9])([A-Z])", r"_\1", name).lower()
