"""What the database holds of contents."""

from __future__ import annotations

from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.dialects import mysql
from sqlalchemy.orm import Mapped, mapped_column

from assembler_runner.core.database import Base, UtcDateTime, utcnow


class Blob(Base):
    """Content by its SHA-256; the bytes stand in the file store."""

    __tablename__ = "blobs"

    sha256: Mapped[str] = mapped_column(sa.String(64), primary_key=True)
    size: Mapped[int] = mapped_column(sa.BigInteger)
    used_at: Mapped[datetime] = mapped_column(
        UtcDateTime,
        default=utcnow,
        server_default="2000-01-01",
        index=True,
        doc="When somebody was last about to refer to it, UTC.",
    )


class BlobChunk(Base):
    """A piece of a blob, for the file store `database`."""

    __tablename__ = "blob_chunks"

    sha256: Mapped[str] = mapped_column(sa.ForeignKey("blobs.sha256", ondelete="CASCADE"), primary_key=True)
    position: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    content: Mapped[bytes] = mapped_column(sa.LargeBinary().with_variant(mysql.MEDIUMBLOB(), "mysql", "mariadb"))
