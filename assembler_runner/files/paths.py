"""Rules for the paths of a Space's files. A client's path is never used as a path on this machine's disk."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable

from assembler_runner.core.errors import Finding

MAX_PATH_BYTES = 1000
MAX_PART_BYTES = 255

_PLAIN = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9_.-]*(?:/[A-Za-z0-9_-][A-Za-z0-9_.-]*)*")


def field_of(path: str) -> str:
    """Returns the field name of a file in a finding, e.g. `files["app.py"]`."""
    return f'files["{path}"]'


def check_path(path: str) -> list[Finding]:
    """Checks one path, independently of others; see :func:`check_collisions`.

    Args:
        path: the path, as sent by the client.
    Returns:
        One finding per problem; empty if the path is valid.
    """
    # Most paths are of letters and digits, and have none of the problems.
    return [] if len(path) <= MAX_PART_BYTES and _PLAIN.fullmatch(path) else _problems(path)


def _problems(path: str) -> list[Finding]:
    shown = path.encode("utf-8", "backslashreplace").decode()
    problems = []

    def problem(code: str, what: str, hint: str) -> None:
        problems.append(Finding(code, f"The path {shown[:200]!r} {what}.", path=field_of(shown), hint=hint))

    if not path:
        problem("empty_path", "is empty", "Give the file a name, such as app.py.")
        return problems
    if any(0xD800 <= ord(char) <= 0xDFFF for char in path):
        problem("invalid_path", "is not valid Unicode", "Use a name without lone surrogates.")
    elif len(path.encode()) > MAX_PATH_BYTES:
        problem("path_too_long", f"is longer than {MAX_PATH_BYTES} bytes", "Use shorter names.")
    elif any(len(part.encode()) > MAX_PART_BYTES for part in path.split("/")):
        problem("path_too_long", f"has a segment longer than {MAX_PART_BYTES} bytes", "Use shorter names.")
    if any(unicodedata.category(char) == "Cc" for char in path):
        problem("control_character", "contains a control character", "Use a name without NUL, tabs and line breaks.")
    if "\\" in path:
        problem("backslash", "contains a backslash", "Separate folders with /.")
    if path.startswith("/") or (len(path) > 1 and path[1] == ":" and path[0].isascii() and path[0].isalpha()):
        problem("absolute_path", "is absolute", "Use a path relative to the Space's top folder.")
    parts = path.strip("/").split("/")
    if any(part in (".", "..") or _is_dots_and_blanks(part) for part in parts):
        problem("path_traversal", "has a segment . or ..", "Use a path relative to the Space's top folder.")
    if any(part and not part.strip() for part in parts):
        problem("blank_part", "has a segment of blanks only", "Give every folder and file a name.")
    if path.endswith("/") or "" in parts:
        problem("empty_part", "has an empty segment", "Use a single / between names and none at the end.")
    if any(_is_git_folder(part) for part in parts):
        problem("reserved_path", "is inside .git, which is reserved for the repository", "Leave out the folder .git.")
    if parts[0] == ".cache":
        problem("reserved_path", "is inside .cache, which the Hub does not accept", "Leave out the folder .cache.")
    return problems


def check_collisions(paths: Iterable[str]) -> list[Finding]:
    """Finds paths that would be the same file, or both file and folder, on systems that fold Unicode forms.

    Paths that differ in case are different files on the Hub, in containers and in git.

    Args:
        paths: all paths of a tree.
    Returns:
        One finding per path that collides with an earlier one.
    """
    files: dict[str, str] = {}
    folders: dict[str, str] = {}
    findings = []
    ordered = sorted(paths)
    for path in ordered:
        parts = path.split("/")
        for depth in range(1, len(parts)):
            folders.setdefault(_folded("/".join(parts[:depth])), path)
    for path in ordered:
        key = _folded(path)
        if key in files:
            message = f"The paths {files[key]!r} and {path!r} differ only in their Unicode form."
            hint = "Keep one of them: many systems cannot store both."
            findings.append(Finding("duplicate_path", message, path=field_of(path), hint=hint))
        elif key in folders:
            message = f"The path {path!r} is a file and, in {folders[key]!r}, also a folder."
            findings.append(Finding("file_and_folder", message, path=field_of(path), hint="Rename one of the two."))
        files.setdefault(key, path)
    return findings


def _folded(path: str) -> str:
    return unicodedata.normalize("NFC", path)


def _is_dots_and_blanks(part: str) -> bool:
    # Windows drops dots and blanks at the end of a name: ".. " may be the folder above.
    return " " in part and "." in part and not part.strip(". ")


def _is_git_folder(part: str) -> bool:
    # Some file systems drop ignorable characters and trailing dots and spaces, and use the short name git~1.
    # NTFS reads the text after a colon as a stream of the same folder, as in .git::$INDEX_ALLOCATION.
    visible = "".join(char for char in part if unicodedata.category(char) != "Cf").partition(":")[0]
    return visible.rstrip(". ").casefold() in (".git", "git~1")
