"""Files for the Hub: its limits, and temporary copies for the upload."""

from __future__ import annotations

import logging
import shutil
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from assembler_runner.core.errors import Finding
from assembler_runner.files.content import FileStoreUnavailable, pieces_of
from assembler_runner.files.tree import SpaceFile, Tree

if TYPE_CHECKING:
    from huggingface_hub import CommitOperationAdd

log = logging.getLogger(__name__)

# Hub documentation, Storage limits.
MAX_FILE_BYTES = 200 * 10**9
MAX_FILES = 100_000
MAX_FOLDER_ENTRIES = 10_000

MAX_TEXT_BYTES = 64 * 2**20
"""Text files are part of the commit call, which the library builds in memory."""

_REGULAR_BYTES = 10 * 2**20
_SAMPLE_BYTES = 512
_LEFT_OVER_AFTER_SECONDS = 24 * 3600


def check_hub_limits(tree: Tree) -> list[Finding]:
    """Checks a tree against the limits of the Hub, before anything is created there.

    Args:
        tree: all files as they would be published.
    Returns:
        One finding per exceeded limit.
    """
    findings = [
        _over("hub_file_too_large", f"{path} has {file.size} bytes; the Hub allows {MAX_FILE_BYTES} per file.", path)
        for path, file in tree.items()
        if file.size > MAX_FILE_BYTES
    ]
    if len(tree) > MAX_FILES:
        findings.append(_over("hub_too_many_files", f"{len(tree)} files; the Hub allows {MAX_FILES}.", "files"))
    entries: Counter[str] = Counter(parent for path in {*tree, *_folders(tree)} for parent in [path.rpartition("/")[0]])
    for folder, count in entries.items():
        if count > MAX_FOLDER_ENTRIES:
            message = f"The folder {folder or '/'} has {count} entries; the Hub allows {MAX_FOLDER_ENTRIES}."
            findings.append(_over("hub_folder_too_full", message, folder or "files"))
    text = sum(file.size for file in tree.values() if file.size <= _REGULAR_BYTES and _is_text(file))
    if text > MAX_TEXT_BYTES:
        message = f"The text files have {text} bytes in total; a commit on the Hub allows {MAX_TEXT_BYTES}."
        findings.append(_over("hub_too_much_text", message, "files"))
    return findings


@contextmanager
def on_disk(tree: Tree, folder: Path) -> Iterator[dict[str, bytes | Path]]:
    """Provides the files in the form of the library: in-memory files as bytes, all others as paths of copies.

    Args:
        tree: the files.
        folder: the folder for the copies, which are deleted at the end; created if it does not exist.
    Yields:
        Path in the Space → bytes, or path of a copy.
    Raises:
        FileStoreUnavailable: the copies cannot be written.
    """
    if all(isinstance(file.source, bytes) for file in tree.values()):
        yield {path: file.content for path, file in tree.items()}
        return
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        _remove_left_overs(folder)
        work = Path(tempfile.mkdtemp(dir=folder))
    except OSError as problem:
        raise _unavailable(problem) from None
    try:
        yield {path: _copy(file, work / str(number)) for number, (path, file) in enumerate(tree.items())}
    finally:
        shutil.rmtree(work, ignore_errors=True)


def additions(sources: Mapping[str, bytes | Path]) -> list[CommitOperationAdd]:
    """Returns the files as operations of the library."""
    from huggingface_hub import CommitOperationAdd

    return [CommitOperationAdd(path, source) for path, source in sources.items()]


def _copy(file: SpaceFile, copy: Path) -> bytes | Path:
    if isinstance(file.source, bytes):
        return file.source
    with file.open() as source:
        try:
            with copy.open("wb") as target:
                for piece in pieces_of(source):
                    target.write(piece)
        except OSError as problem:
            raise _unavailable(problem) from None
    return copy


def _unavailable(problem: OSError) -> FileStoreUnavailable:
    log.error("files cannot be copied for the Hub: %s", problem.strerror)
    return FileStoreUnavailable(retry_after=5)


def _remove_left_overs(folder: Path) -> None:
    """Removes the copies of killed processes."""
    for left in folder.iterdir():
        with suppress(FileNotFoundError):
            if left.stat().st_mtime < time.time() - _LEFT_OVER_AFTER_SECONDS:
                shutil.rmtree(left, ignore_errors=True)


def _is_text(file: SpaceFile) -> bool:
    with file.open() as opened:
        return b"\0" not in opened.read(_SAMPLE_BYTES)


def _folders(tree: Tree) -> set[str]:
    return {"/".join(parts[:depth]) for parts in (path.split("/") for path in tree) for depth in range(1, len(parts))}


def _over(code: str, message: str, path: str) -> Finding:
    return Finding(code, message, path=path, hint="Send fewer or smaller files, or publish to another target.")
