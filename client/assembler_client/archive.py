"""Local files: which files of a folder belong to a Space, and their contents as JSON."""

from __future__ import annotations

import base64
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from assembler_client.errors import invalid_input
from assembler_client.models import Finding
from assembler_client.types import FileContent

IGNORE_FILES = (".gitignore", ".assemblerignore")
"""Read in this order in every folder; later lines take precedence."""
ALWAYS_IGNORED = (
    ".git/",
    ".env",
    ".hg/",
    ".svn/",
    "__pycache__/",
    ".venv/",
    "node_modules/",
    ".DS_Store",
    ".assemblerignore",
)
ARCHIVES = (".zip", ".tar", ".tar.gz", ".tgz", ".tar.zst")


def is_archive(path: Path) -> bool:
    """Whether the name of a file is that of an archive."""
    return path.name.lower().endswith(ARCHIVES)


def collect(folder: Path) -> dict[str, Path]:
    """Finds the files of a folder that belong to a Space.

    Repositories, environments, caches and `.env` are ignored unless a line such as `!.env` includes them again.
    `.gitignore` and `.assemblerignore` apply in every folder, with the rules of git; a line of `.assemblerignore` that
    starts with `!` includes what `.gitignore` excludes. Links out of the folder are rejected.

    Args:
        folder: the folder.
    Returns:
        Path in the Space → file, sorted.
    Raises:
        InvalidRequest: the folder does not exist, contains no files, or contains a link that leads out of it.
    """
    if not folder.is_dir():
        raise _refused("not_a_folder", str(folder), "This folder does not exist.", "Check the path.")
    root = folder.resolve()
    found = dict(sorted(_walk(root, root, [])))
    if not found:
        hint = "Add at least one file. Check whether .gitignore or .assemblerignore exclude all files."
        raise _refused("no_files", str(folder), "This folder contains no file to publish.", hint)
    return found


def _walk(root: Path, folder: Path, outer: list[tuple[str, Any]]) -> Iterator[tuple[str, Path]]:
    inside = folder.relative_to(root).as_posix()
    specs = [*outer, *_specs(folder, "" if inside == "." else f"{inside}/")]
    for path in sorted(folder.iterdir()):
        name = path.relative_to(root).as_posix()
        is_folder = path.is_dir()
        if _ignored(specs, f"{name}/" if is_folder else name):
            continue
        if path.is_symlink() and not path.resolve().is_relative_to(root):
            hint = "Replace it with the file itself, or add it to .assemblerignore."
            raise _refused("link_outside", name, "This link leads out of the folder.", hint)
        if is_folder:
            if path.is_symlink():
                hint = "Add it to .assemblerignore, or replace it with the folder itself."
                raise _refused("link_to_folder", name, "This is a link to a folder, which is not supported.", hint)
            yield from _walk(root, path, specs)
        elif path.is_file():
            yield name, path


def _specs(folder: Path, prefix: str) -> list[tuple[str, Any]]:
    from pathspec import GitIgnoreSpec

    specs = [("", GitIgnoreSpec.from_lines(ALWAYS_IGNORED))] if not prefix else []
    for name in IGNORE_FILES:
        path = folder / name
        if path.is_file():
            lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
            specs.append((prefix, GitIgnoreSpec.from_lines(lines)))
    return specs


def _ignored(specs: list[tuple[str, Any]], name: str) -> bool:
    ignored = False
    for prefix, spec in specs:
        included = spec.check_file(name.removeprefix(prefix)).include
        ignored = ignored if included is None else bool(included)
    return ignored


def with_contents(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Replaces local files in the field `files` by their contents as JSON.

    Args:
        fields: fields of a Space; a file is text, bytes or a local path.
    """
    files = fields.get("files")
    if not isinstance(files, Mapping):
        return dict(fields)
    return {**fields, "files": {path: in_json(content) for path, content in files.items()}}


def in_json(content: FileContent | None) -> Any:
    """Returns the content of a file as JSON: text, or an object with base64."""
    if isinstance(content, Path):
        content = content.read_bytes()
    if isinstance(content, (bytes, bytearray)):
        try:
            text = content.decode("utf-8")
        except UnicodeDecodeError:
            text = "\0"
        if "\0" in text:
            return {"content": base64.b64encode(content).decode("ascii"), "encoding": "base64"}
        return text
    return content


def guess_type(files: Mapping[str, Any]) -> str | None:
    """Guesses the space type of a set of files from their names and the start of README.md and app.py.

    Args:
        files: path → text, bytes or a local path.
    Returns:
        Name of the space type, or None if it cannot be guessed.
    """
    readme = _head(files.get("README.md"))
    if readme.startswith("---"):
        for line in readme.splitlines()[1:]:
            name, _, value = line.partition(":")
            if name.strip() == "sdk" and value.strip():
                return value.strip().strip("\"'")
            if line.strip() == "---":
                break
    if "Dockerfile" in files:
        return "docker"
    if "app.py" in files:
        # Only imports count: the word may occur anywhere.
        lines = [line.split() for line in _head(files["app.py"]).splitlines()]
        imported = {words[1].split(".")[0] for words in lines if len(words) > 1 and words[0] in ("import", "from")}
        return "streamlit" if "streamlit" in imported and "gradio" not in imported else "gradio"
    return "static" if "index.html" in files else None


def _head(content: Any) -> str:
    if isinstance(content, Path):
        with content.open("rb") as file:
            content = file.read(65536)
    if isinstance(content, bytes):
        return content[:65536].decode("utf-8", "replace")
    return content[:65536] if isinstance(content, str) else ""


def _refused(code: str, path: str, message: str, hint: str) -> Exception:
    return invalid_input([Finding(code=code, path=path, message=message, hint=hint)])
