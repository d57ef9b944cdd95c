"""Retention: which rows and contents are removed, and which are always kept."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import pytest
import sqlalchemy as sa

from assembler_runner.core.database import db, utcnow
from assembler_runner.core.settings import load
from assembler_runner.files.models import Blob
from assembler_runner.ops import retention
from assembler_runner.ops.retention import collect, remove_old
from assembler_runner.spaces.events import record_event
from assembler_runner.spaces.models import Event, IdempotencyKey, Space, SpaceRequest
from assembler_runner.webhooks.models import WebhookDelivery
from tests.conftest import SECRETS, MakeService, Service
from tests.support.people import made
from tests.support.services import mariadb_database, postgres_database

PAGE = {"space_type": "static", "files": {"index.html": "x"}}


@contextmanager
def no_server() -> Iterator[str]:
    yield ""


@pytest.fixture(params=[no_server, postgres_database, mariadb_database], ids=["sqlite", "postgresql", "mariadb"])
def service(request: pytest.FixtureRequest, make_service: MakeService) -> Iterator[Service]:
    with request.param() as url:
        made = make_service(SQLALCHEMY_DATABASE_URI=url)
        yield made
        with made.app.app_context():
            db.session.remove()
            db.engine.dispose()


def clean(service: Service, days_later: float = 0.0, **settings: Any) -> dict[str, int]:
    with service.app.app_context():
        return dict(remove_old(load({}, **SECRETS, **settings), utcnow() + timedelta(days=days_later)))


def ids(service: Service, model: Any) -> set[str]:
    with service.app.app_context():
        return set(db.session.scalars(sa.select(model.id)))


def fail(service: Service, **body: Any) -> dict[str, Any]:
    """A Space whose only request was cancelled."""
    space = service.submit(**body)
    made(service.post(f"/requests/{space['latest_request']['id']}/command", {"command": "cancel"}), 202)
    return space


def test_failed_requests_are_removed_with_their_space(service: Service) -> None:
    published = service.publish(name="stays")
    waiting = service.submit(name="waits")
    cancelled = fail(service, name="goes")
    assert clean(service, 9, KEEP_REQUESTS_DAYS=10.0) == {}
    assert clean(service, 1000, KEEP_REQUESTS_DAYS=0.0, KEEP_EVENTS_DAYS=0.0, KEEP_DELIVERIES_DAYS=0.0) == {}
    assert clean(service, 11, KEEP_REQUESTS_DAYS=10.0) == {"spaces": 1}
    assert ids(service, SpaceRequest) == {published["id"], waiting["latest_request"]["id"]}
    assert cancelled["id"] not in ids(service, Space)
    assert service.get(f"/spaces/{cancelled['id']}").status_code == 404
    # Unreferenced contents are removed; published files can still be read.
    with service.app.app_context():
        service.services.files.check()
        collect(service.services, timedelta(0))
        left = set(db.session.scalars(sa.select(Blob.sha256)))
    assert {file["sha256"] for file in service.get(f"/requests/{published['id']}").json["files"]} <= left


def test_idempotency_keys_are_removed_when_they_have_expired(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retention, "AT_ONCE", 2)
    for number in range(5):
        made(service.post("/spaces", PAGE | {"name": f"keyed-{number}"}, headers={"Idempotency-Key": str(number)}), 202)
    assert clean(service, 0.99) == {}
    assert clean(service, 1.01)["idempotency keys"] == 5
    with service.app.app_context():
        assert db.session.scalar(sa.select(sa.func.count()).select_from(IdempotencyKey)) == 0


def test_releases_and_the_newest_request_of_a_space_are_kept(service: Service) -> None:
    space_id = service.get("/requests/" + service.publish(name="app")["id"]).json["space_id"]
    with service.app.app_context():
        first = db.session.scalars(sa.select(SpaceRequest)).one()
        values = {column.key: getattr(first, column.key) for column in SpaceRequest.__table__.columns}
        for number in (1, 2, 3):
            moment = first.created_at + timedelta(hours=number)
            changed = {"id": f"later-{number}", "status": "failed", "created_at": moment, "finished_at": moment}
            changed |= {"number": number + 1}
            db.session.execute(sa.insert(SpaceRequest).values(values | changed))
        db.session.commit()
        release = first.id
    assert clean(service, 30, KEEP_REQUESTS_DAYS=10.0) == {"requests": 2}
    assert ids(service, SpaceRequest) == {release, "later-3"}
    assert space_id in ids(service, Space)


def test_events_with_pending_deliveries_are_kept(service: Service) -> None:
    made(service.post("/webhooks", {"url": "https://example.org/hook", "event_types": ["succeeded"]}))
    service.publish(name="app")
    unfinished = service.submit(name="waits")["latest_request"]["id"]
    with service.app.app_context():
        (delivery,) = db.session.scalars(sa.select(WebhookDelivery)).all()
        pending_event = delivery.event_id
    assert clean(service, 6, KEEP_EVENTS_DAYS=5.0)["events"] >= 2
    with service.app.app_context():
        left = db.session.scalars(sa.select(Event)).all()
        assert pending_event in {event.id for event in left}
        assert {event.request_id for event in left if event.id != pending_event} == {unfinished}
        db.session.execute(sa.update(WebhookDelivery).values(status="delivered", finished_at=utcnow()))
        db.session.commit()
    assert clean(service, 29, KEEP_DELIVERIES_DAYS=30.0) == {}
    assert clean(service, 31, KEEP_DELIVERIES_DAYS=30.0) == {"deliveries": 1}
    assert clean(service, 6, KEEP_EVENTS_DAYS=5.0) == {"events": 1}


def test_deliveries_are_kept_thirty_days_and_the_rest_for_ever_unless_set() -> None:
    settings = load({}, **SECRETS)
    assert (settings.KEEP_DELIVERIES_DAYS, settings.KEEP_REQUESTS_DAYS, settings.KEEP_EVENTS_DAYS) == (30.0, 0.0, 0.0)


def test_events_behind_many_that_are_kept_are_removed(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retention, "AT_ONCE", 2)
    space = service.submit(name="waits")
    waiting = space["latest_request"]["id"]
    with service.app.app_context():
        for _ in range(6):
            record_event(db.session(), "retrying", space_id=space["id"], request_id=waiting)
        db.session.commit()
    service.publish(name="app")
    removed = clean(service, 6, KEEP_EVENTS_DAYS=5.0)["events"]
    with service.app.app_context():
        assert {event.request_id for event in db.session.scalars(sa.select(Event))} == {waiting}
    assert removed > 2


def test_contents_on_both_sides_of_the_first_digest_are_removed(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("secrets.token_hex", lambda size: "8" * 64)
    with service.app.app_context():
        for digit in "08f":
            db.session.add(Blob(sha256=digit * 64, size=1, used_at=utcnow() - timedelta(days=10)))
        db.session.commit()
        assert collect(service.services) == 3
        assert db.session.scalars(sa.select(Blob)).all() == []
