"""What the rules read: the files of a Space and its settings; each file is decoded and parsed once, for all rules."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, TypeVar

from assembler_runner.assembly.preflight.card_lines import CardLines, read_card_lines
from assembler_runner.assembly.preflight.dockerfile import Dockerfile, parse_dockerfile
from assembler_runner.assembly.preflight.python_file import PythonFile, parse_python
from assembler_runner.assembly.preflight.requirement_lines import RequirementLine, parse_requirements
from assembler_runner.files.tree import SpaceFile

MAX_TEXT_BYTES = 2 * 2**20
"""Largest file that is read as text."""
MAX_TOTAL_BYTES = 32 * 2**20
"""How much text is read of all files together."""
HEAD_BYTES = 1024

DEFAULT_PORT = 7860
HUB_PYTHON = (3, 10)
"""Python of a Gradio Space without `python_version` (Hub documentation, Spaces configuration reference)."""
NEWEST_PYTHON = (3, 14)

README = "README.md"
_Made = TypeVar("_Made")
_VERSION = re.compile(r"(\d+)\.(\d+)")
_UTF_16 = (b"\xff\xfe", b"\xfe\xff")
_NOT_TEXT = (".png", ".jpg", ".jpeg", ".gif", ".webp", ".ico", ".mp3", ".mp4", ".wav", ".zip", ".gz", ".woff", ".woff2")


@dataclass(frozen=True)
class Context:
    """The subject of all rules.

    Args:
        files: path → file; as given where it was given, so that lines are those of the sender, else as made.
        sdk: what the target runs: gradio, docker or static.
        space_type: name of the type.
        options: the checked options of the type, with defaults.
        parameters: the parameters of the request, or None.
        public: whether everybody may read the files.
        target: `huggingface`, `local`, or another target.
        hardware: the flavour asked for, or None.
        variables: the variables of the request.
    """

    files: Mapping[str, SpaceFile]
    sdk: str = "gradio"
    space_type: str = "gradio"
    options: Mapping[str, Any] = field(default_factory=dict)
    parameters: Mapping[str, Any] | None = None
    public: bool = True
    target: str = "huggingface"
    hardware: str | None = None
    variables: Mapping[str, Any] = field(default_factory=dict)
    _texts: dict[str, str | None] = field(default_factory=dict, init=False, repr=False, compare=False)
    _read_bytes: list[int] = field(default_factory=lambda: [0], init=False, repr=False, compare=False)
    _heads: dict[str, bytes] = field(default_factory=dict, init=False, repr=False, compare=False)
    _made: dict[tuple[str, str], Any] = field(default_factory=dict, init=False, repr=False, compare=False)
    _pythons: dict[str, PythonFile] = field(default_factory=dict, init=False, repr=False, compare=False)

    def extended(self, files: Mapping[str, SpaceFile], options: Mapping[str, Any]) -> Context:
        """Returns the subject with more files and other options; what was read and parsed already is shared.

        Args:
            files: path → file; those of this subject are unchanged among them.
            options: the checked options.
        """
        larger = replace(self, files=files, options=options)
        larger._texts.update((path, text) for path, text in self._texts.items() if path in self.files)
        larger._heads.update(self._heads)
        larger._pythons.update(self._pythons)
        larger._made.update((key, made) for key, made in self._made.items() if key[1] in self.files)
        larger._read_bytes[0] = self._read_bytes[0]
        return larger

    def given(self, path: str) -> bool:
        """Whether the sender gave this file; one that a fix has changed is theirs, too."""
        file = self.files.get(path)
        return file is not None and file.origin in ("given", "fixed")

    def head(self, path: str) -> bytes:
        """Returns the first bytes of a file."""
        if path not in self._heads:
            file = self.files[path]
            if isinstance(file.source, bytes):
                self._heads[path] = file.source[:HEAD_BYTES]
            else:
                with file.open() as opened:
                    self._heads[path] = opened.read(HEAD_BYTES)
        return self._heads[path]

    def text(self, path: str) -> str | None:
        """Returns a file as text; None where it does not exist, is no text or is too large.

        Line ends and a byte order mark are kept; bytes that are not UTF-8 are replaced.
        """
        if path not in self._texts:
            self._texts[path] = self._read(path)
        return self._texts[path]

    def _read(self, path: str) -> str | None:
        file = self.files.get(path)
        if file is None or file.size > MAX_TEXT_BYTES or path.lower().endswith(_NOT_TEXT):
            return None
        head = self.head(path)
        if head.startswith(_UTF_16):
            return file.content.decode("utf-16", "replace")
        if self._read_bytes[0] + file.size > MAX_TOTAL_BYTES or b"\0" in head:
            return None
        self._read_bytes[0] += file.size
        return file.text()

    def scannable(self, path: str) -> str | None:
        """Returns the text of a file, of a large one its first part; None where it is no text."""
        file = self.files[path]
        if file.size <= MAX_TEXT_BYTES:
            return self.text(path)
        if path.lower().endswith(_NOT_TEXT) or b"\0" in self.head(path):
            return None
        with file.open() as opened:
            return opened.read(MAX_TEXT_BYTES).decode("utf-8", "replace")

    def python(self, path: str) -> PythonFile | None:
        """Returns a Python file parsed; None where it does not exist or is too large."""
        if path not in self._pythons:
            file = self.files.get(path)
            if file is None or file.size > MAX_TEXT_BYTES:
                return None
            self._pythons[path] = parse_python(file.content)
        return self._pythons[path]

    def once(self, what: str, path: str, make: Callable[[str], _Made]) -> _Made:
        """Returns what is made of the text of a file; several rules share it.

        Args:
            what: name of what is made.
            path: the file.
            make: makes it of the text; called once.
        """
        key = (what, path)
        if key not in self._made:
            self._made[key] = make(self.text(path) or "")
        made: _Made = self._made[key]
        return made

    @cached_property
    def python_paths(self) -> list[str]:
        """Paths of all Python files that can be read."""
        return [path for path, file in self.files.items() if path.endswith(".py") and file.size <= MAX_TEXT_BYTES]

    @cached_property
    def folders(self) -> frozenset[str]:
        """Paths of all folders."""
        return frozenset(
            "/".join(parts[:depth])
            for parts in (path.split("/") for path in self.files)
            for depth in range(1, len(parts))
        )

    @cached_property
    def folded(self) -> dict[str, str]:
        """Path in lower case and one Unicode form → path, of files and folders."""
        return {fold(path): path for path in (*self.folders, *self.files)}

    @cached_property
    def card(self) -> CardLines:
        """The front matter of README.md with the lines of its keys."""
        return read_card_lines(self.text(README) or "")

    @cached_property
    def dockerfile(self) -> Dockerfile | None:
        """The Dockerfile that the sender gave, parsed; None for none."""
        text = self.text("Dockerfile") if self.given("Dockerfile") else None
        return None if text is None or self.sdk != "docker" else parse_dockerfile(text)

    @cached_property
    def dockerfile_is_made(self) -> bool:
        """Whether the Space is built with a Dockerfile that was not given."""
        return self.sdk == "docker" and not self.given("Dockerfile")

    @cached_property
    def requirements(self) -> dict[str, list[RequirementLine]]:
        """requirements.txt and what it includes, as far as given: path → lines."""
        found: dict[str, list[RequirementLine]] = {}
        waiting = ["requirements.txt", "pre-requirements.txt"]
        while waiting:
            path = waiting.pop()
            text = self.text(path) if self.given(path) else None
            if text is None or path in found:
                continue
            found[path] = parse_requirements(text, path)
            waiting += [line.target for line in found[path] if line.target and line.kind in ("include", "constraint")]
        return found

    @cached_property
    def app_file(self) -> str | None:
        """The file that is run or shown first, of the options or the card; None where a Dockerfile decides."""
        if self.dockerfile is not None:
            return None
        default = "index.html" if self.sdk == "static" else "app.py"
        asked, written = self.options.get("app_file"), self.card.values.get("app_file")
        if isinstance(written, str) and written.strip() and asked in (None, default):
            asked = written.strip()
        named = asked if isinstance(asked, str) and asked else default
        return self.resolve(named) or named

    def resolve(self, path: str) -> str | None:
        """Returns the path of the tree that a name means: the same, without `./`, or of another Unicode form."""
        path = path.removeprefix("./")
        if path in self.files:
            return path
        form = unicodedata.normalize("NFC", path)
        same = self.folded.get(fold(path))
        return same if same in self.files and same is not None and unicodedata.normalize("NFC", same) == form else None

    @cached_property
    def python_version(self) -> tuple[int, int] | None:
        """The Python that runs the app, as far as it is known."""
        if self.sdk == "static":
            return None
        if self.dockerfile is not None:
            return self.dockerfile.python_version
        named = self.card.text_of("python_version") or self.options.get("python_version")
        match = _VERSION.match(str(named)) if named is not None else None
        return (int(match[1]), int(match[2])) if match else HUB_PYTHON if self.sdk == "gradio" else None

    @cached_property
    def port(self) -> int:
        """The port that the target asks on: of the card, else of the options, else 7860."""
        for value in (self.card.values.get("app_port"), self.options.get("app_port")):
            if isinstance(value, int) and not isinstance(value, bool):
                return value
            if isinstance(value, str) and value.strip().isdecimal():
                return int(value)
        return DEFAULT_PORT


def fold(path: str) -> str:
    """Returns a path as systems see it that fold case and Unicode forms."""
    if path.isascii():
        return path.lower()
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", path).casefold())
