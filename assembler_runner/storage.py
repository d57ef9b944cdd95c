"""Content by its SHA-256, behind one interface: in the database (default) or in a folder."""

from __future__ import annotations

import logging
import os
import tempfile
from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import mysql, postgresql, sqlite
from sqlalchemy.orm import Session

from assembler_runner.errors import AssemblerError
from assembler_runner.models import Blob, BlobChunk

log = logging.getLogger(__name__)

CHUNK_BYTES = 2**20


class BlobMissing(AssemblerError):
    """Content that a row names is not in the file store."""

    code = "blob_missing"
    default_message = "A file of this request is missing in the file store."
    default_hint = "The operator has to restore the file store; then retry the request."


class FileStoreUnavailable(AssemblerError):
    """The file store's folder cannot be written: the disk is full, or a right is missing."""

    status = 503
    code = "file_store_unavailable"
    retryable = True
    default_message = "The file store cannot be written right now; nothing was stored."
    default_hint = "Send the request again in a few seconds; the operator has to check free space and rights."


class FileStore(ABC):
    """Keeps bytes by digest; the rows that say what there is are written in the caller's transaction."""

    def put(self, session: Session, contents: Mapping[str, bytes]) -> None:
        """Keeps contents; what is there already is left alone.

        Args:
            session: the caller's session; the caller commits.
            contents: SHA-256 in hex → bytes.
        """
        known = set(session.scalars(sa.select(Blob.sha256).where(Blob.sha256.in_(contents))))
        new = {digest: content for digest, content in contents.items() if digest not in known}
        if not new:
            return
        rows = [{"sha256": digest, "size": len(content)} for digest, content in sorted(new.items())]
        insert_new(session, Blob, rows)
        self._write(session, new)

    @abstractmethod
    def get(self, session: Session, digest: str) -> bytes:
        """Returns the bytes.

        Raises:
            BlobMissing: it is not there.
        """

    @abstractmethod
    def _write(self, session: Session, contents: Mapping[str, bytes]) -> None: ...


class DatabaseFileStore(FileStore):
    """Bytes in the database, in pieces that every database takes: API and workers need no shared folder."""

    def get(self, session: Session, digest: str) -> bytes:
        """See :meth:`FileStore.get`."""
        size = session.scalar(sa.select(Blob.size).where(Blob.sha256 == digest))
        query = sa.select(BlobChunk.content).where(BlobChunk.sha256 == digest).order_by(BlobChunk.position)
        content = b"".join(session.scalars(query))
        if size is None or size != len(content):
            raise BlobMissing
        return content

    def _write(self, session: Session, contents: Mapping[str, bytes]) -> None:
        rows = [
            {"sha256": digest, "position": number, "content": content[start : start + CHUNK_BYTES]}
            for digest, content in sorted(contents.items())
            for number, start in enumerate(range(0, len(content), CHUNK_BYTES))
        ]
        if rows:
            insert_new(session, BlobChunk, rows)


class FolderFileStore(FileStore):
    """Bytes as files in a folder that API and workers share.

    Args:
        folder: where they are kept; made if it is not there.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def get(self, session: Session, digest: str) -> bytes:
        """See :meth:`FileStore.get`."""
        try:
            return self._path(digest).read_bytes()
        except FileNotFoundError:
            raise BlobMissing from None

    def _write(self, session: Session, contents: Mapping[str, bytes]) -> None:
        for digest, content in contents.items():
            try:
                _write_file(self._path(digest), content)
            except OSError as problem:
                log.error("the file store cannot be written: %s", problem.strerror)
                raise FileStoreUnavailable(retry_after=5) from None

    def _path(self, digest: str) -> Path:
        return self._folder / digest[:2] / digest


def _write_file(path: Path, content: bytes) -> None:
    """Writes a file so that its name never stands for a part of it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=path.parent, delete=False) as file:
        new = Path(file.name)
        try:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
            new.replace(path)
        except OSError:
            new.unlink()
            raise


def insert_new(session: Session, model: type[Any], rows: list[dict[str, Any]]) -> None:
    """Inserts rows and leaves out those whose primary key is there already, also when two do it at once."""
    dialect = session.get_bind().dialect.name
    statement: Any
    if dialect == "postgresql":
        statement = postgresql.insert(model).on_conflict_do_nothing()
    elif dialect == "sqlite":
        statement = sqlite.insert(model).on_conflict_do_nothing()
    else:
        statement = mysql.insert(model).prefix_with("IGNORE")
    session.execute(statement, rows)
