"""Webhooks: signed messages for every event, with retries, dead deliveries and replays."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest
import sqlalchemy as sa
from standardwebhooks.webhooks import Webhook as Verifier
from standardwebhooks.webhooks import WebhookVerificationError

from assembler_runner.core.database import db
from assembler_runner.core.errors import SettingsError
from assembler_runner.core.settings import load
from assembler_runner.spaces import events
from assembler_runner.webhooks import outbox
from assembler_runner.webhooks.delivery import WebhookSender, deliver
from assembler_runner.webhooks.models import WebhookDelivery
from tests.conftest import MakeService, Service
from tests.support.receiver import Receiver
from tests.support.services import wait_until


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver() as running:
        yield running


@pytest.fixture
def service(make_service: MakeService) -> Service:
    return make_service(WEBHOOK_ALLOWED_NETWORKS="127.0.0.0/8", WEBHOOK_RETRY_SECONDS="1,2")


def make(service: Service, url: str, **more: Any) -> dict[str, Any]:
    answer = service.post("/webhooks", {"url": url, **more})
    assert answer.status_code == 201, answer.json
    return dict(answer.json)


def deliveries(service: Service, webhook_id: str) -> list[dict[str, Any]]:
    return list(service.get(f"/webhooks/{webhook_id}/deliveries?sort=event_id").json["data"])


def send(service: Service, webhook_id: str) -> None:
    """Sends the pending deliveries of a webhook without waiting for the back-off."""
    with service.app.app_context():
        mine = WebhookDelivery.webhook_id == webhook_id
        db.session.execute(sa.update(WebhookDelivery).where(mine).values(due_at=0.0))
        db.session.commit()
        query = sa.select(WebhookDelivery.id).where(mine).order_by(WebhookDelivery.event_id)
        waiting = list(db.session.scalars(query))
        db.session.rollback()
        for delivery_id in waiting:
            deliver(service.services, delivery_id)


def verified(secret: str, message: tuple[dict[str, str], bytes]) -> dict[str, Any]:
    """Returns the message, verified by another implementation of the standard."""
    headers, body = message
    return dict(Verifier(secret).verify(body, headers))


def test_every_event_is_sent_signed(service: Service, receiver: Receiver) -> None:
    webhook = make(service, receiver.url)
    space = service.submit(name="greeter", labels=["course"])
    request = service.work(space["latest_request"]["id"])
    send(service, webhook["id"])
    events = service.get(f"/spaces/{space['id']}/events").json["data"]
    messages = [verified(webhook["secret"], message) for message in receiver.messages]
    assert [message["data"]["id"] for message in messages] == [event["id"] for event in events]
    assert [message["type"] for message in messages] == [event["type"] for event in events]
    assert [message["timestamp"] for message in messages] == [event["created_at"] for event in events]
    assert all(message["data"]["space"]["name"] == "greeter" for message in messages)
    (succeeded,) = [message for message in messages if message["type"] == "succeeded"]
    assert succeeded["data"]["details"]["commit"]["oid"] == request["commit"]["oid"]
    assert {row["status"] for row in deliveries(service, webhook["id"])} == {"delivered"}
    with pytest.raises(WebhookVerificationError):
        verified("whsec_" + "A" * 44, receiver.messages[0])
    send(service, webhook["id"])
    assert len(receiver.messages) == len(events), "what was delivered is not sent again"


def test_the_secret_is_shown_once(service: Service, receiver: Receiver) -> None:
    webhook = make(service, receiver.url)
    assert webhook["secret"].startswith("whsec_")
    for path in ("/webhooks", f"/webhooks/{webhook['id']}", "/auth/audit-log"):
        assert webhook["secret"] not in service.get(path).text
    assert webhook["secret"] not in service.post(f"/webhooks/{webhook['id']}", {"active": True}).text


def test_the_old_secret_also_signs_for_a_day_after_a_rotation(service: Service, receiver: Receiver) -> None:
    webhook = make(service, receiver.url)
    answer = service.post(f"/webhooks/{webhook['id']}/command", {"command": "rotate_secret"})
    assert answer.status_code == 202
    assert answer.json["secret"] != webhook["secret"]
    assert service.post(f"/webhooks/{webhook['id']}/command", {"command": "test"}).status_code == 202
    send(service, webhook["id"])
    for secret in (webhook["secret"], answer.json["secret"]):
        assert verified(secret, receiver.messages[0])["type"] == "test"


def test_only_subscribed_events_are_sent(service: Service, receiver: Receiver) -> None:
    first, second = service.submit(), service.submit()
    one = make(service, receiver.url, space_id=first["id"], event_types=["succeeded"])
    for space in (first, second):
        service.work(space["latest_request"]["id"])
    send(service, one["id"])
    assert [verified(one["secret"], message)["data"]["space_id"] for message in receiver.messages] == [first["id"]]
    answer = service.post(f"/webhooks/{one['id']}", {"active": False, "event_types": []})
    assert (answer.status_code, answer.json["active"]) == (202, False)
    service.post(f"/requests/{second['latest_request']['id']}/command", {"command": "cancel"})
    service.work(service.submit()["latest_request"]["id"])
    assert len(deliveries(service, one["id"])) == 1


def test_a_request_can_have_its_own_callback(service: Service, receiver: Receiver) -> None:
    secret = "whsec_" + "c2VjcmV0" * 4
    space = service.submit(callback_url=receiver.url, callback_secret=secret)
    service.submit()
    service.work(space["latest_request"]["id"])
    webhook = service.get("/webhooks").json["data"][0]
    assert webhook["request_id"] == space["latest_request"]["id"]
    send(service, webhook["id"])
    types = [verified(secret, message)["type"] for message in receiver.messages]
    assert types == [event["type"] for event in service.get(f"/spaces/{space['id']}/events").json["data"]]
    assert types[0] == "queued"
    assert "succeeded" in types


def test_a_failed_delivery_is_retried_then_dead_and_can_be_replayed(service: Service, receiver: Receiver) -> None:
    webhook = make(service, receiver.url, event_types=["queued"])
    receiver.answers = [(500, {}), (302, {"Location": receiver.url}), (404, {})]
    service.submit()
    ids = set()
    for attempt, status in enumerate((500, 302, 404), 1):
        send(service, webhook["id"])
        row = deliveries(service, webhook["id"])[0]
        assert (row["attempts"], row["answer_status"], row["error"]) == (
            attempt,
            status,
            f"the receiver responded with {status}",
        )
        ids.add(receiver.messages[-1][0]["webhook-id"])
    assert (row["status"], len(receiver.messages)) == ("dead", 3)
    assert ids == {row["id"]}, "a repeated message is known by its id"
    answer = service.post(f"/webhooks/{webhook['id']}/command", {"command": "replay"})
    assert (answer.status_code, answer.json["replayed"]) == (202, 1)
    send(service, webhook["id"])
    row = deliveries(service, webhook["id"])[0]
    assert (row["status"], row["error"], row["attempts"]) == ("delivered", None, 1)
    path = f"/webhooks/{webhook['id']}/deliveries/{row['id']}/command"
    assert service.post(path, {"command": "replay"}).json["status"] == "pending"
    send(service, webhook["id"])
    assert len(receiver.messages) == 5


def test_retry_after_of_the_receiver_is_respected(service: Service, receiver: Receiver) -> None:
    webhook = make(service, receiver.url, event_types=["queued"])
    receiver.answers = [(503, {"Retry-After": "600"})]
    service.submit()
    send(service, webhook["id"])
    with service.app.app_context():
        due_at = db.session.scalar(sa.select(WebhookDelivery.due_at))
    assert due_at is not None
    assert 580 < due_at - time.time() < 610


def test_status_410_disables_the_webhook(service: Service, receiver: Receiver) -> None:
    webhook = make(service, receiver.url, event_types=["queued"])
    receiver.answers = [(410, {})]
    service.submit()
    send(service, webhook["id"])
    assert deliveries(service, webhook["id"])[0]["status"] == "dead"
    assert service.get(f"/webhooks/{webhook['id']}").json["active"] is False


def test_many_workers_send_each_message_once(service: Service, receiver: Receiver) -> None:
    webhook = make(service, receiver.url)
    senders = [WebhookSender(service.app) for _ in range(3)]
    for sender in senders:
        sender.start()
    for _ in range(5):
        service.work(service.submit()["latest_request"]["id"])
    rows = deliveries(service, webhook["id"])
    wait_until(lambda: len(receiver.messages) >= len(rows), "all is sent")
    for sender in senders:
        sender.stop()
    for sender in senders:
        sender.join()
    assert sorted(headers["webhook-id"] for headers, _ in receiver.messages) == sorted(row["id"] for row in rows)


def test_a_delivery_of_a_dead_sender_is_sent_after_its_lease(service: Service, receiver: Receiver) -> None:
    webhook = make(service, receiver.url, event_types=["queued"])
    service.submit()
    (row,) = deliveries(service, webhook["id"])
    with service.app.app_context():
        db.session.execute(sa.update(WebhookDelivery).values(owner="dead", attempts=1, due_at=time.time() + 60))
        db.session.commit()
        assert deliver(service.services, row["id"]) is False
    send(service, webhook["id"])
    assert deliveries(service, webhook["id"])[0]["status"] == "delivered"


def test_events_that_were_rolled_back_are_not_sent(service: Service, receiver: Receiver) -> None:
    webhook = make(service, receiver.url)
    body = {"space_type": "static", "files": {"index.html": "x"}, "name": "taken"}
    assert service.post("/spaces", body).status_code == 202
    assert service.post("/spaces", body).status_code == 409
    assert len(deliveries(service, webhook["id"])) == 1


@pytest.mark.parametrize(
    "body",
    [
        {"url": "ftp://example.org/"},
        {"url": "https://user:word@example.org/"},
        {"url": "http://10.0.0.1/"},
        {"url": "http://[::1]/"},
        {"url": "https://exa mple.org/"},
        {"url": "https:///x"},
        {"url": "https://example.org:x/"},
        {"url": "https://example.org/" + "x" * 2000},
        {"url": "https://example.org/", "secret": "short"},
        {"url": "https://example.org/", "secret": "whsec_c2hvcnQ="},
        {"url": "https://example.org/", "space_id": "none"},
        {"url": "https://example.org/", "surplus": 1},
        {},
    ],
)
def test_invalid_input_is_rejected(service: Service, body: dict[str, Any]) -> None:
    answer = service.post("/webhooks", body)
    assert answer.status_code == 422, answer.json
    assert all(issue["path"] for issue in answer.json["issues"])
    assert service.get("/webhooks").json["data"] == []


def test_a_bad_callback_is_reported_with_all_other_problems(service: Service) -> None:
    answer = service.post("/spaces", {"space_type": "static", "files": {}, "callback_url": "http://10.1.1.1/"})
    assert answer.status_code == 422
    assert {"files", "callback_url"} <= {issue["path"] for issue in answer.json["issues"]}


@pytest.mark.parametrize(
    "settings",
    [{"WEBHOOK_ALLOWED_NETWORKS": "10.0.0.0/99"}, {"WEBHOOK_RETRY_SECONDS": "1,x"}, {"WEBHOOK_RETRY_SECONDS": "-1"}],
)
def test_invalid_settings_prevent_the_start(settings: dict[str, str]) -> None:
    with pytest.raises(SettingsError) as caught:
        load(settings)
    assert caught.value.issues[0].path == next(iter(settings))


def test_a_process_that_would_lose_deliveries_does_not_start(
    make_service: MakeService, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(events, "_listeners", [])
    monkeypatch.setattr(outbox, "register", lambda: None)
    with pytest.raises(RuntimeError, match="no event listener is registered"):
        make_service()


def test_callbacks_of_other_requests_are_not_read(service: Service, receiver: Receiver) -> None:
    make(service, receiver.url)
    sent: list[tuple[str, Any]] = []

    def note(connection: Any, cursor: Any, statement: str, parameters: Any, context: Any, many: bool) -> None:
        if "UNION ALL" in statement and "webhooks" in statement:
            sent.append((statement, parameters))

    with service.app.app_context():
        sa.event.listen(db.engine, "before_cursor_execute", note)
        service.submit()
        statement, parameters = sent[0]
        plan = db.session.connection().exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", parameters)
        steps = [row.detail for row in plan if row.detail.startswith("SEARCH webhooks")]
    assert len(steps) == 4 and all("realm_id=? AND space_id=? AND request_id=?" in step for step in steps), steps
