"""Management of webhooks: subscriptions, secrets, tests and replays.

Messages, signatures and secrets follow Standard Webhooks 1.0 (standardwebhooks.com).
"""

from __future__ import annotations

import base64
import binascii
import secrets
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import sqlalchemy as sa

from assembler_runner.accounts import audit
from assembler_runner.accounts.permissions import Account
from assembler_runner.core.commit_signals import deliveries, notify_after_commit
from assembler_runner.core.database import database_now, db, utcnow
from assembler_runner.core.errors import Finding, InvalidRequest, NotFound, QuotaExceeded
from assembler_runner.core.safe_http import url_problem
from assembler_runner.services import Services
from assembler_runner.spaces.models import Space, SpaceRequest
from assembler_runner.webhooks.models import DEAD, PENDING, Webhook, WebhookDelivery

SECRET_PREFIX = "whsec_"  # noqa: S105 - the prefix of every secret, not a secret
SECRET_BYTES = (24, 64)
OLD_SECRET_SECONDS = 24 * 3600
REPLAYS_AT_ONCE = 1000
MOST_IN_REALM = 200
"""Webhooks of one realm, callbacks of requests not counted: each of them gets a row for each event."""

_OPEN = ("url", "description", "event_types", "active")


def find(account: Account, webhook_id: str) -> Webhook:
    """Returns one webhook.

    Raises:
        NotFound: it does not exist or is not visible to this account.
    """
    row = db.session.get(Webhook, webhook_id)
    if row is None or not account.sees(row.realm_id):
        raise NotFound("There is no webhook with this id.")
    return row


def find_delivery(account: Account, webhook_id: str, delivery_id: str) -> WebhookDelivery:
    """Returns one delivery of a webhook.

    Raises:
        NotFound: it does not exist or is not visible to this account.
    """
    webhook = find(account, webhook_id)
    row = db.session.get(WebhookDelivery, delivery_id)
    if row is None or row.webhook_id != webhook.id:
        raise NotFound("There is no delivery with this id.")
    return row


def create(services: Services, account: Account, values: Mapping[str, Any]) -> tuple[Webhook, str]:
    """Creates a webhook for the caller's realm, or for one of its Spaces.

    Args:
        services: the process's services.
        account: the caller.
        values: url; optional: description, event_types, active, space_id and secret.
    Returns:
        The webhook and its secret, which is returned only here.
    Raises:
        InvalidRequest: the URL or the secret is not valid, or the Space does not exist.
        QuotaExceeded: the realm has reached its maximum number of webhooks.
    """
    findings = check(services, values.get("url"), values.get("secret"))
    space = db.session.get(Space, values["space_id"]) if values.get("space_id") else None
    if values.get("space_id") and (space is None or not account.sees(space.realm_id)):
        findings.append(Finding("unknown_space", "There is no Space with this id.", path="space_id"))
    if findings:
        raise InvalidRequest(issues=findings)
    secret = values.get("secret") or new_secret()
    realm_id = space.realm_id if space else account.realm_id
    of_realm = sa.select(sa.func.count()).where(Webhook.realm_id == realm_id, Webhook.request_id.is_(None))
    if (db.session.scalar(of_realm) or 0) >= MOST_IN_REALM:
        raise QuotaExceeded(f"The realm has {MOST_IN_REALM} webhooks.", hint="Delete webhooks that are not needed.")
    row = Webhook(realm_id=realm_id, owner_id=account.id)
    row.space_id = space.id if space else None
    row.encrypted_secret = _encrypt(services, secret)
    for name in _OPEN:
        if name in values:
            setattr(row, name, values[name])
    db.session.add(row)
    db.session.flush()
    audit.record(account, "create", "webhook", row.id, None, row.realm_id, space_id=row.space_id)
    db.session.commit()
    return row, secret


def add_callback(services: Services, request: SpaceRequest, url: str, secret: str | None) -> None:
    """Creates the webhook for the callback of a request, in the transaction that stores the request.

    Args:
        services: the process's services.
        request: the request.
        url: its `callback_url`, already checked.
        secret: its `callback_secret`; None: a random one.
    """
    row = Webhook(url=url, realm_id=request.realm_id, owner_id=request.owner_id, space_id=request.space_id)
    row.request_id, row.encrypted_secret = request.id, _encrypt(services, secret or new_secret())
    db.session.add(row)
    db.session.flush()


def update(services: Services, account: Account, webhook_id: str, values: Mapping[str, Any]) -> Webhook:
    """Changes the given fields of a webhook.

    Raises:
        NotFound: it does not exist or is not visible to this account.
        InvalidRequest: the URL is not valid.
    """
    row = find(account, webhook_id)
    if findings := check(services, values.get("url"), None):
        raise InvalidRequest(issues=findings)
    for name in _OPEN:
        if name in values:
            setattr(row, name, values[name])
    audit.record(account, "update", "webhook", row.id, None, row.realm_id, fields=sorted(values))
    db.session.commit()
    return row


def delete(account: Account, webhook_id: str) -> None:
    """Deletes a webhook with its deliveries.

    Raises:
        NotFound: it does not exist or is not visible to this account.
    """
    row = find(account, webhook_id)
    audit.record(account, "delete", "webhook", row.id, None, row.realm_id)
    db.session.delete(row)
    db.session.commit()


def rotate_secret(services: Services, account: Account, webhook_id: str, secret: str | None) -> tuple[Webhook, str]:
    """Replaces the secret; for a day, messages are signed with both the old and the new one.

    Returns:
        The webhook and its new secret.
    Raises:
        NotFound: it does not exist or is not visible to this account.
        InvalidRequest: the secret is not valid.
    """
    row = find(account, webhook_id)
    if findings := check(services, None, secret):
        raise InvalidRequest(issues=findings)
    secret = secret or new_secret()
    row.encrypted_old_secret, row.encrypted_secret = row.encrypted_secret, _encrypt(services, secret)
    row.old_secret_until = utcnow() + timedelta(seconds=OLD_SECRET_SECONDS)
    audit.record(account, "rotate_secret", "webhook", row.id, None, row.realm_id)
    db.session.commit()
    return row, secret


def send_test(account: Account, webhook_id: str) -> WebhookDelivery:
    """Queues a test message without an event.

    Raises:
        NotFound: it does not exist or is not visible to this account.
    """
    row = WebhookDelivery(webhook_id=find(account, webhook_id).id, created_at=utcnow(), status=PENDING)
    db.session.add(row)
    notify_after_commit(db.session(), deliveries)
    db.session.commit()
    return row


def replay(account: Account, webhook_id: str, delivery_id: str | None = None) -> int:
    """Queues deliveries again: one, or the oldest dead ones of the webhook. They are sent after those already due.

    Args:
        account: the caller.
        webhook_id: the webhook.
        delivery_id: the delivery, in any status; None: dead ones, at most :data:`REPLAYS_AT_ONCE`.
    Returns:
        Number of deliveries.
    Raises:
        NotFound: it does not exist or is not visible to this account.
    """
    webhook = find(account, webhook_id)
    if delivery_id is not None:
        ids = [find_delivery(account, webhook_id, delivery_id).id]
    else:
        dead = sa.select(WebhookDelivery.id).where(
            WebhookDelivery.webhook_id == webhook.id, WebhookDelivery.status == DEAD
        )
        ids = list(db.session.scalars(dead.order_by(WebhookDelivery.created_at).limit(REPLAYS_AT_ONCE)))
    again = sa.update(WebhookDelivery).where(WebhookDelivery.id.in_(ids))
    values = {"status": PENDING, "attempts": 0, "due_at": database_now(), "owner": None, "finished_at": None}
    done = db.session.execute(again.values(**values), execution_options={"synchronize_session": False})
    audit.record(account, "replay", "webhook", webhook.id, None, webhook.realm_id)
    notify_after_commit(db.session(), deliveries)
    db.session.commit()
    return int(done.rowcount)  # type: ignore[attr-defined]  # an UPDATE always gives a CursorResult


def check(services: Services, url: str | None, secret: str | None, prefix: str = "") -> list[Finding]:
    """Checks a URL and a secret; returns findings.

    Args:
        services: the process's services.
        url: the URL, or None.
        secret: the secret, or None.
        prefix: prefix of the field names in the findings.
    """
    findings = []
    if url is not None and (problem := url_problem(url, services.settings.webhook_allowed_networks)):
        hint = "Use a public address; others must be allowed by WEBHOOK_ALLOWED_NETWORKS."
        findings.append(Finding("invalid_url", f"The URL {problem}.", path=f"{prefix}url", hint=hint))
    if secret is not None and not _usable(secret):
        message = f"A secret must be {SECRET_PREFIX} and the base64 of {SECRET_BYTES[0]} to {SECRET_BYTES[1]} bytes."
        hint = "Leave it out to get a random one."
        findings.append(Finding("invalid_secret", message, path=f"{prefix}secret", hint=hint))
    return findings


def new_secret() -> str:
    """Generates a random secret."""
    return SECRET_PREFIX + base64.b64encode(secrets.token_bytes(32)).decode()


def secrets_of(services: Services, webhook: Webhook) -> list[str]:
    """Returns the secrets that currently sign its messages, newest first.

    Raises:
        UnreadableSecret: they were encrypted with an unknown key.
    """
    encrypted = [webhook.encrypted_secret]
    if webhook.encrypted_old_secret and webhook.old_secret_until and utcnow() < webhook.old_secret_until:
        encrypted.append(webhook.encrypted_old_secret)
    return [services.vault.decrypt(each)["secret"] for each in encrypted]


def _encrypt(services: Services, secret: str) -> str:
    return services.vault.encrypt({"secret": secret})


def _usable(secret: str) -> bool:
    if not secret.startswith(SECRET_PREFIX):
        return False
    try:
        size = len(base64.b64decode(secret.removeprefix(SECRET_PREFIX), validate=True))
    except (binascii.Error, ValueError):
        return False
    return SECRET_BYTES[0] <= size <= SECRET_BYTES[1]
