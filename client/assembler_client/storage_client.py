"""Buckets and their files: everything below /storage."""

from __future__ import annotations

import hashlib
import io
import os
import tempfile
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO, Unpack, cast
from urllib.parse import quote

from assembler_client.errors import InvalidAnswer, NotFound
from assembler_client.inputs import BucketFields
from assembler_client.models import Bucket, BucketFile, File
from assembler_client.sansio.calls import (
    create,
    delete,
    finding,
    finding_one,
    getting,
    iterating,
    listing,
    parsed,
    update,
)
from assembler_client.sansio.steps import Ask, Call, Close, Flow, Parts, Read, Send, method
from assembler_client.transport import AsyncClient, SyncClient
from assembler_client.types import Ref, id_of

Progress = Callable[[int], Any]
"""Called with the number of bytes transferred since the last call; negative if an upload restarts."""


class StorageCalls:
    """Methods for everything below /storage, synchronous and asynchronous."""

    get_bucket = getting("/storage/buckets", Bucket)
    get_buckets = listing("/storage/buckets", Bucket)
    find_buckets = finding("/storage/buckets", Bucket)
    find_one_bucket = finding_one("/storage/buckets", Bucket)
    iter_buckets = iterating("/storage/buckets", Bucket)

    @method
    def create_bucket(self, **fields: Unpack[BucketFields]) -> Call[Bucket]:
        """Creates a bucket; `name` is required."""
        return create("/storage/buckets", BucketFields, fields, Bucket)

    @method
    def update_bucket(self, bucket: Ref, **fields: Unpack[BucketFields]) -> Call[Bucket]:
        """Updates the given fields of a bucket."""
        return update("/storage/buckets", bucket, BucketFields, fields, Bucket)

    @method
    def delete_bucket(self, bucket: Ref) -> Flow[None]:
        """Deletes a bucket and its files; published Spaces keep theirs."""
        return delete("/storage/buckets", bucket)

    get_bucket_file = getting("/storage/bucket-files", BucketFile)
    get_bucket_files = listing("/storage/bucket-files", BucketFile)
    find_bucket_files = finding("/storage/bucket-files", BucketFile)
    find_one_bucket_file = finding_one("/storage/bucket-files", BucketFile)
    iter_bucket_files = iterating("/storage/bucket-files", BucketFile)

    @method
    def delete_bucket_file(self, file: Ref) -> Flow[None]:
        """Deletes one version of a file; published Spaces keep theirs."""
        return delete("/storage/bucket-files", file)

    @method
    def upload_to_bucket(
        self,
        bucket: Ref,
        files: Mapping[str, bytes | Path] | Iterable[Path],
        *,
        progress: Progress | None = None,
    ) -> Call[list[BucketFile]]:
        """Uploads files, all or none; each is streamed.

        Args:
            bucket: the bucket.
            files: path in the bucket → bytes or a local path; or local paths, which keep their names.
            progress: called as bytes are sent.
        Returns:
            The new files, in the order of the input.
        """
        named = dict(files) if isinstance(files, Mapping) else {path.name: path for path in files}
        ask = Ask("POST", f"/storage/buckets/{id_of(bucket)}/upload", form=lambda: _opened(named, progress))
        return Call(ask, parsed(BucketFile).many)

    @method
    def download_bucket_file(self, file: Ref, to: Path | str, *, progress: Progress | None = None) -> Flow[Path]:
        """Downloads a file; it gets its name only after size and SHA-256 have been checked.

        Args:
            file: the file.
            to: the file to write, or a folder, in which it keeps its name.
            progress: called as bytes arrive.
        Returns:
            The path of the file.
        Raises:
            NotFound: the file does not exist.
            InvalidAnswer: the download is incomplete or damaged.
        """
        known = yield from StorageCalls.get_bucket_file(self, file)
        if known is None:
            raise NotFound(f"File {id_of(file)} does not exist.")
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
            progress: called as bytes arrive.
        Returns:
            The path of the file.
        """
        ask = Ask("GET", f"/storage/buckets/{id_of(bucket)}/stream")
        yield from _download(ask, Path(to), None, None, progress)
        return Path(to)

    @method
    def download_space_file(
        self, space: Ref, published: File, to: Path | str, *, progress: Progress | None = None
    ) -> Flow[Path]:
        """Downloads a file of the newest published release of a Space, and checks its size and SHA-256.

        Args:
            space: the Space.
            published: the file, as its request lists it.
            to: the file to write.
            progress: called as bytes arrive.
        Returns:
            The path of the file.
        """
        ask = Ask("GET", f"/spaces/{id_of(space)}/files/{quote(published.path)}")
        yield from _download(ask, Path(to), published.size, published.sha256, progress)
        return Path(to)


class StorageClient(StorageCalls, SyncClient):
    """Client for buckets and their files."""


class AsyncStorageClient(StorageCalls, AsyncClient):
    """The asyncio counterpart of :class:`StorageClient`."""


def _download(ask: Ask, target: Path, size: int | None, digest: str | None, progress: Progress | None) -> Flow[None]:
    """Writes a response to a temporary file, checks it and renames it to the target."""
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
            raise InvalidAnswer(f"Received only {received} of {size} bytes of {target.name}.")
        if digest and hashed.hexdigest() != digest:
            raise InvalidAnswer(f"The download of {target.name} does not match its SHA-256.")
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
    """A file that reports how much of it was read.

    Args:
        file: the file.
        progress: called with the number of bytes.
    """

    def __init__(self, file: BinaryIO, progress: Progress) -> None:
        self._file = file
        self._progress = progress
        self._read = 0

    def read(self, size: int = -1) -> bytes:
        """Reads up to `size` bytes."""
        piece = self._file.read(size)
        self._read += len(piece)
        self._progress(len(piece))
        return piece

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Moves the position; rewinding to the start resets the progress."""
        if (offset, whence) == (0, os.SEEK_SET) and self._read:
            self._progress(-self._read)
            self._read = 0
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        """Returns the position."""
        return self._file.tell()

    def fileno(self) -> int:
        """Returns the file descriptor, which httpx uses to find the size."""
        return self._file.fileno()

    def close(self) -> None:
        """Closes the file."""
        self._file.close()
