"""The files of a Space: in memory if small, by reference if large."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import BinaryIO, Literal

from assembler_runner.core.errors import TooLarge
from assembler_runner.files.content import Content

Origin = Literal["given", "default", "generated", "fixed", "adopted"]

MAX_READ_BYTES = 4 * 2**20
"""Maximum size of a file that is read into memory as a whole."""


@dataclass(frozen=True)
class SpaceFile:
    """One file of a Space.

    Args:
        path: relative path with `/` between the segments.
        source: the bytes, or a reference to them: a plugin provides bytes, an upload may be too large for memory.
        origin: `given` by the caller, a `default` of the plugin, `generated` by the service, `fixed`: given, and
            changed by a fix that the caller requested, or `adopted`: found on the target.
    """

    path: str
    source: bytes | Content
    origin: Origin = "default"

    @property
    def content(self) -> bytes:
        """The whole content, in memory.

        Raises:
            TooLarge: the content has more than `MAX_READ_BYTES`; :meth:`open` reads it piece by piece.
        """
        if isinstance(self.source, bytes):
            return self.source
        if self.source.size > MAX_READ_BYTES:
            raise TooLarge(
                f"The file {self.path} has {self.source.size} bytes; a file that is read as text may have at most "
                f"{MAX_READ_BYTES}.",
                hint="Send a smaller file, or give it another name.",
            )
        return self.source.read()

    def open(self) -> BinaryIO:
        """Opens the file for reading; the caller closes it."""
        return io.BytesIO(self.source) if isinstance(self.source, bytes) else self.source.open()

    def as_content(self) -> Content:
        """Returns the file's bytes by reference."""
        if isinstance(self.source, Content):
            return self.source
        return Content(self.sha256, len(self.source), self.open)

    def has_content_of(self, other: SpaceFile) -> bool:
        """Whether both files have the same content."""
        return self.source is other.source or self.sha256 == other.sha256

    @cached_property
    def sha256(self) -> str:
        """SHA-256 of the content, in hex."""
        return self.source.sha256 if isinstance(self.source, Content) else hashlib.sha256(self.source).hexdigest()

    @property
    def size(self) -> int:
        """Size in bytes."""
        return self.source.size if isinstance(self.source, Content) else len(self.source)

    def text(self) -> str:
        """Returns the content as text; bytes that are not UTF-8 are replaced.

        Raises:
            TooLarge: see :attr:`content`.
        """
        return self.content.decode("utf-8", "replace")


class Tree(Mapping[str, SpaceFile]):
    """The files of a Space by path, sorted by path; read-only."""

    def __init__(self, files: Mapping[str, SpaceFile]) -> None:
        self._files = {path: files[path] for path in sorted(files)}

    def __getitem__(self, path: str) -> SpaceFile:
        return self._files[path]

    def __iter__(self) -> Iterator[str]:
        return iter(self._files)

    def __len__(self) -> int:
        return len(self._files)

    @cached_property
    def digest(self) -> str:
        """SHA-256 over paths and contents: equal exactly if the trees are equal."""
        total = hashlib.sha256()
        for path, file in self._files.items():
            total.update(f"{path}\0{file.sha256}\n".encode())
        return total.hexdigest()
