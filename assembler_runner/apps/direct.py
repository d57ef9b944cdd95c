"""An app as a plain process of the caller, on the loopback interface: for `assembler try`."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from assembler_runner.apps.environments import Environment
from assembler_runner.apps.plan import LOOPBACK, Plan
from assembler_runner.apps.process_tree import adopt_orphans, descendants, end_with_parent, kill_all
from assembler_runner.apps.readiness import is_good, status_of

_KEPT = ("PATH", "HOME", "LANG", "LC_ALL", "TERM", "TMPDIR", "SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE")
_CHECK_SECONDS, _END_SECONDS = 0.2, 5.0


def start_command(command: Sequence[str], variables: Mapping[str, str], folder: Path) -> subprocess.Popen[bytes]:
    """Starts a command without a sandbox, with one pipe for its output and its errors."""
    return subprocess.Popen(
        list(command),
        env=dict(variables),
        cwd=folder,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
        preexec_fn=end_with_parent,  # noqa: PLW1509 - one call of the system
    )


class DirectApp:
    """A running app; ends with the context.

    Args:
        plan: how it is run, on the loopback interface.
        environment: what it is run with.
        files: folder with its files.
        ports: where it may answer, the wanted one first.
        variables: further environment variables, secrets among them.
        log: receives each line of its output.
    """

    def __init__(
        self,
        plan: Plan,
        environment: Environment,
        files: Path,
        ports: Sequence[int],
        variables: Mapping[str, str],
        log: Callable[[str], None],
    ) -> None:
        adopt_orphans()
        self._others = frozenset(descendants(os.getpid()))
        self._ports = ports
        self._seconds = plan.start_seconds
        kept = {name: os.environ[name] for name in _KEPT if name in os.environ}
        path = f"{environment.folder / 'bin'}{os.pathsep}{kept.get('PATH', os.defpath)}"
        own = {"PYTHONUNBUFFERED": "1", "GRADIO_ANALYTICS_ENABLED": "False", "HF_HUB_DISABLE_TELEMETRY": "1"}
        known = {**kept, **own, **plan.variables, **variables, "PATH": path, "VIRTUAL_ENV": str(environment.folder)}
        # The program is looked up in the environment of the app, not in ours.
        self._process = start_command(["/usr/bin/env", *plan.command], known, files)
        self._reader = threading.Thread(target=self._read, args=[log], name="log", daemon=True)
        self._reader.start()

    def __enter__(self) -> DirectApp:
        return self

    def __exit__(self, *problem: object) -> None:
        self.stop()

    def wait_until_ready(self) -> int | None:
        """Waits until the app answers.

        Returns:
            The port; None if the app ended, or did not answer in time.
        """
        deadline = time.monotonic() + self._seconds
        while self._process.poll() is None and time.monotonic() < deadline:
            for port in self._ports:
                if is_good(status_of((LOOPBACK, port))) and self._process.poll() is None:
                    return port
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(_CHECK_SECONDS)
        return None

    def wait(self) -> int:
        """Waits until the app ends; returns its exit code."""
        code = self._process.wait()
        self._reader.join(_END_SECONDS)
        return code

    @property
    def exit_code(self) -> int | None:
        """The exit code; None while it runs."""
        return self._process.poll()

    def stop(self) -> None:
        """Ends the app and all that it started: asks first, then kills."""
        if self._process.poll() is None:
            with suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGTERM)
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(_END_SECONDS)
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)
        # Orphans of the app became children of this process.
        kill_all([pid for pid in descendants(os.getpid()) if pid not in self._others])
        self._process.wait()
        self._reader.join(_END_SECONDS)

    def _read(self, log: Callable[[str], None]) -> None:
        assert self._process.stdout is not None
        with self._process.stdout as output:
            for line in output:
                log(line.decode("utf-8", "replace").rstrip("\r\n"))
