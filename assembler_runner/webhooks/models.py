"""Who is told of events, and what is still to be told: a delivery is written with its event, in one transaction."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column

from assembler_runner.core.database import Base, JsonText, Timestamps, UtcDateTime, id_column

PENDING, DELIVERED, DEAD = "pending", "delivered", "dead"


class Webhook(Timestamps, Base):
    """An address that is told of events: of a realm, of a Space, or of a request and what becomes of it."""

    __tablename__ = "webhooks"

    id: Mapped[str] = id_column()
    url: Mapped[str] = mapped_column(sa.String(2000), doc="Where events are sent to.")
    description: Mapped[str | None] = mapped_column(sa.String(255), doc="What it is for.")
    event_types: Mapped[list[str]] = mapped_column(
        JsonText, default=list, doc="Types of events that are sent; empty: all."
    )
    active: Mapped[bool] = mapped_column(default=True, doc="Whether events are sent.")
    realm_id: Mapped[str] = mapped_column(sa.ForeignKey("realms.id"), index=True, doc="Its realm.")
    owner_id: Mapped[str] = mapped_column(sa.String(36), doc="Account that made it.")
    space_id: Mapped[str | None] = mapped_column(
        sa.ForeignKey("spaces.id", ondelete="CASCADE"), index=True, doc="Only events of this Space; null: of all."
    )
    request_id: Mapped[str | None] = mapped_column(
        sa.ForeignKey("space_requests.id", ondelete="CASCADE"),
        index=True,
        doc="Only events of this request, and of its Space until the next one; null: of all.",
    )
    encrypted_secret: Mapped[str] = mapped_column("sealed_secret", sa.Text, key="encrypted_secret")
    # The secret before: signs, too, until the moment beside it.
    encrypted_old_secret: Mapped[str | None] = mapped_column("sealed_old_secret", sa.Text, key="encrypted_old_secret")
    old_secret_until: Mapped[datetime | None] = mapped_column(UtcDateTime)


class WebhookDelivery(Base):
    """One event for one webhook."""

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
    attempts: Mapped[int] = mapped_column(default=0, doc="How often it was sent.")
    answer_status: Mapped[int | None] = mapped_column(doc="HTTP status of the last answer; null if there was none.")
    error: Mapped[str | None] = mapped_column(sa.String(255), doc="Why the last attempt failed; null if it did not.")
    created_at: Mapped[datetime] = mapped_column(UtcDateTime, doc="When the event happened, UTC.")
    finished_at: Mapped[datetime | None] = mapped_column(UtcDateTime, doc="When it was delivered or given up, UTC.")
    # When it is to be sent next, or until when the attempt that runs is waited for; and whose attempt that is.
    due_at: Mapped[float] = mapped_column(sa.Double, default=0.0)
    owner: Mapped[str | None] = mapped_column(sa.String(36))

    __table_args__: Any = (
        sa.Index("ix_webhook_deliveries_status_due_at", "status", "due_at"),
        sa.Index("ix_webhook_deliveries_webhook_id_created_at", "webhook_id", "created_at"),
        Base.__table_args__,
    )
