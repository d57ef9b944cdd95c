"""Adopting a Space that exists on its target: nothing of it is lost, then or later."""

from __future__ import annotations

from typing import Any

import pytest
import sqlalchemy as sa

from assembler_runner.accounts.models import AuditEntry
from assembler_runner.core.database import db
from assembler_runner.devhub import Account, StandInHub
from assembler_runner.files.content import content_of
from assembler_runner.files.tree import SpaceFile, Tree
from assembler_runner.runtime.models import AppWatch
from assembler_runner.targets import PublishedSpace, SpaceSpec, Target
from tests.conftest import MakeService, Service
from tests.requests.test_update import assert_live, live
from tests.support.people import make_realm, make_user
from tests.support.services import digest

# The Hub's library sends large files in a way that its own HTTP library deprecates.
pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")

NAME = "alice/byhand"
README = "---\ntitle: By hand\nemoji: 🌍\nsdk: gradio\nsdk_version: 5.0.0\napp_file: app.py\n---\n\n# Written by hand\n"
APP = "import gradio as gr\ngr.Interface(str, 'text', 'text').launch()\n"
MODEL = bytes(range(256)) * 6000
FILES: dict[str, bytes] = {
    "README.md": README.encode(),
    "app.py": APP.encode(),
    "requirements.txt": b"numpy\n",
    "data/table.csv": b"a,b\r\n1,2\r\n",
    "model.bin": MODEL,
    "odd näme.txt": b"x",
}


def spec(**more: Any) -> SpaceSpec:
    return SpaceSpec(**{"namespace": "alice", "name": "byhand", "sdk": "gradio", **more})


def by_hand(service: Service, **more: Any) -> Target:
    """Makes a Space on the Hub that the service has no record of, with a file in large file storage."""
    with service.app.app_context():
        target = service.services.targets.hub("hf_alice")
        made = target.create(spec(**more))
        tree = Tree({path: SpaceFile(path, content_of(content)) for path, content in FILES.items()})
        target.commit(made, tree, frozenset(), "By hand", "", target.head(made).oid)
    return target


def adopt(service: Service, **more: Any) -> Any:
    return service.post("/spaces/adopt", {"target": "huggingface", "namespace": "alice", "name": "byhand", **more})


def adopted(service: Service, **more: Any) -> dict[str, Any]:
    answer = adopt(service, **more)
    assert answer.status_code == 201, answer.json
    return dict(answer.json)


def test_its_tree_becomes_the_first_release(hub_service: Service, hub: StandInHub) -> None:
    by_hand(hub_service, visibility="private", secrets={"KEY": "hidden"}, variables={"MODE": "x"})
    before = hub.space(NAME).head.oid
    hub.clear_requests()
    answer = adopt(hub_service)
    space = answer.json
    assert answer.status_code == 201, space
    assert answer.headers["Location"] == f"/spaces/{space['id']}"
    assert (space["name"], space["namespace"], space["space_type"]) == ("byhand", "alice", "gradio")
    assert (space["visibility"], space["commit_oid"], space["foreign_oid"]) == ("private", before, None)
    assert (space["secret_names"], space["variables"]) == (["KEY"], {"MODE": "x"})
    assert "hidden" not in answer.text
    request = space["latest_request"]
    assert (request["action"], request["status"], request["number"]) == ("adopt", "succeeded", 1)
    assert {file["path"]: file["sha256"] for file in request["files"]} == {
        path: digest(content) for path, content in FILES.items()
    }
    assert {file["origin"] for file in request["files"]} == {"adopted"}
    assert request["commit"]["oid"] == before == hub.space(NAME).head.oid
    assert {record.method for record in hub.requests} <= {"GET", "HEAD"}
    listed = hub_service.get("/spaces").json["data"]
    assert [one["id"] for one in listed] == [space["id"]]


def test_an_update_keeps_all_other_files(hub_service: Service, hub: StandInHub) -> None:
    by_hand(hub_service)
    space = adopted(hub_service)
    request = hub_service.change(space["id"], mode="merge", files={"data/table.csv": "new\n"})
    assert_live(hub, request, NAME)
    assert live(hub, NAME) == {
        path: digest(b"new\n" if path == "data/table.csv" else content) for path, content in FILES.items()
    }
    assert hub.space(NAME).head.tree["model.bin"].large is not None


def test_it_can_be_rolled_back_to(hub_service: Service, hub: StandInHub) -> None:
    by_hand(hub_service)
    space = adopted(hub_service)
    hub_service.change(space["id"], files={"app.py": APP + "# new\n"})
    assert "model.bin" not in live(hub, NAME)
    request = hub_service.command(space["id"], "rollback", request_id=space["latest_request"]["id"])
    assert_live(hub, request, NAME)
    assert live(hub, NAME) == {path: digest(content) for path, content in FILES.items()}


def test_its_state_is_followed(hub_service: Service, hub: StandInHub) -> None:
    by_hand(hub_service)
    hub.set_stage(NAME, "RUNNING")
    space = adopted(hub_service)
    assert space["state"] == "running"
    with hub_service.app.app_context():
        assert db.session.get_one(AppWatch, space["id"]).due_at is not None
    hub.set_stage(NAME, "PAUSED")
    assert hub_service.get(f"/spaces/{space['id']}?refresh=true").json["state"] == "paused"


def test_it_can_be_deleted_and_duplicated(hub_service: Service, hub: StandInHub) -> None:
    by_hand(hub_service, secrets={"KEY": "hidden"}, variables={"MODE": "x"})
    space = adopted(hub_service)
    answer = hub_service.post(f"/spaces/{space['id']}/command", {"command": "duplicate", "name": "copy"})
    (finding,) = answer.json["findings"]
    assert (finding["code"], finding["severity"], finding["values"]) == (
        "secrets_not_copied",
        "warning",
        {"names": ["KEY"]},
    )
    assert hub_service.work(answer.json["id"])["status"] == "succeeded"
    assert {key: entry.value for key, entry in hub.space("alice/copy").variables.items()} == {"MODE": "x"}
    assert hub_service.space(answer.json["space_id"])["secret_names"] == []
    assert hub_service.remove(space["id"])["status"] == "succeeded"
    assert hub.spaces() == ["alice/copy"]


def test_one_that_is_managed_already(hub_service: Service, hub: StandInHub) -> None:
    by_hand(hub_service)
    space = adopted(hub_service)
    again = adopt(hub_service, name="ByHand")
    assert (again.status_code, again.json["code"]) == (409, "already_managed")
    assert space["id"] in again.json["hint"]
    published = hub_service.publish(name="own")
    answer = adopt(hub_service, name="own")
    assert (answer.status_code, answer.json["code"]) == (409, "already_managed")
    assert published["space_id"] in answer.json["hint"]
    assert len(hub_service.get("/spaces").json["data"]) == 2


def test_one_that_does_not_exist(hub_service: Service, hub: StandInHub) -> None:
    answer = adopt(hub_service)
    assert (answer.status_code, answer.json["code"]) == (404, "target_not_found")
    assert "alice/byhand" in answer.json["message"]
    missing = hub_service.post("/spaces/adopt", {"target": "local"})
    assert (missing.status_code, {issue["path"] for issue in missing.json["issues"]}) == (422, {"namespace", "name"})


def test_a_token_that_may_not_write(make_service: MakeService, hub: StandInHub, hub_service: Service) -> None:
    by_hand(hub_service)
    hub.add_account("hf_reader", Account("alice", token_role="read"))
    hub.add_account("hf_stranger", Account("mallory"))
    for token in ("hf_reader", "hf_stranger"):
        other = make_service(HF_TOKEN=token, HF_ENDPOINT=hub.url, HUB_TIMEOUT=2.0)
        answer = adopt(other)
        assert (answer.status_code, answer.json["code"]) == (502, "target_forbidden"), answer.json
        assert "HF_TOKEN" in answer.json["message"]
        assert other.get("/spaces").json["data"] == []


def test_realms_permissions_and_quotas(hub_service: Service, hub: StandInHub) -> None:
    by_hand(hub_service)
    realm = make_realm(hub_service, "ours")
    ann = make_user(hub_service, "ann", realm, "realm_admin")
    body = {"target": "huggingface", "namespace": "alice", "name": "byhand"}
    assert ann.post("/spaces/adopt", body).json["issues"][0]["code"] == "target_not_available"
    viewer = make_user(hub_service, "vic", realm, "viewer")
    assert viewer.post("/spaces/adopt", body).status_code == 403
    hub.add_account("hf_carol", Account("carol", orgs={"acme": "write"}))
    credential = {"token": "hf_carol"}
    assert ann.open("PUT", f"/auth/realms/{realm}/hub-credential", credential).status_code == 200
    refused = ann.post("/spaces/adopt", body)
    assert (refused.status_code, refused.json["issues"][0]["code"]) == (422, "namespace_not_allowed")
    adopted(hub_service)
    hub.add_account("hf_carol", Account("carol", orgs={"alice": "write"}))
    assert ann.open("PUT", f"/auth/realms/{realm}/hub-credential", credential).status_code == 200
    managed = ann.post("/spaces/adopt", body)
    assert (managed.status_code, managed.json["code"]) == (409, "already_managed")
    assert "another realm" in managed.json["message"]


def test_quotas_and_limits(make_service: MakeService, hub: StandInHub) -> None:
    strict = make_service(
        HF_TOKEN="hf_alice", HF_ENDPOINT=hub.url, HUB_TIMEOUT=2.0, REALM_MAX_BYTES=1000, MAX_FILE_BYTES=2**20
    )
    by_hand(strict)
    answer = adopt(strict)
    assert (answer.status_code, answer.json["issues"][0]["code"]) == (422, "file_too_large")
    hub.push(NAME, {"model.bin": b"x" * 5000})
    answer = adopt(strict)
    assert (answer.status_code, answer.json["code"]) == (429, "quota_exceeded")
    assert strict.get("/spaces").json["data"] == []


def test_the_audit_log_names_it(hub_service: Service, hub: StandInHub) -> None:
    by_hand(hub_service)
    space = adopted(hub_service)
    with hub_service.app.app_context():
        entry = db.session.scalars(sa.select(AuditEntry).where(AuditEntry.action == "adopt")).one()
        assert (entry.object_id, entry.object_name) == (space["id"], "byhand")


@pytest.mark.parametrize(
    ("readme", "files", "sdk", "space_type"),
    [
        ("---\nsdk: static\n---\n", {"index.html": b"x"}, "static", "static"),
        ("---\nsdk: docker\n---\n", {"Dockerfile": b"FROM scratch\n"}, "docker", "docker"),
        ("---\nsdk: docker\n---\n", {"app.py": b"import streamlit\n"}, "docker", "streamlit"),
        ("# No card\n", {"main.rs": b"fn main() {}\n"}, "docker", "docker"),
    ],
)
def test_its_type_is_that_of_its_card(
    hub_service: Service, hub: StandInHub, readme: str, files: dict[str, bytes], sdk: str, space_type: str
) -> None:
    with hub_service.app.app_context():
        hub_service.services.targets.hub("hf_alice").create(spec(sdk=sdk))
    gone = dict.fromkeys(set(hub.tree(NAME)) - {".gitattributes"})
    hub.push(NAME, {**gone, "README.md": readme.encode(), **files})
    assert adopted(hub_service)["space_type"] == space_type


def test_a_local_repository(service: Service) -> None:
    request = service.publish(name="kept", files={"index.html": "one", "a/b.txt": "two"})
    space = service.space(request["space_id"])
    with service.app.app_context():
        for table in reversed(db.metadata.sorted_tables):
            if table.name in ("spaces", "space_requests", "request_files", "events", "followings", "local_namespaces"):
                db.session.execute(sa.delete(table))
        db.session.commit()
    body = {"target": "local", "namespace": space["namespace"], "name": "kept"}
    answer = service.post("/spaces/adopt", body)
    assert answer.status_code == 201, answer.json
    assert (answer.json["state"], answer.json["space_type"]) == ("running", "static")
    done = service.change(answer.json["id"], mode="merge", files={"a/b.txt": "three"})
    assert done["status"] == "succeeded"
    assert {file["path"] for file in done["files"]} == {file["path"] for file in request["files"]}
    with service.app.app_context():
        found = service.services.targets.find(answer.json["realm_id"], "local")
        assert found is not None
        assert found.head(PublishedSpace(space["namespace"], "kept", "")).oid == done["commit"]["oid"]
