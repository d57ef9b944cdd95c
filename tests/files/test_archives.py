"""Archives: valid ones are unpacked, hostile ones are rejected within the budget."""

from __future__ import annotations

import gzip
import io
import os
import stat
import struct
import tarfile
import time
import tracemalloc
import zipfile
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from assembler_runner.core.errors import AssemblerError, InvalidRequest, TooLarge
from assembler_runner.files.archive_budget import Budget
from assembler_runner.files.archives import unpack, without_top_folder
from assembler_runner.files.content import Spool, content_of

FILES = {"app.py": b"x = 1\n", "assets/größe ✓.bin": bytes(range(256)) * 3000, "empty": b"", f"{'d' * 120}/f": b"long"}
MOST_BYTES = 30 * 2**20


@pytest.fixture
def spool(tmp_path: Path) -> Iterator[Spool]:
    with Spool(tmp_path, 100 * 2**20) as spool:
        yield spool


def budget(**more: Any) -> Budget:
    return Budget(
        **(
            {"most_bytes": MOST_BYTES, "most_entries": 500, "most_ratio": 100, "most_seconds": 30.0, "most_depth": 20}
            | more
        )
    )


def read(data: bytes, spool: Spool, **more: Any) -> dict[str, bytes]:
    return {path: content.read() for path, content in unpack(content_of(data), spool, budget(**more)).items()}


def entry(name: str, data: bytes = b"", **fields: Any) -> tuple[tarfile.TarInfo, bytes]:
    made = tarfile.TarInfo(name)
    made.size = len(data)
    for field, value in fields.items():
        setattr(made, field, value)
    return made, data


def tar(*entries: tuple[tarfile.TarInfo, bytes], format: int = tarfile.PAX_FORMAT) -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w", format=format) as archive:
        for made, data in entries:
            archive.addfile(made, io.BytesIO(data))
    return file.getvalue()


def tar_of(files: dict[str, bytes], **more: Any) -> bytes:
    return tar(*(entry(name, data) for name, data in files.items()), **more)


def zip_of(files: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", method) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return file.getvalue()


def zip_entry(name: str, mode: int, data: bytes = b"target") -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        info = zipfile.ZipInfo(name)
        info.external_attr = mode << 16
        archive.writestr(info, data)
    return file.getvalue()


@pytest.mark.parametrize(
    "data",
    [
        zip_of(FILES),
        zip_of(FILES, zipfile.ZIP_STORED),
        tar_of(FILES),
        tar_of(FILES, format=tarfile.GNU_FORMAT),
        gzip.compress(tar_of(FILES)),
        zstandard.compress(tar_of(FILES)),
        tar(entry("./", type=tarfile.DIRTYPE), *(entry(f"./{name}", data) for name, data in FILES.items())),
        zip_of({**FILES, "__MACOSX/._app.py": b"x", "assets/.DS_Store": b"x", ".cache/x": b"x", "folder/": b""}),
        tar_of({**FILES, ".git/HEAD": b"x", "assets/.git": b"gitdir: x"}),
    ],
    ids=["zip", "stored zip", "tar", "gnu tar", "tar.gz", "tar.zst", "tar of .", "zip of a mac", "tar of a checkout"],
)
def test_packed_files_are_unpacked(data: bytes, spool: Spool) -> None:
    assert read(data, spool) == FILES


def test_names_in_utf8_without_the_flag(spool: Spool) -> None:
    data = zip_of({"größe": b"1"})
    flagged, name = data.count(b"\x00\x08"), "größe".encode()
    assert flagged and name in data
    unflagged = data.replace(b"PK\3\4\x14\0\0\x08", b"PK\3\4\x14\0\0\0").replace(
        b"PK\1\2\x14\3\x14\0\0\x08", b"PK\1\2\x14\3\x14\0\0\0"
    )
    assert unflagged != data
    assert read(unflagged, spool) == {"größe": b"1"}


def test_a_single_top_folder_is_stripped() -> None:
    one = content_of(b"x")
    assert without_top_folder({"p/a": one, "p/b/c": one}) == {"a": one, "b/c": one}
    for files in ({"p/a": one, "b": one}, {"p/a": one, "q/a": one}, {"a": one}, {}):
        assert without_top_folder(files) == files


def pax_bomb() -> bytes:
    """A header that declares a text of 8 GB."""
    made = tarfile.TarInfo("././@PaxHeader")
    made.type, made.size = tarfile.XHDTYPE, 8 * 2**30
    return made.tobuf() + b"\0" * 2**20


def long_name_bomb() -> bytes:
    made = tarfile.TarInfo("././@LongLink")
    made.type, made.size = tarfile.GNUTYPE_LONGNAME, 2**31
    return made.tobuf(tarfile.GNU_FORMAT) + b"a" * 2**20


def nested_headers() -> bytes:
    made = tarfile.TarInfo("././@PaxHeader")
    made.type, made.size = tarfile.XHDTYPE, 512
    return (made.tobuf() + b"11 a=bcdef\n".ljust(512, b"\0")) * 5000


def zeros(count: int) -> Iterator[bytes]:
    return (b"\0" * 2**20 for _ in range(count))


def gzip_bomb() -> bytes:
    file = io.BytesIO()
    with gzip.GzipFile(fileobj=file, mode="wb") as packer:
        packer.write(entry("big", size=300 * 2**20)[0].tobuf())
        for piece in zeros(300):
            packer.write(piece)
    return file.getvalue()


def zstd_bomb() -> bytes:
    packer = zstandard.ZstdCompressor().compressobj()
    pieces = [packer.compress(entry("big", size=300 * 2**20)[0].tobuf())]
    pieces += [packer.compress(piece) for piece in zeros(300)]
    return b"".join([*pieces, packer.flush()])


def wide_window() -> bytes:
    parameters = zstandard.ZstdCompressionParameters(window_log=30, enable_ldm=True)
    packer = zstandard.ZstdCompressor(compression_params=parameters).compressobj()
    return packer.compress(tar_of(FILES)) + packer.flush()


def overlapping_zip() -> bytes:
    """All entries of the directory share the same packed megabytes (D. Fifield, A better zip bomb, 2019)."""
    data = zip_of({"00": b"\0" * 2**20})
    start = data.index(b"PK\1\2")
    end = data.index(b"PK\5\6")
    header = data[start:end]
    directory = b"".join(header.replace(b"00", b"%02d" % number) for number in range(90))
    record = struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, 90, 90, len(directory), start, 0)
    return data[:start] + directory + record


def lying_zip() -> bytes:
    """Declares 10 bytes, unpacks to 2 MiB."""
    data = zip_of({"a": b"\0" * 2**21})
    return data.replace(struct.pack("<L", 2**21), struct.pack("<L", 10))


def huge_directory() -> bytes:
    header = struct.pack("<4s6H3L5H2L", b"PK\1\2", 20, 20, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0) + b"a"
    directory = header * 300_000
    return b"PK\3\4" + b"\0" * 30 + directory + struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, 1, 1, len(directory), 34, 0)


def encrypted_zip() -> bytes:
    data = bytearray(zip_of({"a": b"secret"}))
    data[6] |= 1
    data[data.index(b"PK\1\2") + 8] |= 1
    return bytes(data)


def twice_in_zip() -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive, pytest.warns(UserWarning, match="Duplicate name"):
        archive.writestr("a", "1")
        archive.writestr("a", "2")
    return file.getvalue()


def nul_name() -> bytes:
    return zip_of({"a_b.py": b"x"}).replace(b"a_b.py", b"a\0b.py")


def raw_header(name: str, kind: bytes, size: int, magic: bytes = b"ustar\x0000") -> bytes:
    block = bytearray(512)
    block[: len(name)] = name.encode()
    block[100:108], block[108:116], block[116:124] = b"0000644\0", b"0000000\0", b"0000000\0"
    block[124:136], block[136:148], block[148:156] = b"%011o\0" % size, b"%011o\0" % 0, b" " * 8
    block[156:157], block[257:265] = kind, magic
    block[148:156] = b"%06o\0 " % sum(block)
    return bytes(block)


def padded(content: bytes) -> bytes:
    return content + bytes(-len(content) % 512)


def pax_digits(count: int) -> bytes:
    """A pax header that is one long row of digits (CVE-2024-6232)."""
    return raw_header("h", b"x", count) + padded(b"1" * count) + tar_of({"a": b"x"})


def pax_value_of_digits() -> bytes:
    content = b"60010 a=" + b"1" * 60001 + b"\n"
    assert len(content) == 60010
    return raw_header("h", b"x", len(content)) + padded(content) + tar_of({"../a": b"x"})


def chained_headers(kind: bytes) -> bytes:
    content = b"30 comment=%018d\n" % 1 if kind != b"L" else b"n" * 30
    return gzip.compress((raw_header("h", kind, len(content)) + padded(content)) * 20_000 + tar_of({"a": b"x"}))


def old_gnu_sparse() -> bytes:
    """A sparse entry whose map goes on in thousands of further blocks."""
    block = bytearray(raw_header("a", b"S", 0, b"ustar  \0"))
    block[482:483] = b"\1"
    block[148:156] = b" " * 8
    block[148:156] = b"%06o\0 " % sum(block)
    further = (b"00000000001\0" * 42 + b"\1").ljust(512, b"\0")
    return gzip.compress(bytes(block) + further * 40_000)


def sparse_map_1_0() -> bytes:
    records = b"22 GNU.sparse.major=1\n22 GNU.sparse.minor=0\n29 GNU.sparse.name=a12345678\n"
    lines = b"9999999\n" + b"1\n" * 5_000_000
    data = raw_header("h", b"x", len(records)) + padded(records) + raw_header("a", b"0", len(lines)) + padded(lines)
    return gzip.compress(data, 1)


def path_of_many_folders() -> bytes:
    name = b"a/" * 32_000 + b"b"
    return raw_header("l", b"L", len(name)) + padded(name) + raw_header("a", b"0", 0)


def zip_directory(count: int, name: bytes, extra: bytes) -> bytes:
    """A directory of entries with long names or extra fields."""
    fixed = (b"PK\1\2", 20, 20, 0, 0, 0, 0, 0, 0, 0, len(name), len(extra), 0, 0, 0, 0, 0)
    directory = (struct.pack("<4s6H3L5H2L", *fixed) + name + extra) * count
    end = struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, count, count, len(directory), 30, 0)
    return b"PK\3\4" + bytes(26) + directory + end


def empty_gzip_members() -> bytes:
    return gzip.compress(b"") * 2_000_000


def empty_zstd_frames() -> bytes:
    return zstandard.compress(b"") * 2_000_000


def skippable_zstd_frames() -> bytes:
    return zstandard.compress(b"") + struct.pack("<LL", 0x184D2A50, 0) * 3_000_000


REFUSED: dict[str, tuple[Callable[[], bytes], int, str]] = {
    "gzip bomb": (gzip_bomb, 413, "too_large"),
    "zstd bomb": (zstd_bomb, 413, "too_large"),
    "zip bomb": (lambda: zip_of({"a": b"\0" * 40 * 2**20}), 413, "too_large"),
    "ratio": (lambda: zip_of({"a": b"\0" * 20 * 2**20}), 413, "too_large"),
    "overlapping zip": (overlapping_zip, 413, "too_large"),
    "too many in zip": (lambda: zip_of({str(number): b"" for number in range(501)}), 413, "too_large"),
    "too many in tar": (lambda: tar_of({str(number): b"" for number in range(501)}), 413, "too_large"),
    "huge directory": (huge_directory, 413, "too_large"),
    "lying zip": (lying_zip, 422, "damaged_archive"),
    "pax bomb": (pax_bomb, 422, "damaged_archive"),
    "long name bomb": (long_name_bomb, 422, "damaged_archive"),
    "pax digits": (lambda: pax_digits(60_000), 422, "damaged_archive"),
    "more pax digits": (lambda: pax_digits(10_000_000), 422, "damaged_archive"),
    "pax value of digits": (pax_value_of_digits, 422, "path_traversal"),
    "chained pax headers": (lambda: chained_headers(b"x"), 422, "damaged_archive"),
    "chained long names": (lambda: chained_headers(b"L"), 422, "damaged_archive"),
    "chained global headers": (lambda: chained_headers(b"g"), 422, "damaged_archive"),
    "old sparse map": (old_gnu_sparse, 422, "special_file_in_archive"),
    "sparse map 1.0": (sparse_map_1_0, 422, "special_file_in_archive"),
    "path of many folders": (path_of_many_folders, 422, "path_too_long"),
    "extra fields": (lambda: zip_directory(400, b"a", bytes(65_000)), 422, ""),
    "long names": (lambda: zip_directory(400, b"n" * 60_000, b""), 422, "damaged_archive"),
    "empty members": (empty_gzip_members, 413, "too_large"),
    "nested headers": (nested_headers, 422, "damaged_archive"),
    "wide window": (wide_window, 422, "damaged_archive"),
    "cut tar.gz": (lambda: gzip.compress(tar_of(FILES))[:-12], 422, "damaged_archive"),
    "cut zip": (lambda: zip_of(FILES)[:-30], 422, "damaged_archive"),
    "cut tar": (lambda: tar_of(FILES)[:5000], 422, "damaged_archive"),
    "no archive": (lambda: b"hello" * 200, 422, "unknown_archive"),
    "nothing": (lambda: b"", 422, "unknown_archive"),
    "rar": (lambda: b"Rar!\x1a\x07\x01\x00" + b"\0" * 600, 422, "unknown_archive"),
    "symbolic link in tar": (
        lambda: tar(entry("a", type=tarfile.SYMTYPE, linkname="/etc/passwd")),
        422,
        "link_in_archive",
    ),
    "hard link in tar": (
        lambda: tar(entry("a", b"x"), entry("b", type=tarfile.LNKTYPE, linkname="a")),
        422,
        "link_in_archive",
    ),
    "symbolic link in zip": (lambda: zip_entry("a", stat.S_IFLNK | 0o777), 422, "link_in_archive"),
    "device in tar": (
        lambda: tar(entry("a", type=tarfile.CHRTYPE, devmajor=1, devminor=5)),
        422,
        "special_file_in_archive",
    ),
    "pipe in tar": (lambda: tar(entry("a", type=tarfile.FIFOTYPE)), 422, "special_file_in_archive"),
    "device in zip": (lambda: zip_entry("a", stat.S_IFBLK | 0o644), 422, "special_file_in_archive"),
    "sparse file": (
        lambda: tar(
            entry(
                "a",
                b"0\n",
                pax_headers={"GNU.sparse.major": "1", "GNU.sparse.minor": "0", "GNU.sparse.realsize": "99999999999"},
            )
        ),
        422,
        "",
    ),
    "absolute in tar": (lambda: tar_of({"/etc/passwd": b"x"}), 422, "absolute_path"),
    "absolute in zip": (lambda: zip_of({"/etc/passwd": b"x"}), 422, "absolute_path"),
    "drive letter": (lambda: zip_of({"C:/x": b"x"}), 422, "absolute_path"),
    "traversal in tar": (lambda: tar_of({"../../x": b"x"}), 422, "path_traversal"),
    "traversal in zip": (lambda: zip_of({"a/../../x": b"x"}), 422, "path_traversal"),
    "traversal of a folder": (lambda: zip_of({"../": b""}), 422, "path_traversal"),
    "backslash": (lambda: zip_of({"..\\x": b"x"}), 422, "backslash"),
    "nul in a name": (nul_name, 422, "control_character"),
    "folder of git": (lambda: tar_of({".GIT/hooks/pre-commit": b"x"}), 422, "reserved_path"),
    "encrypted": (encrypted_zip, 422, "encrypted_archive"),
    "uncommon method": (lambda: zip_of({"a": b"x" * 100}, zipfile.ZIP_LZMA), 422, "archive_method"),
    "twice in tar": (lambda: tar(entry("a", b"1"), entry("a", b"2")), 422, "duplicate_path"),
    "twice in zip": (twice_in_zip, 422, "duplicate_path"),
    "unicode forms": (lambda: tar_of({"a/\u00e9": b"1", "a/e\u0301": b"2"}), 422, "duplicate_path"),
    "file and folder": (lambda: zip_of({"a": b"1", "a/b": b"2"}), 422, "file_and_folder"),
    "deep": (lambda: zip_of({"d/" * 30 + "f": b"x"}), 422, "path_too_deep"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_hostile_archives_are_rejected(name: str, spool: Spool) -> None:
    make, status, code = REFUSED[name]
    data = make()
    tracemalloc.start()
    begun = time.monotonic()
    with pytest.raises(AssemblerError) as refused:
        unpack(content_of(data), spool, budget())
    took, (_, most) = time.monotonic() - begun, tracemalloc.get_traced_memory()
    tracemalloc.stop()
    problem = refused.value
    assert isinstance(problem, InvalidRequest | TooLarge) and problem.status == status
    codes = {problem.code, *(finding.code for finding in problem.issues)}
    assert code in codes or not code, codes
    assert most < 20 * 2**20 and took < 20, f"{most} bytes, {took} s"


@pytest.mark.parametrize("make", [empty_zstd_frames, skippable_zstd_frames])
def test_empty_frames_are_cheap(make: Callable[[], bytes], spool: Spool) -> None:
    begun = time.monotonic()
    assert read(make(), spool) == {}
    assert time.monotonic() - begun < 20


@pytest.mark.parametrize("kind", ["zip", "tar", "tar.gz", "tar.zst"])
@given(data=st.data())
@settings(max_examples=60, deadline=None)
def test_damaged_archives_are_rejected_or_read(data: st.DataObject, kind: str, tmp_path_factory: Any) -> None:
    packed = {
        "zip": zip_of(FILES),
        "tar": tar_of(FILES),
        "tar.gz": gzip.compress(tar_of(FILES)),
        "tar.zst": zstandard.compress(tar_of(FILES)),
    }[kind]
    broken = bytearray(packed)
    for position, value in data.draw(
        st.lists(st.tuples(st.integers(0, len(packed) - 1), st.integers(0, 255)), min_size=1, max_size=8)
    ):
        broken[position] = value
    broken = broken[: data.draw(st.integers(1, len(packed)))]
    with Spool(tmp_path_factory.mktemp("spool"), 2**20) as spool, suppress(InvalidRequest, TooLarge):
        read(bytes(broken), spool)


def test_a_slow_archive_is_aborted(spool: Spool) -> None:
    with pytest.raises(TooLarge, match="seconds"):
        read(tar_of({"a": os.urandom(2**20)}), spool, most_seconds=0.0)


def test_nothing_is_written_under_a_name_of_the_archive(tmp_path: Path, spool: Spool) -> None:
    read(zip_of(FILES), spool)
    # The spool has no name either.
    assert list(tmp_path.rglob("*")) == []
