"""Fair order, positions in the queue, the Hub's rate limit, and the maximum length of the queue."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import sqlalchemy as sa

from assembler_runner.accounts.models import Realm, Role, User
from assembler_runner.accounts.passwords import hash_password
from assembler_runner.accounts.permissions import built_in_id, grant_role
from assembler_runner.core.database import db, new_id
from assembler_runner.core.errors import RateLimited
from assembler_runner.devhub import Fault, StandInHub
from assembler_runner.devhub.limits import Limit
from assembler_runner.publishing import claims, pipeline
from assembler_runner.publishing.creation_lock import creation_lock
from assembler_runner.publishing.queue import next_requests, woken
from assembler_runner.spaces.models import QUEUED, REQUESTS, SPACES, SpaceRequest
from tests.conftest import MakeService, Service
from tests.support.services import postgres_database

STATIC = {"space_type": "static", "files": {"index.html": "x"}}


def other_account(service: Service, name: str, realm: str) -> dict[str, str]:
    """Creates a user; returns the headers for its calls."""
    with service.app.app_context():
        found = db.session.scalar(sa.select(Realm).where(Realm.name == realm)) or Realm(name=realm)
        db.session.add(found)
        db.session.flush()
        user = User(name=name, realm_id=found.id, password_hash=hash_password("pw"))
        db.session.add(user)
        db.session.flush()
        grant_role(user, db.session.get_one(Role, built_in_id("role", "member")))
        db.session.commit()
    body = {"grant_type": "password", "username": name, "password": "pw", "realm": realm}
    token = service.client.post("/auth/token", json=body).json["access_token"]
    return {"Authorization": f"Bearer {token}"}


def order_of_work(service: Service) -> list[str]:
    """Lets a worker process the whole queue; returns the names in the order of their claims."""
    with service.app.app_context():
        waiting = list(db.session.scalars(sa.select(SpaceRequest.id)))
        for request_id in waiting:
            pipeline.run_next(service.services, request_id)
        rows = db.session.scalars(sa.select(SpaceRequest).order_by(SpaceRequest.started_at))
        return [row.space.name for row in rows]


def test_an_account_does_not_wait_for_the_thousand_requests_of_another(service: Service) -> None:
    second = other_account(service, "second", "master")
    third = other_account(service, "third", "elsewhere")
    for number in range(4):
        service.submit(name=f"many-{number}")
    for name, headers in (("late-user", second), ("late-realm", third)):
        assert service.client.post("/spaces", json={**STATIC, "name": name}, headers=headers).status_code == 202
    order = order_of_work(service)
    assert len(order) == 6
    assert order.index("late-realm") <= 1
    assert order.index("late-user") < order.index("many-1") + 2
    assert order[-1] == "many-3"
    assert [name for name in order if name.startswith("many")] == ["many-0", "many-1", "many-2", "many-3"]


def test_turns_pass_with_time(service: Service) -> None:
    """Old requests precede new requests of other accounts."""
    for number in range(5):
        service.submit(name=f"old-{number}")
    with service.app.app_context():
        db.session.execute(sa.update(SpaceRequest).values(turn_at=SpaceRequest.turn_at - 3600))
        db.session.commit()
    headers = other_account(service, "new", "elsewhere")
    service.client.post("/spaces", json={**STATIC, "name": "new"}, headers=headers)
    assert order_of_work(service)[-1] == "new"


def test_the_position_in_the_queue_is_reported(service: Service) -> None:
    ids = [service.submit()["latest_request"]["id"] for _ in range(3)]
    assert [service.request(request_id)["queue_position"] for request_id in ids] == [1, 2, 3]
    assert service.request(ids[0])["expected_start_at"] is None
    done = service.work(ids[0])
    assert (done["queue_position"], done["expected_start_at"]) == (None, None)
    assert [service.request(request_id)["queue_position"] for request_id in ids[1:]] == [1, 2]


def test_the_expected_start_follows_how_fast_work_is_done(
    make_service: MakeService, monkeypatch: pytest.MonkeyPatch
) -> None:
    service = make_service()
    monkeypatch.setattr("assembler_runner.publishing.queue._rate", lambda session: 0.5)
    first = service.submit()["latest_request"]
    second = service.submit()["latest_request"]
    assert first["created_at"] < service.request(first["id"])["expected_start_at"]
    assert service.request(first["id"])["expected_start_at"] < service.request(second["id"])["expected_start_at"]


def test_a_full_queue_refuses_with_retry_after(make_service: MakeService) -> None:
    service = make_service(MAX_QUEUE=2)
    first = service.submit()
    service.submit()
    answer = service.post("/spaces", STATIC)
    assert (answer.status_code, answer.json["code"]) == (503, "queue_full")
    assert int(answer.headers["Retry-After"]) >= 1
    assert service.get("/spaces").json["meta"]["total"] == 2
    service.work(first["latest_request"]["id"])
    assert service.post("/spaces", STATIC).status_code == 202


def test_too_long_a_wait_is_refused(make_service: MakeService, monkeypatch: pytest.MonkeyPatch) -> None:
    service = make_service(MAX_QUEUE_WAIT=60.0)
    monkeypatch.setattr("assembler_runner.publishing.queue._rate", lambda session: 0.01)
    service.submit()
    answer = service.post("/spaces", STATIC)
    assert (answer.status_code, answer.json["code"], answer.headers["Retry-After"]) == (503, "queue_full", "41")


def test_the_rate_limit_of_the_hub_is_respected(hub_service: Service, hub: StandInHub) -> None:
    """With a small rate limit the worker pauses, so that the Hub never rejects a call."""
    hub.settings.rate_limit = Limit(10, 300)
    requests = [hub_service.publish(name=f"site-{number}") for number in range(4)]
    assert [request["status"] for request in requests] == ["succeeded", "queued", "queued", "queued"]
    assert [record.status for record in hub.requests if record.status == 429] == []
    waits = [
        event["data"]["retry_in"] for event in hub_service.events(requests[1]["id"]) if event["type"] == "retrying"
    ]
    assert 250 < waits[0] <= 302


def test_one_creation_at_a_time_over_threads(hub_service: Service, hub: StandInHub) -> None:
    hub.settings.one_creation_at_a_time = True
    hub.settings.create_seconds = 0.05
    ids = [hub_service.submit(name=f"site-{number}")["latest_request"]["id"] for number in range(6)]
    workers = [threading.Thread(target=hub_service.work, args=[request_id]) for request_id in ids]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert [hub_service.request(request_id)["status"] for request_id in ids] == ["succeeded"] * 6
    creations = [record for record in hub.requests if record.path == "/api/repos/create"]
    assert [record.status for record in creations] == [200] * 6


@pytest.mark.slow
def test_each_wake_up_processes_one_request(make_service: MakeService) -> None:
    with postgres_database() as uri:
        service = make_service(SQLALCHEMY_DATABASE_URI=uri)
        ids = [service.submit(name=f"site-{number}")["latest_request"]["id"] for number in range(80)]

        def wake(request_id: str) -> None:
            with service.app.app_context():
                pipeline.run_next(service.services, request_id)

        with ThreadPoolExecutor(60) as workers:
            list(workers.map(wake, ids))
        assert [service.request(request_id)["status"] for request_id in ids] == ["succeeded"] * len(ids)
        with service.app.app_context():
            db.session.remove()
            db.engine.dispose()


def test_more_threads_than_connections_share_them(make_service: MakeService) -> None:
    mine = sa.text("SELECT count(*), pg_sleep(0.2) FROM pg_stat_activity WHERE datname = current_database()")
    with postgres_database() as uri:
        service = make_service(SQLALCHEMY_DATABASE_URI=uri)

        def work(number: int) -> int:
            with service.app.app_context():
                return int(db.session.execute(mine).one()[0])

        with ThreadPoolExecutor(70) as threads:
            counts = list(threads.map(work, range(70)))
        with service.app.app_context():
            db.engine.dispose()
    assert 20 < max(counts) <= 30


@pytest.mark.slow
def test_a_long_queue_is_not_read_to_find_its_first(make_service: MakeService) -> None:
    with postgres_database() as uri:
        service = make_service(SQLALCHEMY_DATABASE_URI=uri, MAX_QUEUE=10_000)
        for number in range(60):
            service.submit(name=f"site-{number}")
        with service.app.app_context():
            # After thousands of inserts within seconds, PostgreSQL has no current statistics.
            db.session.execute(sa.text("ALTER TABLE space_requests SET (autovacuum_enabled = off)"))
            many = [{**dict(row), "id": new_id()} for row in db.session.execute(sa.select(REQUESTS)).mappings()]
            spaces = [dict(row) for row in db.session.execute(sa.select(SPACES)).mappings()]
            for _ in range(100):
                for row, space in zip(many, spaces, strict=True):
                    row["id"], row["space_id"] = new_id(), (id := new_id())
                    space |= {"id": id, "slot": id}
                db.session.execute(sa.insert(SPACES), spaces)
                db.session.execute(sa.insert(REQUESTS), many)
            db.session.commit()
            sent: list[tuple[str, Any]] = []
            sa.event.listen(db.engine, "before_cursor_execute", lambda *given: sent.append((given[2], given[3])))
            first = many[0]["id"]
            assert len(next_requests(db.session(), 1)) == 1
            assert woken(db.session(), first) == (QUEUED, next_requests(db.session(), 1)[0])
            assert claims.successor(first) is None
            read = {query: max(rows_of(plan_of(query, values))) for query, values in tuple(sent)}
            db.session.remove()
            db.engine.dispose()
    assert len(read) == 3
    assert max(read.values()) < 100, read


def plan_of(query: str, values: Any) -> dict[str, Any]:
    """Returns PostgreSQL's plan of a query."""
    explained = db.session.connection().exec_driver_sql(f"EXPLAIN (ANALYZE, FORMAT JSON) {query}", values)
    plan: dict[str, Any] = explained.scalar_one()[0]["Plan"]
    return plan


def rows_of(plan: dict[str, Any]) -> Iterator[int]:
    """Yields the total number of rows that each node of a plan has read."""
    read = plan["Actual Rows"] + plan.get("Rows Removed by Filter", 0) + plan.get("Rows Removed by Join Filter", 0)
    yield read * plan["Actual Loops"]
    for part in plan.get("Plans", []):
        yield from rows_of(part)


def test_a_creation_lock_ends_with_its_claim(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("assembler_runner.publishing.creation_lock.PATIENCE_SECONDS", 0.2)
    request_id = service.submit()["latest_request"]["id"]
    with service.app.app_context():
        claimed = claims.claim(service.services, request_id)
        assert claimed is not None
        silent = creation_lock("account", claimed.owner)
        silent.__enter__().acquire()
        # Simulates another process, whose local lock is free.
        monkeypatch.setattr("assembler_runner.publishing.creation_lock._locks", {})
        with pytest.raises(RateLimited), creation_lock("account", "another") as turn:
            turn.acquire()
        claims.release_claims([claimed.owner])
        with creation_lock("account", "another") as turn:
            turn.acquire()
        silent.__exit__(None, None, None)


ON_FAILURE = {"delete": (False, "cleaned_up"), "keep": (True, "kept"), "private": (True, "made_private")}


@pytest.mark.parametrize("choice", sorted(ON_FAILURE))
def test_an_empty_space_after_a_failure(hub_service: Service, hub: StandInHub, choice: str) -> None:
    hub.faults.add(Fault("status", method="POST", path="/commit/", status=400, body={"error": "no"}))
    request = hub_service.publish(name="site", on_failure=choice)
    stays, event = ON_FAILURE[choice]
    assert request["status"] == "failed"
    assert ("alice/site" in hub.spaces()) == stays
    if choice == "private":
        assert hub.space("alice/site").visibility == "private"
    assert hub_service.events(request["id"])[-1]["type"] == event
    again = hub_service.post(f"/requests/{request['id']}/command", {"command": "retry"})
    assert again.status_code == 202
    assert hub_service.work(request["id"])["status"] == "succeeded"
    assert len(hub.commits("alice/site")) == 1


def test_the_clean_up_is_retried_until_it_succeeds(hub_service: Service, hub: StandInHub) -> None:
    hub.faults.add(Fault("status", method="POST", path="/commit/", status=400, body={"error": "no"}))
    hub.faults.add(Fault("drop_before", method="DELETE", path="/api/repos/delete", times=2))
    request = hub_service.publish(name="site")
    assert (request["status"], hub.spaces()) == ("failed", ["alice/site"])

    def sweep() -> None:
        with hub_service.app.app_context():
            db.session.execute(
                sa.update(SpaceRequest).where(SpaceRequest.cleanup_due_at.is_not(None)).values(cleanup_due_at=0.0)
            )
            db.session.commit()
            for request_id in claims.take_due(60):
                pipeline.run_next(hub_service.services, request_id)

    sweep()
    assert hub.spaces() == ["alice/site"]
    sweep()
    assert hub.spaces() == []
    assert hub_service.publish(name="site")["status"] == "succeeded"


def test_a_creation_whose_response_was_lost_is_found_and_removed(make_service: MakeService, hub: StandInHub) -> None:
    service = make_service(HF_TOKEN="hf_alice", HF_ENDPOINT=hub.url, MAX_ERRORS=1)
    hub.faults.add(Fault("drop_after", method="POST", path="/api/repos/create"))
    request = service.publish(name="site")
    assert (request["status"], request["error"]["code"]) == ("failed", "target_unavailable")
    assert hub.spaces() == []
    assert service.events(request["id"])[-1]["type"] == "cleaned_up"


def test_failures_by_cause_and_retry_all(hub_service: Service, hub: StandInHub) -> None:
    hub.faults.add(Fault("status", method="POST", path="/api/repos/create", status=402, times=2, body={"error": "pay"}))
    hub.faults.add(Fault("status", method="POST", path="/api/repos/create", status=403, times=1, body={"error": "no"}))
    failed = [hub_service.publish(name=f"site-{number}") for number in range(3)]
    assert [request["status"] for request in failed] == ["failed"] * 3
    causes: list[dict[str, Any]] = hub_service.get("/requests/failures").json["data"]
    assert [(cause["code"], cause["count"]) for cause in causes] == [("payment_required", 2), ("target_forbidden", 1)]
    assert "pay" in causes[0]["message"]
    answer = hub_service.post("/requests/failures/command", {"command": "retry", "code": "payment_required"})
    assert answer.status_code == 202
    assert sorted(answer.json["retried"]) == sorted(request["id"] for request in failed[:2])
    assert [hub_service.work(request["id"])["status"] for request in failed] == ["succeeded", "succeeded", "failed"]
    assert hub_service.post("/requests/failures/command", {"command": "retry"}).json["retried"] == [failed[2]["id"]]


def test_an_idempotency_key_is_forgotten_after_a_day(service: Service) -> None:
    first = service.post("/spaces", STATIC, headers={"Idempotency-Key": "k"}).json
    with service.app.app_context():
        db.session.execute(sa.text("UPDATE idempotency_keys SET created_at = '2020-01-01 00:00:00.000000'"))
        db.session.commit()
    again = service.post("/spaces", {**STATIC, "labels": ["other"]}, headers={"Idempotency-Key": "k"})
    assert again.status_code == 202
    assert again.json["id"] != first["id"]
