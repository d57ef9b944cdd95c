"""The clean-up after a request that failed: remains on the target are found and removed, even if they appear late."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest
import sqlalchemy as sa

from assembler_runner.core.database import db, utcnow
from assembler_runner.devhub import Fault, StandInHub
from assembler_runner.publishing import pipeline
from assembler_runner.spaces.models import SpaceRequest
from assembler_runner.targets.hub.target import HuggingFaceTarget
from tests.conftest import MakeService, Service
from tests.support.services import wait_until

CREATE, COMMIT, DELETE = "/api/repos/create$", "/commit/", "/api/repos/delete$"


def command(service: Service, request_id: str, word: str) -> None:
    answer = service.post(f"/requests/{request_id}/command", {"command": word})
    assert answer.status_code == 202, answer.json


def sweep(service: Service, request_id: str) -> None:
    """Runs a request like a worker after a wake-up by the sweeper."""
    with service.app.app_context():
        pipeline.run_next(service.services, request_id)


def elsewhere(act: Callable[[], None]) -> None:
    """Runs a function like another worker, in the middle of this one's work."""
    with ThreadPoolExecutor(1) as pool:
        pool.submit(act).result()


def clean_up_due(service: Service, request_id: str) -> float | None:
    with service.app.app_context():
        return db.session.get_one(SpaceRequest, request_id).cleanup_due_at


def test_a_retry_detects_a_finished_clean_up(hub_service: Service, hub: StandInHub) -> None:
    hub.faults.add(Fault("status", "POST", COMMIT, status=403), Fault("drop_after", "DELETE", DELETE))
    request = hub_service.publish(name="site")
    assert (request["status"], hub.spaces()) == ("failed", [])
    assert clean_up_due(hub_service, request["id"]) is not None
    command(hub_service, request["id"], "retry")
    assert hub_service.work(request["id"])["status"] == "succeeded"
    assert len(hub.commits("alice/site")) == 1


def test_a_deletion_without_effect_is_repeated(hub_service: Service, hub: StandInHub) -> None:
    hub.faults.add(Fault("status", "POST", COMMIT, status=403), Fault("garbage", "DELETE", DELETE))
    request = hub_service.publish(name="site")
    assert (request["status"], hub.spaces()) == ("failed", ["alice/site"])

    def gone() -> bool:
        sweep(hub_service, request["id"])
        return hub.spaces() == []

    wait_until(gone, "the Space is gone", timeout=60)


def test_the_clean_up_after_a_long_request_is_not_delayed(hub_service: Service, hub: StandInHub) -> None:
    hub.faults.add(Fault("status", "POST", COMMIT, status=403), Fault("status", "DELETE", DELETE, status=503))
    request_id = hub_service.submit(name="site")["latest_request"]["id"]
    with hub_service.app.app_context():
        db.session.get_one(SpaceRequest, request_id).created_at = utcnow() - timedelta(hours=2)
        db.session.commit()
    assert hub_service.work(request_id)["status"] == "failed"
    due = clean_up_due(hub_service, request_id)
    assert due is not None
    assert 0 < due - time.time() < 30


def test_a_creation_that_comes_after_the_end_is_removed(make_service: MakeService, hub: StandInHub) -> None:
    service = make_service(HF_TOKEN="hf_alice", HF_ENDPOINT=hub.url, HUB_TIMEOUT=0.5)
    hang = Fault("hang", "POST", CREATE, seconds=60)
    hub.faults.add(hang)
    request_id = service.submit(name="site")["latest_request"]["id"]
    assert service.work(request_id)["status"] == "queued"
    command(service, request_id, "cancel")
    assert service.work(request_id)["status"] == "cancelled"
    # The name stays taken until then: a late Space could not be distinguished from one of another request.
    answer = service.post("/spaces", {"name": "site", "space_type": "static", "files": {"index.html": "x"}})
    assert (answer.status_code, answer.json["code"]) == (409, "name_taken")
    hang.end()
    wait_until(hub.spaces, "the creation has come")

    def removed() -> bool:
        sweep(service, request_id)
        return clean_up_due(service, request_id) is None

    wait_until(removed, "nothing is left to do", timeout=60)
    assert hub.spaces() == []
    service.submit(name="site")


def test_a_commit_that_exists_after_all_is_reported(make_service: MakeService, hub: StandInHub) -> None:
    service = make_service(HF_TOKEN="hf_alice", HF_ENDPOINT=hub.url, MAX_ERRORS=1)
    hub.faults.add(Fault("drop_after", "POST", COMMIT))
    request = service.publish(name="site")
    assert request["status"] == "queued"
    request = service.work(request["id"])
    (commit,) = hub.commits("alice/site")
    assert (request["status"], request["error"], request["commit"]["oid"]) == ("succeeded", None, commit.oid)
    assert [event["type"] for event in service.events(request["id"])][-5:] == [
        *("failed", "queued", "resumed", "running", "succeeded")
    ]


def test_a_space_created_after_the_request_ended_is_removed(
    hub_service: Service, hub: StandInHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    request_id = hub_service.submit(name="site")["latest_request"]["id"]
    create = HuggingFaceTarget.create

    def meanwhile() -> None:
        hub_service.let_lease_run_out(request_id)
        command(hub_service, request_id, "cancel")
        assert hub_service.work(request_id)["status"] == "cancelled"

    def create_late(target: HuggingFaceTarget, spec: Any) -> Any:
        elsewhere(meanwhile)
        return create(target, spec)

    monkeypatch.setattr(HuggingFaceTarget, "create", create_late)
    assert hub_service.work(request_id)["status"] == "cancelled"
    assert hub.spaces() == ["alice/site"]
    sweep(hub_service, request_id)
    assert hub.spaces() == []


def test_a_clean_up_does_not_change_a_space_of_another_request(
    hub_service: Service, hub: StandInHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub.faults.add(Fault("status", "POST", COMMIT, status=403))
    old = hub_service.publish(name="site")
    assert (old["status"], hub.spaces()) == ("failed", [])
    new = hub_service.submit(name="site")["latest_request"]["id"]
    commit = HuggingFaceTarget.commit

    def meanwhile() -> None:
        with hub_service.app.app_context():
            late = sa.update(SpaceRequest).where(SpaceRequest.id == old["id"])
            db.session.execute(late.values(cleanup_due_at=0.0))
            db.session.commit()
        sweep(hub_service, old["id"])

    def clean_up_first(target: HuggingFaceTarget, *arguments: Any) -> Any:
        elsewhere(meanwhile)
        return commit(target, *arguments)

    monkeypatch.setattr(HuggingFaceTarget, "commit", clean_up_first)
    assert hub_service.work(new)["status"] == "succeeded"
    assert len(hub.commits("alice/site")) == 1


def test_a_lost_connection_to_the_large_file_storage_is_retried(
    hub_service: Service, hub: StandInHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its transport raises built-in exceptions."""
    from huggingface_hub import HfApi

    create_commit = HfApi.create_commit

    def fail_once(*arguments: Any, **more: Any) -> Any:
        monkeypatch.setattr(HfApi, "create_commit", create_commit)
        raise ConnectionError("Network error")

    request_id = hub_service.submit(name="site")["latest_request"]["id"]
    monkeypatch.setattr(HfApi, "create_commit", fail_once)
    assert hub_service.work(request_id)["status"] == "queued"
    assert hub_service.work(request_id)["status"] == "succeeded"
