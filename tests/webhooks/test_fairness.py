"""One realm or webhook never holds up the deliveries of others."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest
import sqlalchemy as sa

from assembler_runner.core.database import db, utcnow
from assembler_runner.webhooks import webhooks
from assembler_runner.webhooks.delivery import AT_ONCE, WebhookSender
from assembler_runner.webhooks.models import DEAD, PENDING, WebhookDelivery
from tests.conftest import MakeService, Service
from tests.support.people import Person, made, make_realm, make_user
from tests.support.receiver import Receiver
from tests.support.services import wait_until


@pytest.fixture
def service(make_service: MakeService) -> Service:
    return make_service(WEBHOOK_ALLOWED_NETWORKS="127.0.0.0/8", WEBHOOK_RETRY_SECONDS="1,2")


@pytest.fixture
def slow() -> Iterator[Receiver]:
    """A receiver that does not respond before the test ends."""
    released = threading.Event()
    with Receiver() as running:

        def wait(_: socket.socket) -> None:
            released.wait(60)

        running.before_answer = wait
        yield running
        released.set()


@pytest.fixture
def quick() -> Iterator[Receiver]:
    with Receiver() as running:
        yield running


def admin_of(service: Service, realm: str) -> Person:
    return make_user(service, f"admin-{realm}", make_realm(service, realm), "admin")


def hook(person: Person, url: str) -> str:
    return str(made(person.post("/webhooks", {"url": url}))["id"])


def fill(service: Service, webhook_id: str, number: int, status: str = PENDING) -> None:
    with service.app.app_context():
        db.session.add_all(
            WebhookDelivery(webhook_id=webhook_id, status=status, created_at=utcnow()) for _ in range(number)
        )
        db.session.commit()


def run_until(service: Service, receiver: Receiver) -> None:
    """Sends until the receiver has a message, long before the backlog of a slow one would be done."""
    with ExitStack() as stack:
        sender = WebhookSender(service.app)
        sender.start()
        stack.callback(sender.stop)
        wait_until(lambda: receiver.messages, "the other message is delivered")


def test_a_busy_slow_webhook_does_not_delay_another_realm(service: Service, slow: Receiver, quick: Receiver) -> None:
    fill(service, hook(admin_of(service, "busy"), slow.url), 200)
    fill(service, hook(admin_of(service, "other"), quick.url), 1)
    run_until(service, quick)


def test_many_slow_webhooks_of_one_realm_leave_threads_for_others(
    service: Service, slow: Receiver, quick: Receiver
) -> None:
    busy, other = admin_of(service, "busy"), admin_of(service, "other")
    for _ in range(AT_ONCE):
        fill(service, hook(busy, slow.url), 5)
    webhook_id = hook(other, quick.url)
    sender = WebhookSender(service.app)
    sender.start()
    wait_until(lambda: len(slow.messages) >= AT_ONCE // 2, "the busy realm has its share")
    fill(service, webhook_id, 1)
    wait_until(lambda: quick.messages, "the other realm's message is delivered")
    assert len(slow.messages) == AT_ONCE // 2
    sender.stop()


def test_a_webhook_without_backlog_has_its_turn_beside_one_with(
    service: Service, slow: Receiver, quick: Receiver
) -> None:
    admin = admin_of(service, "one")
    fill(service, hook(admin, slow.url), 200)
    fill(service, hook(admin, quick.url), 1)
    run_until(service, quick)


def test_replays_wait_behind_what_is_due(service: Service, quick: Receiver) -> None:
    admin = admin_of(service, "one")
    webhook_id = hook(admin, quick.url)
    fill(service, webhook_id, 30, DEAD)
    answer = made(admin.post(f"/webhooks/{webhook_id}/command", {"command": "replay"}), 202)
    assert answer["replayed"] == 30
    with service.app.app_context():
        replayed = set(db.session.scalars(sa.select(WebhookDelivery.id)))
    fill(service, webhook_id, 2)
    with service.app.app_context():
        chosen = {delivery_id for delivery_id, _, _ in WebhookSender(service.app)._due()}
    assert len(chosen) == 2
    assert not chosen & replayed


def test_one_call_replays_a_bounded_number(service: Service, quick: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(webhooks, "REPLAYS_AT_ONCE", 3)
    admin = admin_of(service, "one")
    webhook_id = hook(admin, quick.url)
    fill(service, webhook_id, 5, DEAD)
    replays: list[Any] = [
        made(admin.post(f"/webhooks/{webhook_id}/command", {"command": "replay"}), 202)["replayed"] for _ in range(3)
    ]
    assert replays == [3, 2, 0]


def test_a_realm_has_a_bounded_number_of_webhooks(
    service: Service, quick: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(webhooks, "MOST_IN_REALM", 2)
    one, other = admin_of(service, "one"), admin_of(service, "other")
    statuses = [one.post("/webhooks", {"url": quick.url}).status_code for _ in range(3)]
    assert statuses == [201, 201, 429]
    assert other.post("/webhooks", {"url": quick.url}).status_code == 201
