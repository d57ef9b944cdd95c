"""Spaces made from the files of a Space of the Hub."""

from __future__ import annotations

from typing import Any

import pytest
from huggingface_hub import CommitOperationAdd, HfApi

from assembler_runner.devhub import StandInHub
from tests.conftest import MakeService, Service
from tests.support.people import made, make_realm, make_user

PAGE, CARD = b"<h1>Made by bob</h1>", b"---\ntitle: Bob\nsdk: static\n---\n"


@pytest.fixture
def bobs(hub: StandInHub) -> HfApi:
    """A public and a private Space of somebody else."""
    api = HfApi(endpoint=hub.url, token="hf_bob")
    for name, visibility in (("page", "public"), ("own", "private")):
        api.create_repo(f"bob/{name}", repo_type="space", space_sdk="static", visibility=visibility)  # type: ignore[arg-type]
        files = [CommitOperationAdd("index.html", PAGE), CommitOperationAdd("README.md", CARD)]
        api.create_commit(f"bob/{name}", files, commit_message="page", repo_type="space")
    return api


def refused(answer: Any) -> tuple[str, str]:
    assert answer.status_code == 422, answer.json
    return answer.json["issues"][0]["code"], answer.json["issues"][0]["path"]


def test_a_public_space_becomes_one_of_the_realm(hub_service: Service, hub: StandInHub, bobs: HfApi) -> None:
    preview = made(hub_service.post("/spaces/preview?content=true", {"copy_of": "bob/page"}), 200)
    contents = {file["path"]: (file["content"], file["origin"]) for file in preview["files"]}
    assert contents["index.html"] == (PAGE.decode(), "given")
    head = bobs.space_info("bob/page").sha
    assert preview["git"]["commit"] == head
    done = hub_service.publish(files={}, copy_of="bob/page", name="mine")
    assert (done["status"], done["tree_digest"]) == ("succeeded", preview["tree_digest"])
    assert done["git"] == {"url": f"{hub.url}/spaces/bob/page", "ref": "", "subdirectory": "", "commit": head}
    assert hub.tree("alice/mine")["index.html"] == PAGE
    # What is sent beside it replaces its files.
    files = {"index.html": "mine"}
    shown = made(hub_service.post("/spaces/preview?content=true", {"copy_of": "bob/page", "files": files}), 200)
    assert "mine" in [file["content"] for file in shown["files"]]


def test_a_realm_without_a_token_copies_what_is_public(make_service: MakeService, hub: StandInHub, bobs: HfApi) -> None:
    service = make_service(HF_ENDPOINT=hub.url)
    ann = make_user(service, "ann", make_realm(service, "ours"))
    space = made(ann.post("/spaces", {"copy_of": "bob/page", "name": "copy"}), 202)
    assert service.work(space["latest_request"]["id"])["status"] == "succeeded"
    assert {record.account for record in hub.requests[-4:]} == {None}
    assert refused(ann.post("/spaces/preview", {"copy_of": "bob/own"})) == ("unknown_space", "copy_of")
    assert refused(ann.post("/spaces/preview", {"copy_of": "bob/gone"})) == ("unknown_space", "copy_of")


def test_what_cannot_be_copied(hub_service: Service, bobs: HfApi) -> None:
    for wrong in ("page", "a/b/c", "../x", "bob/-x"):
        assert hub_service.post("/spaces/preview", {"copy_of": wrong}).status_code == 422
    assert refused(hub_service.post("/spaces/preview", {"copy_of": "bob/own"})) == ("unknown_space", "copy_of")
    both = {"copy_of": "bob/page", "git": {"url": "https://example.org/x"}}
    assert refused(hub_service.post("/spaces/preview", both))[0] == "several_sources"


def test_a_copy_within_the_limits(make_service: MakeService, hub: StandInHub, bobs: HfApi) -> None:
    service = make_service(HF_ENDPOINT=hub.url, HF_TOKEN="hf_alice", MAX_FILES=1)
    answer = service.post("/spaces/preview", {"copy_of": "bob/page"})
    assert (answer.status_code, answer.json["issues"][0]["code"]) == (422, "too_many_files")
