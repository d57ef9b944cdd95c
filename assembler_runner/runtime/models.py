"""What is followed of the running apps: when each is looked at next, and the last lines of its logs."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column

from assembler_runner.core.database import Base, JsonText, UtcDateTime, utcnow


class AppWatch(Base):
    """One Space whose runtime is followed on its target."""

    __tablename__ = "followings"

    space_id: Mapped[str] = mapped_column(sa.ForeignKey("spaces.id", ondelete="CASCADE"), primary_key=True)
    # Whose rate limit a look is counted against; empty until the first look.
    account: Mapped[str] = mapped_column(sa.String(64), default="", server_default="")
    # When it is looked at next; null: only when somebody asks. While somebody looks: until when he is believed to live.
    due_at: Mapped[float | None] = mapped_column(sa.Double)
    owner: Mapped[str | None] = mapped_column(sa.String(36))
    # Whether the verdict on the last change is still open, since when, and on which commit (null: on a restart).
    is_open: Mapped[bool] = mapped_column(default=True)
    since: Mapped[float] = mapped_column(sa.Double)
    commit_oid: Mapped[str | None] = mapped_column(sa.String(64))
    # The first stage that was seen since then, and whether another one was: then the target has begun with the change.
    first_stage: Mapped[str | None] = mapped_column(sa.String(64))
    has_moved: Mapped[bool] = mapped_column(default=False)
    # Digest of the target's last answer: a problem is diagnosed again when it differs.
    answer_digest: Mapped[str | None] = mapped_column(sa.String(64))
    # Looks in a row that failed.
    errors: Mapped[int] = mapped_column(default=0)
    # Marks of the secrets the Space has or had, by which they are known in logs; see redaction.py.
    encrypted_fingerprints: Mapped[str | None] = mapped_column("sealed_marks", JsonText, key="encrypted_fingerprints")

    __table_args__ = (
        sa.Index("ix_followings_due_at", "due_at"),
        sa.Index("ix_followings_account_due_at", "account", "due_at"),
        sa.Index("ix_followings_account_is_open", "account", "is_open"),
        Base.__table_args__,
    )


class KeptLog(Base):
    """The last lines of a log, kept when an app failed."""

    __tablename__ = "kept_logs"

    space_id: Mapped[str] = mapped_column(sa.ForeignKey("spaces.id", ondelete="CASCADE"), primary_key=True)
    kind: Mapped[str] = mapped_column(sa.String(8), primary_key=True, doc="build or run.")
    lines: Mapped[Any] = mapped_column(JsonText, doc="timestamp and text of each.")
    taken_at: Mapped[datetime] = mapped_column(UtcDateTime, default=utcnow, doc="When they were read, UTC.")
