"""Foreign commits, renames and deletions on the target: foreign changes are lost only if the caller requests it."""

from __future__ import annotations

from typing import Any

import pytest

from assembler_runner.devhub import Fault, StandInHub
from assembler_runner.files.tree import SpaceFile, Tree
from tests.conftest import Service
from tests.requests.test_update import assert_live, gradio, live
from tests.support.services import digest

NAME = "alice/greeter"


@pytest.fixture
def space_id(hub_service: Service) -> str:
    """A published Space."""
    request = hub_service.publish(**gradio())
    assert request["status"] == "succeeded"
    return str(request["space_id"])


def push(hub: StandInHub) -> str:
    """Makes a foreign commit: one file added, one changed, one deleted."""
    return hub.push(NAME, {"theirs.txt": b"theirs", "data/a.txt": b"theirs", "data/b.txt": None}).oid


def test_a_foreign_commit_is_not_overwritten(hub_service: Service, hub: StandInHub, space_id: str) -> None:
    known = hub.space(NAME).head.oid
    theirs = push(hub)
    before = live(hub)
    request = hub_service.change(space_id, files={"app.py": "print(2)\n"})
    assert request["status"] == "failed"
    assert request["error"]["code"] == "foreign_commit"
    assert request["error"]["details"] == {
        "commit_oid": theirs,
        "known_oid": known,
        "diff": {"added": ["theirs.txt"], "changed": ["data/a.txt"], "deleted": ["data/b.txt"], "total": 3},
    }
    assert live(hub) == before
    space = hub_service.get(f"/spaces/{space_id}")
    assert (space.json["commit_oid"], space.json["foreign_oid"]) == (theirs, theirs)
    assert space.json["state"] == "building"
    assert space.headers["ETag"] == f'"{theirs}"'


@pytest.mark.parametrize("how", ["force", "if-match"])
def test_a_foreign_commit_can_be_overwritten_explicitly(
    hub_service: Service, hub: StandInHub, space_id: str, how: str
) -> None:
    theirs = push(hub)
    body: dict[str, Any] = {"files": {"app.py": "print(2)\n"}}
    headers = {}
    if how == "force":
        body["force"] = True
    else:
        assert hub_service.change(space_id, **body)["status"] == "failed"
        headers["If-Match"] = f'"{theirs}"'
    request = hub_service.work(hub_service.ask(f"/spaces/{space_id}", body, headers=headers)["id"])
    assert_live(hub, request)
    assert set(live(hub)) == {"README.md", "app.py", "requirements.txt"}
    assert hub_service.space(space_id)["foreign_oid"] is None
    assert_live(hub, hub_service.change(space_id, files={"app.py": "print(3)\n"}))


def test_a_commit_that_came_after_the_named_one_is_not_overwritten(
    hub_service: Service, hub: StandInHub, space_id: str
) -> None:
    theirs = push(hub)
    body = {"files": {"app.py": "print(2)\n"}}
    assert hub_service.change(space_id, **body)["status"] == "failed"
    request = hub_service.ask(f"/spaces/{space_id}", body, headers={"If-Match": f'"{theirs}"'})
    newest = hub.push(NAME, {"more.txt": b"more"}).oid
    request = hub_service.work(request["id"])
    assert (request["error"]["code"], request["error"]["details"]["commit_oid"]) == ("foreign_commit", newest)


def test_merge_keeps_foreign_changes_that_the_request_does_not_touch(
    hub_service: Service, hub: StandInHub, space_id: str
) -> None:
    hub.push(NAME, {"theirs.txt": b"theirs", "data/a.txt": b"theirs", "data/b.txt": None, "unwanted.txt": b"x"})
    files = {"data/a.txt": "ours", "unwanted.txt": None, "data/c.txt": "c"}
    request = hub_service.change(space_id, mode="merge", force=True, files=files)
    assert_live(hub, request)
    tree = hub.tree(NAME)
    assert tree["theirs.txt"] == b"theirs"
    assert tree["data/a.txt"] == b"ours"
    assert not {"data/b.txt", "unwanted.txt"} & set(tree)
    origins = {file["path"]: file["origin"] for file in request["files"]}
    assert origins["theirs.txt"] == "adopted"
    preview = Tree({path: SpaceFile(path, tree[path]) for path in origins})
    assert request["tree_digest"] == preview.digest
    # From here on it is part of the Space.
    later = hub_service.change(space_id, parameters={"user": "later"})
    assert_live(hub, later)
    assert hub.tree(NAME)["theirs.txt"] == b"theirs"
    # A rollback to it restores all files.
    assert_live(hub, hub_service.change(space_id, files={"app.py": "print(9)\n"}))
    back = hub_service.command(space_id, "rollback", request_id=request["id"])
    assert_live(hub, back)
    assert live(hub)["theirs.txt"] == digest(b"theirs")


def test_a_foreign_commit_between_read_and_commit(hub_service: Service, hub: StandInHub, space_id: str) -> None:
    hub.faults.add(Fault("hang", "POST", "/preupload/", seconds=0.5))
    request = hub_service.ask(f"/spaces/{space_id}", {"files": {"app.py": "print(2)\n"}})
    import threading

    worker = threading.Thread(target=hub_service.work, args=[request["id"]])
    worker.start()
    while not any("/preupload/" in record.path and record.fault for record in hub.requests):
        worker.join(0.01)
    theirs = push(hub)
    worker.join()
    request = hub_service.request(request["id"])
    assert (request["status"], request["error"]["code"]) == ("failed", "foreign_commit")
    assert hub.space(NAME).head.oid == theirs


def test_a_history_that_was_squashed(hub_service: Service, hub: StandInHub, space_id: str) -> None:
    repo = hub.space(NAME)
    oid = hub.push(NAME, {}).oid
    del repo.commits[:-1]
    request = hub_service.change(space_id, files={"app.py": "print(2)\n"})
    assert request["error"]["details"]["commit_oid"] == oid
    assert_live(hub, hub_service.change(space_id, files={"app.py": "print(2)\n"}, force=True))


def test_settings_alone_ignore_foreign_commits(hub_service: Service, hub: StandInHub, space_id: str) -> None:
    push(hub)
    assert hub_service.change(space_id, variables={"A": "1"})["status"] == "succeeded"
    assert hub.space(NAME).variables["A"].value == "1"


def test_a_space_renamed_on_the_hub_is_followed(hub_service: Service, hub: StandInHub, space_id: str) -> None:
    hub.state.move(hub.space(NAME), "alice/renamed")
    request = hub_service.change(space_id, files={"app.py": "print(2)\n"})
    assert_live(hub, request, "alice/renamed")
    space = hub_service.space(space_id)
    assert (space["name"], space["url"]) == ("renamed", f"{hub.url}/spaces/alice/renamed")
    assert hub_service.remove(space_id)["status"] == "succeeded"
    assert hub.spaces() == []


def test_a_space_deleted_on_the_hub_is_reported(hub_service: Service, hub: StandInHub, space_id: str) -> None:
    del hub.state.repos["space", NAME]
    request = hub_service.change(space_id, files={"app.py": "print(2)\n"})
    assert (request["status"], request["error"]["code"]) == ("failed", "target_not_found")
    assert hub_service.remove(space_id)["status"] == "succeeded"


def test_only_the_published_space_is_deleted(hub_service: Service, hub: StandInHub, space_id: str) -> None:
    """The Space is deleted on the Hub, and another one with the same name is created."""
    api = hub.space(NAME)
    del hub.state.repos["space", NAME]
    from huggingface_hub import HfApi

    HfApi(endpoint=hub.url, token="hf_alice").create_repo(NAME, repo_type="space", space_sdk="static")
    assert hub.space(NAME) is not api
    request = hub_service.remove(space_id)
    assert request["status"] == "succeeded"
    assert hub.spaces() == [NAME]
    (event,) = [event for event in hub_service.events(request["id"]) if event["type"] == "deleted"]
    assert "was not deleted" in event["message"]
