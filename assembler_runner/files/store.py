"""Content by its SHA-256, behind one interface: in the database (default) or in a folder.

A content has a row, `Blob`, and its bytes. Whoever is about to refer to a content marks its row as used first. Only
what was not used for a day, and what nothing refers to, is removed, and whoever removes it holds the row's lock until
the bytes are gone. So a content cannot go away between its arrival and the commit of what refers to it.
"""

from __future__ import annotations

import logging
import os
import tempfile
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from datetime import datetime, timedelta
from functools import cache
from pathlib import Path
from time import time
from typing import Any, BinaryIO

import sqlalchemy as sa
from sqlalchemy.dialects import mysql, postgresql, sqlite
from sqlalchemy.orm import Session

from assembler_runner.core.database import READ_ONLY, Base, UtcDateTime, utcnow
from assembler_runner.core.errors import AssemblerError
from assembler_runner.files.content import Content, FileStoreUnavailable, open_ranges, pieces_of
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


class DatabaseFileStore(FileStore):
    """Bytes in the database, in pieces that every database takes: API and workers need no shared folder."""

    def open(self, digest: str) -> BinaryIO:
        """See :meth:`FileStore.open`."""
        with self._reading() as connection:
            size = connection.scalar(sa.select(Blob.size).where(Blob.sha256 == digest))
            there = connection.scalar(sa.select(sa.func.count()).where(BlobChunk.sha256 == digest))
        if size is None or there != _chunks(size):
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

    def read_small(self, session: Session, sizes: Mapping[str, int]) -> dict[str, bytes]:
        """See :meth:`FileStore.read_small`; one query for many."""
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
        there: dict[str, int] = {}
        for digests in _batches(sorted(contents)):
            there |= dict(session.execute(_COUNTS, {"digests": digests}).all())
        return [digest for digest in sorted(contents) if there.get(digest, 0) != _chunks(contents[digest].size)]

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
                # Small ones go together: one statement costs more than its bytes.
                _insert_chunks(session, rows, commit=False)
                size = 0
        _insert_chunks(session, rows, commit=False)

    def _erase(self, session: Session, digest: str) -> None:
        session.execute(sa.delete(BlobChunk).where(BlobChunk.sha256 == digest))


class FolderFileStore(FileStore):
    """Bytes as files in a folder that API and workers share.

    Args:
        engine: see :class:`FileStore`.
        folder: where they are kept; made if it is not there.
    """

    def __init__(self, engine: Callable[[], sa.Engine], folder: Path) -> None:
        super().__init__(engine)
        self._folder = folder

    def open(self, digest: str) -> BinaryIO:
        """See :meth:`FileStore.open`."""
        try:
            return self._path(digest).open("rb")
        except FileNotFoundError:
            raise BlobMissing from None
        except OSError as problem:
            log.error("the file store cannot be read: %s", problem.strerror)
            raise FileStoreUnavailable(retry_after=5) from None

    def check(self) -> None:
        """See :meth:`FileStore.check`."""
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=self._folder) as file:
                file.write(b"x")
        except OSError as problem:
            log.error("the file store cannot be written: %s", problem.strerror)
            raise FileStoreUnavailable(retry_after=5) from None

    def remove_left_overs(self, older_than: datetime) -> None:
        """See :meth:`FileStore.remove_left_overs`: files that a killed process has not finished."""
        for path in self._folder.glob(f"*/{_DRAFT}*"):
            with suppress(FileNotFoundError):
                if path.stat().st_mtime < min(older_than.timestamp(), time()):
                    path.unlink()

    def _missing(self, session: Session, contents: Mapping[str, Content]) -> list[str]:
        return [digest for digest, content in sorted(contents.items()) if _size(self._path(digest)) != content.size]

    def _write(self, session: Session, content: Content, commit: bool) -> None:
        try:
            _write_file(self._path(content.sha256), content)
        except OSError as problem:
            log.error("the file store cannot be written: %s", problem.strerror)
            raise FileStoreUnavailable(retry_after=5) from None

    def _erase(self, session: Session, digest: str) -> None:
        try:
            self._path(digest).unlink(missing_ok=True)
        except OSError as problem:
            log.error("a file of the file store cannot be removed: %s", problem.strerror)
            raise FileStoreUnavailable(retry_after=5) from None

    def _path(self, digest: str) -> Path:
        return self._folder / digest[:2] / digest


_DRAFT = "draft-"


def _size(path: Path) -> int | None:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return None


def _write_file(path: Path, content: Content) -> None:
    """Writes a file so that its name never stands for a part of it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=path.parent, prefix=_DRAFT, delete=False) as file:
        new = Path(file.name)
        try:
            with content.open() as source:
                for piece in pieces_of(source):
                    file.write(piece)
            file.flush()
            os.fsync(file.fileno())
            new.replace(path)
        except BaseException:
            new.unlink(missing_ok=True)
            raise


def _chunks(size: int) -> int:
    return -(-size // CHUNK_BYTES)


def _insert_chunks(session: Session, rows: list[dict[str, Any]], commit: bool) -> None:
    if rows:
        insert_rows(session, BlobChunk, rows)
        rows.clear()
    if commit:
        session.commit()


def _batches(items: list[Any]) -> Iterable[list[Any]]:
    return (items[start : start + _ROWS_AT_ONCE] for start in range(0, len(items), _ROWS_AT_ONCE))


def insert_rows(session: Session, model: type[Base], rows: list[dict[str, Any]], then_set: str | None = None) -> None:
    """Inserts rows; where the primary key is there already, also when two do it at once, the row there stays.

    Args:
        session: the session; the caller commits.
        model: the table.
        rows: the rows.
        then_set: a column that a row which stays takes over.
    """
    session.execute(_insert(model, session.get_bind().dialect.name, then_set), rows)


@cache
def _insert(model: type[Base], dialect: str, then_set: str | None) -> Any:
    statement: Any
    table: Any = model.__table__
    if dialect in ("postgresql", "sqlite"):
        statement = (postgresql if dialect == "postgresql" else sqlite).insert(table)
        if then_set is None:
            statement = statement.on_conflict_do_nothing()
        else:
            keys = [column.name for column in sa.inspect(model).primary_key]
            statement = statement.on_conflict_do_update(
                index_elements=keys, set_={then_set: statement.excluded[then_set]}
            )
    else:
        statement = mysql.insert(table)
        if then_set is None:
            statement = statement.prefix_with("IGNORE")
        else:
            statement = statement.on_duplicate_key_update({then_set: statement.inserted[then_set]})
    return statement
