"""The final state on the Hub after any fault; the Hub is a stand-in over real HTTP."""

from __future__ import annotations

import base64
import os
import threading
from dataclasses import replace
from typing import Any

import pytest

from assembler_runner.core.database import db
from assembler_runner.devhub import Account, Fault, StandInHub
from assembler_runner.publishing import pipeline
from assembler_runner.spaces.models import Space
from tests.conftest import MakeService, Service

APP = "import gradio as gr\nprint(PARAMS)\n"
OUR_FILES = {"README.md", "app.py", "requirements.txt"}


def gradio(**more: Any) -> dict[str, Any]:
    return {"space_type": "gradio", "name": "greeter", "files": {"app.py": APP}, "parameters": {"user": "x"}, **more}


def lines(hub: StandInHub) -> list[str]:
    return [record.line for record in hub.requests]


def test_published_tree_is_the_previewed_one(hub_service: Service, hub: StandInHub) -> None:
    preview = hub_service.post("/spaces/preview?content=true", gradio()).json
    request = hub_service.publish(**gradio())

    assert request["status"] == "succeeded"
    tree = hub.tree("alice/greeter")
    assert {path for path in tree if path != ".gitattributes"} == OUR_FILES
    assert {file["path"]: file["content"].encode() for file in preview["files"]} == {p: tree[p] for p in OUR_FILES}
    assert request["tree_digest"] == preview["tree_digest"]
    (commit,) = hub.commits("alice/greeter")
    assert request["commit"] == {"oid": commit.oid, "url": f"{hub.url}/spaces/alice/greeter/commit/{commit.oid}"}
    space = hub_service.space(request["space_id"])
    assert (space["namespace"], space["url"]) == ("alice", f"{hub.url}/spaces/alice/greeter")
    assert space["state"] == "building"


@pytest.mark.parametrize("count", [1, 60])
def test_any_number_of_text_files_costs_four_requests_and_one_commit(
    hub_service: Service, hub: StandInHub, count: int
) -> None:
    files = {"app.py": APP, **{f"data/{number}.txt": f"{number}\n" for number in range(count - 1)}}
    request = hub_service.publish(**gradio(files=files))
    assert request["status"] == "succeeded"
    assert len(hub.requests) <= 4, lines(hub)
    assert len(hub.commits("alice/greeter")) == 1
    assert len(request["files"]) == count + 2


def test_the_hubs_welcome_page_is_gone_unless_given(hub_service: Service, hub: StandInHub) -> None:
    request = hub_service.publish(name="site", files={"start.html": "<p>hi</p>"}, options={"app_file": "start.html"})
    assert request["status"] == "succeeded"
    assert set(hub.tree("alice/site")) == {".gitattributes", "README.md", "start.html"}
    assert len(hub.requests) <= 4


def test_one_create_call_carries_everything(hub_service: Service, hub: StandInHub) -> None:
    request = hub_service.publish(
        **gradio(
            secrets={"API_KEY": "s3cret"},
            variables={"MODE": "fast"},
            hardware="cpu-upgrade",
            sleep_time=3600,
            visibility="private",
        )
    )
    assert request["status"] == "succeeded"
    repo = hub.space("alice/greeter")
    assert {key: secret.value for key, secret in repo.secrets.items()} == {"API_KEY": "s3cret"}
    assert {key: variable.value for key, variable in repo.variables.items()} == {"MODE": "fast"}
    assert (repo.hardware, repo.sleep_time, repo.visibility) == ("cpu-upgrade", 3600, "private")
    assert len(hub.requests) <= 4


def test_secrets_are_encrypted_in_the_database_and_in_no_response(hub_service: Service, hub: StandInHub) -> None:
    secret = "a-very-secret-value"
    space = hub_service.submit(**gradio(secrets={"API_KEY": secret}))
    request_id = space["latest_request"]["id"]
    database = (hub_service.services.instance / "assembler.db").read_bytes()
    wal = (hub_service.services.instance / "assembler.db-wal").read_bytes()
    assert secret.encode() not in database + wal
    hub_service.work(request_id)
    for path in (f"/spaces/{space['id']}", f"/requests/{request_id}", f"/requests/{request_id}/events"):
        assert secret not in hub_service.get(path).text
    assert secret.encode() not in b"".join(hub.tree("alice/greeter").values())


@pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")
def test_binary_file_goes_through_lfs_byte_for_byte(hub_service: Service, hub: StandInHub) -> None:
    content = b"\x00\x01" + os.urandom(300_000)
    files = {"app.py": APP, "model.bin": {"content": base64.b64encode(content).decode(), "encoding": "base64"}}
    request = hub_service.publish(**gradio(files=files))
    assert request["status"] == "succeeded"
    assert hub.tree("alice/greeter")["model.bin"] == content
    assert len(hub.commits("alice/greeter")) == 1


def test_namespace_is_used(hub_service: Service, hub: StandInHub) -> None:
    hub_service.publish(**gradio(namespace="acme"))
    assert set(hub.tree("acme/greeter")) >= OUR_FILES


def test_streamlit_is_a_docker_space(hub_service: Service, hub: StandInHub) -> None:
    hub_service.publish(space_type="streamlit", name="board", files={"app.py": "import streamlit\n"})
    assert hub.space("alice/board").sdk == "docker"


REFUSALS = [
    (401, "target_unauthorized"),
    (402, "payment_required"),
    (403, "target_forbidden"),
    (400, "target_refused"),
    (413, "target_too_large"),
    (422, "target_refused"),
]


@pytest.mark.parametrize(("status", "code"), REFUSALS)
@pytest.mark.parametrize("step", ["/api/repos/create", "/commit/"])
def test_a_rejection_is_reported_and_leaves_nothing(
    hub_service: Service, hub: StandInHub, status: int, code: str, step: str
) -> None:
    hub.faults.add(Fault("status", method="POST", path=step, times=None, status=status, body={"error": "No, because."}))
    request = hub_service.publish(**gradio())
    assert request["status"] == "failed"
    assert request["error"]["code"] == code
    assert "No, because." in request["error"]["message"]
    assert request["error"]["hint"]
    assert request["commit"] is None
    assert "alice/greeter" not in hub.spaces()
    assert hub_service.space(request["space_id"])["state"] == "failed"


def test_the_pay_wall_of_free_accounts(make_service: MakeService, hub: StandInHub) -> None:
    hub.add_account("hf_free", Account("carol", is_pro=False, can_pay=False))
    service = make_service(HF_TOKEN="hf_free", HF_ENDPOINT=hub.url)
    request = service.publish(**gradio())
    assert request["error"]["code"] == "payment_required"
    assert "PRO" in request["error"]["message"]
    assert "static" in request["error"]["hint"]
    assert service.publish(name="site")["status"] == "succeeded"


def test_a_bad_token_is_reported(make_service: MakeService, hub: StandInHub) -> None:
    service = make_service(HF_TOKEN="hf_nobody", HF_ENDPOINT=hub.url)
    request = service.publish(**gradio())
    assert (request["status"], request["error"]["code"]) == ("failed", "target_unauthorized")
    assert "hf_nobody" not in str(request)


def test_a_taken_name_is_reported_and_the_other_space_unchanged(hub_service: Service, hub: StandInHub) -> None:
    first = hub_service.publish(**gradio())
    before = hub.tree("alice/greeter")
    refused = hub_service.post("/spaces", gradio())
    assert (refused.status_code, refused.json["code"]) == (409, "name_taken")

    other = hub_service.publish(**gradio(name="other"))
    assert (first["status"], other["status"]) == ("succeeded", "succeeded")
    assert hub.tree("alice/greeter") == before


def test_a_name_taken_on_the_hub_by_another_account(
    hub_service: Service, make_service: MakeService, hub: StandInHub
) -> None:
    elsewhere = make_service(HF_TOKEN="hf_alice", HF_ENDPOINT=hub.url)
    assert elsewhere.publish(**gradio(parameters={"user": "first"}))["status"] == "succeeded"
    before = hub.tree("alice/greeter")
    request = hub_service.publish(**gradio())
    assert (request["status"], request["error"]["code"]) == ("failed", "name_taken")
    assert hub.tree("alice/greeter") == before
    again = hub_service.post(f"/requests/{request['id']}/command", {"command": "retry"})
    assert again.status_code == 202
    assert hub_service.work(request["id"])["error"]["code"] == "name_taken"
    assert hub.tree("alice/greeter") == before


LOST = [
    Fault("drop_before", method="POST", path="/api/repos/create"),
    Fault("drop_after", method="POST", path="/api/repos/create"),
    Fault("hang", method="POST", path="/api/repos/create", seconds=3, applied=True),
    Fault("garbage", method="POST", path="/api/repos/create", applied=True),
    Fault("status", method="POST", path="/api/repos/create", status=502, applied=True),
    Fault("drop_before", method="GET", path="/api/spaces/alice/greeter$"),
    Fault("garbage", method="GET", path="/api/spaces/alice/greeter$"),
    Fault("drop_before", method="POST", path="/preupload/"),
    Fault("drop_before", method="POST", path="/commit/"),
    Fault("drop_after", method="POST", path="/commit/"),
    Fault("hang", method="POST", path="/commit/", seconds=3, applied=True),
    Fault("garbage", method="POST", path="/commit/", applied=True),
    Fault("truncate", method="POST", path="/commit/", applied=True),
    Fault("status", method="POST", path="/commit/", status=500, applied=True),
    Fault("status", method="POST", path="/commit/", status=503),
    Fault("status", method="POST", path="/commit/", status=412, body={"error": "The branch was updated"}),
]


@pytest.mark.parametrize("fault", LOST, ids=lambda fault: f"{fault.kind} {fault.path} {fault.status or ''}")
def test_a_lost_response_duplicates_nothing(hub_service: Service, hub: StandInHub, fault: Fault) -> None:
    hub.faults.add(replace(fault))
    request = hub_service.publish(**gradio())
    for _ in range(4):
        if request["status"] != "queued":
            break
        request = hub_service.work(request["id"])
    assert request["status"] == "succeeded", request
    assert hub.spaces() == ["alice/greeter"]
    (commit,) = hub.commits("alice/greeter")
    assert request["commit"]["oid"] == commit.oid
    assert request["id"] in commit.message
    assert {path for path in hub.tree("alice/greeter") if path != ".gitattributes"} == OUR_FILES


@pytest.mark.parametrize(
    "headers",
    [{"Retry-After": "7"}, {"RateLimit": '"api";r=0;t=7', "RateLimit-Policy": '"fixed window";"api";q=1;w=300'}],
)
def test_a_rate_limit_is_waited_for(hub_service: Service, hub: StandInHub, headers: dict[str, str]) -> None:
    hub.faults.add(Fault("status", method="POST", path="/api/repos/create", status=429, headers=headers, times=20))
    space = hub_service.submit(**gradio())
    request = hub_service.work(space["latest_request"]["id"])
    for _ in range(9):
        assert (request["status"], request["error"]) == ("queued", None)
        request = hub_service.work(request["id"])
    retrying = [event for event in hub_service.events(request["id"]) if event["type"] == "retrying"]
    assert retrying[0]["data"]["retry_in"] == 7.0
    assert retrying[0]["data"]["error"]["code"] == "rate_limited"


def test_an_unreachable_hub_ends_in_an_accurate_error(make_service: MakeService, hub: StandInHub) -> None:
    service = make_service(HF_TOKEN="hf_alice", HF_ENDPOINT=hub.url, MAX_ERRORS=3)
    hub.faults.add(Fault("status", path="/api/", status=503, times=None))
    request = service.publish(**gradio())
    while request["status"] == "queued":
        request = service.work(request["id"])
    assert (request["status"], request["error"]["code"], request["attempts"]) == ("failed", "target_unavailable", 3)
    hub.faults.clear()
    assert service.post(f"/requests/{request['id']}/command", {"command": "retry"}).status_code == 202
    assert service.work(request["id"])["status"] == "succeeded"


def test_an_overlapping_creation_is_not_retried_in_a_loop(hub_service: Service, hub: StandInHub) -> None:
    busy = {"error": "Cannot create repo: another conflicting operation is in progress"}
    hub.faults.add(Fault("status", method="POST", path="/api/repos/create", status=409, body=busy, times=1))
    request = hub_service.publish(**gradio())
    assert (request["status"], len(hub.requests)) == ("queued", 1)
    assert hub_service.work(request["id"])["status"] == "succeeded"


def test_a_worker_with_an_expired_lease_changes_nothing(hub_service: Service, hub: StandInHub) -> None:
    """Another worker claims the request while the first one waits for the Hub's response to the commit."""
    hub.faults.add(Fault("hang", method="POST", path="/preupload/", seconds=1.5))
    space = hub_service.submit(**gradio())
    request_id = space["latest_request"]["id"]
    first = threading.Thread(target=hub_service.work, args=[request_id])
    first.start()

    def hangs() -> bool:
        """The first worker has read the head, stored its progress, and waits."""
        with hub_service.app.app_context():
            made = db.session.get_one(Space, space["id"]).made_at is not None
        return made and any("/preupload/" in record.path for record in hub.requests)

    while not hangs():
        first.join(0.01)
    hub_service.let_lease_run_out(request_id)
    with hub_service.app.app_context():
        pipeline.run(hub_service.services, request_id)
    first.join()
    request = hub_service.request(request_id)
    assert (request["status"], request["attempts"]) == ("succeeded", 2)
    (commit,) = hub.commits("alice/greeter")
    assert request["commit"]["oid"] == commit.oid
