"""The realms of local Spaces."""

from __future__ import annotations

from collections.abc import Callable

import sqlalchemy as sa

from assembler_runner.accounts.models import Realm
from assembler_runner.core.database import READ_ONLY
from assembler_runner.spaces.models import Space
from assembler_runner.targets.local.apps_table import place_of
from assembler_runner.targets.realm_targets import LOCAL


def realms_of_spaces(engine: Callable[[], sa.Engine]) -> dict[str, str]:
    """Returns the id of the realm of each local Space, by its place.

    Args:
        engine: returns the database engine.
    """
    query = sa.select(Space.namespace, Space.name, Space.realm_id).where(
        Space.target == LOCAL, Space.slot.is_not(None), Space.namespace.is_not(None)
    )
    with engine().connect().execution_options(**{READ_ONLY: True}) as connection:
        return {place_of(str(namespace), name): realm_id for namespace, name, realm_id in connection.execute(query)}


def ids_of_realms(engine: Callable[[], sa.Engine], names: frozenset[str]) -> frozenset[str] | None:
    """Returns the ids of realms; None for all of them if no names are given.

    Args:
        engine: returns the database engine.
        names: the names.
    """
    if not names:
        return None
    with engine().connect().execution_options(**{READ_ONLY: True}) as connection:
        return frozenset(connection.scalars(sa.select(Realm.id).where(Realm.name.in_(names))))
