"""The Python interpreters of this machine: which one runs an app."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

OLDEST, NEWEST = 9, 15
_FACTS = "import sys; print(sys.version_info[1], sys.version.split()[0], sys.base_prefix, sep='\\n')"
_SECONDS = 20


@dataclass(frozen=True)
class Interpreter:
    """One interpreter.

    Args:
        path: the executable.
        minor: 12 for Python 3.12.
        version: the full version.
        prefix: the folder that it is installed in.
    """

    path: Path
    minor: int
    version: str
    prefix: Path

    @property
    def short(self) -> str:
        """The version as a README names it, such as `3.12`."""
        return f"3.{self.minor}"


def find_interpreter(wanted: str) -> Interpreter | None:
    """Finds the interpreter for an app: of the wanted version, else the oldest newer one, else the newest older one.

    Args:
        wanted: version, such as `3.12` or `3.12.4`; the last number is not compared.
    Returns:
        The interpreter; None if the machine has none.
    """
    minor = int(wanted.split(".")[1]) if wanted.count(".") else NEWEST
    order = [minor, *range(minor + 1, NEWEST + 1), *range(minor - 1, OLDEST - 1, -1)]
    for number in order:
        for path in _candidates(number):
            found = _inspect(str(path))
            if found is not None and found.minor == number:
                return found
    return None


def _candidates(minor: int) -> Iterator[Path]:
    name = f"python3.{minor}"
    if sys.version_info[1] == minor:
        yield Path(sys.base_exec_prefix, "bin", name)
    for folder in os.environ.get("PATH", "").split(os.pathsep):
        if folder and "shims" not in Path(folder).parts and (found := shutil.which(name, path=folder)):
            yield Path(found)
    for home in (Path.home() / ".pyenv" / "versions", Path.home() / ".local" / "share" / "uv" / "python"):
        # The newest of several patch versions first.
        yield from sorted(home.glob(f"*/bin/{name}"), reverse=True)


@cache
def _inspect(path: str) -> Interpreter | None:
    try:
        done = subprocess.run(
            [path, "-I", "-c", _FACTS], capture_output=True, text=True, timeout=_SECONDS, check=True, cwd="/"
        )
    except (OSError, subprocess.SubprocessError):
        return None
    minor, version, prefix = done.stdout.split("\n")[:3]
    # A virtual environment's own interpreter is a link into the installation.
    return Interpreter(Path(prefix, "bin", f"python3.{minor}"), int(minor), version, Path(prefix))
