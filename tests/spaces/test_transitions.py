"""Cancel, retry, events and the table of transitions."""

from __future__ import annotations

import itertools
import json
import threading

import pytest

from assembler_runner.core.database import db
from assembler_runner.devhub import Fault, StandInHub
from assembler_runner.publishing import claims
from assembler_runner.spaces.models import CANCELLED, FAILED, QUEUED, RUNNING, SUCCEEDED, SpaceRequest
from assembler_runner.spaces.transitions import TRANSITIONS, move_to
from tests.conftest import Service

GRADIO = {"space_type": "gradio", "name": "greeter", "files": {"app.py": "print(1)\n"}}


def test_the_same_message_twice_does_nothing_twice(hub_service: Service, hub: StandInHub) -> None:
    request = hub_service.publish(**GRADIO)
    again = hub_service.work(request["id"])
    assert again == request
    assert len(hub.commits("alice/greeter")) == 1


def test_concurrent_workers_publish_once(hub_service: Service, hub: StandInHub) -> None:
    request_id = hub_service.submit(**GRADIO)["latest_request"]["id"]
    workers = [threading.Thread(target=hub_service.work, args=[request_id]) for _ in range(8)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert hub_service.request(request_id)["attempts"] == 1
    assert len(hub.commits("alice/greeter")) == 1


def test_a_queued_request_is_cancelled_at_once_and_can_be_retried(hub_service: Service, hub: StandInHub) -> None:
    space = hub_service.submit(**GRADIO)
    request_id = space["latest_request"]["id"]
    answer = hub_service.post(f"/requests/{request_id}/command", {"command": "cancel"})
    assert (answer.status_code, answer.json["status"]) == (202, "cancelled")
    assert hub_service.work(request_id)["status"] == "cancelled"
    assert hub.requests == []
    assert hub_service.space(space["id"])["state"] == "cancelled"

    answer = hub_service.post(f"/requests/{request_id}/command", {"command": "retry"})
    assert (answer.status_code, answer.json["status"], answer.json["finished_at"]) == (202, "queued", None)
    assert hub_service.work(request_id)["status"] == "succeeded"


def test_a_running_request_is_cancelled_cleanly(hub_service: Service, hub: StandInHub) -> None:
    hub.faults.add(Fault("hang", method="POST", path="/api/repos/create", seconds=0.7))
    request_id = hub_service.submit(**GRADIO)["latest_request"]["id"]
    worker = threading.Thread(target=hub_service.work, args=[request_id])
    worker.start()
    while not hub.requests:
        worker.join(0.01)
    answer = hub_service.post(f"/requests/{request_id}/command", {"command": "cancel"})
    assert (answer.status_code, answer.json["status"]) == (202, "running")
    worker.join()
    assert hub_service.request(request_id)["status"] == "cancelled"
    assert hub.spaces() == []
    types = [event["type"] for event in hub_service.events(request_id)]
    assert types == ["queued", "running", "cancel_requested", "created", "cancelled", "cleaned_up"]


@pytest.mark.parametrize("command", ["cancel", "retry"])
def test_a_succeeded_request_stays(hub_service: Service, hub: StandInHub, command: str) -> None:
    request = hub_service.publish(**GRADIO)
    answer = hub_service.post(f"/requests/{request['id']}/command", {"command": command})
    assert (answer.status_code, answer.json["code"]) == (409, "conflict")
    assert hub_service.request(request["id"]) == request


def test_a_name_is_free_again_after_a_failure(hub_service: Service, hub: StandInHub) -> None:
    hub.faults.add(Fault("status", method="POST", path="/api/repos/create", status=400, body={"error": "no"}))
    failed = hub_service.publish(**GRADIO)
    assert failed["status"] == "failed"
    assert hub_service.publish(**GRADIO)["status"] == "succeeded"
    answer = hub_service.post(f"/requests/{failed['id']}/command", {"command": "retry"})
    assert (answer.status_code, answer.json["code"]) == (409, "name_taken")


def test_events_cover_the_whole_life_of_a_request(hub_service: Service, hub: StandInHub) -> None:
    request = hub_service.publish(**GRADIO)
    events = hub_service.events(request["id"])
    assert [event["type"] for event in events] == ["queued", "running", "created", "succeeded"]
    assert events[-1]["data"]["commit"] == request["commit"]
    numbers = [event["id"] for event in events]
    assert numbers == sorted(numbers)


def test_events_as_a_stream_resume(hub_service: Service, hub: StandInHub) -> None:
    request = hub_service.publish(**GRADIO)
    path = f"/requests/{request['id']}/events"
    whole = hub_service.get(path, headers={"Accept": "text/event-stream"})
    assert whole.mimetype == "text/event-stream"
    blocks = [dict(line.split(": ", 1) for line in block.splitlines()) for block in whole.text.strip().split("\n\n")]
    assert blocks.pop(0) == {"retry": "1000"}
    assert [json.loads(block["data"]) for block in blocks] == hub_service.events(request["id"])
    rest = hub_service.get(path, headers={"Accept": "text/event-stream", "Last-Event-ID": blocks[1]["id"]}).text
    assert rest.count("data: ") == len(blocks) - 2


def test_a_stream_ends_with_the_request(hub_service: Service, hub: StandInHub) -> None:
    request_id = hub_service.submit(**GRADIO)["latest_request"]["id"]
    path = f"/requests/{request_id}/events"
    stream = hub_service.get(path, headers={"Accept": "text/event-stream"}, buffered=False)
    parts = stream.iter_encoded()
    assert b"retry: 1000" in next(parts)
    assert b"event: queued" in next(parts)
    worker = threading.Thread(target=hub_service.work, args=[request_id])
    worker.start()
    rest = b"".join(parts)
    worker.join()
    assert b"event: succeeded" in rest


ALLOWED = {
    (QUEUED, RUNNING),
    (QUEUED, CANCELLED),
    (RUNNING, RUNNING),
    (RUNNING, QUEUED),
    (RUNNING, SUCCEEDED),
    (RUNNING, FAILED),
    (RUNNING, CANCELLED),
    (FAILED, QUEUED),
    (CANCELLED, QUEUED),
}


def test_only_transitions_of_the_table_are_allowed(service: Service) -> None:
    request_id = service.submit()["latest_request"]["id"]
    for before, after in itertools.product(TRANSITIONS, repeat=2):
        with service.app.app_context():
            db.session.get_one(SpaceRequest, request_id).status = before
            db.session.commit()
            moved = move_to(db.session(), request_id, after)
            db.session.commit()
        assert moved == ((before, after) in ALLOWED), (before, after)
        assert service.request(request_id)["status"] == (after if moved else before)


def test_due_requests_are_found_once_per_period(service: Service) -> None:
    request_id = service.submit()["latest_request"]["id"]
    with service.app.app_context():
        assert claims.take_due(60) == []
        db.session.get_one(SpaceRequest, request_id).due_at = 0.0
        db.session.commit()
        assert claims.take_due(60) == [request_id]
        assert claims.take_due(60) == []


def test_claims_of_a_dead_process_are_released(service: Service) -> None:
    request_id = service.submit()["latest_request"]["id"]
    with service.app.app_context():
        assert claims.claim(service.services, request_id) is not None
        assert claims.claim(service.services, request_id) is None
        assert claims.release_claims() == 1
    request = service.work(request_id)
    assert (request["status"], request["attempts"]) == ("succeeded", 2)
