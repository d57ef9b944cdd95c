"""Tables of contents and buckets."""

from __future__ import annotations

from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.dialects import mysql
from sqlalchemy.orm import Mapped, mapped_column, relationship

from assembler_runner.core.database import Base, Timestamps, UtcDateTime, id_column, utcnow


class Blob(Base):
    """A content, identified by its SHA-256; its bytes are in the file store."""

    __tablename__ = "blobs"

    sha256: Mapped[str] = mapped_column(sa.String(64), primary_key=True)
    size: Mapped[int] = mapped_column(sa.BigInteger)
    used_at: Mapped[datetime] = mapped_column(
        UtcDateTime,
        default=utcnow,
        server_default="2000-01-01",
        index=True,
        doc="When a row was last about to refer to it, UTC.",
    )


class BlobChunk(Base):
    """A chunk of a blob, for the file store `database`."""

    __tablename__ = "blob_chunks"

    sha256: Mapped[str] = mapped_column(sa.ForeignKey("blobs.sha256", ondelete="CASCADE"), primary_key=True)
    position: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    content: Mapped[bytes] = mapped_column(sa.LargeBinary().with_variant(mysql.MEDIUMBLOB(), "mysql", "mariadb"))


class Bucket(Timestamps, Base):
    """A collection of files."""

    __tablename__ = "buckets"
    __table_args__ = (sa.UniqueConstraint("realm_id", "name"), Base.__table_args__)

    id: Mapped[str] = id_column()
    name: Mapped[str] = mapped_column(sa.String(128), doc="Name, unique in the realm.")
    region: Mapped[str | None] = mapped_column(sa.String(128), doc="Stored, not used.")
    actor_type: Mapped[str] = mapped_column(sa.String(16), doc="Kind of the account that created it: user or robot.")
    actor_id: Mapped[str] = mapped_column(sa.String(36), doc="Account that created it.")
    realm_id: Mapped[str] = mapped_column(sa.ForeignKey("realms.id"), doc="Its realm.")


class BucketFile(Timestamps, Base):
    """One version of a file in a bucket; a later upload with the same name is a new row."""

    __tablename__ = "bucket_files"

    id: Mapped[str] = id_column()
    bucket_id: Mapped[str] = mapped_column(
        sa.ForeignKey("buckets.id", ondelete="CASCADE"), index=True, doc="Its bucket."
    )
    name: Mapped[str] = mapped_column(sa.String(255), doc="Last segment of its path.")
    path: Mapped[str] = mapped_column(sa.String(1024), doc="Path in the bucket, as it was sent.")
    directory: Mapped[str] = mapped_column(sa.String(1024), doc="Path without the name; a dot if there is none.")
    hash: Mapped[str] = mapped_column(sa.String(64), index=True, doc="SHA-256 of the content.")
    size: Mapped[int] = mapped_column(sa.BigInteger, doc="Size in bytes.")
    actor_type: Mapped[str] = mapped_column(sa.String(16), doc="Kind of the account that uploaded it: user or robot.")
    actor_id: Mapped[str] = mapped_column(sa.String(36), index=True, doc="Account that uploaded it.")
    realm_id: Mapped[str] = mapped_column(sa.ForeignKey("realms.id"), index=True, doc="Its realm.")

    bucket: Mapped[Bucket] = relationship()
