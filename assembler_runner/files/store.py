"""Common interface of the file stores: contents by SHA-256, in the database (default), a folder or S3.

A content consists of a row, `Blob`, and its bytes. Writers mark the row as used before they refer to it. Only contents
that are unreferenced and were not used for a day are removed, and the row stays locked until the bytes are removed. So
a content cannot disappear between its upload and the commit of the row that refers to it.
"""

from __future__ import annotations

import logging
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any, BinaryIO

import sqlalchemy as sa
from sqlalchemy.orm import Session

from assembler_runner.core.database import UtcDateTime, utcnow
from assembler_runner.core.errors import AssemblerError
from assembler_runner.core.upsert import insert_rows
from assembler_runner.files.content import Content
from assembler_runner.files.models import Blob, BlobChunk

log = logging.getLogger(__name__)

CHUNK_BYTES = 2**20
CHUNKS_AT_ONCE = 4
LARGE_BYTES = 2**20
"""From this size on, a content is stored before the transaction that refers to it, to keep that transaction short."""

UNUSED_AFTER = timedelta(hours=24)
"""How long an unreferenced content is kept; longer than any upload takes."""

MARK_AGAIN_AFTER = UNUSED_AFTER / 4
"""A content that was marked as used within this time needs no new mark."""

# Prebuilt: constructing these statements costs more than executing them.
_BLOB: Any = Blob.__table__.c
_CHUNK: Any = BlobChunk.__table__.c
_MARKED = sa.select(_BLOB.sha256).where(
    _BLOB.sha256.in_(sa.bindparam("digests", expanding=True)), _BLOB.used_at > sa.bindparam("before", type_=UtcDateTime)
)
_named = _CHUNK.sha256.in_(sa.bindparam("digests", expanding=True))
_COUNTS = sa.select(_CHUNK.sha256, sa.func.count()).where(_named).group_by(_CHUNK.sha256)
_STORED = sa.select(
    _BLOB.sha256,
    _BLOB.used_at,
    sa.select(sa.func.count()).where(_CHUNK.sha256 == _BLOB.sha256).scalar_subquery().label("chunks"),
).where(_BLOB.sha256.in_(sa.bindparam("digests", expanding=True)))
_SMALL = sa.select(_CHUNK.sha256, _CHUNK.content).where(_named, _CHUNK.position == 0)
_ROWS_AT_ONCE = 500


class BlobMissing(AssemblerError):
    """The file store does not contain a content that a row refers to."""

    code = "blob_missing"
    default_message = "A file of this request is missing from the file store."
    default_hint = "The operator has to restore the file store; then retry the request."


class FileStore(ABC):
    """Stores contents by digest.

    Args:
        engine: returns the database engine, for work outside the caller's transaction.
    """

    def __init__(self, engine: Callable[[], sa.Engine]) -> None:
        self._engine = engine

    def stage(self, contents: Iterable[Content]) -> None:
        """Stores contents in transactions of its own; for large ones, before the transaction that refers to them.

        Args:
            contents: the contents to store.
        Raises:
            FileStoreUnavailable: the store cannot be written.
        """
        large = {content.sha256: content for content in contents}
        with Session(self._engine()) as session:
            self._mark(session, large)
            missing = self._missing(session, large)
            session.commit()
            for digest in missing:
                self._write(session, large[digest], commit=True)

    def put(self, session: Session, contents: Iterable[Content]) -> None:
        """Marks contents as used, and stores the missing ones.

        Args:
            session: the session of the transaction that refers to them; the caller commits.
            contents: the contents referred to.
        Raises:
            FileStoreUnavailable: the store cannot be written.
        """
        by_digest = {content.sha256: content for content in contents}
        if not by_digest:
            return
        self._mark(session, by_digest)
        self._write_all(session, [by_digest[digest] for digest in self._missing(session, by_digest)])

    def content(self, digest: str, size: int) -> Content:
        """Returns a stored content by reference."""
        return Content(digest, size, lambda: self.open(digest))

    def read_small(self, session: Session, sizes: Mapping[str, int]) -> dict[str, bytes]:
        """Reads several small contents into memory.

        Args:
            session: the caller's session.
            sizes: digest → size in bytes, at most `CHUNK_BYTES`.
        Raises:
            BlobMissing: a content is missing.
            FileStoreUnavailable: the store cannot be read.
        """
        return {digest: self.content(digest, size).read() for digest, size in sizes.items()}

    def remove(self, digest: str, condition: sa.ColumnElement[bool]) -> bool:
        """Removes a content with its row.

        Args:
            digest: digest of the content.
            condition: condition on its row.
        Returns:
            Whether it was removed.
        """
        with Session(self._engine()) as session:
            done = session.execute(
                sa.delete(Blob).where(Blob.sha256 == digest, condition),
                execution_options={"synchronize_session": False},
            )
            if done.rowcount:  # type: ignore[attr-defined]  # a DELETE always gives a CursorResult
                # The row stays locked until the bytes are removed: a concurrent writer of the same content waits,
                # then stores it again.
                self._erase(session, digest)
            session.commit()
            return bool(done.rowcount)  # type: ignore[attr-defined]  # likewise

    def remove_left_overs(self, older_than: datetime) -> None:  # noqa: B027 - most stores have none
        """Removes partial files of interrupted writes; only stores that leave such files override it."""

    def check(self) -> None:  # noqa: B027 - the database store needs no check beyond that of the database
        """Checks whether contents can be stored and read now.

        Raises:
            FileStoreUnavailable: the store cannot be used.
        """

    @abstractmethod
    def open(self, digest: str) -> BinaryIO:
        """Opens a content for reading.

        Raises:
            BlobMissing: the content is missing.
            FileStoreUnavailable: the store cannot be read.
        """

    @abstractmethod
    def _missing(self, session: Session, contents: Mapping[str, Content]) -> list[str]:
        """Returns the digests whose bytes are missing or incomplete, in order."""

    @abstractmethod
    def _write(self, session: Session, content: Content, commit: bool) -> None: ...

    def _write_all(self, session: Session, contents: Iterable[Content]) -> None:
        for content in contents:
            self._write(session, content, commit=False)

    @abstractmethod
    def _erase(self, session: Session, digest: str) -> None: ...

    def _mark(self, session: Session, contents: Mapping[str, Content]) -> None:
        fresh: set[str] = set()
        for digests in _batches(sorted(contents)):
            fresh.update(session.scalars(_MARKED, {"digests": digests, "before": utcnow() - MARK_AGAIN_AFTER}))
        self._mark_rows(session, {digest: contents[digest] for digest in contents.keys() - fresh})

    def _mark_rows(self, session: Session, contents: Mapping[str, Content]) -> None:
        """Writes that contents are used now; until the caller commits, none of them is removed."""
        now = utcnow()
        rows = [{"sha256": digest, "size": contents[digest].size, "used_at": now} for digest in sorted(contents)]
        for some in _batches(rows):
            insert_rows(session, Blob, some, then_set="used_at")


def _batches(items: list[Any]) -> Iterable[list[Any]]:
    return (items[start : start + _ROWS_AT_ONCE] for start in range(0, len(items), _ROWS_AT_ONCE))
