"""Inserts rows that may already exist."""

from __future__ import annotations

from collections.abc import Sequence
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
    return upsert(model, dialect, [] if then_set is None else [then_set])


def upsert(model: type[Base], dialect: str, then_set: Sequence[str]) -> Any:
    """Returns a statement that inserts rows, or sets columns of existing rows with the same primary key.

    Args:
        model: the table.
        dialect: name of the database's dialect.
        then_set: keys of the columns to set in existing rows; empty: existing rows stay unchanged.
    """
    table: Any = model.__table__
    if dialect not in ("postgresql", "sqlite"):
        inserting = mysql.insert(table)
        if not then_set:
            return inserting.prefix_with("IGNORE")
        return inserting.on_duplicate_key_update({key: inserting.inserted[key] for key in then_set})
    statement: Any = (postgresql if dialect == "postgresql" else sqlite).insert(table)
    if not then_set:
        return statement.on_conflict_do_nothing()
    keys = [column.name for column in sa.inspect(model).primary_key]
    return statement.on_conflict_do_update(index_elements=keys, set_={key: statement.excluded[key] for key in then_set})
