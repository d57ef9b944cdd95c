"""The files of a request, from wherever they come: its body, buckets, an archive."""

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
    """A file that stands in a bucket.

    Args:
        file_id: its id, as it was sent.
    """

    file_id: str


Given = bytes | Content | BucketReference | None
"""What may stand for a file in a request; in a change None removes one."""


def gather(services: Services, account: Account, fields: Fields, spool: Spool) -> Fields:
    """Puts bytes, or where they are, in the place of everything that stands for a file.

    If everything in the archive lies in one folder, that folder is taken for the Space's top, unless other files or a
    template come with it.

    Args:
        services: what the process holds.
        account: who is calling.
        fields: the checked fields of the request.
        spool: where an archive is unpacked.
    Returns:
        The fields with `files` as path → bytes or content, without `archive`, and with further findings.
    Raises:
        InvalidRequest: the archive cannot be taken.
        TooLarge: the archive is over its budget.
    """
    data, gathered = fields.data, dict(fields.data)
    findings: list[Finding] = []
    files: dict[str, bytes | Content | None] = {}
    for path, given in data.get("files", {}).items():
        found = _look_up(services, account, given, field_of(path))
        if isinstance(found, Finding):
            findings.append(found)
        else:
            files[path] = found
    archive = _look_up(services, account, gathered.pop("archive"), FIELD) if "archive" in data else None
    if isinstance(archive, Finding):
        findings.append(archive)
    elif isinstance(archive, Content):
        unpacked = unpack(archive, spool, budget_of(services.settings))
        alone = not files and not findings and not data.get("template")
        files = {**(without_top_folder(unpacked) if alone else unpacked), **files}
    if "files" in data or "archive" in data:
        gathered["files"] = files
    invalid = fields.invalid | {"files"} if findings else fields.invalid
    return Fields(gathered, [*fields.findings, *findings], invalid)


def budget_of(settings: Settings) -> Budget:
    """Returns how much one archive may cost."""
    return Budget(
        most_bytes=settings.MAX_ARCHIVE_BYTES,
        most_entries=settings.MAX_ARCHIVE_ENTRIES,
        most_ratio=settings.MAX_ARCHIVE_RATIO,
        most_seconds=settings.MAX_ARCHIVE_SECONDS,
        most_depth=settings.MAX_PATH_DEPTH,
    )


def _look_up(services: Services, account: Account, given: Given, field: str) -> bytes | Content | Finding | None:
    if not isinstance(given, BucketReference):
        return given
    try:
        if BUCKET_FILES.may_read not in account.permissions:
            raise NotFound
        row = BUCKET_FILES.find(account, given.file_id)
    except NotFound:
        message = "There is no file of this id in a bucket."
        hint = "See GET /storage/bucket-files; it needs the permission bucket_read."
        return Finding("unknown_bucket_file", message, path=f"{field}.bucket_file_id", hint=hint)
    return services.files.content(row.hash, row.size)
