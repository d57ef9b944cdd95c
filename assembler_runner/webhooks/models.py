"""Tables of webhooks and deliveries: a delivery is written in the transaction of its event."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column

from assembler_runner.core.database import Base, JsonText, Timestamps, UtcDateTime, id_column

PENDING, DELIVERED, DEAD = "pending", "delivered", "dead"


class Webhook(Timestamps, Base):
    """A subscription to the events of a realm, of a Space, or of one request, by URL."""

    __tablename__ = "webhooks"

    id: Mapped[str] = id_column()
    url: Mapped[str] = mapped_column(sa.String(2000), doc="URL that receives the events.")
    description: Mapped[str | None] = mapped_column(sa.String(255), doc="Purpose.")
    event_types: Mapped[list[str]] = mapped_column(JsonText, default=list, doc="Event types to send; empty: all.")
    active: Mapped[bool] = mapped_column(default=True, doc="Whether events are sent.")
    realm_id: Mapped[str] = mapped_column(sa.ForeignKey("realms.id"), doc="Its realm.")
    owner_id: Mapped[str] = mapped_column(sa.String(36), doc="Account that created it.")
    space_id: Mapped[str | None] = mapped_column(
        sa.ForeignKey("spaces.id", ondelete="CASCADE"), index=True, doc="Only events of this Space; null: all Spaces."
    )
    request_id: Mapped[str | None] = mapped_column(
        sa.ForeignKey("space_requests.id", ondelete="CASCADE"),
        index=True,
        doc="Only events of this request, and of its Space until the next request; null: all requests.",
    )
    encrypted_secret: Mapped[str] = mapped_column("sealed_secret", sa.Text, key="encrypted_secret")
    # The previous secret also signs until `old_secret_until`.
    encrypted_old_secret: Mapped[str | None] = mapped_column("sealed_old_secret", sa.Text, key="encrypted_old_secret")
    old_secret_until: Mapped[datetime | None] = mapped_column(UtcDateTime)

    __table_args__: Any = (
        sa.Index("ix_webhooks_realm_id_space_id_request_id", "realm_id", "space_id", "request_id"),
        Base.__table_args__,
    )


class WebhookDelivery(Base):
    """An event to be sent to a webhook."""

    __tablename__ = "webhook_deliveries"

    id: Mapped[str] = id_column()
    webhook_id: Mapped[str] = mapped_column(sa.ForeignKey("webhooks.id", ondelete="CASCADE"), doc="Its webhook.")
    event_id: Mapped[int | None] = mapped_column(
        sa.BigInteger().with_variant(sa.Integer, "sqlite"),
        sa.ForeignKey("events.id", ondelete="CASCADE"),
        index=True,
        doc="The event; null for a test.",
    )
    status: Mapped[str] = mapped_column(sa.String(16), default=PENDING, doc="pending, delivered or dead.")
    attempts: Mapped[int] = mapped_column(default=0, doc="Number of attempts.")
    answer_status: Mapped[int | None] = mapped_column(doc="HTTP status of the last response; null if there was none.")
    error: Mapped[str | None] = mapped_column(sa.String(255), doc="Why the last attempt failed; null if it succeeded.")
    created_at: Mapped[datetime] = mapped_column(UtcDateTime, doc="When the event happened, UTC.")
    finished_at: Mapped[datetime | None] = mapped_column(UtcDateTime, doc="When it was delivered or given up, UTC.")
    # When the next attempt is due or, while one is running, when its lease expires; and the claim of that attempt.
    due_at: Mapped[float] = mapped_column(sa.Double, default=0.0)
    owner: Mapped[str | None] = mapped_column(sa.String(36))

    __table_args__: Any = (
        sa.Index("ix_webhook_deliveries_status_due_at", "status", "due_at"),
        sa.Index("ix_webhook_deliveries_webhook_id_created_at", "webhook_id", "created_at"),
        Base.__table_args__,
    )
