"""Where the files are that are no modules: in a clone beside the package, in a wheel inside of it."""

from __future__ import annotations

from pathlib import Path

PACKAGE = Path(__file__).resolve().parent.parent
PROJECT = PACKAGE.parent
_INSIDE = PACKAGE / "bundled"
INSTALLED = _INSIDE.is_dir()
"""Whether this is an installed wheel; setup.py copies the folder `bundled` into it."""

INSTANCE = Path("instance") if INSTALLED else PROJECT / "instance"
"""The folder of data, if none is named: a wheel's own folder is not for data."""


def bundled(name: str) -> Path:
    """Returns the place of a file or folder of the project that a wheel contains, too.

    Args:
        name: `plugins`, `migrations` or `requirements.in`.
    """
    return (_INSIDE if INSTALLED else PROJECT) / name
