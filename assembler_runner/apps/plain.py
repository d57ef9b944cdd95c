"""An app as a process without a sandbox, of the account of the service: for machines on which none works."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from pathlib import Path

from assembler_runner.apps import bridge, sandbox
from assembler_runner.apps.environments import Environment
from assembler_runner.apps.plan import Plan

_PATH = "/usr/local/bin:/usr/bin:/bin"


def start_plain(
    box: sandbox.Sandbox, plan: Plan, environment: Environment, files: Path, descriptor: int
) -> subprocess.Popen[bytes]:
    """Starts an app; it ends when its standard input ends, with all that it started.

    Args:
        box: its variables and limits.
        plan: how it is run.
        environment: what it is run with.
        files: folder with its files.
        descriptor: the socket that it is reached by.
    Returns:
        The process, with one pipe for its output and its errors.
    """
    python = environment.folder / "bin" / "python"
    command = [str(python), "-I", "-S", bridge.__file__, str(descriptor), str(plan.port), "-", "0"]
    own = {"PATH": f"{environment.folder / 'bin'}:{_PATH}", "VIRTUAL_ENV": str(environment.folder)}
    return subprocess.Popen(
        [*command, *_moved(plan, environment, files)],
        env={**box.variables, **own},
        cwd=files,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        pass_fds=[descriptor],
        preexec_fn=lambda: sandbox.limit(box),  # noqa: PLW1509 - only calls of the system
        start_new_session=True,
    )


def _moved(plan: Plan, environment: Environment, files: Path) -> Sequence[str]:
    """Returns the command with paths of this machine: that of the program, and those below the app's folder."""
    inside = f"{plan.folder}/"
    program, *rest = (
        str(files / word.removeprefix(inside)) if word.startswith(inside) else word for word in plan.command
    )
    found = environment.folder / "bin" / program
    return [str(found) if "/" not in program and found.exists() else program, *rest]
