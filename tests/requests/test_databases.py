"""Changes of Spaces on PostgreSQL and MariaDB: serialized, in order, none lost; filters have the same results."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest
import sqlalchemy as sa

from assembler_runner.core.database import db, utcnow
from assembler_runner.publishing import pipeline
from assembler_runner.requests.expiry import apply_expiry
from assembler_runner.spaces.models import QUEUED, RUNNING, Event, Space, SpaceRequest
from assembler_runner.webhooks.models import Webhook, WebhookDelivery
from tests.conftest import MakeService, Service
from tests.support.services import expected_tree, mariadb_database, postgres_database

DATABASES = {"postgresql": postgres_database, "mariadb": mariadb_database}
MANY = 6


@pytest.fixture(params=DATABASES)
def service(request: pytest.FixtureRequest, make_service: MakeService) -> Iterator[Service]:
    with DATABASES[request.param]() as uri:
        made = make_service(SQLALCHEMY_DATABASE_URI=uri)
        yield made
        with made.app.app_context():
            db.session.remove()
            db.engine.dispose()


def test_updates_that_come_at_once_all_count(service: Service) -> None:
    space_id = service.publish(name="site")["space_id"]

    def ask(number: int) -> str:
        body = {"mode": "merge", "files": {f"{number}.txt": str(number)}}
        answer = service.app.test_client().post(f"/spaces/{space_id}", json=body, headers=service.headers)
        assert answer.status_code == 202, answer.json
        return str(answer.json["latest_request"]["id"])

    with ThreadPoolExecutor(MANY) as pool:
        ids = list(pool.map(ask, range(MANY)))
    assert len(set(ids)) == MANY
    seen: list[int] = []
    stop = threading.Event()

    def watch() -> None:
        with service.app.app_context():
            query = sa.select(sa.func.count()).select_from(SpaceRequest).where(SpaceRequest.status == RUNNING)
            while not stop.wait(0.002):
                seen.append(db.session.scalar(query) or 0)
                db.session.rollback()

    def work() -> None:
        waiting = sa.select(sa.func.count()).where(SpaceRequest.status.in_((QUEUED, RUNNING)))
        with service.app.app_context():
            while db.session.scalar(waiting):
                db.session.rollback()
                pipeline.run_next(service.services, ids[0])

    watcher = threading.Thread(target=watch)
    watcher.start()
    workers = [threading.Thread(target=work) for _ in range(3)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    stop.set()
    watcher.join()
    rows = service.get(f"/spaces/{space_id}/requests?sort=number").json["data"]
    assert [row["number"] for row in rows] == list(range(1, MANY + 2))
    assert {row["status"] for row in rows} == {"succeeded"}
    starts = [row["started_at"] for row in rows]
    assert starts == sorted(starts)
    assert max(seen) == 1
    assert {f"{number}.txt" for number in range(MANY)} < set(expected_tree(rows[-1]))


def test_labels_are_found_as_they_are(service: Service) -> None:
    labels = ["a", "a_b", "a%b", 'say "a"', "ü", "A", "back\\slash", "!"]
    for label in labels:
        service.submit(labels=[label, "all"])
    for label in labels:
        found = service.client.get("/spaces", query_string={"filter[label]": label}, headers=service.headers).json
        assert [space["labels"] for space in found["data"]] == [[label, "all"]] or label == "!", label
    assert service.get("/spaces?filter[label]=all").json["meta"]["total"] == len(labels)
    assert service.get("/spaces?filter[label]=a,A").json["meta"]["total"] == 2


def test_an_expired_space_is_deleted_once(service: Service) -> None:
    space_id = service.publish(name="site")["space_id"]
    with service.app.app_context():
        past = sa.update(Space).where(Space.id == space_id)
        db.session.execute(past.values(expires_at=utcnow() - timedelta(seconds=1)))
        db.session.commit()

    def sweep(number: int) -> None:
        with service.app.app_context():
            apply_expiry()

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(sweep, range(8)))
    rows: list[dict[str, Any]] = service.get(f"/spaces/{space_id}/requests").json["data"]
    assert [row["action"] for row in rows] == ["delete", "create"]
    with service.app.app_context():
        query = sa.select(sa.func.count()).where(Event.space_id == space_id, Event.type == "expired")
        assert db.session.scalar(query) == 1
    assert service.work(rows[0]["id"])["status"] == "succeeded"
    assert service.space(space_id)["state"] == "deleted"


def test_rollback_and_deletion(service: Service) -> None:
    first = service.publish(name="site")
    changed = service.change(first["space_id"], files={"index.html": "2", "more.txt": "more"}, variables={"A": "1"})
    assert changed["status"] == "succeeded"
    back = service.command(first["space_id"], "rollback", request_id=first["id"])
    assert (back["status"], expected_tree(back)) == ("succeeded", expected_tree(first))
    found = service.post("/spaces/command", {"command": "delete", "filter": {"name": "site"}}).json["accepted"]
    assert service.work(found[0]["request_id"])["status"] == "succeeded"


def test_positions_of_a_list_are_those_of_each_request(service: Service) -> None:
    ids = [service.submit()["latest_request"]["id"] for _ in range(4)]
    with service.app.app_context():
        # Two have the same turn; one is first.
        for request_id, turn in zip(ids, (30.0, 20.0, 20.0, 10.0), strict=True):
            db.session.execute(sa.update(SpaceRequest).where(SpaceRequest.id == request_id).values(turn_at=turn))
        db.session.commit()
    listed = {row["id"]: row["queue_position"] for row in service.get("/requests").json["data"]}
    assert [listed[request_id] for request_id in ids] == [4, 2, 2, 1]
    assert [service.request(request_id)["queue_position"] for request_id in ids] == [4, 2, 2, 1]


def test_failures_are_counted_by_cause(service: Service) -> None:
    ids = [service.submit()["latest_request"]["id"] for _ in range(3)]
    errors = [{"code": code, "message": f"{code}.", "hint": None} for code in ("a", "b", "a")]
    with service.app.app_context():
        for request_id, error in zip(ids, errors, strict=True):
            failed = sa.update(SpaceRequest).where(SpaceRequest.id == request_id)
            db.session.execute(failed.values(status="failed", error=error, finished_at=utcnow()))
        db.session.commit()
    causes = service.get("/requests/failures").json["data"]
    assert [(cause["code"], cause["count"], cause["message"]) for cause in causes] == [("a", 2, "a."), ("b", 1, "b.")]
    assert causes[0]["newest"] > causes[1]["newest"]


def test_a_callback_hears_of_its_own_request_only(service: Service) -> None:
    made = service.submit(name="app", callback_url="https://example.org/a")
    service.submit(name="other", callback_url="https://example.org/b")
    for body in ({}, {"space_id": made["id"]}):
        assert service.post("/webhooks", {"url": "https://example.org/c", **body}).status_code == 201
    with service.app.app_context():
        db.session.execute(sa.delete(WebhookDelivery))
        db.session.commit()
    service.work(made["latest_request"]["id"])
    with service.app.app_context():
        heard = sa.select(Webhook.url, Webhook.space_id, sa.func.count()).join(
            WebhookDelivery, WebhookDelivery.webhook_id == Webhook.id
        )
        rows = db.session.execute(heard.group_by(Webhook.url, Webhook.space_id)).all()
    assert {(row.url[-1], row.space_id is None) for row in rows} == {("a", False), ("c", True), ("c", False)}
    assert len({row[2] for row in rows}) == 1
