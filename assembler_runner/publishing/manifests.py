"""The files of a request: read for publishing, replaced, copied to another request."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Protocol

import sqlalchemy as sa

from assembler_runner.core.database import db, read_transaction
from assembler_runner.files.content import Content
from assembler_runner.files.store import CHUNK_BYTES
from assembler_runner.files.tree import SpaceFile, Tree
from assembler_runner.publishing import checkpoints
from assembler_runner.publishing.job import Job
from assembler_runner.spaces.models import REQUEST_ID, RequestFile

_FILES = sa.select(RequestFile).where(RequestFile.request_id == REQUEST_ID)
_TABLE: Any = RequestFile.__table__
# Columns, not mapped objects, which cost several times as much.
_CONTENTS = sa.select(_TABLE.c.path, _TABLE.c.sha256, _TABLE.c.size, _TABLE.c.origin).where(
    _TABLE.c.request_id == REQUEST_ID
)

SMALL_BYTES = 4 * 2**20
"""Up to this total size, all files of a request are read into memory at once."""


class FileRow(Protocol):
    """What is read of a file's row to publish it."""

    @property
    def sha256(self) -> str:
        """SHA-256 of the content."""

    @property
    def size(self) -> int:
        """Size in bytes."""

    @property
    def origin(self) -> str:
        """Where the file came from."""


def read_tree(job: Job, *, keep_open: bool = False) -> Tree:
    """Returns the files that a request publishes; see :func:`read_files`.

    Args:
        job: the claimed request.
        keep_open: see :func:`read_transaction`.
    """
    with read_transaction(keep_open=keep_open):
        rows: Any = db.session().connection().execute(_CONTENTS, {"request_id": job.request_id})
        return read_files(job, {row.path: row for row in rows})


@read_transaction()
def manifest(request_id: str) -> dict[str, RequestFile]:
    """Returns the files of a request by path, without their contents."""
    return _rows(request_id)


@read_transaction()
def read_files(job: Job, rows: Mapping[str, FileRow]) -> Tree:
    """Returns files with their contents: in memory if they are small in total, else by reference.

    Args:
        job: the claimed request.
        rows: the files by path.
    """
    sizes = {row.sha256: row.size for row in rows.values()}
    store = job.services.files
    small = max(sizes.values(), default=0) <= CHUNK_BYTES and sum(sizes.values()) <= SMALL_BYTES
    in_memory = store.read_small(db.session(), sizes) if small else {}
    sources = {digest: in_memory[digest] if small else store.content(digest, size) for digest, size in sizes.items()}
    files = {
        path: SpaceFile(path, sources[row.sha256], row.origin)  # type: ignore[arg-type]  # written from an Origin
        for path, row in rows.items()
    }
    return Tree(files)


def _rows(request_id: str) -> dict[str, RequestFile]:
    rows = db.session.scalars(_FILES, {"request_id": request_id})
    found = {row.path: row for row in rows}
    for row in found.values():
        db.session.expunge(row)
    return found


def record_tree(job: Job, rows: Mapping[str, RequestFile], contents: Iterable[Content]) -> None:
    """Replaces the tree of a request, for one that differs from the accepted tree.

    Args:
        job: the claimed request.
        rows: the files by path.
        contents: new contents; they must be staged already.
    Raises:
        LeaseLost: the claim was lost.
    """
    digest = read_files(job, rows).digest
    job.services.files.put(db.session(), contents)
    db.session.execute(sa.delete(RequestFile).where(RequestFile.request_id == job.request_id))
    copies = copy_rows(rows)
    for row in copies:
        row.request_id = job.request_id
    db.session.add_all(copies)
    checkpoints.write(job, {"tree_digest": digest})


def copy_rows(rows: Mapping[str, RequestFile]) -> list[RequestFile]:
    """Returns copies of the files, for another request."""
    return [
        RequestFile(
            position=number,
            path=path,
            size=rows[path].size,
            sha256=rows[path].sha256,
            origin=rows[path].origin,
            given_sha256=rows[path].given_sha256,
        )
        for number, path in enumerate(sorted(rows))
    ]
