"""GET /events: the events of all Spaces that the caller may see."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from datetime import timedelta

import pytest
import sqlalchemy as sa
from werkzeug.test import TestResponse

from assembler_runner.core.database import db, utcnow
from assembler_runner.spaces.events import GAP_SECONDS, settled_event_id
from assembler_runner.spaces.models import Event
from tests.conftest import Service

STREAM = {"Accept": "text/event-stream"}


@pytest.fixture
def other(service: Service) -> dict[str, str]:
    """Headers of an account of another realm."""
    realm = service.post("/auth/realms", {"name": "school"}).json
    user = {"name": "ann", "password": "horse battery staple", "realm_id": realm["id"]}
    assert service.post("/auth/users", user).status_code == 201
    login = {"grant_type": "password", "username": "ann", "password": "horse battery staple", "realm": "school"}
    return {"Authorization": f"Bearer {service.client.post('/auth/token', json=login).json['access_token']}"}


def read(stream: Iterator[bytes], number: int) -> list[dict[str, object]]:
    """Reads events of a stream until there are enough."""
    found: list[dict[str, object]] = []
    for part in stream:
        found += [json.loads(line[6:]) for line in part.decode().splitlines() if line.startswith("data: ")]
        if len(found) >= number:
            return found
    raise AssertionError(f"the stream ended after {found}")


def open_stream(service: Service, headers: dict[str, str], after: int = 0) -> tuple[TestResponse, Iterator[bytes]]:
    answer = service.app.test_client().get(f"/events?after={after}", headers=headers | STREAM)
    assert answer.mimetype == "text/event-stream"
    return answer, iter(answer.response)  # type: ignore[arg-type]  # a generator of bytes


def test_the_list_has_the_events_of_all_spaces(service: Service) -> None:
    first, second = service.publish(name="one"), service.publish(name="two")
    rows = service.get("/events").json["data"]
    assert {row["space_id"] for row in rows} == {first["space_id"], second["space_id"]}
    assert [row["id"] for row in rows] == sorted(row["id"] for row in rows)
    newer = service.get(f"/events?after={rows[-2]['id']}").json["data"]
    assert [row["id"] for row in newer] == [rows[-1]["id"]]


def test_events_of_other_realms_do_not_exist(service: Service, other: dict[str, str]) -> None:
    service.publish(name="of-master")
    assert service.client.get("/events", headers=other).json["data"] == []
    body = {"space_type": "static", "files": {"index.html": "x"}}
    made = service.client.post("/spaces", json=body, headers=other).json
    rows = service.client.get("/events", headers=other).json["data"]
    assert {row["space_id"] for row in rows} == {made["id"]}
    # Accounts that manage realms see all of them.
    assert len({row["space_id"] for row in service.get("/events").json["data"]}) == 2


def test_the_stream_begins_with_stored_events_and_goes_on_live(service: Service) -> None:
    first = service.publish(name="one")
    answer, stream = open_stream(service, service.headers)
    stored = service.get("/events").json["data"]
    assert read(stream, len(stored)) == stored
    made = service.submit(name="two")
    (live,) = read(stream, 1)
    assert (live["type"], live["space_id"]) == ("queued", made["id"])
    assert live["space_id"] != first["space_id"]
    answer.close()


def test_the_stream_of_a_realm_has_only_its_events(service: Service, other: dict[str, str]) -> None:
    answer, stream = open_stream(service, other)
    service.publish(name="of-master")
    made = service.client.post(
        "/spaces", json={"space_type": "static", "files": {"index.html": "x"}}, headers=other
    ).json
    (live,) = read(stream, 1)
    assert live["space_id"] == made["id"]
    answer.close()


def test_a_browser_resumes_where_it_was(service: Service) -> None:
    service.publish(name="one")
    rows = service.get("/events").json["data"]
    # It repeats the address, and adds the header.
    headers = service.headers | STREAM | {"Last-Event-ID": str(rows[-2]["id"])}
    answer = service.app.test_client().get("/events?after=0", headers=headers)
    assert [row["id"] for row in read(iter(answer.response), 1)] == [rows[-1]["id"]]  # type: ignore[arg-type]
    answer.close()


def test_a_long_poll_ends_with_an_event(service: Service) -> None:
    service.publish(name="one")
    last = service.get("/events").json["data"][-1]["id"]
    found: list[dict[str, object]] = []

    def poll() -> None:
        answer = service.app.test_client().get(f"/events?after={last}&wait=60", headers=service.headers)
        found.extend(answer.json["data"])

    caller = threading.Thread(target=poll)
    caller.start()
    made = service.submit(name="two")
    caller.join(60)
    assert [row["space_id"] for row in found] == [made["id"]]


@pytest.mark.parametrize("path", ["/events?after=x", "/events?wait=-1", "/events?filter[nothing]=1"])
def test_wrong_parameters_are_refused(service: Service, path: str) -> None:
    assert service.get(path).status_code == 400


def test_reading_needs_a_token(service: Service) -> None:
    assert service.client.get("/events").status_code == 401


def test_a_reader_waits_at_a_number_that_may_still_be_committed(service: Service) -> None:
    done = service.publish(name="one")
    with service.app.app_context():
        newest = db.session.scalar(sa.select(sa.func.max(Event.id))) or 0
        assert settled_event_id(db.session()) == newest
        row = {"space_id": done["space_id"], "type": "test", "data": {}}
        db.session.execute(sa.insert(Event).values(id=newest + 5, created_at=utcnow(), **row))
        db.session.commit()
        assert settled_event_id(db.session()) == newest
    assert newest + 5 not in [each["id"] for each in service.get("/events").json["data"]]
    with service.app.app_context():
        late = utcnow() - timedelta(seconds=GAP_SECONDS + 1)
        db.session.execute(sa.update(Event).where(Event.id == newest + 5).values(created_at=late))
        db.session.commit()
        assert settled_event_id(db.session()) == newest + 5


def test_events_of_other_realms_do_not_hold_up_a_stream(service: Service, other: dict[str, str]) -> None:
    service.publish(name="of-master")
    answer, stream = open_stream(service, other)
    assert next(stream) == b"retry: 1000\n\n"
    body = {"space_type": "static", "files": {"index.html": "x"}}
    for number in range(3):
        service.submit(name=f"of-master-{number}")
        made = service.client.post("/spaces", json=body, headers=other).json
        assert [row["space_id"] for row in read(stream, 1)] == [made["id"]]
    answer.close()


def test_lists_take_a_short_view(service: Service) -> None:
    service.publish(name="one", labels=["course"])
    (row,) = service.get("/spaces?view=short&filter[label]=course").json["data"]
    assert set(row) == {"id", "name", "url", "space_type", "state", "labels", "updated_at"}
    assert "latest_request" in service.get("/spaces?view=full").json["data"][0]
    assert service.get("/spaces?view=tiny").status_code == 400
