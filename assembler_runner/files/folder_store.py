"""File store in a folder, with one file per digest."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from time import time
from typing import BinaryIO

import sqlalchemy as sa
from sqlalchemy.orm import Session

from assembler_runner.files.content import Content, FileStoreUnavailable, pieces_of
from assembler_runner.files.store import BlobMissing, FileStore, log


class FolderFileStore(FileStore):
    """Stores contents as files in a folder shared by API and workers.

    Args:
        engine: see :class:`FileStore`.
        folder: the folder; created if missing.
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
            log.error("cannot read the file store: %s", problem.strerror)
            raise FileStoreUnavailable(retry_after=5) from None

    def check(self) -> None:
        """See :meth:`FileStore.check`."""
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=self._folder) as file:
                file.write(b"x")
        except OSError as problem:
            log.error("cannot write the file store: %s", problem.strerror)
            raise FileStoreUnavailable(retry_after=5) from None

    def remove_left_overs(self, older_than: datetime) -> None:
        """See :meth:`FileStore.remove_left_overs`: removes files that a killed process left unfinished."""
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
            log.error("cannot write the file store: %s", problem.strerror)
            raise FileStoreUnavailable(retry_after=5) from None

    def _erase(self, session: Session, digest: str) -> None:
        try:
            self._path(digest).unlink(missing_ok=True)
        except OSError as problem:
            log.error("cannot remove a file of the file store: %s", problem.strerror)
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
    """Writes a file atomically: the final name never refers to a partial file."""
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
