"""Events, logs, webhooks and the health of the service."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

from assembler_client.models.common import Thing
from assembler_client.models.findings import Model
from assembler_client.models.literals import DeliveryStatus, LogKind


class Event(Model):
    """An event of a Space or of one of its requests."""

    id: int
    """Increasing number."""
    space_id: UUID | None = None
    """Its Space."""
    request_id: UUID | None = None
    """Its request; null if it belongs to none."""
    type: str
    """Type of the event."""
    message: str | None = None
    """Description for people."""
    data: dict[str, Any] = {}
    """Details."""
    created_at: datetime | None = None
    """Time of the event, UTC."""


class LogLine(Model):
    """A line of a log."""

    timestamp: datetime | None = None
    """When it was written, UTC; null if not known."""
    text: str = ""
    """The line, with secrets redacted."""


class LogMeta(Model):
    """Metadata of a log: its kind, and a note for the reader."""

    total: int = 0
    """Number of lines."""
    limit: int = 0
    """Maximum number of lines."""
    offset: int = 0
    """Always 0."""
    kind: LogKind = "run"
    """Which log."""
    note: str | None = None
    """Why lines are missing, or null."""


class Log(Model):
    """The last lines of a log."""

    data: list[LogLine] = []
    """The lines, oldest first."""
    meta: LogMeta = LogMeta()
    """About the log."""

    @property
    def text(self) -> str:
        """All lines as one text."""
        return "".join(f"{line.text}\n" for line in self.data)


class Webhook(Thing):
    """A subscription to events; `secret` is shown only on creation."""

    url: str
    """URL that receives the events."""
    description: str | None = None
    """Purpose."""
    event_types: list[str] = []
    """Event types to send; empty for all."""
    active: bool = True
    """Whether events are sent."""
    realm_id: UUID | None = None
    """Its realm."""
    owner_id: UUID | None = None
    """Account that created it."""
    space_id: UUID | None = None
    """Only events of this Space; null: all Spaces."""
    request_id: UUID | None = None
    """Only events of this request, and of its Space until the next request; null: all requests."""
    secret: str | None = None
    """The secret that signs deliveries; only in the answer of its creation."""


class Delivery(Model):
    """A delivery of an event to a webhook."""

    id: UUID
    """Id, a UUID."""
    webhook_id: UUID
    """Its webhook."""
    event_id: int | None = None
    """The event; null for a test."""
    status: DeliveryStatus = "pending"
    """pending, delivered or dead."""
    attempts: int = 0
    """Number of attempts."""
    answer_status: int | None = None
    """HTTP status of the last response; null if there was none."""
    error: str | None = None
    """Why the last attempt failed; null if it succeeded."""
    created_at: datetime | None = None
    """When the event happened, UTC."""
    finished_at: datetime | None = None
    """When it was delivered or given up, UTC."""


class WebhookCommandAnswer(Model):
    """Result of a webhook command."""

    command: str
    """The command."""
    secret: str | None = None
    """With rotate_secret: the new one; not shown again."""
    replayed: int | None = None
    """With replay: number of deliveries to send again."""
    delivery_id: UUID | None = None
    """With test: the delivery."""


class Health(Model):
    """Readiness of the service; each component is ok or unavailable."""

    status: str = ""
    """`ok`, `degraded` (requests are accepted and published later) or `unavailable`."""
    version: str | None = None
    """Version of the service."""
    database: str | None = None
    """Whether the database answers."""
    broker: str | None = None
    """Whether the broker answers."""
    workers: str | None = None
    """Whether a worker answers."""
