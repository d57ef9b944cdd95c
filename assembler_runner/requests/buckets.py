"""Buckets and their files: create, find, upload, delete, and download as one tar file."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import sqlalchemy as sa

from assembler_runner.accounts import audit
from assembler_runner.accounts.permissions import Account
from assembler_runner.accounts.resources import Kind
from assembler_runner.core.database import db
from assembler_runner.core.errors import Finding, InvalidRequest
from assembler_runner.files.content import Content, pieces_of
from assembler_runner.files.models import Bucket, BucketFile
from assembler_runner.files.paths import check_path
from assembler_runner.requests import quotas
from assembler_runner.services import Services

TAR_BLOCK = 512
_ANY_FOLDER = ("reserved_path",)


class Buckets(Kind):
    """Buckets: containers for uploaded files."""

    name, model = "bucket", Bucket
    may_read, may_create, may_update, may_delete = "bucket_read", "bucket_create", "bucket_update", "bucket_delete"

    def checked(self, account: Account, values: dict[str, Any], row: Any) -> dict[str, Any]:
        """See :meth:`Kind.checked`."""
        values["realm_id"] = self._realm_id(account, values, row)
        if row is None:
            values |= {"actor_type": account.kind, "actor_id": account.id}
        return values

    def before_delete(self, row: Any) -> None:
        """See :meth:`Kind.before_delete`; deletes the files of the bucket."""
        db.session.execute(sa.delete(BucketFile).where(BucketFile.bucket_id == row.id))


class BucketFiles(Kind):
    """The files in buckets."""

    name, model = "bucket file", BucketFile
    may_read, may_create, may_update, may_delete = "bucket_read", "bucket_update", "bucket_update", "bucket_delete"


BUCKETS, BUCKET_FILES = Buckets(), BucketFiles()


def check_names(paths: Iterable[str]) -> None:
    """Checks paths before their files are stored; a bucket allows folders that are reserved in a Space.

    Raises:
        InvalidRequest: with one finding per invalid path.
    """
    findings = [finding for path in paths for finding in check_path(path) if finding.code not in _ANY_FOLDER]
    if findings:
        raise InvalidRequest(issues=findings)


def store(services: Services, account: Account, bucket_id: str, files: list[tuple[str, Content]]) -> list[BucketFile]:
    """Stores files in a bucket: all of them or none.

    Args:
        services: the services of this process.
        account: the caller.
        bucket_id: the bucket.
        files: path and content of each.
    Returns:
        The new files, in order.
    Raises:
        NotFound: the bucket does not exist for this account.
        InvalidRequest: no files were sent, or a path is invalid.
        QuotaExceeded: the realm or the account has reached a quota.
    """
    if not files:
        message = "No files were sent."
        hint = "Send multipart/form-data with one part for each file, each with a file name."
        raise InvalidRequest(issues=[Finding("no_files", message, path="files", hint=hint)])
    check_names(path for path, _ in files)
    contents = [content for _, content in files]
    size = sum(content.size for content in contents)
    quotas.check_bytes(services.settings, account, size)
    # No transaction stays open while bytes are copied.
    db.session.rollback()
    services.files.stage(contents)
    bucket = BUCKETS.find(account, bucket_id)
    quotas.check_bytes(services.settings, account, size)
    rows = [_row(account, bucket, path, content) for path, content in files]
    db.session.add_all(rows)
    services.files.put(db.session(), contents)
    db.session.flush()
    for row in rows:
        audit.record(account, "create", "bucket file", row.id, row.name, row.realm_id, bucket_id=bucket.id)
    db.session.commit()
    return rows


def files_of(bucket_id: str) -> list[Mapping[str, Any]]:
    """Returns path, digest, size and creation time of the files of a bucket, oldest first."""
    query = sa.select(BucketFile.path, BucketFile.hash, BucketFile.size, BucketFile.created_at)
    rows = db.session.execute(query.where(BucketFile.bucket_id == bucket_id).order_by(BucketFile.created_at))
    return [dict(row._mapping) for row in rows]


def tar(services: Services, files: Iterable[Mapping[str, Any]]) -> Iterator[bytes]:
    """Generates a tar file piece by piece.

    Args:
        services: the services of this process.
        files: see :func:`files_of`; of two files with the same path, unpacking keeps the later one.
    Yields:
        The bytes of the tar file.
    """
    import tarfile

    for file in files:
        entry = tarfile.TarInfo(file["path"])
        entry.size, entry.mtime, entry.mode = file["size"], int(file["created_at"].timestamp()), 0o644
        yield entry.tobuf(tarfile.PAX_FORMAT)
        with services.files.open(file["hash"]) as content:
            yield from pieces_of(content)
        yield b"\0" * (-file["size"] % TAR_BLOCK)
    yield b"\0" * (2 * TAR_BLOCK)


def _row(account: Account, bucket: Bucket, path: str, content: Content) -> BucketFile:
    directory, _, name = path.rpartition("/")
    return BucketFile(
        bucket_id=bucket.id,
        name=name,
        path=path,
        directory=directory or ".",
        hash=content.sha256,
        size=content.size,
        actor_type=account.kind,
        actor_id=account.id,
        realm_id=bucket.realm_id,
    )
