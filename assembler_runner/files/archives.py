"""Unpacks uploaded archives (zip, tar, tar.gz, tar.zst) by streaming and within a budget.

Nothing is written to disk under a name from the archive: contents go into a spool. Everything except regular files and
folders is rejected: links, devices, absolute paths, `..`, encrypted files and duplicate paths.
"""

from __future__ import annotations

import stat
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import BinaryIO

import zstandard

from assembler_runner.core.errors import Finding, InvalidRequest
from assembler_runner.files.archive_budget import Budget
from assembler_runner.files.archive_streams import DamagedArchive, Forward, gzipped, plain, zstandarded
from assembler_runner.files.content import Content, Spool
from assembler_runner.files.paths import check_collisions, check_path
from assembler_runner.files.tar_reader import BLOCK, TarEntry, TarReader, is_tar
from assembler_runner.files.zip_reader import DEFLATED, STORED, ZipEntry, ZipReader, is_zip

FIELD = "archive"

_MOST_FINDINGS = 20
# Added by file managers, never sent on purpose.
_CLUTTER = (".DS_Store", "Thumbs.db", "desktop.ini")
# Folders that no Space can contain; `.git` is a file in a submodule.
_LEFT_OUT = ("__MACOSX", ".cache")


def unpack(archive: Content, spool: Spool, budget: Budget) -> dict[str, Content]:
    """Unpacks an archive.

    Args:
        archive: a zip or tar file; a tar file may be compressed with gzip or zstd.
        spool: receives the contents.
        budget: limits on size, entries and time.
    Returns:
        Path → content, without folders and the clutter of file managers.
    Raises:
        InvalidRequest: the format is unknown, the archive is damaged, or entries are not allowed; with all findings.
        TooLarge: the archive exceeds the budget.
    """
    budget.begin(archive.size)
    with archive.open() as file, _translated():
        head = file.read(BLOCK)
        file.seek(0)
        if is_zip(head):
            return _unpack_zip(file, archive.size, spool, budget)
        if head.startswith(b"\x1f\x8b"):
            return _unpack_tar(gzipped(file, budget), spool, budget)
        if head.startswith(b"\x28\xb5\x2f\xfd"):
            return _unpack_tar(zstandarded(file, budget), spool, budget)
        if is_tar(head):
            return _unpack_tar(plain(file, budget), spool, budget)
    raise _refused(
        "unknown_archive", "The archive format is not supported.", "Send a zip, tar, tar.gz or tar.zst file."
    )


def without_top_folder(files: dict[str, Content]) -> dict[str, Content]:
    """Strips the top folder if all files share one."""
    tops = {path.partition("/")[0] for path in files}
    if len(tops) != 1 or any("/" not in path for path in files):
        return files
    return {path.partition("/")[2]: content for path, content in files.items()}


def _unpack_zip(file: BinaryIO, size: int, spool: Spool, budget: Budget) -> dict[str, Content]:
    archive = ZipReader(file, size, budget)
    findings: list[Finding] = []
    kept: list[ZipEntry] = []
    total = 0
    for entry in archive.entries():
        total += entry.size
        budget.check(total)
        if is_clutter(entry.name):
            continue
        problems = _check_zip_entry(entry, budget)
        findings += problems
        if len(findings) >= _MOST_FINDINGS:
            break
        if not problems and not entry.is_folder:
            kept.append(entry)
    _refuse([*findings, *_check_names([entry.name for entry in kept])])
    return {entry.name: spool.add(archive.content(entry), entry.name) for entry in kept}


def _check_zip_entry(entry: ZipEntry, budget: Budget) -> list[Finding]:
    name = entry.name
    findings = _check_name(name, budget, is_folder=entry.is_folder)
    kind = stat.S_IFMT(entry.mode)
    if entry.is_encrypted:
        findings.append(_about(name, "encrypted_archive", "is encrypted", "Pack it without a password."))
    if entry.method not in (STORED, DEFLATED):
        findings.append(
            _about(name, "archive_method", "uses an unsupported compression method", "Pack it with deflate.")
        )
    if kind == stat.S_IFLNK:
        findings.append(_link(name))
    elif kind not in (0, stat.S_IFREG, stat.S_IFDIR):
        findings.append(_special(name))
    return findings


def _unpack_tar(stream: Forward, spool: Spool, budget: Budget) -> dict[str, Content]:
    unpacked: dict[str, Content] = {}
    findings: list[Finding] = []
    names: list[str] = []
    archive = TarReader(stream, budget)
    for entry in archive.entries():
        name = entry.name.removeprefix("./")
        # The folder the archive was created from.
        if entry.kind == "folder" and name in ("", "."):
            continue
        if is_clutter(name):
            continue
        problems = _check_tar_entry(entry, name, budget)
        findings += problems
        if len(findings) >= _MOST_FINDINGS:
            break
        if problems or entry.kind == "folder":
            continue
        names.append(name)
        if not findings:
            unpacked[name] = spool.add(archive.content(), name)
    _refuse(findings + _check_names(names))
    stream.finish()
    return unpacked


def _check_tar_entry(entry: TarEntry, name: str, budget: Budget) -> list[Finding]:
    findings = _check_name(name, budget, is_folder=entry.kind == "folder")
    if entry.kind == "link":
        findings.append(_link(name))
    elif entry.kind in ("special", "sparse"):
        findings.append(_special(name))
    return findings


def _check_name(name: str, budget: Budget, *, is_folder: bool) -> list[Finding]:
    findings = check_path(name.removesuffix("/") if is_folder else name)
    depth = name.count("/") + 1
    if depth > budget.most_depth:
        findings.append(_about(name, "path_too_deep", f"is nested {depth} levels deep", "Use fewer nested folders."))
    return findings


def _check_names(names: list[str]) -> list[Finding]:
    seen: set[str] = set()
    findings = []
    for name in names:
        if name in seen:
            findings.append(_about(name, "duplicate_path", "occurs twice in the archive", "Keep one of them."))
        seen.add(name)
    return findings + check_collisions(seen)


def is_clutter(name: str) -> bool:
    """Returns whether a path is of what file managers and git add, which no Space contains."""
    parts = name.split("/")
    # The one folder that contains everything is taken off later.
    is_left_out = any(part in _LEFT_OUT for part in parts[:2]) or ".git" in parts
    return is_left_out or parts[-1] in _CLUTTER or parts[-1].startswith("._")


def _about(name: str, code: str, what: str, hint: str) -> Finding:
    shown = name.encode("utf-8", "backslashreplace").decode()
    return Finding(code, f"The entry {shown[:200]!r} {what}.", path=f'{FIELD}["{shown[:200]}"]', hint=hint)


def _link(name: str) -> Finding:
    return _about(name, "link_in_archive", "is a link", "Pack the file itself, e.g. with tar --dereference.")


def _special(name: str) -> Finding:
    return _about(name, "special_file_in_archive", "is not a regular file", "Pack only regular files and folders.")


def _refuse(findings: Iterable[Finding]) -> None:
    found = list(findings)[:_MOST_FINDINGS]
    if found:
        raise InvalidRequest("The archive contains entries that are not allowed.", issues=found)


def _refused(code: str, message: str, hint: str) -> InvalidRequest:
    return InvalidRequest(issues=[Finding(code, message, path=FIELD, hint=hint)])


@contextmanager
def _translated() -> Iterator[None]:
    """Converts the libraries' exceptions for damaged archives into a finding."""
    try:
        yield
    except (DamagedArchive, zlib.error, zstandard.ZstdError):
        raise _refused(
            "damaged_archive", "The archive is damaged.", "Create the archive again and resend it."
        ) from None
