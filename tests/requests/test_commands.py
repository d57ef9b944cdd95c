"""Rollback, restart, pause, wake, hardware, move and duplicate."""

from __future__ import annotations

from typing import Any

import pytest

from assembler_runner.devhub import Fault, StandInHub
from tests.conftest import Service
from tests.requests.test_update import assert_live, gradio, live
from tests.support.people import make_realm, make_user
from tests.support.services import digest, expected_tree

NAME = "alice/greeter"


def test_rollback_restores_the_exact_tree(hub_service: Service, hub: StandInHub) -> None:
    first = hub_service.publish(**gradio())
    space_id = first["space_id"]
    before = hub.tree(NAME)
    hub_service.change(space_id, files={"app.py": "print(2)\n", "new.txt": "new"}, parameters={"user": "other"})
    request = hub_service.command(space_id, "rollback", request_id=first["id"])
    assert_live(hub, request)
    assert hub.tree(NAME) == before
    assert (request["action"], request["parameters"]) == ("rollback", {"user": "x"})
    assert len(hub.commits(NAME)) == 3
    # The next update builds on it.
    assert_live(hub, hub_service.change(space_id, parameters={"user": "z"}))
    assert set(live(hub)) == {path for path in before if path != ".gitattributes"}


def test_rollback_to_what_is_live_makes_no_commit(hub_service: Service, hub: StandInHub) -> None:
    first = hub_service.publish(**gradio())
    request = hub_service.command(first["space_id"], "rollback", request_id=first["id"])
    assert (request["status"], request["unchanged"], len(hub.commits(NAME))) == ("succeeded", True, 1)


def test_rollback_respects_foreign_commits(hub_service: Service, hub: StandInHub) -> None:
    first = hub_service.publish(**gradio())
    space_id = first["space_id"]
    hub_service.change(space_id, files={"app.py": "print(2)\n"})
    hub.push(NAME, {"theirs.txt": b"theirs"})
    assert hub_service.command(space_id, "rollback", request_id=first["id"])["error"]["code"] == "foreign_commit"
    assert_live(hub, hub_service.command(space_id, "rollback", request_id=first["id"], force=True))


def test_only_releases_of_the_space_can_be_rolled_back_to(service: Service) -> None:
    first, other = service.publish(), service.publish()
    path = f"/spaces/{first['space_id']}/command"
    failed = service.submit(name="waiting")["latest_request"]
    for request_id, status in ((other["id"], 409), (failed["id"], 409), ("nothing", 404)):
        answer = service.post(path, {"command": "rollback", "request_id": request_id})
        assert answer.status_code == status, answer.json


@pytest.mark.parametrize(
    ("command", "stage", "state"),
    [("restart", "BUILDING", "starting"), ("factory_rebuild", "BUILDING", "building"), ("pause", "PAUSED", "paused")],
)
def test_commands_for_the_machine(hub_service: Service, hub: StandInHub, command: str, stage: str, state: str) -> None:
    space_id = hub_service.publish(**gradio())["space_id"]
    hub.set_stage(NAME, "RUNNING")
    hub.clear_requests()
    request = hub_service.command(space_id, command)
    assert (request["status"], request["action"], request["files"]) == ("succeeded", command, [])
    assert request["tree_digest"] is None
    assert hub.space(NAME).runtime.peek().name == stage
    assert hub_service.space(space_id)["state"] == state
    sent = [record for record in hub.requests if record.method == "POST"]
    assert len(sent) == 1
    assert ("factory=true" in sent[0].query) == (command == "factory_rebuild")


@pytest.mark.parametrize(("stage", "unchanged"), [("STOPPED", False), ("PAUSED", False), ("RUNNING", True)])
def test_wake(hub_service: Service, hub: StandInHub, stage: str, unchanged: bool) -> None:
    space_id = hub_service.publish(**gradio())["space_id"]
    hub.set_stage(NAME, stage)
    request = hub_service.command(space_id, "wake")
    assert (request["status"], request["unchanged"]) == ("succeeded", unchanged)
    assert hub.space(NAME).runtime.peek().name == ("RUNNING" if unchanged else "BUILDING")


def test_hardware(hub_service: Service, hub: StandInHub) -> None:
    space_id = hub_service.publish(**gradio())["space_id"]
    assert hub_service.command(space_id, "hardware", hardware="t4-small", sleep_time=600)["status"] == "succeeded"
    assert (hub.space(NAME).hardware, hub.space(NAME).sleep_time) == ("t4-small", 600)
    assert hub_service.command(space_id, "hardware", sleep_time=900)["status"] == "succeeded"
    assert (hub.space(NAME).hardware, hub.space(NAME).sleep_time) == ("t4-small", 900)
    assert hub_service.command(space_id, "hardware", hardware="t4-small")["unchanged"] is True
    hub.state.accounts["hf_alice"].can_pay = False
    request = hub_service.command(space_id, "hardware", hardware="a100-large")
    assert (request["status"], request["error"]["code"]) == ("failed", "payment_required")
    assert hub.space(NAME).hardware == "t4-small"


@pytest.mark.parametrize("path", ["/restart$", "/pause$"])
@pytest.mark.parametrize("kind", ["drop_before", "drop_after"])
def test_a_lost_answer_to_a_command(hub_service: Service, hub: StandInHub, path: str, kind: str) -> None:
    space_id = hub_service.publish(**gradio())["space_id"]
    hub.set_stage(NAME, "RUNNING")
    hub.faults.add(Fault(kind, "POST", path))  # type: ignore[arg-type]  # one of the kinds
    request = hub_service.command(space_id, "restart" if "restart" in path else "pause")
    assert request["status"] == "queued"
    assert hub_service.work(request["id"])["status"] == "succeeded"
    done = [record for record in hub.requests if record.path.endswith(path[:-1]) and record.fault != "drop_before"]
    assert len(done) == (1 if "restart" in path or kind == "drop_before" else 2)


@pytest.mark.parametrize("command", ["restart", "factory_rebuild", "pause", "wake", "hardware"])
def test_commands_without_hardware_are_rejected(hub_service: Service, command: str) -> None:
    body: dict[str, Any] = {"command": command} | ({"hardware": "t4-small"} if command == "hardware" else {})
    local = hub_service.publish(target="local")["space_id"]
    static = hub_service.publish()["space_id"]
    for space_id, word in ((local, "runs no apps"), (static, "static Space")):
        answer = hub_service.post(f"/spaces/{space_id}/command", body)
        assert (answer.status_code, answer.json["code"]) == (409, "conflict")
        assert word in answer.json["message"]


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"command": "explode"}, "command"),
        ({"command": "rollback"}, "request_id"),
        ({"command": "restart", "name": "x"}, "name"),
        ({"command": "move"}, "name"),
        ({"command": "hardware"}, "hardware"),
        ({"command": "hardware", "hardware": "abacus"}, "hardware"),
        ({"command": "move", "name": "-x-"}, "name"),
    ],
)
def test_commands_that_are_not_valid(service: Service, body: dict[str, Any], field: str) -> None:
    space_id = service.publish()["space_id"]
    answer = service.post(f"/spaces/{space_id}/command", body)
    assert answer.status_code == 422
    assert field in [issue["path"] for issue in answer.json["issues"]]


def test_move_on_the_hub(hub_service: Service, hub: StandInHub) -> None:
    space_id = hub_service.publish(**gradio())["space_id"]
    before = hub.tree(NAME)
    request = hub_service.command(space_id, "move", name="renamed")
    assert request["status"] == "succeeded"
    assert hub.spaces() == ["alice/renamed"]
    assert hub.tree("alice/renamed") == before
    space = hub_service.space(space_id)
    assert (space["name"], space["url"]) == ("renamed", f"{hub.url}/spaces/alice/renamed")
    # The old name is free, the new one is taken.
    assert hub_service.publish(**gradio())["status"] == "succeeded"
    answer = hub_service.post("/spaces", gradio(name="renamed"))
    assert (answer.status_code, answer.json["code"]) == (409, "name_taken")
    assert_live(hub, hub_service.change(space_id, files={"app.py": "print(2)\n"}), "alice/renamed")


@pytest.mark.parametrize("kind", ["drop_before", "drop_after", "status"])
def test_a_lost_answer_to_a_move(hub_service: Service, hub: StandInHub, kind: str) -> None:
    space_id = hub_service.publish(**gradio())["space_id"]
    hub.faults.add(Fault(kind, "POST", "/api/repos/move$", status=502))  # type: ignore[arg-type]  # one of the kinds
    request = hub_service.command(space_id, "move", name="renamed")
    if request["status"] == "queued":
        request = hub_service.work(request["id"])
    assert request["status"] == "succeeded", request
    assert hub.spaces() == ["alice/renamed"]


def test_a_move_to_a_taken_name_changes_nothing(hub_service: Service, hub: StandInHub) -> None:
    space_id = hub_service.publish(**gradio())["space_id"]
    hub_service.publish(name="taken")
    answer = hub_service.post(f"/spaces/{space_id}/command", {"command": "move", "name": "taken"})
    assert (answer.status_code, answer.json["code"]) == (409, "name_taken")
    # A name that is taken on the Hub only.
    from huggingface_hub import HfApi

    HfApi(endpoint=hub.url, token="hf_alice").create_repo("alice/foreign", repo_type="space", space_sdk="static")
    request = hub_service.command(space_id, "move", name="foreign")
    assert (request["status"], request["error"]["code"]) == ("failed", "name_taken")
    assert_live(hub, hub_service.change(space_id, files={"app.py": "print(2)\n"}))
    assert hub_service.publish(name="foreign")["error"]["code"] == "name_taken"
    assert hub_service.post("/spaces", gradio()).json["code"] == "name_taken"


def test_move_and_duplicate_local_spaces(service: Service) -> None:
    first = service.publish(name="site", variables={"A": "1"}, labels=["a"])
    request = service.command(first["space_id"], "move", name="Site")
    assert request["status"] == "succeeded"
    assert service.client.get("/local/admin/Site").status_code == 200
    request = service.command(first["space_id"], "move", name="other", namespace="team")
    assert request["status"] == "succeeded"
    assert service.get("/local/admin/site").status_code == 404
    assert b"Hello" in service.client.get("/local/team/other/live/").data
    copy = service.command(first["space_id"], "duplicate", name="copy", variables={"B": "2"})
    assert (copy["status"], copy["action"], copy["number"]) == ("succeeded", "duplicate", 1)
    assert copy["space_id"] != first["space_id"]
    assert expected_tree(copy) == expected_tree(first)
    space = service.space(copy["space_id"])
    assert (space["name"], space["namespace"], space["labels"]) == ("copy", "team", ["a"])
    assert b"Hello" in service.client.get("/local/team/copy/live/").data


def test_a_duplicate_on_the_hub(hub_service: Service, hub: StandInHub) -> None:
    first = hub_service.publish(**gradio(variables={"A": "1", "B": "1"}, secrets={"KEY": "x"}))
    hub_service.change(first["space_id"], variables={"B": None, "C": "3"})
    request = hub_service.command(first["space_id"], "duplicate", secrets={"KEY": "other"}, visibility="private")
    assert request["status"] == "succeeded"
    name = f"alice/{hub_service.space(request['space_id'])['name']}"
    assert live(hub, name) == live(hub)
    repo = hub.space(name)
    assert {key: entry.value for key, entry in repo.variables.items()} == {"A": "1", "C": "3"}
    assert {key: entry.value for key, entry in repo.secrets.items()} == {"KEY": "other"}
    assert repo.visibility == "private"
    answer = hub_service.post(f"/spaces/{first['space_id']}/command", {"command": "duplicate", "name": "greeter"})
    assert (answer.status_code, answer.json["code"]) == (409, "name_taken")


def test_duplicate_requires_the_permission_to_create(service: Service) -> None:
    realm_id = make_realm(service, "ours")
    chief = make_user(service, "chief", realm_id, "realm_admin")
    space = chief.post("/spaces", {"space_type": "static", "files": {"index.html": "x"}}).json
    role = chief.post("/auth/roles", {"name": "changer"}).json["id"]
    for permission in service.get("/auth/permissions?filter[name]=space_update,space_read").json["data"]:
        chief.post("/auth/role-permissions", {"role_id": role, "permission_id": permission["id"]})
    ann = make_user(service, "ann", realm_id, None)
    chief.post("/auth/user-roles", {"user_id": ann.id, "role_id": role})
    answer = ann.post(f"/spaces/{space['id']}/command", {"command": "duplicate"})
    assert (answer.status_code, answer.json["code"]) == (403, "forbidden")
    answer = ann.post("/spaces/command", {"command": "delete", "filter": {"state": "creating"}})
    assert (answer.status_code, answer.json["code"]) == (403, "forbidden")


def test_digest_of_files_is_reported(service: Service) -> None:
    first = service.publish(files={"index.html": "x"})
    assert expected_tree(first)["index.html"] == digest(b"x")
