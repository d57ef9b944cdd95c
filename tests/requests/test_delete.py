"""Delete, expiry, and bulk commands."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
import sqlalchemy as sa

from assembler_runner.core.database import db, utcnow
from assembler_runner.devhub import Fault, StandInHub
from assembler_runner.requests.expiry import apply_expiry
from assembler_runner.spaces.models import Event, Space, SpaceRequest
from tests.conftest import Service
from tests.requests.test_update import gradio
from tests.support.people import make_realm, make_user

NAME = "alice/greeter"


def test_a_deleted_space_is_gone_and_its_name_free(hub_service: Service, hub: StandInHub) -> None:
    first = hub_service.publish(**gradio())
    space_id = first["space_id"]
    request = hub_service.remove(space_id)
    assert (request["status"], request["action"], hub.spaces()) == ("succeeded", "delete", [])
    space = hub_service.space(space_id)
    assert (space["state"], space["url"], space["name"], space["commit_oid"]) == ("deleted", None, "greeter", None)
    assert hub_service.request(first["id"])["status"] == "succeeded"
    for answer in (
        hub_service.delete(f"/spaces/{space_id}"),
        hub_service.post(f"/spaces/{space_id}", {"files": {"app.py": "x = 1"}}),
        hub_service.post(f"/spaces/{space_id}/command", {"command": "restart"}),
        hub_service.post(f"/spaces/{space_id}/command", {"command": "rollback", "request_id": first["id"]}),
    ):
        assert (answer.status_code, answer.json["code"]) == (409, "conflict"), answer.json
    assert hub_service.publish(**gradio())["status"] == "succeeded"
    assert hub_service.space(space_id)["state"] == "deleted"


def test_a_space_deleted_on_its_target_can_still_be_deleted(hub_service: Service, hub: StandInHub) -> None:
    space_id = hub_service.publish(**gradio())["space_id"]
    del hub.state.repos["space", NAME]
    with hub_service.app.app_context():
        # As a probe detects.
        db.session.execute(sa.update(Space).where(Space.id == space_id).values(state="deleted"))
        db.session.commit()
    assert hub_service.post("/spaces", gradio()).json["code"] == "name_taken"
    assert hub_service.remove(space_id)["status"] == "succeeded"
    assert hub_service.publish(**gradio())["status"] == "succeeded"


def test_pending_requests_are_cancelled(hub_service: Service, hub: StandInHub) -> None:
    space_id = hub_service.publish(**gradio())["space_id"]
    waiting = hub_service.ask(f"/spaces/{space_id}", {"files": {"app.py": "print(2)\n"}})
    deletion = hub_service.delete(f"/spaces/{space_id}").json["latest_request"]
    assert hub_service.delete(f"/spaces/{space_id}").json["latest_request"]["id"] == deletion["id"]
    assert hub_service.request(waiting["id"])["status"] == "cancelled"
    assert hub_service.post(f"/spaces/{space_id}", {"parameters": {}}).status_code == 409
    assert hub_service.work(deletion["id"])["status"] == "succeeded"
    assert hub.spaces() == []


def test_a_space_that_was_never_created(hub_service: Service, hub: StandInHub) -> None:
    space = hub_service.submit(**gradio())
    deletion = hub_service.delete(f"/spaces/{space['id']}").json["latest_request"]
    assert hub_service.request(space["latest_request"]["id"])["status"] == "cancelled"
    assert hub_service.work(deletion["id"])["status"] == "succeeded"
    assert (hub_service.space(space["id"])["state"], hub.spaces()) == ("deleted", [])
    assert hub_service.publish(**gradio())["status"] == "succeeded"


def test_a_space_created_twice_is_identified_by_the_second_creation(hub_service: Service, hub: StandInHub) -> None:
    hub.faults.add(Fault("status", "POST", "/commit/", status=403))
    request = hub_service.publish(**gradio())
    assert (request["status"], hub.spaces()) == ("failed", [])
    assert hub_service.post(f"/requests/{request['id']}/command", {"command": "retry"}).status_code == 202
    assert hub_service.work(request["id"])["status"] == "succeeded"
    assert hub_service.remove(request["space_id"])["status"] == "succeeded"
    assert hub.spaces() == []


def test_a_space_that_disappears_during_a_probe(hub_service: Service, hub: StandInHub) -> None:
    space = hub_service.submit(**gradio(on_failure="keep"))
    hub.faults.add(Fault("status", "GET", f"/api/spaces/{NAME}$", status=403))
    assert hub_service.work(space["latest_request"]["id"])["status"] == "failed"
    hub.faults.add(Fault("status", "GET", "/commits/", status=404, body={"error": "Repository not found"}))
    request = hub_service.remove(space["id"])
    assert (request["status"], hub_service.space(space["id"])["state"]) == ("succeeded", "deleted")


def test_a_change_of_a_space_that_could_not_be_created(hub_service: Service, hub: StandInHub) -> None:
    space = hub_service.submit(**gradio(on_failure="keep"))
    path = f"/spaces/{space['id']}"
    changes = [
        hub_service.ask(path, {"files": {"app.py": "x = 1"}, "parameters": {}}),
        hub_service.ask(f"{path}/command", {"command": "restart"}),
    ]
    hub.faults.add(Fault("status", "POST", "/commit/", status=403))
    assert hub_service.work(space["latest_request"]["id"])["status"] == "failed"
    for change, code in zip(changes, ("base_failed", "conflict"), strict=True):
        request = hub_service.work(change["id"])
        assert (request["status"], request["error"]["code"]) == ("failed", code)
    assert hub_service.post(path, {"files": {"app.py": "x = 1"}}).status_code == 409
    # Its record can still be deleted.
    assert hub.spaces() == [NAME]
    assert hub_service.remove(space["id"])["status"] == "succeeded"
    assert hub.spaces() == []


@pytest.mark.parametrize(
    "fault",
    [
        Fault("drop_before", "DELETE", "/api/repos/delete$"),
        Fault("drop_after", "DELETE", "/api/repos/delete$"),
        Fault("garbage", "DELETE", "/api/repos/delete$"),
        Fault("status", "DELETE", "/api/repos/delete$", status=429, headers={"Retry-After": "1"}),
        Fault("status", "DELETE", "/api/repos/delete$", status=503, applied=True),
        Fault("status", "GET", "/api/spaces/alice/greeter$", status=500),
    ],
    ids=lambda fault: f"{fault.kind} {fault.method}",
)
def test_a_lost_answer_to_a_deletion(hub_service: Service, hub: StandInHub, fault: Fault) -> None:
    space_id = hub_service.publish(**gradio())["space_id"]
    hub.faults.add(fault)
    request = hub_service.remove(space_id)
    for _ in range(3):
        if request["status"] == "queued":
            request = hub_service.work(request["id"])
    assert (request["status"], hub.spaces()) == ("succeeded", []), request


def test_pages_of_a_deleted_local_space(service: Service) -> None:
    public, private = service.publish(name="site"), service.publish(name="own", visibility="private")
    assert service.client.get("/local/admin/site").status_code == 200
    for request in (public, private):
        assert service.remove(request["space_id"])["status"] == "succeeded"
    for path in ("", "/live/", "/tree/main", "/info/refs?service=git-upload-pack"):
        assert service.client.get(f"/local/admin/site{path}").status_code == 410, path
    assert service.client.get("/local/admin/own").status_code == 401
    assert service.get("/local/admin/own").status_code == 404
    service.publish(name="site")
    assert service.client.get("/local/admin/site").status_code == 200


def sweep(service: Service) -> None:
    with service.app.app_context():
        apply_expiry()


def set_expiry(service: Service, space_id: str, hours: float) -> None:
    with service.app.app_context():
        moment = utcnow() + timedelta(hours=hours)
        db.session.execute(sa.update(Space).where(Space.id == space_id).values(expires_at=moment))
        db.session.commit()


def events(service: Service, space_id: str) -> list[str]:
    with service.app.app_context():
        query = sa.select(Event.type).where(Event.space_id == space_id).order_by(Event.id)
        return [type for type in db.session.scalars(query) if type.startswith("expire")]


def test_an_expired_space_deletes_itself_after_two_warnings(service: Service) -> None:
    space_id = service.publish(expires_at=(utcnow() + timedelta(days=2)).isoformat())["space_id"]
    sweep(service)
    assert events(service, space_id) == []
    for hours, expected in ((23, 1), (22, 1), (0.9, 2), (0.5, 2)):
        set_expiry(service, space_id, hours)
        sweep(service)
        sweep(service)
        assert events(service, space_id) == ["expires_soon"] * expected
    assert service.space(space_id)["latest_request"]["action"] == "create"
    set_expiry(service, space_id, -0.1)
    sweep(service)
    sweep(service)
    request = service.space(space_id)["latest_request"]
    assert (request["action"], request["number"]) == ("delete", 2)
    assert events(service, space_id) == ["expires_soon", "expires_soon", "expired"]
    assert service.work(request["id"])["status"] == "succeeded"
    sweep(service)
    assert service.space(space_id)["state"] == "deleted"
    (entry,) = service.get("/auth/audit-log?filter[action]=delete").json["data"]
    assert entry["actor_kind"] == "service"


def test_a_failed_deletion_is_retried_later_only(hub_service: Service, hub: StandInHub) -> None:
    space_id = hub_service.publish(**gradio())["space_id"]
    hub.faults.add(Fault("status", "DELETE", "/api/repos/delete$", status=403))
    set_expiry(hub_service, space_id, -0.1)
    sweep(hub_service)
    request = hub_service.work(hub_service.space(space_id)["latest_request"]["id"])
    assert (request["status"], request["error"]["code"]) == ("failed", "target_forbidden")
    sweep(hub_service)
    assert hub_service.space(space_id)["latest_request"]["id"] == request["id"]
    with hub_service.app.app_context():
        long_ago = sa.update(SpaceRequest).where(SpaceRequest.id == request["id"])
        db.session.execute(long_ago.values(finished_at=utcnow() - timedelta(hours=2)))
        db.session.commit()
    sweep(hub_service)
    assert hub_service.work(hub_service.space(space_id)["latest_request"]["id"])["status"] == "succeeded"
    assert hub.spaces() == []


def bulk(service: Any, command: str, wanted: dict[str, str], **more: Any) -> Any:
    return service.post("/spaces/command", {"command": command, "filter": wanted, **more})


def test_bulk_deletion_by_label(hub_service: Service, hub: StandInHub) -> None:
    for name, labels in (("a", ["course-2026"]), ("b", ["x", "course-2026"]), ("c", ["course-20261"]), ("d", [])):
        hub_service.publish(name=name, labels=labels)
    found = hub_service.get("/spaces?filter[label]=course-2026&sort=name").json["data"]
    assert [space["name"] for space in found] == ["a", "b"]
    assert [
        space["name"] for space in hub_service.get("/spaces?filter[label]=!course-2026&sort=name").json["data"]
    ] == [*("c", "d")]
    shown = bulk(hub_service, "delete", {"label": "course-2026"}, dry_run=True)
    assert shown.status_code == 202
    assert [item["name"] for item in shown.json["accepted"]] == ["a", "b"]
    assert {item["request_id"] for item in shown.json["accepted"]} == {None}
    assert all(space["latest_request"]["action"] == "create" for space in hub_service.get("/spaces").json["data"])
    done = bulk(hub_service, "delete", {"label": "course-2026"}).json
    assert (done["left"], done["refused"]) == (0, [])
    for item in done["accepted"]:
        assert hub_service.work(item["request_id"])["status"] == "succeeded"
    assert sorted(hub.spaces()) == ["alice/c", "alice/d"]
    assert bulk(hub_service, "delete", {"label": "course-2026"}).json["accepted"] == []


def test_bulk_reports_refused_spaces(hub_service: Service, hub: StandInHub) -> None:
    hub_service.publish(name="static", labels=["a"])
    hub_service.publish(**gradio(labels=["a"]))
    for dry_run in (True, False):
        done = bulk(hub_service, "pause", {"label": "a"}, dry_run=dry_run).json
        assert [item["name"] for item in done["accepted"]] == ["greeter"]
        assert [(item["name"], item["code"]) for item in done["refused"]] == [("static", "conflict")]


@pytest.mark.parametrize(
    ("wanted", "status"), [({}, 422), ({"nmae": "x"}, 400), ({"label": ""}, 422), ({"created_at": "yesterday"}, 400)]
)
def test_bulk_requires_a_valid_filter(service: Service, wanted: dict[str, str], status: int) -> None:
    space_id = service.publish()["space_id"]
    assert bulk(service, "delete", wanted).status_code == status
    assert service.space(space_id)["latest_request"]["action"] == "create"


def test_bulk_stays_in_the_realm(service: Service) -> None:
    person = make_user(service, "ann", make_realm(service, "ours"), "member")
    person.post("/spaces", {"space_type": "static", "files": {"index.html": "x"}, "labels": ["a"]})
    other = service.publish(labels=["a"])
    assert len(bulk(person, "delete", {"label": "a"}).json["accepted"]) == 1
    assert [item["id"] for item in bulk(service, "delete", {"label": "a"}).json["accepted"]] == [other["space_id"]]
    assert bulk(person, "delete", {"id": other["space_id"]}).json["accepted"] == []
