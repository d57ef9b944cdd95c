"""Tables of published apps: when each is probed next, and the last lines of its logs."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column

from assembler_runner.core.database import Base, JsonText, UtcDateTime, utcnow


class AppWatch(Base):
    """The watch of one Space: its schedule of probes, and the open outcome of its last change."""

    __tablename__ = "followings"

    space_id: Mapped[str] = mapped_column(sa.ForeignKey("spaces.id", ondelete="CASCADE"), primary_key=True)
    # The account whose rate limit a probe counts against; empty before the first probe.
    account: Mapped[str] = mapped_column(sa.String(64), default="", server_default="")
    # When it is probed next; null: only on request. While a probe is running: when its lease expires.
    due_at: Mapped[float | None] = mapped_column(sa.Double)
    owner: Mapped[str | None] = mapped_column(sa.String(36))
    # Whether the outcome of the last change is still open, since when, and its commit (null for a restart).
    is_open: Mapped[bool] = mapped_column(default=True)
    since: Mapped[float] = mapped_column(sa.Double)
    commit_oid: Mapped[str | None] = mapped_column(sa.String(64))
    # The first stage seen since then, and whether another was seen: then the target has started to process the change.
    first_stage: Mapped[str | None] = mapped_column(sa.String(64))
    has_moved: Mapped[bool] = mapped_column(default=False)
    # Digest of the target's last answer: a problem is diagnosed again when it differs.
    answer_digest: Mapped[str | None] = mapped_column(sa.String(64))
    # Consecutive failed probes.
    errors: Mapped[int] = mapped_column(default=0)
    # Fingerprints of the secrets that the Space has or had, for redaction in logs; see core/redaction.py.
    encrypted_fingerprints: Mapped[str | None] = mapped_column("sealed_marks", JsonText, key="encrypted_fingerprints")

    __table_args__ = (
        sa.Index("ix_followings_due_at", "due_at"),
        sa.Index("ix_followings_account_due_at", "account", "due_at"),
        sa.Index("ix_followings_account_is_open", "account", "is_open"),
        Base.__table_args__,
    )


class KeptLog(Base):
    """The last lines of a log, stored when an app failed."""

    __tablename__ = "kept_logs"

    space_id: Mapped[str] = mapped_column(sa.ForeignKey("spaces.id", ondelete="CASCADE"), primary_key=True)
    kind: Mapped[str] = mapped_column(sa.String(8), primary_key=True, doc="build or run.")
    lines: Mapped[Any] = mapped_column(JsonText, doc="The lines, each with timestamp and text.")
    taken_at: Mapped[datetime] = mapped_column(UtcDateTime, default=utcnow, doc="When they were read, UTC.")
