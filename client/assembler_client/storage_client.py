"""Buckets and their files: what stands under /storage."""

from __future__ import annotations

import hashlib
import io
import os
import tempfile
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO, Unpack, cast

from assembler_client.errors import InvalidAnswer, NotFound
from assembler_client.inputs import BucketFields
from assembler_client.models import Bucket, BucketFile
from assembler_client.sansio.calls import (
    changed,
    deleted,
    finding,
    finding_one,
    getting,
    iterating,
    listing,
    made,
    parsed,
)
from assembler_client.sansio.steps import Ask, Call, Close, Flow, Parts, Read, Send, method
from assembler_client.transport import AsyncClient, SyncClient
from assembler_client.types import Ref, id_of

Progress = Callable[[int], Any]
"""Is called with the number of bytes that were moved just now; negative where an upload starts anew."""


class StorageCalls:
    """Everything under /storage, for both kinds of clients."""

    get_bucket = getting("/storage/buckets", Bucket)
    get_buckets = listing("/storage/buckets", Bucket)
    find_buckets = finding("/storage/buckets", Bucket)
    find_one_bucket = finding_one("/storage/buckets", Bucket)
    iter_buckets = iterating("/storage/buckets", Bucket)

    @method
    def create_bucket(self, **fields: Unpack[BucketFields]) -> Call[Bucket]:
        """Makes a bucket; `name` is needed."""
        return made("/storage/buckets", BucketFields, fields, Bucket)

    @method
    def update_bucket(self, bucket: Ref, **fields: Unpack[BucketFields]) -> Call[Bucket]:
        """Changes the given fields of a bucket."""
        return changed("/storage/buckets", bucket, BucketFields, fields, Bucket)

    @method
    def delete_bucket(self, bucket: Ref) -> Flow[None]:
        """Deletes a bucket with its files; what was published with them stays."""
        return deleted("/storage/buckets", bucket)

    get_bucket_file = getting("/storage/bucket-files", BucketFile)
    get_bucket_files = listing("/storage/bucket-files", BucketFile)
    find_bucket_files = finding("/storage/bucket-files", BucketFile)
    find_one_bucket_file = finding_one("/storage/bucket-files", BucketFile)
    iter_bucket_files = iterating("/storage/bucket-files", BucketFile)

    @method
    def delete_bucket_file(self, file: Ref) -> Flow[None]:
        """Deletes one version of a file; what was published with it stays."""
        return deleted("/storage/bucket-files", file)

    @method
    def upload_to_bucket(
        self,
        bucket: Ref,
        files: Mapping[str, bytes | Path] | Iterable[Path],
        *,
        progress: Progress | None = None,
    ) -> Call[list[BucketFile]]:
        """Uploads files, all or none; each is read piece by piece.

        Args:
            bucket: the bucket.
            files: path in the bucket → bytes or a file of this machine; or files, which keep their names.
            progress: is called as bytes are sent.
        Returns:
            The new files, in order.
        """
        named = dict(files) if isinstance(files, Mapping) else {path.name: path for path in files}
        ask = Ask("POST", f"/storage/buckets/{id_of(bucket)}/upload", form=lambda: _opened(named, progress))
        return Call(ask, parsed(BucketFile).many)

    @method
    def download_bucket_file(self, file: Ref, to: Path | str, *, progress: Progress | None = None) -> Flow[Path]:
        """Downloads a file; size and SHA-256 are checked before it gets its name.

        Args:
            file: the file.
            to: where to; a folder for its own name in there.
            progress: is called as bytes arrive.
        Returns:
            The path of the file.
        Raises:
            NotFound: there is no such file.
            InvalidAnswer: what came is not what the service has.
        """
        known = yield from StorageCalls.get_bucket_file(self, file)
        if known is None:
            raise NotFound(f"There is no file {id_of(file)}.")
        target = Path(to) / Path(known.name).name if Path(to).is_dir() else Path(to)
        ask = Ask("GET", f"/storage/bucket-files/{known.id}/stream")
        yield from _download(ask, target, known.size, known.hash, progress)
        return target

    @method
    def download_bucket(self, bucket: Ref, to: Path | str, *, progress: Progress | None = None) -> Flow[Path]:
        """Downloads all files of a bucket as one tar file.

        Args:
            bucket: the bucket.
            to: the file to write.
            progress: is called as bytes arrive.
        Returns:
            The path of the file.
        """
        ask = Ask("GET", f"/storage/buckets/{id_of(bucket)}/stream")
        yield from _download(ask, Path(to), None, None, progress)
        return Path(to)


class StorageClient(StorageCalls, SyncClient):
    """Buckets and their files."""


class AsyncStorageClient(StorageCalls, AsyncClient):
    """The asynchronous twin of :class:`StorageClient`."""


def _download(ask: Ask, target: Path, size: int | None, digest: str | None, progress: Progress | None) -> Flow[None]:
    """Writes an answer into a file beside the target and gives it its name at the end."""
    response = yield Send(ask, stream=True)
    handle, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name[:100]}.")
    try:
        received, hashed = 0, hashlib.sha256()
        with os.fdopen(handle, "wb") as file:
            while (piece := (yield Read(response))) is not None:
                file.write(piece)
                hashed.update(piece)
                received += len(piece)
                if progress is not None:
                    progress(len(piece))
        yield Close(response)
        if size is not None and received != size:
            raise InvalidAnswer(f"{received} of {size} bytes of {target.name} came.")
        if digest and hashed.hexdigest() != digest:
            raise InvalidAnswer(f"What came of {target.name} does not have the SHA-256 that it should.")
        Path(name).replace(target)
    finally:
        with suppress(FileNotFoundError):
            Path(name).unlink()


def _opened(files: Mapping[str, bytes | Path], progress: Progress | None) -> Parts:
    opened: Parts = []
    try:
        for name, content in files.items():
            raw: BinaryIO = content.open("rb") if isinstance(content, Path) else io.BytesIO(content)
            opened.append((name, cast(BinaryIO, _Counted(raw, progress)) if progress else raw))
    except OSError:
        for _, file in opened:
            file.close()
        raise
    return opened


class _Counted:
    """A file that tells how much of it was read.

    Args:
        file: the file.
        progress: is told.
    """

    def __init__(self, file: BinaryIO, progress: Progress) -> None:
        self._file = file
        self._progress = progress
        self._read = 0

    def read(self, size: int = -1) -> bytes:
        """Reads some of it."""
        piece = self._file.read(size)
        self._read += len(piece)
        self._progress(len(piece))
        return piece

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Goes somewhere; at the start nothing counts as read."""
        if (offset, whence) == (0, os.SEEK_SET) and self._read:
            self._progress(-self._read)
            self._read = 0
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        """Tells where it is."""
        return self._file.tell()

    def fileno(self) -> int:
        """Tells the number of the file, so that its size is known."""
        return self._file.fileno()

    def close(self) -> None:
        """Closes it."""
        self._file.close()
