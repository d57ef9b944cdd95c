"""File store in a bucket of S3 or an S3-compatible service."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, BinaryIO
from urllib.parse import urlsplit

import obstore
import sqlalchemy as sa
from obstore.exceptions import BaseError
from obstore.store import S3Store
from sqlalchemy.orm import Session

from assembler_runner.files.content import Content, FileStoreUnavailable, open_ranges, pieces_of
from assembler_runner.files.store import BlobMissing, FileStore

if TYPE_CHECKING:
    from obstore.store import RetryConfig, S3Config

log = logging.getLogger(__name__)

PART_BYTES = 8 * 2**20
READ_BYTES = 4 * 2**20


class S3FileStore(FileStore):
    """Stores contents as objects of a bucket; API and workers need no shared folder.

    Endpoint, region and credentials come from the usual environment variables: `AWS_ENDPOINT_URL`, `AWS_REGION`,
    `AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY` and others supported by obstore.

    Args:
        engine: see :class:`FileStore`.
        address: `s3://bucket` or `s3://bucket/prefix`.
    """

    def __init__(self, engine: Callable[[], sa.Engine], address: str) -> None:
        super().__init__(engine)
        self._address = address
        self._opened: tuple[int, S3Store] | None = None

    def open(self, digest: str) -> BinaryIO:
        """See :meth:`FileStore.open`."""
        key = _key(digest)
        with _translated():
            size = obstore.head(self._store, key)["size"]

        def fetch(start: int, length: int) -> bytes:
            with _translated():
                return bytes(obstore.get_range(self._store, key, start=start, length=length))

        return open_ranges(size, fetch, min(READ_BYTES, max(1, size)))

    def check(self) -> None:
        """See :meth:`FileStore.check`; one request without retries."""
        with _translated(), suppress(FileNotFoundError):
            obstore.head(self._probe, _key("0" * 64))

    def _missing(self, session: Session, contents: Mapping[str, Content]) -> list[str]:
        return [digest for digest, content in sorted(contents.items()) if self._size(digest) != content.size]

    def _write(self, session: Session, content: Content, commit: bool) -> None:
        # Object writes are atomic, also multipart uploads.
        key = _key(content.sha256)
        with _translated(), content.open() as file:
            if content.size <= PART_BYTES:
                obstore.put(self._store, key, file.read(), use_multipart=False)
            else:
                obstore.put(self._store, key, pieces_of(file), chunk_size=PART_BYTES, max_concurrency=2)

    def _erase(self, session: Session, digest: str) -> None:
        with _translated():
            obstore.delete(self._store, _key(digest))

    def _size(self, digest: str) -> int | None:
        try:
            with _translated():
                return int(obstore.head(self._store, _key(digest))["size"])
        except BlobMissing:
            return None

    @property
    def _store(self) -> S3Store:
        # The library's threads do not survive a fork.
        if self._opened is None or self._opened[0] != os.getpid():
            self._opened = os.getpid(), self._make("300s")
        return self._opened[1]

    @property
    def _probe(self) -> S3Store:
        return self._make("3s", {"max_retries": 0})

    def _make(self, timeout: str, retries: RetryConfig | None = None) -> S3Store:
        where = urlsplit(self._address)
        endpoint = os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL") or ""
        config: S3Config = {"endpoint": endpoint} if endpoint else {}
        return S3Store(
            where.netloc,
            prefix=where.path.strip("/") or None,
            config=config,
            client_options={"timeout": timeout, "connect_timeout": "3s", "allow_http": endpoint.startswith("http:")},
            retry_config=retries,
        )


def _key(digest: str) -> str:
    return f"{digest[:2]}/{digest}"


@contextmanager
def _translated() -> Iterator[None]:
    """Converts the library's exceptions into the service's errors."""
    try:
        yield
    except FileNotFoundError:
        raise BlobMissing from None
    except (BaseError, OSError, ValueError) as problem:
        log.error("the S3 file store failed: %s", type(problem).__name__)
        raise FileStoreUnavailable(retry_after=5) from None
