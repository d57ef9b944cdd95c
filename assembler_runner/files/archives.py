"""Unpacks what a caller sends as one archive: zip, tar, tar.gz, tar.zst; by streaming, and within a budget.

Nothing is ever written under a name of the archive: contents go into a spool. Whatever is no plain file or folder is
refused: links, devices, absolute paths, `..`, encrypted files, the same path twice.
"""

from __future__ import annotations

import gzip
import io
import lzma
import stat
import struct
import tarfile
import time
import zipfile
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, BinaryIO, cast

import zstandard

from assembler_runner.core.errors import Finding, InvalidRequest, TooLarge
from assembler_runner.files.content import PIECE_BYTES, Content, Spool, pieces_of
from assembler_runner.files.paths import check_collisions, check_path

FIELD = "archive"
RATIO_FROM_BYTES = 10 * 2**20
"""Up to here an archive may unpack to any multiple of its size."""

_MOST_FINDINGS = 20
_ZSTD_WINDOW_BYTES = 2**25
# The fixed part of an entry in the directory, and the two records at its end in large files (APPNOTE 4.3.12, 4.3.14).
_ZIP_HEADER_BYTES = 46
_ZIP64_END, _ZIP64_END_BYTES = b"PK\6\6", 56 + 20
_TAR_HEADER_BYTES = 2**20
_ZIP_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
# What file managers add; nobody means to send it.
_CLUTTER = ("__MACOSX", ".DS_Store", "Thumbs.db", "desktop.ini")


@dataclass
class Budget:
    """How much an archive may cost; what is used is counted here.

    Args:
        most_bytes: bytes after unpacking.
        most_entries: files and folders.
        most_ratio: bytes after unpacking by bytes before.
        most_seconds: time to unpack.
        most_depth: parts of a path.
    """

    most_bytes: int
    most_entries: int
    most_ratio: int
    most_seconds: float
    most_depth: int
    packed: int = 0
    used_bytes: int = 0
    used_entries: int = 0
    until: float = field(default=0.0, init=False)

    def begin(self, packed: int) -> None:
        """Starts the clock for an archive of so many bytes."""
        self.packed = packed
        self.until = time.monotonic() + self.most_seconds

    def spend(self, count: int) -> None:
        """Counts unpacked bytes.

        Raises:
            TooLarge: it is too much, or takes too long.
        """
        self.used_bytes += count
        self.check(self.used_bytes)
        if time.monotonic() > self.until:
            raise _too_large(f"takes more than {self.most_seconds:g} seconds to unpack", "MAX_ARCHIVE_SECONDS")

    def check(self, total: int) -> None:
        """Checks a number of unpacked bytes.

        Raises:
            TooLarge: it is too large.
        """
        if total > self.most_bytes:
            raise _too_large(f"unpacks to more than {self.most_bytes} bytes", "MAX_ARCHIVE_BYTES")
        if total > RATIO_FROM_BYTES and total > self.packed * self.most_ratio:
            raise _too_large(f"unpacks to more than {self.most_ratio} times its size", "MAX_ARCHIVE_RATIO")

    def count(self, entries: int = 1) -> None:
        """Counts files and folders.

        Raises:
            TooLarge: there are too many.
        """
        self.used_entries += entries
        if self.used_entries > self.most_entries:
            raise _too_large(f"holds more than {self.most_entries} files and folders", "MAX_ARCHIVE_ENTRIES")


def unpack(archive: Content, spool: Spool, budget: Budget) -> dict[str, Content]:
    """Unpacks an archive.

    Args:
        archive: a zip or tar file; a tar file may be packed with gzip or zstd.
        spool: where the contents go.
        budget: how much it may cost.
    Returns:
        Path → content. Folders and what file managers add are left out.
    Raises:
        InvalidRequest: it is no such archive, is damaged, or holds what cannot be taken; with all findings.
        TooLarge: it is over the budget.
    """
    budget.begin(archive.size)
    with archive.open() as file, _translated():
        head = file.read(512)
        file.seek(0)
        if head.startswith((b"PK\3\4", b"PK\5\6")):
            return _unpack_zip(file, spool, budget)
        if head.startswith(b"\x1f\x8b"):
            return _unpack_tar(cast(BinaryIO, gzip.GzipFile(fileobj=file)), spool, budget)
        if head.startswith(b"\x28\xb5\x2f\xfd"):
            reader = zstandard.ZstdDecompressor(max_window_size=_ZSTD_WINDOW_BYTES)
            return _unpack_tar(cast(BinaryIO, reader.stream_reader(file, read_across_frames=True)), spool, budget)
        if head[257:262] == b"ustar":
            return _unpack_tar(file, spool, budget)
    raise _refused("unknown_archive", "The archive is of no known kind.", "Send a zip, tar, tar.gz or tar.zst file.")


def without_top_folder(files: dict[str, Content]) -> dict[str, Content]:
    """Returns the files with the one folder taken off that all of them lie in, if there is one."""
    tops = {path.partition("/")[0] for path in files}
    if len(tops) != 1 or any("/" not in path for path in files):
        return files
    return {path.partition("/")[2]: content for path, content in files.items()}


def _unpack_zip(file: BinaryIO, spool: Spool, budget: Budget) -> dict[str, Content]:
    _check_directory(file, budget)
    with zipfile.ZipFile(file) as archive:
        entries = archive.infolist()
        budget.check(sum(entry.file_size for entry in entries))
        names = [(entry, _zip_name(entry)) for entry in entries]
        findings = [finding for entry, name in names for finding in _check_zip_entry(entry, name, budget)]
        kept = [(entry, name) for entry, name in names if not entry.is_dir() and not _is_clutter(name)]
        findings += _check_names([name for _, name in kept])
        _refuse(findings)
        unpacked: dict[str, Content] = {}
        for entry, name in kept:
            with archive.open(entry) as source:
                unpacked[name] = spool.add(_counted(source, budget), name)
        return unpacked


def _check_directory(file: BinaryIO, budget: Budget) -> None:
    """Counts the entries of the directory before the library reads all of it into memory."""
    # The library's own function, so that both look at the same record of a file made to confuse.
    record = zipfile._EndRecData(file)  # type: ignore[attr-defined]  # not public, but the only one there is
    if not record:
        raise zipfile.BadZipFile
    size, end = record[5], record[9] - (_ZIP64_END_BYTES if record[0] == _ZIP64_END else 0)
    position = end - size
    while position < end:
        file.seek(position)
        header = file.read(_ZIP_HEADER_BYTES)
        if len(header) < _ZIP_HEADER_BYTES:
            raise zipfile.BadZipFile
        position += _ZIP_HEADER_BYTES + sum(struct.unpack("<HHH", header[28:34]))
        budget.count()
    file.seek(0)


def _zip_name(entry: zipfile.ZipInfo) -> str:
    name = entry.orig_filename
    if entry.flag_bits & 0x800:
        return name
    # Without the flag the standard says code page 437, but many programs write UTF-8.
    try:
        return name.encode("cp437").decode("utf-8")
    except UnicodeError:
        return name


def _check_zip_entry(entry: zipfile.ZipInfo, name: str, budget: Budget) -> list[Finding]:
    findings = _check_name(name, budget, is_folder=entry.is_dir())
    kind = stat.S_IFMT(entry.external_attr >> 16)
    if entry.flag_bits & 0x1:
        findings.append(_about(name, "encrypted_archive", "is encrypted", "Pack it without a password."))
    if entry.compress_type not in _ZIP_METHODS:
        findings.append(_about(name, "archive_method", "is packed in an uncommon way", "Pack it with deflate."))
    if kind == stat.S_IFLNK:
        findings.append(_link(name))
    elif kind not in (0, stat.S_IFREG, stat.S_IFDIR):
        findings.append(_special(name))
    return findings


def _unpack_tar(file: BinaryIO, spool: Spool, budget: Budget) -> dict[str, Content]:
    unpacked: dict[str, Content] = {}
    findings: list[Finding] = []
    names: list[str] = []
    stream = _Forward(file, budget)
    with tarfile.TarFile(fileobj=cast(BinaryIO, stream), mode="r") as archive:
        for entry in archive:
            budget.count()
            name = entry.name.removeprefix("./")
            # The folder the archive was made in.
            if entry.isdir() and name in ("", "."):
                continue
            findings += _check_tar_entry(entry, name, budget)
            if len(findings) >= _MOST_FINDINGS:
                break
            if entry.isdir() or _is_clutter(name):
                continue
            names.append(name)
            source = archive.extractfile(entry) if not findings else None
            if source is not None:
                unpacked[name] = spool.add(pieces_of(cast(BinaryIO, source)), name)
            # The library keeps every entry it has seen.
            archive.members = []  # type: ignore[attr-defined]  # not in the stubs
    _refuse(findings + _check_names(names))
    # The check sum of what it is packed with stands at the end.
    while stream.read(PIECE_BYTES):
        pass
    return unpacked


def _check_tar_entry(entry: tarfile.TarInfo, name: str, budget: Budget) -> list[Finding]:
    findings = _check_name(name, budget, is_folder=entry.isdir())
    if entry.issym() or entry.islnk():
        findings.append(_link(name))
    elif not (entry.isreg() or entry.isdir()) or entry.issparse():
        findings.append(_special(name))
    return findings


class _Forward(io.RawIOBase):
    """A stream that is only read forward, for a library that wants to seek; it counts what is read."""

    def __init__(self, file: BinaryIO, budget: Budget) -> None:
        self._file = file
        self._budget = budget
        self._position = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

    def read(self, size: int = -1) -> bytes:
        # Headers are read at once: a long name of gigabytes would be, too.
        if size < 0 or size > _TAR_HEADER_BYTES:
            raise tarfile.ReadError
        pieces = []
        while size > 0 and (piece := self._file.read(min(size, PIECE_BYTES))):
            self._budget.spend(len(piece))
            self._position += len(piece)
            size -= len(piece)
            pieces.append(piece)
        return b"".join(pieces)

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        if whence != io.SEEK_SET or offset < self._position:
            raise tarfile.ReadError
        while self._position < offset and self.read(min(PIECE_BYTES, offset - self._position)):
            pass
        return self._position


def _counted(file: Any, budget: Budget) -> Iterator[bytes]:
    for piece in pieces_of(file):
        budget.spend(len(piece))
        yield piece


def _check_name(name: str, budget: Budget, *, is_folder: bool) -> list[Finding]:
    findings = check_path(name.removesuffix("/") if is_folder else name)
    depth = name.count("/") + 1
    if depth > budget.most_depth:
        findings.append(_about(name, "path_too_deep", f"lies {depth} levels deep", "Use fewer folders in each other."))
    return findings


def _check_names(names: list[str]) -> list[Finding]:
    seen: set[str] = set()
    findings = []
    for name in names:
        if name in seen:
            findings.append(_about(name, "duplicate_path", "stands in the archive twice", "Keep one of them."))
        seen.add(name)
    return findings + check_collisions(seen)


def _is_clutter(name: str) -> bool:
    parts = name.split("/")
    return parts[0] == _CLUTTER[0] or parts[-1] in _CLUTTER or parts[-1].startswith("._")


def _about(name: str, code: str, what: str, hint: str) -> Finding:
    shown = name.encode("utf-8", "backslashreplace").decode()
    return Finding(code, f"The entry {shown[:200]!r} {what}.", path=f'{FIELD}["{shown[:200]}"]', hint=hint)


def _link(name: str) -> Finding:
    return _about(name, "link_in_archive", "is a link", "Pack the file itself, e.g. with tar --dereference.")


def _special(name: str) -> Finding:
    return _about(name, "special_file_in_archive", "is no plain file", "Pack plain files and folders only.")


def _refuse(findings: Iterable[Finding]) -> None:
    found = list(findings)[:_MOST_FINDINGS]
    if found:
        raise InvalidRequest("The archive holds what cannot be taken.", issues=found)


def _refused(code: str, message: str, hint: str) -> InvalidRequest:
    return InvalidRequest(issues=[Finding(code, message, path=FIELD, hint=hint)])


def _too_large(what: str, setting: str) -> TooLarge:
    return TooLarge(f"The archive {what}.", hint=f"Send less at once; the operator can raise {setting}.")


@contextmanager
def _translated() -> Iterator[None]:
    """Turns what the libraries raise for damaged archives into a finding."""
    try:
        yield
    except (
        EOFError,
        NotImplementedError,  # zipfile, of a method it does not know
        OSError,
        OverflowError,
        RecursionError,
        RuntimeError,
        ValueError,
        lzma.LZMAError,
        tarfile.TarError,
        zipfile.BadZipFile,
        zlib.error,
        zstandard.ZstdError,
    ):
        raise _refused("damaged_archive", "The archive is damaged.", "Make it again and send it again.") from None
