"""File store in the database."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, BinaryIO

import sqlalchemy as sa
from sqlalchemy.orm import Session

from assembler_runner.core.database import READ_ONLY, utcnow
from assembler_runner.core.upsert import insert_rows
from assembler_runner.files.content import Content, open_ranges, pieces_of
from assembler_runner.files.models import Blob, BlobChunk
from assembler_runner.files.store import (
    _COUNTS,
    _SMALL,
    _STORED,
    CHUNK_BYTES,
    CHUNKS_AT_ONCE,
    MARK_AGAIN_AFTER,
    BlobMissing,
    FileStore,
    _batches,
)


class DatabaseFileStore(FileStore):
    """Stores contents in chunks small enough for every database; API and workers need no shared folder."""

    def open(self, digest: str) -> BinaryIO:
        """See :meth:`FileStore.open`."""
        with self._reading() as connection:
            size = connection.scalar(sa.select(Blob.size).where(Blob.sha256 == digest))
            stored = connection.scalar(sa.select(sa.func.count()).where(BlobChunk.sha256 == digest))
        if size is None or stored != _chunks(size):
            raise BlobMissing

        def fetch(start: int, length: int) -> bytes:
            number, skip = divmod(start, CHUNK_BYTES)
            wanted = sa.select(BlobChunk.content).where(BlobChunk.sha256 == digest, BlobChunk.position == number)
            with self._reading() as connection:
                chunk = connection.scalar(wanted)
            if not chunk or skip >= len(chunk):
                raise BlobMissing
            return bytes(memoryview(chunk)[skip : skip + length])

        return open_ranges(size, fetch, min(CHUNK_BYTES, max(1, size)))

    def put(self, session: Session, contents: Iterable[Content]) -> None:
        """See :meth:`FileStore.put`; with one query for what is marked and what is stored."""
        by_digest = {content.sha256: content for content in contents}
        stored: dict[str, Any] = {}
        for digests in _batches(sorted(by_digest)):
            stored |= {row.sha256: row for row in session.execute(_STORED, {"digests": digests})}
        since = utcnow() - MARK_AGAIN_AFTER
        kept = {
            digest
            for digest, row in stored.items()
            if row.used_at > since and row.chunks == _chunks(by_digest[digest].size)
        }
        others = {digest: content for digest, content in by_digest.items() if digest not in kept}
        self._mark_rows(session, others)
        # What was stored may have been removed before it was marked.
        again = {digest: content for digest, content in others.items() if digest in stored}
        missing = {*(others.keys() - stored.keys()), *(self._missing(session, again) if again else ())}
        self._write_all(session, [others[digest] for digest in sorted(missing)])

    def read_small(self, session: Session, sizes: Mapping[str, int]) -> dict[str, bytes]:
        """See :meth:`FileStore.read_small`; one query for many contents."""
        found = {digest: b"" for digest, size in sizes.items() if not size}
        for digests in _batches(sorted(sizes.keys() - found.keys())):
            rows = session.execute(_SMALL, {"digests": digests})
            found |= {row.sha256: bytes(row.content) for row in rows}
        if any(len(found.get(digest, b"")) != size for digest, size in sizes.items()):
            raise BlobMissing
        return found

    def _reading(self) -> sa.Connection:
        return self._engine().connect().execution_options(**{READ_ONLY: True})

    def _missing(self, session: Session, contents: Mapping[str, Content]) -> list[str]:
        stored: dict[str, int] = {}
        for digests in _batches(sorted(contents)):
            stored |= dict(session.execute(_COUNTS, {"digests": digests}).all())
        return [digest for digest in sorted(contents) if stored.get(digest, 0) != _chunks(contents[digest].size)]

    def _write(self, session: Session, content: Content, commit: bool) -> None:
        rows: list[dict[str, Any]] = []
        with content.open() as file:
            for number, piece in enumerate(pieces_of(file, CHUNK_BYTES)):
                rows.append({"sha256": content.sha256, "position": number, "content": piece})
                if len(rows) == CHUNKS_AT_ONCE:
                    _insert_chunks(session, rows, commit)
        _insert_chunks(session, rows, commit)

    def _write_all(self, session: Session, contents: Iterable[Content]) -> None:
        rows: list[dict[str, Any]] = []
        size = 0
        for content in contents:
            if content.size > CHUNK_BYTES:
                self._write(session, content, commit=False)
            elif content.size:
                rows.append({"sha256": content.sha256, "position": 0, "content": content.read()})
                size += content.size
            if size > CHUNKS_AT_ONCE * CHUNK_BYTES:
                # Small contents share a statement: a statement costs more than its bytes.
                _insert_chunks(session, rows, commit=False)
                size = 0
        _insert_chunks(session, rows, commit=False)

    def _erase(self, session: Session, digest: str) -> None:
        session.execute(sa.delete(BlobChunk).where(BlobChunk.sha256 == digest))


def _chunks(size: int) -> int:
    return -(-size // CHUNK_BYTES)


def _insert_chunks(session: Session, rows: list[dict[str, Any]], commit: bool) -> None:
    if rows:
        insert_rows(session, BlobChunk, rows)
        rows.clear()
    if commit:
        session.commit()
