"""Files in git repositories; large files are written and read piece by piece, which the git library does not support.

They are stored as loose objects: the header `blob <size>`, a NUL and the content, compressed with zlib, in a file named
by the SHA-1 of header, NUL and content (Git documentation, Git Objects).
"""

from __future__ import annotations

import hashlib
import io
import os
import tempfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from assembler_runner.files.content import PIECE_BYTES, open_ranges, pieces_of
from assembler_runner.files.tree import SpaceFile, Tree

if TYPE_CHECKING:  # imported where a repository is opened
    from dulwich.objects import Blob, ObjectID, ShaFile
    from dulwich.repo import Repo

LARGE_BYTES = 2**20
"""Files from this size on are written and read piece by piece."""

_PACK_BYTES = 8 * 2**20
_HEADER_BYTES = 64
_DRAFT = "tmp_obj_"
# The git library cannot write a pack while a lock file of its index exists, which a killed process leaves behind.
_LEFT_OVERS = (f"{_DRAFT}*", "pack/*.lock")


def write_files(repo: Repo, tree: Tree) -> dict[bytes, ObjectID]:
    """Writes the contents of all files in batches; returns git's id of each content by path."""
    from dulwich.objects import Blob

    remove_drafts(repo)
    ids: dict[bytes, ObjectID] = {}
    waiting: list[Blob] = []
    for path, file in tree.items():
        if file.size >= LARGE_BYTES:
            ids[path.encode()] = write_large(repo, file)
            continue
        with file.open() as content:
            blob = Blob.from_string(content.read())
        ids[path.encode()] = blob.id
        waiting.append(blob)
        if sum(blob.raw_length() for blob in waiting) >= _PACK_BYTES:
            store(repo, [*waiting])
            waiting.clear()
    store(repo, [*waiting])
    return ids


def store(repo: Repo, objects: list[ShaFile]) -> None:
    """Writes the objects that the repository does not contain yet; they are durable on return."""
    missing = {item.id: item for item in objects if item.id not in repo.object_store}
    if not missing:
        return
    repo.object_store.fsync_object_files = True
    repo.object_store.add_objects([(item, None) for item in missing.values()])
    sync_folder(Path(repo.object_store.pack_dir))


def sync_folder(folder: Path) -> None:
    """Makes new entries of a folder survive a power failure."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_large(repo: Repo, file: SpaceFile) -> ObjectID:
    """Writes a file as a loose object, durably and atomically.

    Args:
        repo: the repository; the caller holds the lock of the Space.
        file: the file.
    Returns:
        Git's id of its content.
    """
    from dulwich.objects import ObjectID

    folder = Path(repo.object_store.path)
    digest, packer = hashlib.sha1(usedforsecurity=False), zlib.compressobj(1)
    header = b"blob %d\0" % file.size
    with tempfile.NamedTemporaryFile(dir=folder, prefix=_DRAFT, delete=False) as draft:
        path = Path(draft.name)
        try:
            digest.update(header)
            draft.write(packer.compress(header))
            with file.open() as source:
                for piece in pieces_of(source):
                    digest.update(piece)
                    draft.write(packer.compress(piece))
            draft.write(packer.flush())
            draft.flush()
            os.fsync(draft.fileno())
            path.chmod(0o444)
            oid = ObjectID(digest.hexdigest().encode())
            location = _location(repo, oid)
            location.parent.mkdir(exist_ok=True)
            path.replace(location)
        except BaseException:
            path.unlink(missing_ok=True)
            raise
    sync_folder(location.parent)
    sync_folder(folder)
    return oid


def remove_drafts(repo: Repo) -> None:
    """Removes the drafts of killed processes; the caller holds the lock of the Space."""
    for pattern in _LEFT_OVERS:
        for path in Path(repo.object_store.path).glob(pattern):
            path.unlink(missing_ok=True)


def size_of(repo: Repo, oid: ObjectID) -> int:
    """Returns the size of a file's content in bytes."""
    location = _location(repo, oid)
    if not location.exists():
        return int(repo.object_store[oid].raw_length())
    unpacker, header = zlib.decompressobj(), b""
    with location.open("rb") as file:
        while b"\0" not in header:
            header += unpacker.decompress(unpacker.unconsumed_tail or file.read(_HEADER_BYTES), _HEADER_BYTES)
    return int(header.partition(b"\0")[0].split()[1])


def open_blob(repo: Repo, oid: ObjectID) -> BinaryIO:
    """Opens a file's content for reading; the caller closes it. The repository need not stay open."""
    location, size = _location(repo, oid), size_of(repo, oid)
    if size < LARGE_BYTES or not location.exists():
        return io.BytesIO(repo.object_store[oid].as_raw_string())
    inflating = _Inflating(location)
    return open_ranges(size, inflating.fetch)


class _Inflating:
    """Reads ranges of a loose object; a seek backwards starts again at the beginning."""

    def __init__(self, location: Path) -> None:
        self._location = location
        self._position = 0
        self._pieces = self._restart()
        self._rest = b""

    def fetch(self, start: int, length: int) -> bytes:
        """Returns at most `length` bytes of the content from `start` on."""
        if start < self._position:
            self._position, self._rest, self._pieces = 0, b"", self._restart()
        while True:
            if not self._rest:
                self._rest = next(self._pieces, b"")
                if not self._rest:
                    raise ValueError("the object is shorter than it says")
            skipped = self._rest[: start - self._position]
            self._position += len(skipped)
            self._rest = self._rest[len(skipped) :]
            if self._rest and self._position == start:
                part = self._rest[:length]
                self._position += len(part)
                self._rest = self._rest[len(part) :]
                return part

    def _restart(self) -> Iterator[bytes]:
        unpacker = zlib.decompressobj()
        in_header = True
        with self._location.open("rb") as file:
            for packed in pieces_of(file):
                rest = packed
                while rest:
                    piece = unpacker.decompress(rest, PIECE_BYTES)
                    rest = unpacker.unconsumed_tail
                    if in_header and piece:
                        piece = piece.partition(b"\0")[2]
                        in_header = False
                    if piece:
                        yield piece
        if piece := unpacker.flush():
            yield piece


def _location(repo: Repo, oid: ObjectID) -> Path:
    name = oid.decode()
    return Path(repo.object_store.path) / name[:2] / name[2:]
