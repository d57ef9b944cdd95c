"""The file .assembler.json of a folder: its Spaces, its type, and the values of its parameters."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from assembler_client.folder import REMEMBERED


def read(folder: Path) -> dict[str, Any]:
    """Returns what is remembered of a folder; empty if there is nothing.

    Args:
        folder: the folder.
    Returns:
        `spaces` (service → id of its Space), `space_type` and `parameters`, each only if remembered.
    """
    try:
        kept = json.loads((folder / REMEMBERED).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    kinds = {"spaces": dict, "space_type": str, "parameters": dict}
    found = kept if isinstance(kept, dict) else {}
    return {name: found[name] for name, kind in kinds.items() if isinstance(found.get(name), kind)}


def write(folder: Path, **changes: Any) -> None:
    """Changes single values of the file; the others stay.

    Args:
        folder: the folder.
        changes: the new values.
    """
    text = json.dumps({**read(folder), **changes}, indent=1, ensure_ascii=False) + "\n"
    (folder / REMEMBERED).write_text(text, encoding="utf-8")


def completed(source: Any, fields: Mapping[str, Any]) -> dict[str, Any]:
    """Adds the type and the parameters that a folder remembers to the fields of a request.

    Args:
        source: a source of files; only a single folder remembers something.
        fields: the fields; parameters among them take precedence, one by one.
    Returns:
        The fields.
    """
    folder = _folder(source)
    if folder is None or "template" in fields or fields.get("mode") == "merge":
        return dict(fields)
    kept = read(folder)
    added: dict[str, Any] = {"space_type": kept["space_type"]} if "space_type" in kept else {}
    given = fields.get("parameters")
    if "parameters" in kept and (given is None or isinstance(given, Mapping)):
        added["parameters"] = {**kept["parameters"], **(given or {})}
    return {**added, **fields, **{name: value for name, value in added.items() if name == "parameters"}}


def _folder(source: Any) -> Path | None:
    if isinstance(source, (str, Path)):
        path = Path(source)
    elif isinstance(source, (list, tuple)) and len(source) == 1:
        path = Path(source[0])
    else:
        return None
    return path if path.is_dir() else None
