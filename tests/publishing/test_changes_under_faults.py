"""Changes of a Space have the right result despite lost responses, rejected calls and killed processes."""

from __future__ import annotations

import signal
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from assembler_runner.devhub import Fault, StandInHub
from tests.conftest import MakeService, Service
from tests.requests.test_update import assert_live, gradio, live
from tests.support.killing import every_point
from tests.support.services import PASSWORD, Client, Process, digest, expected_tree, hub_settings, wait_until

pytestmark = pytest.mark.slow

NAME = "alice/greeter"
CHANGE: dict[str, Any] = {
    "files": {"app.py": "print(PARAMS, 2)\n", "new.txt": "new\n"},
    "variables": {"MODE": "fast", "OLD": None},
    "secrets": {"API_KEY": "s3cret", "OLD_KEY": None},
    "hardware": "t4-small",
    "visibility": "private",
}


def first(**more: Any) -> dict[str, Any]:
    return gradio(variables={"OLD": "1"}, secrets={"OLD_KEY": "1"}, **more)


def assert_changed(hub: StandInHub, request: dict[str, Any], name: str = NAME) -> None:
    """Asserts that the Space is as requested, by one commit of the request."""
    assert_live(hub, request, name)
    assert {"app.py", "new.txt"} < set(live(hub, name))
    assert "data/a.txt" not in live(hub, name)
    repo = hub.space(name)
    assert {key: entry.value for key, entry in repo.variables.items()} == {"MODE": "fast"}
    assert {key: entry.value for key, entry in repo.secrets.items()} == {"API_KEY": "s3cret"}
    assert (repo.hardware, repo.visibility) == ("t4-small", "private")
    assert [request["id"] in commit.message for commit in hub.commits(name)] == [False, True]


STEPS = [
    ("GET", "/api/spaces/alice/greeter$"),
    ("GET", "/runtime$"),
    ("POST", "/hardware$"),
    ("GET", "/variables$"),
    ("POST", "/variables$"),
    ("DELETE", "/variables$"),
    ("POST", "/secrets$"),
    ("DELETE", "/secrets$"),
    ("PUT", "/settings$"),
    ("POST", "/preupload/"),
    ("POST", "/commit/"),
]
WAYS = [
    Fault("drop_before"),
    Fault("drop_after"),
    Fault("hang", seconds=0.8, applied=True),
    Fault("status", status=500, applied=True),
    Fault("status", status=503),
    Fault("status", status=429, headers={"Retry-After": "1"}),
]


@pytest.mark.parametrize(("method", "path"), STEPS, ids=lambda part: part)
def test_a_lost_answer_at_any_step(make_service: MakeService, hub: StandInHub, method: str, path: str) -> None:
    service = make_service(HF_TOKEN="hf_alice", HF_ENDPOINT=hub.url, HUB_TIMEOUT=0.5)
    ways = [*WAYS, Fault("status", status=412)] if path == "/commit/" else WAYS
    for number, fault in enumerate(ways):
        name = f"greeter-{number}"
        space_id = service.publish(**first(name=name))["space_id"]
        hub.faults.add(replace(fault, method=method, path=path.replace("greeter", name)))
        request = service.change(space_id, **CHANGE)
        for _ in range(4):
            if request["status"] != "queued":
                break
            request = service.work(request["id"])
        assert_changed(hub, request, f"alice/{name}")
        assert hub.faults.all()[-1].fired == 1, fault


@pytest.mark.parametrize("kind", ["drop_before", "truncate"])
@pytest.mark.parametrize(("method", "path"), [("GET", "/tree/"), ("HEAD", "/resolve/"), ("GET", "/resolve/")])
def test_a_lost_answer_while_files_are_adopted(
    hub_service: Service, hub: StandInHub, method: str, path: str, kind: Any
) -> None:
    space_id = hub_service.publish(**gradio())["space_id"]
    hub.push(NAME, {"theirs.txt": b"theirs"})
    hub.faults.add(Fault(kind, method, path))
    request = hub_service.change(space_id, mode="merge", force=True, files={"new.txt": "new"})
    if request["status"] == "queued":
        request = hub_service.work(request["id"])
    assert_live(hub, request)
    assert {"theirs.txt", "new.txt"} < set(live(hub))


@pytest.mark.parametrize("status", [402, 403])
@pytest.mark.parametrize(("method", "path"), [step for step in STEPS if step[0] != "GET"], ids=lambda part: part)
def test_a_refusal_leaves_the_old_files(
    hub_service: Service, hub: StandInHub, method: str, path: str, status: int
) -> None:
    old = hub_service.publish(**first())
    before = live(hub)
    hub.faults.add(Fault("status", method, path, status=status))
    request = hub_service.change(old["space_id"], **CHANGE)
    code = {402: "payment_required", 403: "target_forbidden"}[status]
    assert (request["status"], request["error"]["code"]) == ("failed", code)
    assert live(hub) == before
    space = hub_service.space(old["space_id"])
    assert (space["state"], space["commit_oid"]) == ("building", old["commit"]["oid"])
    # The next request, or a retry, is not blocked.
    assert hub_service.post(f"/requests/{request['id']}/command", {"command": "retry"}).status_code == 202
    assert_changed(hub, hub_service.work(request["id"]))


def test_a_commit_that_exists_after_all_is_reported(make_service: MakeService, hub: StandInHub) -> None:
    service = make_service(HF_TOKEN="hf_alice", HF_ENDPOINT=hub.url, MAX_ERRORS=1, HUB_TIMEOUT=0.5)
    space_id = service.publish(**gradio())["space_id"]
    hub.faults.add(Fault("drop_after", "POST", "/commit/"))
    request = service.change(space_id, files={"app.py": "print(2)\n"})
    assert request["status"] == "queued"
    assert "resumed" in [event["type"] for event in service.events(request["id"])]
    assert_live(hub, service.work(request["id"]))
    assert len(hub.commits(NAME)) == 2


def test_a_late_commit_is_not_a_foreign_commit(make_service: MakeService, hub: StandInHub) -> None:
    """It arrives after its request has failed, and after the next one was sent."""
    service = make_service(HF_TOKEN="hf_alice", HF_ENDPOINT=hub.url, MAX_ERRORS=1, HUB_TIMEOUT=0.4)
    space_id = service.publish(**gradio())["space_id"]
    hub.faults.add(Fault("hang", "POST", "/commit/", seconds=1.0))
    late = service.change(space_id, files={"app.py": "print(2)\n"})
    assert late["status"] == "failed"
    following = service.ask(f"/spaces/{space_id}", {"files": {"app.py": "print(3)\n"}})
    wait_until(lambda: len(hub.commits(NAME)) == 2, "the late commit has come")
    request = service.work(following["id"])
    assert_live(hub, request)
    assert b"print(3)" in hub.tree(NAME)["app.py"]


def test_a_worker_with_an_expired_lease_commits_nothing(hub_service: Service, hub: StandInHub) -> None:
    space_id = hub_service.publish(**gradio())["space_id"]
    hub.faults.add(Fault("hang", "POST", "/preupload/", seconds=1.0))
    request = hub_service.ask(f"/spaces/{space_id}", {"files": {"app.py": "print(2)\n"}})
    worker = threading.Thread(target=hub_service.work, args=[request["id"]])
    worker.start()
    wait_until(lambda: any(record.fault for record in hub.requests), "it waits for the Hub")
    hub_service.let_lease_run_out(request["id"])
    assert_live(hub, hub_service.work(request["id"]))
    later = hub_service.change(space_id, files={"app.py": "print(3)\n"})
    worker.join()
    assert_live(hub, later)
    assert len(hub.commits(NAME)) == 3


def test_an_update_killed_at_any_point(hub_service: Service, hub: StandInHub) -> None:
    def prepare(number: int) -> str:
        space_id = hub_service.publish(**first(name=f"greeter-{number}"))["space_id"]
        return str(hub_service.ask(f"/spaces/{space_id}", CHANGE)["id"])

    def check(number: int, request: dict[str, Any]) -> None:
        assert_changed(hub, request, f"alice/greeter-{number}")

    assert every_point(hub_service, prepare, check) > 30


def test_a_rollback_killed_at_any_point(hub_service: Service, hub: StandInHub) -> None:
    def prepare(number: int) -> str:
        old = hub_service.publish(**gradio(name=f"greeter-{number}"))
        hub_service.change(old["space_id"], files=CHANGE["files"])
        body = {"command": "rollback", "request_id": old["id"]}
        return str(hub_service.ask(f"/spaces/{old['space_id']}/command", body)["id"])

    def check(number: int, request: dict[str, Any]) -> None:
        assert_live(hub, request, f"alice/greeter-{number}")
        assert "data/a.txt" in live(hub, f"alice/greeter-{number}")
        assert len(hub.commits(f"alice/greeter-{number}")) == 3

    assert every_point(hub_service, prepare, check) > 5


def test_an_adoption_killed_at_any_point(hub_service: Service, hub: StandInHub) -> None:
    def prepare(number: int) -> str:
        old = hub_service.publish(**gradio(name=f"greeter-{number}"))
        hub.push(f"alice/greeter-{number}", {"theirs.txt": b"theirs"})
        body = {"mode": "merge", "force": True, "files": {"new.txt": "new"}}
        return str(hub_service.ask(f"/spaces/{old['space_id']}", body)["id"])

    def check(number: int, request: dict[str, Any]) -> None:
        assert_live(hub, request, f"alice/greeter-{number}")
        assert {"theirs.txt", "new.txt"} < set(live(hub, f"alice/greeter-{number}"))
        assert len(hub.commits(f"alice/greeter-{number}")) == 3

    assert every_point(hub_service, prepare, check) > 8


@pytest.mark.parametrize("command", ["delete", "move", "restart", "pause", "wake", "hardware", "duplicate"])
def test_a_command_killed_at_any_point(hub_service: Service, hub: StandInHub, command: str) -> None:
    wanted: dict[str, Any] = {"move": {"name": "moved-{}"}, "hardware": {"hardware": "t4-small"}}.get(command, {})
    wanted |= {"name": "copy-{}"} if command == "duplicate" else {}

    def prepare(number: int) -> str:
        space_id = hub_service.publish(**gradio(name=f"greeter-{number}"))["space_id"]
        hub.set_stage(f"alice/greeter-{number}", "PAUSED" if command == "wake" else "RUNNING")
        if command == "delete":
            return str(hub_service.delete(f"/spaces/{space_id}").json["latest_request"]["id"])
        body = {"command": command, **{key: value.format(number) for key, value in wanted.items()}}
        return str(hub_service.ask(f"/spaces/{space_id}/command", body)["id"])

    def check(number: int, request: dict[str, Any]) -> None:
        name = f"alice/greeter-{number}"
        if command in ("delete", "move"):
            assert name not in hub.spaces()
            assert (f"alice/moved-{number}" in hub.spaces()) == (command == "move")
            state = hub_service.space(request["space_id"])
            assert (state["state"] == "deleted") == (command == "delete")
            assert state["name"] == (f"moved-{number}" if command == "move" else f"greeter-{number}")
        elif command == "duplicate":
            assert live(hub, f"alice/copy-{number}") == live(hub, name) == expected_tree(request)
            assert len(hub.commits(f"alice/copy-{number}")) == 1
        elif command == "hardware":
            assert hub.space(name).hardware == "t4-small"
        else:
            # Each probe may have advanced the stage.
            stages = {"PAUSED"} if command == "pause" else {"BUILDING", "APP_STARTING"}
            assert hub.space(name).runtime.peek().name in stages

    assert every_point(hub_service, prepare, check) >= 4


def test_local_changes_killed_at_any_point(service: Service) -> None:
    def prepare(number: int) -> str:
        space_id = service.publish(name=f"site-{number}", files={"index.html": "1", "old.txt": "old"})["space_id"]
        return str(service.ask(f"/spaces/{space_id}", {"files": {"index.html": "2"}, "variables": {"A": "1"}})["id"])

    def check(number: int, request: dict[str, Any]) -> None:
        assert expected_tree(request)["index.html"] == digest(b"2")
        assert service.client.get(f"/local/admin/site-{number}/live/").data == b"2"
        assert service.get(f"/local/admin/site-{number}/live/old.txt").status_code == 404

    assert every_point(service, prepare, check) > 8


@pytest.mark.parametrize("path", ["/secrets$", "/preupload/", "/commit/"])
@pytest.mark.parametrize("applied", [True, False])
def test_kill_minus_nine_of_the_real_service(tmp_path: Path, hub: StandInHub, path: str, applied: bool) -> None:
    settings = {**hub_settings(hub), "ADMIN_PASSWORD": PASSWORD, "LEASE_SECONDS": "3", "RESEND_SECONDS": "1"}
    serve = ("-m", "assembler_runner", "serve", "--port", "0", "--instance", str(tmp_path / "instance"))
    with Process(*serve, **settings) as process, Client(process.wait_for_line(r"ready at (http://\S+)")[1]) as client:
        made = client.wait(client.submit("greeter"))
        hub.faults.add(Fault("hang", "POST", path, seconds=30, applied=applied))
        answer = client._http.post(f"/spaces/{made['space_id']}", json=CHANGE)
        request_id = answer.json()["latest_request"]["id"]
        wait_until(lambda: any(record.fault for record in hub.requests), "the worker waits for the Hub")
        process.send(signal.SIGKILL)
        process.wait()
    hub.faults.clear()
    with Process(*serve, **settings) as process, Client(process.wait_for_line(r"ready at (http://\S+)")[1]) as client:
        request = client.wait(request_id)
        assert request["status"] == "succeeded", request
        assert_live(hub, request)
        assert len(hub.commits(NAME)) == 2
        assert {key: entry.value for key, entry in hub.space(NAME).secrets.items()} == {
            **{"API_KEY": "s3cret", "KEY": "greeter"}
        }
        assert process.stop() == 0
