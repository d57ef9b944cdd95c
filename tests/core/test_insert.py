"""An object that is inserted without a flush has the same row as one that the session flushes."""

from __future__ import annotations

from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError

from assembler_runner.accounts.models import Realm
from assembler_runner.core.database import Base, db
from assembler_runner.core.insert import insert_object
from assembler_runner.spaces.models import Space, SpaceRequest
from tests.conftest import Service

VARYING = {"id", "space_id", "name", "slot", "created_at", "updated_at", "state_since"}


def space(name: str) -> Space:
    realm_id = db.session.scalar(sa.select(Realm.id))
    given = {"target": "local", "space_type": "static", "visibility": "public", "owner_id": "x", "labels": ["a"]}
    return Space(name=name, slot=f"local:x/{name}", realm_id=realm_id, **given)


def request_of(row: Space) -> SpaceRequest:
    given = {"action": "create", "space_type": "static", "plugin_version": "1", "sdk": "static", "options": {"a": [1]}}
    return SpaceRequest(
        space_id=row.id, realm_id=row.realm_id, owner_id="x", tree_digest="", parameters={}, environment={}, **given
    )


def stored(model: type[Base], row_id: str) -> dict[str, Any]:
    table: Any = model.__table__
    return dict(db.session.execute(sa.select(table).where(table.c.id == row_id)).mappings().one())


def test_the_row_is_the_same_as_after_a_flush(service: Service) -> None:
    with service.app.app_context():
        flushed, inserted = space("one"), space("two")
        db.session.add(flushed)
        db.session.flush()
        insert_object(db.session(), inserted)
        for first, second in ((flushed, inserted), (request_of(flushed), request_of(inserted))):
            if isinstance(first, SpaceRequest):
                db.session.add(first)
                db.session.flush()
                insert_object(db.session(), second)
            rows = [stored(type(first), row.id) for row in (first, second)]
            assert rows[0].keys() - VARYING
            assert [{key: row[key] for key in row.keys() - VARYING} for row in rows] == [
                {key: rows[0][key] for key in rows[0].keys() - VARYING}
            ] * 2
            assert all(rows[1][key] is not None for key in rows[1].keys() & VARYING)


def test_the_object_is_in_the_session_as_if_loaded(service: Service) -> None:
    with service.app.app_context():
        row = space("one")
        insert_object(db.session(), row)
        assert db.session.get(Space, row.id) is row
        assert not db.session.is_modified(row) and not db.session.new
        row.labels = ["b"]
        db.session.commit()
        assert stored(Space, row.id)["labels"] == ["b"]


def test_a_refused_row_leaves_nothing(service: Service) -> None:
    with service.app.app_context():
        insert_object(db.session(), space("one"))
        db.session.commit()
        with pytest.raises(IntegrityError):
            insert_object(db.session(), space("one"))
        db.session.rollback()
        assert db.session.scalar(sa.select(sa.func.count()).select_from(Space)) == 1
