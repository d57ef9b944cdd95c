"""Contents of local files as JSON."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from assembler_client.types import FileContent

ARCHIVES = (".zip", ".tar", ".tar.gz", ".tgz", ".tar.zst")


def is_archive(path: Path) -> bool:
    """Whether the name of a file is that of an archive."""
    return path.name.lower().endswith(ARCHIVES)


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
