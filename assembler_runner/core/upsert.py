"""Inserts rows that may already exist."""

from __future__ import annotations

from functools import cache
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import mysql, postgresql, sqlite
from sqlalchemy.orm import Session

from assembler_runner.core.database import Base


def insert_rows(session: Session, model: type[Base], rows: list[dict[str, Any]], then_set: str | None = None) -> None:
    """Inserts rows; existing rows with the same primary key are kept, also under concurrent inserts.

    Args:
        session: the session; the caller commits.
        model: the table.
        rows: the rows.
        then_set: a column to update in existing rows; None: existing rows stay unchanged.
    """
    session.execute(_insert(model, session.get_bind().dialect.name, then_set), rows)


@cache
def _insert(model: type[Base], dialect: str, then_set: str | None) -> Any:
    statement: Any
    table: Any = model.__table__
    if dialect in ("postgresql", "sqlite"):
        statement = (postgresql if dialect == "postgresql" else sqlite).insert(table)
        if then_set is None:
            statement = statement.on_conflict_do_nothing()
        else:
            keys = [column.name for column in sa.inspect(model).primary_key]
            statement = statement.on_conflict_do_update(
                index_elements=keys, set_={then_set: statement.excluded[then_set]}
            )
    else:
        statement = mysql.insert(table)
        if then_set is None:
            statement = statement.prefix_with("IGNORE")
        else:
            statement = statement.on_duplicate_key_update({then_set: statement.inserted[then_set]})
    return statement
