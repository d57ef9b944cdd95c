"""Makes the body of `POST /spaces` from the folder of an example.

From a shell, with a service running:

    python examples/load.py examples/static-hello | curl -H "Authorization: Bearer $TOKEN" \
        -H "Content-Type: application/json" --data-binary @- http://127.0.0.1:5005/spaces
"""

from __future__ import annotations

import base64
import json
import sys
from pathlib import Path
from typing import Any


def load_example(folder: Path) -> dict[str, Any]:
    """Returns the body: `request.json` and every file below `files/`, text as text and anything else as base64.

    Args:
        folder: the folder of the example.
    """
    body: dict[str, Any] = json.loads((folder / "request.json").read_text(encoding="utf-8"))
    root = folder / "files"
    found = sorted(path for path in root.rglob("*") if path.is_file() and "__pycache__" not in path.parts)
    body["files"] = {path.relative_to(root).as_posix(): _content(path.read_bytes()) for path in found}
    return body


def _content(content: bytes) -> str | dict[str, str]:
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError:
        return {"content": base64.b64encode(content).decode("ascii"), "encoding": "base64"}


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: python examples/load.py FOLDER")
    sys.stdout.write(json.dumps(load_example(Path(sys.argv[1]))) + "\n")
