"""Compiles the packages of an environment after its first app answers: apps cannot write into it themselves."""

from __future__ import annotations

import subprocess
import threading
from pathlib import Path

from assembler_runner.apps import sandbox
from assembler_runner.apps.direct import start_command
from assembler_runner.apps.environments import COMPILED, Environment
from assembler_runner.apps.process import Spawn, uses_sandbox
from assembler_runner.apps.process_tree import descendants, kill_all
from assembler_runner.core.settings import Settings


class Compilation(threading.Thread):
    """A thread that waits for the app, and compiles once.

    Args:
        settings: the limits.
        environment: the environment.
        folder: the environments of the realm.
        spawn: starts a sandbox.
        ready: is set when the app answers.
        seconds: maximum seconds to wait for that.
    """

    def __init__(
        self,
        settings: Settings,
        environment: Environment,
        folder: Path,
        spawn: Spawn,
        ready: threading.Event,
        seconds: float,
    ) -> None:
        super().__init__(name="app compile", daemon=True)
        self._settings, self._environment, self._folder, self._spawn = settings, environment, folder, spawn
        self._ready, self._seconds = ready, seconds
        self._lock = threading.Lock()
        self._ended = False
        self._process: subprocess.Popen[bytes] | None = None

    def run(self) -> None:
        """Waits, compiles, and writes down that it is done."""
        environment = self._environment.folder
        done = environment.with_name(f"{environment.name}{COMPILED}")
        if done.exists() or not self._ready.wait(self._seconds):
            return
        with self._lock:
            if self._ended:
                return
            self._process = self._start()
        # What cannot be compiled is for another Python.
        self._process.communicate()
        if not self._ended:
            done.touch()

    def end(self) -> None:
        """Stops it: afterwards nothing is written any more."""
        with self._lock:
            self._ended = True
        if self._process is not None:
            kill_all([*descendants(self._process.pid), self._process.pid])
            self.join()

    def _start(self) -> subprocess.Popen[bytes]:
        environment = self._environment
        # Neither site packages nor their .pth files are loaded: only this command runs.
        python = str(environment.folder / "bin" / "python")
        command = [python, "-I", "-S", "-m", "compileall", "-q", "-j", "1", str(environment.folder / "lib")]
        if not uses_sandbox(self._settings):
            return self._spawn(lambda: start_command(command, {}, self._folder))
        prefix = environment.interpreter.prefix
        read = {} if prefix.is_relative_to("/usr") else {str(prefix): prefix}
        box = sandbox.Sandbox(read, {str(self._folder): self._folder}, {"PATH": "/usr/bin"}, "/")
        return self._spawn(lambda: sandbox.start(box, command))
