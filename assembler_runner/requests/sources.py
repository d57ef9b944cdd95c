"""The sources of a request's files: its body, buckets, an archive, a git repository."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from assembler_runner.accounts.permissions import Account
from assembler_runner.core.errors import Finding, NotFound
from assembler_runner.core.settings import Settings
from assembler_runner.core.validation import Fields
from assembler_runner.files.archive_budget import Budget
from assembler_runner.files.archives import FIELD, unpack, without_top_folder
from assembler_runner.files.content import Content, Spool
from assembler_runner.files.paths import field_of
from assembler_runner.requests import git_sources, target_files
from assembler_runner.requests.buckets import BUCKET_FILES
from assembler_runner.requests.releases import recorded_git
from assembler_runner.services import Services
from assembler_runner.spaces.models import Space


@dataclass(frozen=True)
class BucketReference:
    """A reference to a file in a bucket.

    Args:
        file_id: its id as sent, not validated.
    """

    file_id: str


Given = bytes | Content | BucketReference | None
"""The forms of a file in a request; in an update, None removes the file."""


def gather(services: Services, account: Account, fields: Fields, spool: Spool, space: Space | None = None) -> Fields:
    """Resolves bucket references, unpacks the archive and reads the repository: each file is bytes or stored content.

    If all files of the archive are in one folder, that folder becomes the root of the Space, unless other files or a
    template are sent with it.

    Args:
        services: the services of this process.
        account: the caller.
        fields: the validated fields of the request.
        spool: temporary storage for the files of an archive and of a repository.
        space: the Space that the request changes, or None.
    Returns:
        The fields with `files` as path → bytes or content, without `archive`, with the commit that was read in `git`,
        and with further findings; those that do not stop the request are in `remarks`.
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
    if "git" in gathered:
        findings += _from_git(services, account, fields, gathered, files, spool, space)
    if "copy_of" in gathered:
        findings += _copied(services, account, fields, gathered, files, spool)
    if {"files", "archive", "git", "copy_of"} & set(data):
        gathered["files"] = files
    invalid = fields.invalid | {"files"} if findings else fields.invalid
    return Fields(gathered, [*fields.findings, *findings], invalid)


def _from_git(
    services: Services,
    account: Account,
    fields: Fields,
    gathered: dict[str, Any],
    files: dict[str, bytes | Content | None],
    spool: Spool,
    space: Space | None,
) -> list[Finding]:
    """Adds the files of a repository; those that were sent replace them."""
    if (several := _several(fields, "git")) or fields.findings:
        # The request is refused anyway.
        return several
    recorded = recorded_git(space) if space is not None else None
    realm_id = space.realm_id if space is not None else account.realm_id
    read = git_sources.read(services, account, realm_id, git_sources.complete(gathered["git"], recorded), spool)
    _add_below(files, read.files)
    gathered["git"], gathered["remarks"] = read.source, read.remarks
    return []


def _copied(
    services: Services,
    account: Account,
    fields: Fields,
    gathered: dict[str, Any],
    files: dict[str, bytes | Content | None],
    spool: Spool,
) -> list[Finding]:
    """Adds the files of a Space of the Hub; those that were sent replace them."""
    name = gathered.pop("copy_of")
    if (several := _several(fields, "copy_of")) or fields.findings:
        return several
    read = target_files.copy_of(services, account, name, spool)
    _add_below(files, read.files)
    gathered["git"] = read.source
    return []


def _several(fields: Fields, name: str) -> list[Finding]:
    """Returns a finding if a second source of whole trees was sent."""
    others = [other for other in ("archive", "git", "copy_of") if other != name and other in fields.data]
    message = f"{name} and {', '.join(others)} were sent."
    return [Finding("several_sources", message, path=name, hint="Send one of them.")] if others else []


def _add_below(files: dict[str, bytes | Content | None], read: Mapping[str, Content]) -> None:
    sent = dict(files)
    files.clear()
    files |= {**read, **sent}


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
