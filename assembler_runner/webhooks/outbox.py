"""Transactional outbox: deliveries are written in the transaction of their event, so both exist or neither."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from assembler_runner.core.commit_signals import deliveries, notify_after_commit
from assembler_runner.spaces.events import EVENT_SPACE, listen
from assembler_runner.spaces.models import REQUEST_ID, REQUESTS, SPACE_ID, SPACES
from assembler_runner.webhooks.models import PENDING, Webhook, WebhookDelivery


def register() -> None:
    """Registers the listener that writes a delivery for every subscribed event."""
    listen(_write_deliveries, _OF_REALM)


def _write_deliveries(
    session: Session, event_id: int, type: str, space_id: str, request_id: str | None, now: datetime
) -> None:
    parameters = {"space_id": space_id, "request_id": request_id}
    for webhook_id, event_types in session.connection().execute(_SUBSCRIBED, parameters).all():
        if not event_types or type in event_types:
            notify_after_commit(session, deliveries)
            session.add(WebhookDelivery(webhook_id=webhook_id, event_id=event_id, status=PENDING, created_at=now))


_WEBHOOKS: Any = Webhook.__table__
# Most realms have no webhook.
_OF_REALM = sa.exists().where(
    _WEBHOOKS.c.realm_id == sa.select(SPACES.c.realm_id).where(SPACES.c.id == EVENT_SPACE).scalar_subquery(),
    _WEBHOOKS.c.active,
)

# An event without a request goes to the callback of the Space's last request.
_requests = sa.select(REQUESTS.c.id).where(REQUESTS.c.space_id == SPACE_ID)
_LAST = _requests.order_by(REQUESTS.c.created_at.desc(), REQUESTS.c.id).limit(1).scalar_subquery()
_realm = sa.select(SPACES.c.realm_id).where(SPACES.c.id == SPACE_ID).scalar_subquery()


def _of(space_id: Any, request_id: Any) -> sa.Select[Any]:
    """Returns the active webhooks of the realm, found by all three columns of their index."""
    columns = sa.select(_WEBHOOKS.c.id, _WEBHOOKS.c.event_types)
    is_wanted = (_WEBHOOKS.c.realm_id == _realm, _WEBHOOKS.c.space_id == space_id, _WEBHOOKS.c.request_id == request_id)
    return columns.where(_WEBHOOKS.c.active, *is_wanted)


# A realm has as many callbacks as requests, so each part needs a value for every column of the index. Prebuilt:
# constructing it costs more than executing it.
_SUBSCRIBED = sa.union_all(
    *(
        _of(space_id, request_id)
        for space_id in (None, SPACE_ID)
        for request_id in (None, sa.func.coalesce(REQUEST_ID, _LAST))
    )
)
