"""What a refusal by the Hub means, and what its reader can do: whose token it is, which choices there are."""

from __future__ import annotations

from typing import Any

import pytest

from assembler_runner.devhub import Account, Fault, StandInHub
from tests.conftest import MakeService, Service
from tests.support.people import Person, make_realm, make_user

STATIC: dict[str, Any] = {"space_type": "static", "files": {"index.html": "x"}, "name": "one"}
GRADIO: dict[str, Any] = {"space_type": "gradio", "files": {"app.py": "import gradio\n"}, "name": "one"}


def refused(service: Service, hub: StandInHub, fault: Fault, **body: Any) -> dict[str, Any]:
    hub.faults.add(fault)
    request = service.publish(**{**STATIC, **body})
    assert request["status"] == "failed"
    return dict(request["error"])


@pytest.fixture
def ann(hub_service: Service, hub: StandInHub) -> Person:
    """The admin of a realm with a token of its own."""
    hub.add_account("hf_carol", Account("carol"))
    person = make_user(hub_service, "ann", make_realm(hub_service, "ours"), "realm_admin")
    realm = person.get("/auth/users/@me").json["realm_id"]
    assert person.open("PUT", f"/auth/realms/{realm}/hub-credential", {"token": "hf_carol"}).status_code == 200
    return person


@pytest.mark.parametrize("status", [401, 403])
def test_the_token_of_the_service(hub_service: Service, hub: StandInHub, status: int) -> None:
    fault = Fault("status", path="/api/repos/create", status=status, body={"error": "no"})
    error = refused(hub_service, hub, fault)
    assert "HF_TOKEN" in error["message"]
    assert "HF_TOKEN" in error["hint"]


@pytest.mark.parametrize("status", [401, 403])
def test_the_token_of_a_realm(hub_service: Service, hub: StandInHub, ann: Person, status: int) -> None:
    hub.faults.add(Fault("status", path="/api/repos/create", status=status, body={"error": "no"}))
    space = ann.post("/spaces", STATIC).json
    error = hub_service.work(space["latest_request"]["id"])["error"]
    assert "token of the realm" in error["message"]
    assert "hub-credential" in error["hint"]
    assert "HF_TOKEN" not in error["message"] + error["hint"]


def test_a_role_that_may_not_write(hub_service: Service, hub: StandInHub) -> None:
    words = "Forbidden: pass `create_pr=1` as a query parameter to create a Pull Request"
    error = refused(hub_service, hub, Fault("status", path="/commit/main", status=403, body={"error": words}))
    assert (error["code"], words in error["message"]) == ("target_forbidden", True)
    assert "write access" in error["hint"]


def test_a_token_of_a_kind_that_may_not_restart(hub_service: Service, hub: StandInHub) -> None:
    space_id = hub_service.publish(**GRADIO)["space_id"]
    hub.faults.add(Fault("status", path="/restart", status=401, body={"error": "Invalid username or password."}))
    error = hub_service.command(space_id, "restart")["error"]
    assert (error["code"], "restart" in error["message"]) == ("target_unauthorized", True)
    assert "kind write" in error["hint"]


def test_hardware_that_costs_money(hub_service: Service, hub: StandInHub, make_service: MakeService) -> None:
    hub.add_account("hf_poor", Account("alice", can_pay=False))
    poor = make_service(HF_TOKEN="hf_poor", HF_ENDPOINT=hub.url, HUB_TIMEOUT=2.0)
    error = poor.publish(**{**GRADIO, "hardware": "t4-small"})["error"]
    assert error["code"] == "payment_required"
    assert "cpu-basic" in error["hint"]
    assert "PRO" not in error["hint"]


def test_a_paid_plan(hub_service: Service, hub: StandInHub) -> None:
    fault = Fault("status", path="/api/repos/create", status=402, body={"error": "A PRO subscription is required"})
    error = refused(hub_service, hub, fault)
    assert error["code"] == "payment_required"
    for choice in ("static", "PRO, Team or Enterprise", "namespace", "payment method"):
        assert choice in error["hint"]


def test_zerogpu(hub_service: Service, hub: StandInHub) -> None:
    words = "ZeroGPU Spaces are only available with the Gradio SDK"
    fault = Fault("status", path="/api/repos/create", status=403, body={"error": words})
    error = refused(hub_service, hub, fault, **GRADIO)
    assert words in error["message"]
    assert "t4-small" in error["hint"]
    docker = {"space_type": "docker", "files": {"Dockerfile": "FROM scratch\n"}, "hardware": "zero-a10g"}
    hub.clear_requests()
    answer = hub_service.post("/spaces", docker)
    assert (answer.status_code, "zerogpu_not_gradio" in answer.text, hub.requests) == (422, True, [])


def test_a_name_taken_outside_leads_to_adopt(hub_service: Service, hub: StandInHub) -> None:
    from assembler_runner.targets import SpaceSpec

    with hub_service.app.app_context():
        hub_service.services.targets.hub("hf_alice").create(SpaceSpec("alice", "one", "static"))
    error = hub_service.publish(**{**STATIC, "namespace": "alice"})["error"]
    assert (error["code"], "assembler adopt alice/one" in error["hint"]) == ("name_taken", True)
    body = {"target": "huggingface", "namespace": "alice", "name": "one"}
    adopted = hub_service.post("/spaces/adopt", body)
    assert adopted.status_code == 201
    done = hub_service.change(adopted.json["id"], mode="merge", files={"index.html": "mine"})
    assert (done["status"], hub.tree("alice/one")["index.html"]) == ("succeeded", b"mine")


def test_a_name_of_ones_own_leads_to_update(hub_service: Service, hub: StandInHub) -> None:
    first = hub_service.publish(**STATIC)
    answer = hub_service.post("/spaces", STATIC)
    assert (answer.status_code, answer.json["code"]) == (409, "name_taken")
    assert first["space_id"] in answer.json["message"]
    assert f"POST /spaces/{first['space_id']}" in answer.json["hint"]
    other = hub_service.publish(**{**STATIC, "name": "two"})
    moved = hub_service.post(f"/spaces/{other['space_id']}/command", {"command": "move", "name": "one"})
    assert (moved.status_code, first["space_id"] in moved.json["hint"]) == (409, True)


def test_a_failed_creation_leads_to_retry(hub_service: Service, hub: StandInHub) -> None:
    hub.faults.add(Fault("status", path="/commit/main", status=403, body={"error": "no"}))
    request = hub_service.publish(**STATIC, on_failure="keep")
    assert request["status"] == "failed"
    answer = hub_service.post("/spaces", STATIC)
    if answer.status_code == 409:
        assert request["space_id"] in answer.json["message"]


def test_another_realm_learns_nothing(hub_service: Service, hub: StandInHub, ann: Person) -> None:
    hub.add_account("hf_carol", Account("carol", orgs={"alice": "write"}))
    realm = ann.get("/auth/users/@me").json["realm_id"]
    assert ann.open("PUT", f"/auth/realms/{realm}/hub-credential", {"token": "hf_carol"}).status_code == 200
    first = hub_service.publish(**{**STATIC, "namespace": "alice"})
    answer = ann.post("/spaces", {**STATIC, "namespace": "alice"})
    assert answer.status_code == 409
    assert first["space_id"] not in answer.text
