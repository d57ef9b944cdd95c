"""Sends deliveries: claims, signs and posts them, retries with back-off, and gives up."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import logging
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import sqlalchemy as sa
from flask import Flask

from assembler_runner.core import metrics
from assembler_runner.core.commit_signals import deliveries
from assembler_runner.core.database import database_now, db, new_id, read_transaction, utcnow
from assembler_runner.core.loops import Loop
from assembler_runner.core.safe_http import CallFailed, Response, post
from assembler_runner.core.vault import UnreadableSecret
from assembler_runner.services import Services, current_services
from assembler_runner.spaces.models import Event, Space
from assembler_runner.webhooks.models import DEAD, DELIVERED, PENDING, Webhook, WebhookDelivery
from assembler_runner.webhooks.webhooks import SECRET_PREFIX, secrets_of

log = logging.getLogger(__name__)

POLL_SECONDS = 1.0
LEASE_SECONDS = 60.0
AT_ONCE, AT_ONCE_FOR_ONE = 16, 2
CANDIDATES = 8 * AT_ONCE
LONGEST_WAIT = 24 * 3600.0
GONE = 410


class WebhookSender(Loop):
    """Sends due deliveries: several at the same time, few per webhook, and no realm takes all threads.

    Args:
        app: the application.
    """

    def __init__(self, app: Flask) -> None:
        super().__init__("webhooks", POLL_SECONDS)
        self._app = app
        self._pool = ThreadPoolExecutor(AT_ONCE, "webhook")
        self._seen = 0
        self._lock = threading.Lock()
        self._busy: dict[str, tuple[str, str]] = {}

    def run(self) -> None:
        """Sends until it is stopped; another worker, or the next start, sends the rest."""
        with self._pool:
            super().run()

    def work(self) -> None:
        """Starts the deliveries that are due."""
        with self._app.app_context():
            for delivery_id, webhook_id, realm_id in self._due():
                with self._lock:
                    self._busy[delivery_id] = webhook_id, realm_id
                self._pool.submit(self._send, delivery_id)

    def rest(self, seconds: float) -> None:
        """Waits until this process writes a delivery, or until the next poll is due."""
        end = time.monotonic() + seconds
        while not self.stopped.is_set() and (left := end - time.monotonic()) > 0:
            before, self._seen = self._seen, deliveries.wait(self._seen, left)
            if self._seen != before:
                return

    @read_transaction()
    def _due(self) -> list[tuple[str, str, str]]:
        with self._lock:
            busy = dict(self._busy)
        of_webhooks = Counter(webhook_id for webhook_id, _ in busy.values())
        of_realms = Counter(realm_id for _, realm_id in busy.values())
        full = [webhook_id for webhook_id, number in of_webhooks.items() if number >= AT_ONCE_FOR_ONE]
        left = [(row.id, row.webhook_id, row.realm_id) for row in db.session.execute(_candidates(list(busy), full))]
        chosen: list[tuple[str, str, str]] = []
        while left and (free := AT_ONCE - len(busy) - len(chosen)) > 0:
            # A realm holds at most as many threads as remain free: slow receivers of one leave threads for others.
            left = [row for row in left if of_webhooks[row[1]] < AT_ONCE_FOR_ONE and of_realms[row[2]] < free]
            if left:
                # The candidates are in order of their turn; min() takes the first of those that are equal.
                taken = min(left, key=lambda row: (of_realms[row[2]], of_webhooks[row[1]]))
                left.remove(taken)
                chosen.append(taken)
                of_webhooks[taken[1]] += 1
                of_realms[taken[2]] += 1
        return chosen

    def _send(self, delivery_id: str) -> None:
        try:
            with self._app.app_context():
                deliver(current_services(), delivery_id)
        # The pool drops exceptions. The lease expires, and the delivery is retried.
        except Exception:
            log.exception("delivery %s failed unexpectedly", delivery_id)
        finally:
            with self._lock:
                self._busy.pop(delivery_id, None)
            deliveries.notify()


def _candidates(busy: list[str], full: list[str]) -> sa.Select[tuple[str, str, str]]:
    """Selects id, webhook and realm of deliveries that are due: the oldest of each webhook, and some of each realm."""
    age = (WebhookDelivery.due_at, WebhookDelivery.created_at)
    of_webhook = sa.func.row_number().over(partition_by=WebhookDelivery.webhook_id, order_by=age)
    due = (
        sa.select(
            WebhookDelivery.id, WebhookDelivery.webhook_id, Webhook.realm_id, *age, of_webhook.label("of_webhook")
        )
        .join(Webhook, Webhook.id == WebhookDelivery.webhook_id)
        .where(WebhookDelivery.status == PENDING, WebhookDelivery.due_at <= database_now(), Webhook.active)
        .where(WebhookDelivery.id.not_in(busy), WebhookDelivery.webhook_id.not_in(full))
        .subquery()
    )
    turn = (due.c.of_webhook, due.c.due_at, due.c.created_at)
    of_realm = sa.func.row_number().over(partition_by=due.c.realm_id, order_by=turn)
    ranked = sa.select(due, of_realm.label("of_realm")).where(due.c.of_webhook <= AT_ONCE_FOR_ONE).subquery()
    return (
        sa.select(ranked.c.id, ranked.c.webhook_id, ranked.c.realm_id)
        .where(ranked.c.of_realm <= AT_ONCE)
        .order_by(ranked.c.of_realm, ranked.c.due_at, ranked.c.created_at)
        .limit(CANDIDATES)
    )


def deliver(services: Services, delivery_id: str) -> bool:
    """Makes one attempt at a delivery if it is due and not claimed.

    Args:
        services: the process's services.
        delivery_id: the delivery.
    Returns:
        Whether it was claimed.
    """
    owner = new_id()
    due = (WebhookDelivery.status == PENDING) & (WebhookDelivery.due_at <= database_now())
    claim = {"owner": owner, "due_at": database_now() + LEASE_SECONDS, "attempts": WebhookDelivery.attempts + 1}
    if not _write(delivery_id, due, claim):
        return False
    delivery = db.session.get_one(WebhookDelivery, delivery_id)
    webhook = db.session.get_one(Webhook, delivery.webhook_id)
    url, webhook_id, attempts = webhook.url, webhook.id, delivery.attempts
    body = _body(delivery)
    try:
        headers = _sign(services, webhook, delivery_id, body)
    except UnreadableSecret as problem:
        _write(delivery_id, WebhookDelivery.owner == owner, _given_up(problem.message))
        return True
    # Do not hold a database connection while waiting for the receiver.
    db.session.rollback()
    outcome: Response | str
    try:
        outcome = post(url, body, headers, services.settings.webhook_allowed_networks)
    except CallFailed as problem:
        outcome = problem.args[0]
    _settle(services, delivery_id, webhook_id, owner, attempts, outcome)
    return True


def _body(delivery: WebhookDelivery) -> bytes:
    event = db.session.get(Event, delivery.event_id) if delivery.event_id is not None else None
    if event is None:
        message: dict[str, Any] = {"type": "test", "timestamp": _text(delivery.created_at), "data": {}}
        return json.dumps(message).encode()
    space = db.session.get_one(Space, event.space_id)
    data = {
        "id": event.id,
        "space_id": event.space_id,
        "request_id": event.request_id,
        "message": event.message,
        **({"details": event.data} if event.data else {}),
        "space": {"name": space.name, "namespace": space.namespace, "target": space.target, "labels": space.labels},
    }
    return json.dumps({"type": event.type, "timestamp": _text(event.created_at), "data": data}).encode()


def _text(timestamp: Any) -> str:
    return str(timestamp.isoformat(timespec="microseconds").replace("+00:00", "Z"))


def _sign(services: Services, webhook: Webhook, message_id: str, body: bytes) -> dict[str, str]:
    """Returns the headers of a message (Standard Webhooks 1.0, signature scheme v1: HMAC-SHA-256)."""
    timestamp = str(int(time.time()))
    signed = f"{message_id}.{timestamp}.".encode() + body
    signatures = []
    for secret in secrets_of(services, webhook):
        key = base64.b64decode(secret.removeprefix(SECRET_PREFIX))
        signatures.append("v1," + base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode())
    return {
        "Content-Type": "application/json",
        "User-Agent": "Assembler",
        "webhook-id": message_id,
        "webhook-timestamp": timestamp,
        "webhook-signature": " ".join(signatures),
    }


def _settle(
    services: Services, delivery_id: str, webhook_id: str, owner: str, attempts: int, outcome: Response | str
) -> None:
    mine = WebhookDelivery.owner == owner
    metrics.DELIVERIES.labels(
        "delivered" if isinstance(outcome, Response) and outcome.status // 100 == 2 else "failed"
    ).inc()
    status = outcome.status if isinstance(outcome, Response) else None
    if status is not None and 200 <= status < 300:
        done = {"status": DELIVERED, "error": None, "finished_at": utcnow(), "owner": None}
        _write(delivery_id, mine, done | {"answer_status": status})
        return
    error = outcome if isinstance(outcome, str) else f"the receiver responded with {status}"
    log.info("delivery %s to webhook %s failed: %s", delivery_id, webhook_id, error)
    waits = services.settings.webhook_retry_seconds
    if status == GONE:
        # The receiver no longer wants deliveries (Standard Webhooks 1.0).
        _write(delivery_id, mine, _given_up(error) | {"answer_status": status})
        db.session.execute(sa.update(Webhook).where(Webhook.id == webhook_id).values(active=False))
        db.session.commit()
    elif attempts > len(waits):
        _write(delivery_id, mine, _given_up(error) | {"answer_status": status})
    else:
        requested = outcome.retry_after if isinstance(outcome, Response) and outcome.retry_after is not None else 0.0
        wait = max(waits[attempts - 1], min(requested, LONGEST_WAIT))
        again = {"owner": None, "due_at": database_now() + wait, "error": error, "answer_status": status}
        _write(delivery_id, mine, again)


def _given_up(error: str) -> dict[str, Any]:
    return {"status": DEAD, "error": error, "finished_at": utcnow(), "owner": None}


def _write(delivery_id: str, condition: Any, values: dict[str, Any]) -> bool:
    changed = sa.update(WebhookDelivery).where(WebhookDelivery.id == delivery_id, condition).values(**values)
    done = db.session.execute(changed, execution_options={"synchronize_session": False})
    db.session.commit()
    return bool(done.rowcount == 1)  # type: ignore[attr-defined]  # an UPDATE always gives a CursorResult
