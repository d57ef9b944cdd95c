"""The sources of a request's files: its body, buckets, an archive."""

from __future__ import annotations

from dataclasses import dataclass

from assembler_runner.accounts.permissions import Account
from assembler_runner.core.errors import Finding, NotFound
from assembler_runner.core.settings import Settings
from assembler_runner.core.validation import Fields
from assembler_runner.files.archive_budget import Budget
from assembler_runner.files.archives import FIELD, unpack, without_top_folder
from assembler_runner.files.content import Content, Spool
from assembler_runner.files.paths import field_of
from assembler_runner.requests.buckets import BUCKET_FILES
from assembler_runner.services import Services


@dataclass(frozen=True)
class BucketReference:
    """A reference to a file in a bucket.

    Args:
        file_id: its id as sent, not validated.
    """

    file_id: str


Given = bytes | Content | BucketReference | None
"""The forms of a file in a request; in an update, None removes the file."""


def gather(services: Services, account: Account, fields: Fields, spool: Spool) -> Fields:
    """Resolves bucket references and unpacks the archive, so that each file is bytes or a stored content.

    If all files of the archive are in one folder, that folder becomes the root of the Space, unless other files or a
    template are sent with it.

    Args:
        services: the services of this process.
        account: the caller.
        fields: the validated fields of the request.
        spool: temporary storage for the files of an archive.
    Returns:
        The fields with `files` as path → bytes or content, without `archive`, and with further findings.
    Raises:
        InvalidRequest: the archive is invalid.
        TooLarge: the archive exceeds its budget.
    """
    data, gathered = fields.data, dict(fields.data)
    findings: list[Finding] = []
    files: dict[str, bytes | Content | None] = {}
    for path, given in data.get("files", {}).items():
        found = _resolve(services, account, given, field_of(path))
        if isinstance(found, Finding):
            findings.append(found)
        else:
            files[path] = found
    archive = _resolve(services, account, gathered.pop("archive"), FIELD) if "archive" in data else None
    if isinstance(archive, Finding):
        findings.append(archive)
    elif isinstance(archive, Content):
        alone = not files and not findings and not data.get("template")
        files = {**unpacked(services.settings, archive, spool, alone=alone), **files}
    if "files" in data or "archive" in data:
        gathered["files"] = files
    invalid = fields.invalid | {"files"} if findings else fields.invalid
    return Fields(gathered, [*fields.findings, *findings], invalid)


def unpacked(settings: Settings, archive: Content, spool: Spool, *, alone: bool) -> dict[str, Content]:
    """Unpacks an archive within the limits.

    Args:
        settings: the limits.
        archive: the archive.
        spool: temporary storage for its files.
        alone: whether nothing else is sent; then a folder that contains everything becomes the root.
    Raises:
        InvalidRequest: the archive is invalid.
        TooLarge: the archive exceeds its budget.
    """
    files = unpack(archive, spool, budget_of(settings))
    return without_top_folder(files) if alone else files


def budget_of(settings: Settings) -> Budget:
    """Returns the limits for unpacking one archive."""
    return Budget(
        most_bytes=settings.MAX_ARCHIVE_BYTES,
        most_entries=settings.MAX_ARCHIVE_ENTRIES,
        most_ratio=settings.MAX_ARCHIVE_RATIO,
        most_seconds=settings.MAX_ARCHIVE_SECONDS,
        most_depth=settings.MAX_PATH_DEPTH,
    )


def _resolve(services: Services, account: Account, given: Given, field: str) -> bytes | Content | Finding | None:
    if not isinstance(given, BucketReference):
        return given
    try:
        if BUCKET_FILES.may_read not in account.permissions:
            raise NotFound
        row = BUCKET_FILES.find(account, given.file_id)
    except NotFound:
        message = "There is no file with this id in a bucket."
        hint = "See GET /storage/bucket-files; it requires the permission bucket_read."
        return Finding("unknown_bucket_file", message, path=f"{field}.bucket_file_id", hint=hint)
    return services.files.content(row.hash, row.size)
