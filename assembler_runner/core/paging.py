"""Paging of long lists: cursors for the next page, and totals."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Sequence
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import InstrumentedAttribute, Session

from assembler_runner.core.recent import Recent

Order = Sequence[tuple[InstrumentedAttribute[Any], bool]]
"""Columns and whether each one is descending; together they form a total order."""

COUNTED_EXACTLY = 10_000
"""Totals up to this number are counted on every call."""
TOTAL_SECONDS = 60.0
"""Seconds a larger total is cached: counting a million rows takes as long as reading a hundred pages."""


class BadCursor(ValueError):
    """A cursor that is malformed or belongs to another order."""


def ordered(query: sa.Select[Any], order: Order) -> sa.Select[Any]:
    """Sorts a query."""
    return query.order_by(*(column.desc() if descending else column.asc() for column, descending in order))


def cursor_after(row: Any, order: Order) -> str | None:
    """Returns the cursor of the page after a row; None if a sort value is NULL, which databases order differently."""
    values = [getattr(row, column.key) for column, _ in order]
    if any(value is None for value in values):
        return None
    plain = [value.isoformat() if isinstance(value, datetime) else value for value in values]
    return base64.urlsafe_b64encode(json.dumps([_name(order), *plain]).encode()).decode().rstrip("=")


def after(query: sa.Select[Any], order: Order, cursor: str) -> sa.Select[Any]:
    """Skips all rows up to the row of a cursor (keyset pagination): the cost is the same for every page.

    Raises:
        BadCursor: the cursor is malformed or belongs to another order.
    """
    try:
        name, *plain = json.loads(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
        if name != _name(order) or len(plain) != len(order):
            raise BadCursor
        values = [_typed(column, value) for (column, _), value in zip(order, plain, strict=True)]
    except (ValueError, TypeError, binascii.Error):
        raise BadCursor from None
    (first, descending), *_ = order
    ways = []
    for number, (column, falls) in enumerate(order):
        same = [order[before][0] == values[before] for before in range(number)]
        ways.append(sa.and_(*same, column < values[number] if falls else column > values[number]))
    # The bound is redundant, but an index can use it.
    bound = first <= values[0] if descending else first >= values[0]
    return query.where(bound, sa.or_(*ways))


def total_of(session: Session, query: sa.Select[Any]) -> int:
    """Returns the number of rows of a query; a total above COUNTED_EXACTLY may be up to TOTAL_SECONDS old."""
    rows = query.with_only_columns(sa.literal(1), maintain_column_froms=True).order_by(None)
    some = session.scalar(_count(rows.limit(COUNTED_EXACTLY + 1))) or 0
    if some <= COUNTED_EXACTLY:
        return some
    return _totals.get(_key(session, rows), lambda: session.scalar(_count(rows)) or 0)


def long_rows(session: Session, read: sa.Select[Any], query: sa.Select[*tuple[Any, ...]]) -> list[Any]:
    """Returns the rows of a query that reads many rows for few results, such as numbers by group.

    Args:
        session: the session.
        read: the rows that it reads; if they are more than COUNTED_EXACTLY, its result may be TOTAL_SECONDS old.
        query: the query.
    """
    some = session.scalar(
        _count(read.with_only_columns(sa.literal(1), maintain_column_froms=True).limit(COUNTED_EXACTLY + 1))
    )
    if (some or 0) <= COUNTED_EXACTLY:
        return list(session.execute(query))
    return _results.get(_key(session, query), lambda: list(session.execute(query)))


def _count(rows: sa.Select[Any]) -> sa.Select[Any]:
    return sa.select(sa.func.count()).select_from(rows.subquery())


def _key(session: Session, query: sa.Select[*tuple[Any, ...]]) -> str:
    compiled = query.compile(session.get_bind())
    return f"{session.get_bind().engine.url}\n{compiled}\n{sorted(compiled.params.items(), key=str)}"


_totals: Recent[int] = Recent(TOTAL_SECONDS)
_results: Recent[list[Any]] = Recent(TOTAL_SECONDS)


def _name(order: Order) -> str:
    return ",".join(f"{'-' if descending else ''}{column.key}" for column, descending in order)


def _typed(column: InstrumentedAttribute[Any], value: Any) -> Any:
    kind = column.type.python_type if not isinstance(column.type, sa.TypeDecorator) else datetime
    if kind is datetime:
        return datetime.fromisoformat(value)
    if not isinstance(value, kind):
        raise BadCursor
    return value
