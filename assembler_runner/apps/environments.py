"""Virtual environments of apps: made by uv, shared by all apps with the same requirements, read-only for apps.

An environment is made aside and renamed, so that a failed installation leaves nothing.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import platform
import shutil
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from assembler_runner.apps.index_settings import index_variables
from assembler_runner.apps.interpreters import Interpreter
from assembler_runner.apps.plan import Plan
from assembler_runner.core.errors import AssemblerError

RESOLVED = "assembler-resolved.txt"
"""File of an environment with the versions of all installed packages."""

COMPILED = ".compiled"
"""End of the name of a file beside an environment whose packages were compiled."""

_USED, _ASIDE, _LOCKS, _UV = ".used", "aside", "locks", "uv"
_FRESH_SECONDS = 3600.0
_OVERHEAD = "/usr/bin:/bin"

Run = Callable[[Sequence[str], Mapping[str, str], Path], "subprocess.Popen[bytes]"]
"""Starts a command with an environment in a folder, with one pipe for all its output."""


class BuildFailed(AssemblerError):
    """The requirements of an app could not be installed; the log says why."""

    code = "build_failed"
    default_message = "The requirements of the app could not be installed."
    default_hint = "Read the build log."


@dataclass(frozen=True)
class Environment:
    """An environment that is ready.

    Args:
        folder: its folder.
        interpreter: the interpreter it is made of.
        resolved: all installed packages with their versions, one a line.
    """

    folder: Path
    interpreter: Interpreter
    resolved: str


def uv_path() -> str | None:
    """Returns the path of uv; None if it is not installed."""
    beside = Path(sys.executable).parent / "uv"
    return str(beside) if beside.exists() else shutil.which("uv")


class EnvironmentCache:
    """The environments in a folder.

    Args:
        folder: the folder; uv's own cache is in it as well, so that files are linked, not copied.
        most_bytes: size from which the least recently used environments are removed; 0 for no limit.
        run: starts a command of the installation.
    """

    def __init__(self, folder: Path, most_bytes: int, run: Run) -> None:
        self._folder, self._most_bytes, self._run = folder, most_bytes, run

    def make(
        self,
        plan: Plan,
        interpreter: Interpreter,
        files: Path,
        log: Callable[[str], None],
        *,
        place: str | None = None,
        fresh: bool = False,
        stopped: threading.Event | None = None,
    ) -> Environment:
        """Returns the environment of an app, and makes it if there is none.

        Args:
            plan: what is installed.
            interpreter: the interpreter.
            files: folder with the files of the app.
            log: receives each line of the installation.
            place: the folder as the installation sees it; None for the same.
            fresh: install anew, even if there is an environment.
            stopped: ends the installation when it is set.
        Raises:
            BuildFailed: the installation failed or was stopped.
        """
        key = environment_key(plan, interpreter, files, place)
        done = self._folder / key
        with self._locked(key):
            if fresh or not (done / RESOLVED).exists():
                self._install(plan, interpreter, files, done, log, stopped or threading.Event())
            else:
                log(f"The requirements are installed already, for Python {interpreter.version}.")
        with suppress(OSError):
            (self._folder / f"{key}{_USED}").touch()
        return Environment(done, interpreter, (done / RESOLVED).read_text())

    @property
    def writable(self) -> list[Path]:
        """The folders that an installation writes to."""
        return [self._folder, self._folder / _UV, self._folder / _ASIDE]

    def prune(self, in_use: frozenset[Path] = frozenset()) -> None:
        """Removes the least recently used environments until the limit is kept.

        Args:
            in_use: environments that apps run with.
        """
        for left in _children(self._folder / _ASIDE):
            if left.stat().st_mtime < time.time() - _FRESH_SECONDS:
                shutil.rmtree(left, ignore_errors=True)
        if not self._most_bytes:
            return
        found = [path for path in _children(self._folder) if (path / RESOLVED).exists()]
        found.sort(key=self._last_used)
        sizes = {path: _size(path) for path in found}
        total = sum(sizes.values())
        for path in found:
            if total <= self._most_bytes:
                break
            if path not in in_use:
                total -= sizes[path]
                self._remove(path)

    def _last_used(self, folder: Path) -> float:
        try:
            return folder.with_name(f"{folder.name}{_USED}").stat().st_mtime
        except FileNotFoundError:
            return 0.0

    def _remove(self, folder: Path) -> None:
        away = self._aside()
        with suppress(FileNotFoundError):
            folder.rename(away)
        shutil.rmtree(away, ignore_errors=True)
        for end in (_USED, COMPILED):
            folder.with_name(f"{folder.name}{end}").unlink(missing_ok=True)

    def _aside(self) -> Path:
        return self._folder / _ASIDE / uuid.uuid4().hex

    @contextmanager
    def _locked(self, key: str) -> Iterator[None]:
        locks = self._folder / _LOCKS
        locks.mkdir(parents=True, exist_ok=True)
        with (locks / key[:2]).open("ab") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield

    def _install(
        self,
        plan: Plan,
        interpreter: Interpreter,
        files: Path,
        done: Path,
        log: Callable[[str], None],
        stopped: threading.Event,
    ) -> None:
        uv = uv_path()
        if uv is None:
            raise BuildFailed("uv is not installed.", hint="Install it: python -m pip install uv")
        aside = self._aside()
        aside.parent.mkdir(parents=True, exist_ok=True)
        log(f"Python {interpreter.version}.")
        try:
            venv = [uv, "venv", "--quiet", "--relocatable", "--python", str(interpreter.path), str(aside)]
            self._call(venv, files, log, stopped)
            python = str(aside / "bin" / "python")
            for step in plan.steps:
                named = [word for path in step.files for word in ("-r", path)] + list(step.packages)
                if named:
                    log(f"pip install {' '.join(named)}")
                    self._call([uv, "pip", "install", "--no-progress", "--python", python, *named], files, log, stopped)
            lines: list[str] = []
            self._call([uv, "pip", "freeze", "--quiet", "--python", python], files, lines.append, stopped)
            (aside / RESOLVED).write_text("".join(f"{line}\n" for line in lines))
            self._remove(done)
            aside.rename(done)
        finally:
            shutil.rmtree(aside, ignore_errors=True)

    def _call(self, command: Sequence[str], files: Path, log: Callable[[str], None], stopped: threading.Event) -> None:
        process = self._run(command, build_variables(self._folder), files)
        assert process.stdout is not None
        ended = threading.Event()

        def end_early() -> None:
            while not ended.wait(0.2):
                if stopped.is_set():
                    process.kill()
                    return

        watcher = threading.Thread(target=end_early, name="build", daemon=True)
        watcher.start()
        try:
            with process.stdout as output:
                for line in output:
                    log(line.decode("utf-8", "replace").rstrip("\r\n"))
            code = process.wait()
        except BaseException:
            process.kill()
            process.wait()
            raise
        finally:
            ended.set()
        if stopped.is_set():
            raise BuildFailed("The installation was stopped.")
        if code:
            raise BuildFailed


def build_variables(folder: Path) -> dict[str, str]:
    """Returns the whole environment of an installation: of the caller's own only what concerns indexes.

    Args:
        folder: the folder of the environments.
    """
    return {
        "PATH": os.environ.get("PATH", _OVERHEAD),
        "HOME": str(folder),
        "LANG": "C.UTF-8",
        "UV_CACHE_DIR": str(folder / _UV),
        "UV_NO_CONFIG": "1",
        "UV_PYTHON_DOWNLOADS": "never",
        **index_variables(),
    }


def environment_key(plan: Plan, interpreter: Interpreter, files: Path, place: str | None = None) -> str:
    """Returns the key of an environment: equal for apps that install the same.

    Args:
        plan: what is installed.
        interpreter: the interpreter.
        files: folder with the files of the app.
        place: the folder as the installation sees it; None for the same.
    """
    recipe: list[object] = [interpreter.version, str(interpreter.prefix), platform.machine()]
    for step in plan.steps:
        recipe.append([[path, _digest(files / path)] for path in step.files] + list(step.packages))
    if plan.local_requirements:
        # Requirements that name files of the app depend on all of them, and on where they are.
        paths = sorted(path for path in files.rglob("*") if path.is_file())
        recipe.append([place or str(files), *([str(path.relative_to(files)), _digest(path)] for path in paths)])
    return hashlib.sha256(json.dumps(recipe).encode()).hexdigest()[:32]


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _children(folder: Path) -> list[Path]:
    try:
        return list(folder.iterdir())
    except FileNotFoundError:
        return []


def _size(folder: Path) -> int:
    total = 0
    for root, _, names in os.walk(folder):
        for name in names:
            with suppress(OSError):
                total += (Path(root) / name).lstat().st_size
    return total
