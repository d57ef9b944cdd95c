"""Content by its SHA-256, behind one interface: in the database (default) or in a folder.

A content has a row, `Blob`, and its bytes. Whoever is about to refer to a content marks its row as used first. Only
what was not used for a day, and what nothing refers to, is removed, and whoever removes it holds the row's lock until
the bytes are gone. So a content cannot go away between its arrival and the commit of what refers to it.
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
"""From here on a content is stored before the transaction that refers to it, which would else take long."""

UNUSED_AFTER = timedelta(hours=24)
"""How long a content stays that nothing refers to; what is still arriving is younger."""

_MARK_AGAIN_AFTER = UNUSED_AFTER / 4
# Made once: to put a statement together takes longer than to send it.
_BLOB: Any = Blob.__table__.c
_CHUNK: Any = BlobChunk.__table__.c
_MARKED = sa.select(_BLOB.sha256).where(
    _BLOB.sha256.in_(sa.bindparam("digests", expanding=True)), _BLOB.used_at > sa.bindparam("before", type_=UtcDateTime)
)
_named = _CHUNK.sha256.in_(sa.bindparam("digests", expanding=True))
_COUNTS = sa.select(_CHUNK.sha256, sa.func.count()).where(_named).group_by(_CHUNK.sha256)
_SMALL = sa.select(_CHUNK.sha256, _CHUNK.content).where(_named, _CHUNK.position == 0)
_ROWS_AT_ONCE = 500


class BlobMissing(AssemblerError):
    """Content that a row names is not in the file store."""

    code = "blob_missing"
    default_message = "A file of this request is missing in the file store."
    default_hint = "The operator has to restore the file store; then retry the request."


class FileStore(ABC):
    """Keeps bytes by digest.

    Args:
        engine: gives the engine of the database, for what is done outside the caller's transaction.
    """

    def __init__(self, engine: Callable[[], sa.Engine]) -> None:
        self._engine = engine

    def stage(self, contents: Iterable[Content]) -> None:
        """Stores contents in transactions of its own; for large ones, before the transaction that refers to them.

        Args:
            contents: what is to be referred to.
        Raises:
            FileStoreUnavailable: it cannot be written.
        """
        large = {content.sha256: content for content in contents}
        with Session(self._engine()) as session:
            self._mark(session, large)
            missing = self._missing(session, large)
            session.commit()
            for digest in missing:
                self._write(session, large[digest], commit=True)

    def put(self, session: Session, contents: Iterable[Content]) -> None:
        """Marks contents as used, and stores what is not there yet.

        Args:
            session: the session of who refers to them; the caller commits.
            contents: what is referred to.
        Raises:
            FileStoreUnavailable: it cannot be written.
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
            session: the session of who needs them.
            sizes: digest → size in bytes, `CHUNK_BYTES` at most.
        Raises:
            BlobMissing: one is not there.
            FileStoreUnavailable: one cannot be read now.
        """
        return {digest: self.content(digest, size).read() for digest, size in sizes.items()}

    def remove(self, digest: str, condition: sa.ColumnElement[bool]) -> bool:
        """Removes a content with its row.

        Args:
            digest: the content.
            condition: what must be true of its row.
        Returns:
            Whether it was removed.
        """
        with Session(self._engine()) as session:
            done = session.execute(
                sa.delete(Blob).where(Blob.sha256 == digest, condition),
                execution_options={"synchronize_session": False},
            )
            if done.rowcount:  # type: ignore[attr-defined]  # a DELETE always gives a CursorResult
                # The row is locked until the bytes are gone: who wants to store the same ones waits and writes again.
                self._erase(session, digest)
            session.commit()
            return bool(done.rowcount)  # type: ignore[attr-defined]  # likewise

    def remove_left_overs(self, older_than: datetime) -> None:  # noqa: B027 - most have none
        """Removes what interrupted writes have left; see the single stores."""

    def check(self) -> None:  # noqa: B027 - where the bytes stand in the database, there is nothing more to look at
        """Looks whether contents can be stored and read now.

        Raises:
            FileStoreUnavailable: they cannot.
        """

    @abstractmethod
    def open(self, digest: str) -> BinaryIO:
        """Opens a content for reading.

        Raises:
            BlobMissing: it is not there.
            FileStoreUnavailable: it cannot be read now.
        """

    @abstractmethod
    def _missing(self, session: Session, contents: Mapping[str, Content]) -> list[str]:
        """Returns the digests whose bytes are not there as a whole, in order."""

    @abstractmethod
    def _write(self, session: Session, content: Content, commit: bool) -> None: ...

    def _write_all(self, session: Session, contents: Iterable[Content]) -> None:
        for content in contents:
            self._write(session, content, commit=False)

    @abstractmethod
    def _erase(self, session: Session, digest: str) -> None: ...

    def _mark(self, session: Session, contents: Mapping[str, Content]) -> None:
        now = utcnow()
        fresh: set[str] = set()
        for digests in _batches(sorted(contents)):
            fresh.update(session.scalars(_MARKED, {"digests": digests, "before": now - _MARK_AGAIN_AFTER}))
        rows = [
            {"sha256": digest, "size": contents[digest].size, "used_at": now}
            for digest in sorted(contents.keys() - fresh)
        ]
        for some in _batches(rows):
            insert_rows(session, Blob, some, then_set="used_at")


def _batches(items: list[Any]) -> Iterable[list[Any]]:
    return (items[start : start + _ROWS_AT_ONCE] for start in range(0, len(items), _ROWS_AT_ONCE))
