"""Names of accounts, for pages that name who did something."""

from __future__ import annotations

from collections.abc import Iterable

import sqlalchemy as sa

from assembler_runner.accounts.models import Robot, User
from assembler_runner.core.database import db


def names_of(ids: Iterable[str | None]) -> dict[str, str]:
    """Returns id → name of users and robots; deleted ones are missing."""
    wanted = {each for each in ids if each}
    if not wanted:
        return {}
    found: dict[str, str] = {}
    for model in (User, Robot):
        query = sa.select(model.id, model.name).where(model.id.in_(wanted))
        found |= {row.id: row.name for row in db.session.execute(query)}
    return found
