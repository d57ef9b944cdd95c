"""The installation of requirements in a sandbox with network: installing a package runs its code."""

from __future__ import annotations

import subprocess
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from assembler_runner.apps import sandbox
from assembler_runner.apps.direct import start_command
from assembler_runner.apps.environments import BuildFailed, Environment, EnvironmentCache, uv_path
from assembler_runner.apps.index_settings import index_variables, local_folders
from assembler_runner.apps.interpreters import find_interpreter
from assembler_runner.apps.plan import Plan
from assembler_runner.apps.process import Spawn, uses_sandbox
from assembler_runner.core.settings import Settings

_SCRATCH_BYTES = 2 * 2**30


def build(
    settings: Settings,
    plan: Plan,
    files: Path,
    folder: Path,
    spawn: Spawn,
    log: Callable[[str], None],
    stopped: threading.Event,
    *,
    fresh: bool = False,
    in_use: frozenset[Path] = frozenset(),
) -> Environment:
    """Returns the environment of an app, and makes it if there is none.

    Args:
        settings: the limits.
        plan: what is installed.
        files: folder with the files of the app.
        folder: the environments of the realm, and uv's cache.
        spawn: starts a sandbox.
        log: receives each line of the installation.
        stopped: ends the installation when it is set.
        fresh: install anew, even if there is an environment.
        in_use: environments that are not removed to make room.
    Raises:
        BuildFailed: the installation failed or was stopped, or there is no interpreter.
    """
    interpreter = find_interpreter(plan.python)
    if interpreter is None:
        raise BuildFailed("There is no Python on this machine to run the app.", hint="Install Python.")
    if interpreter.short != ".".join(plan.python.split(".")[:2]):
        log(f"Python {plan.python} is not available here; the app runs with {interpreter.version}.")
    uv = Path(uv_path() or "uv").resolve()
    read = {str(path): path for path in (uv, interpreter.prefix) if not path.is_relative_to("/usr")}
    read |= {str(path): path for path in local_folders(index_variables())}

    boxed = uses_sandbox(settings)

    def run(command: Sequence[str], variables: Mapping[str, str], _: Path) -> subprocess.Popen[bytes]:
        if not boxed:
            return spawn(lambda: start_command([str(uv), *command[1:]], variables, files))
        box = sandbox.Sandbox(
            read,
            {str(folder): folder, plan.folder: files},
            {**variables, "PATH": "/usr/local/bin:/usr/bin:/bin"},
            plan.folder,
            network=True,
            scratch_bytes=_SCRATCH_BYTES,
            file_bytes=settings.APPS_DISK,
        )
        return spawn(lambda: sandbox.start(box, [str(uv), *command[1:]]))

    cache = EnvironmentCache(folder, settings.APPS_CACHE_MAX, run)
    if boxed:
        sandbox.own_by_host_user(files)
    for path in cache.writable:
        path.mkdir(parents=True, exist_ok=True)
        if boxed:
            sandbox.own_by_host_user(path, recursive=False)
    place = plan.folder if boxed else None
    environment = cache.make(plan, interpreter, files, log, place=place, fresh=fresh, stopped=stopped)
    cache.prune(in_use | {environment.folder})
    return environment
