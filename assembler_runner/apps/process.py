"""One app as a process in a sandbox, reached by a Unix socket that only this service can open."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from assembler_runner.apps import bridge, limits, process_tree, sandbox
from assembler_runner.apps.environments import Environment
from assembler_runner.apps.log_file import LogFile
from assembler_runner.apps.plain import start_plain
from assembler_runner.apps.plan import LOOPBACK, Plan, on_loopback
from assembler_runner.apps.readiness import is_good, status_of
from assembler_runner.core.settings import Settings

BRIDGE, ENVIRONMENT, DATA, OUTGOING = "/assembler/bridge.py", "/assembler/env", "/data", "/assembler/outgoing"
_CHECK_SECONDS, _END_SECONDS, _BACKLOG = 0.2, 12.0, 512

Spawn = Callable[[Callable[[], "subprocess.Popen[bytes]"]], "subprocess.Popen[bytes]"]
"""Calls a function in a thread that lives as long as this process, since a sandbox ends with its thread."""


@dataclass(frozen=True)
class Frame:
    """What an app is given beside its plan.

    Args:
        name: its host name inside.
        files: folder with its files, thrown away afterwards.
        data: folder that it sees as `/data`.
        socket: where it is reached.
        outgoing: socket of the proxy for its own calls, or None.
        variables: environment variables, secrets among them.
        prefix: path that it is served below; empty for a host name of its own.
    """

    name: str
    files: Path
    data: Path
    socket: Path
    outgoing: Path | None
    variables: Mapping[str, str]
    prefix: str = ""


class AppProcess:
    """A running app.

    Args:
        settings: the limits.
        plan: how it is run.
        environment: what it is run with.
        frame: what it is given.
        log: receives its output.
        spawn: starts it.
    """

    def __init__(
        self, settings: Settings, plan: Plan, environment: Environment, frame: Frame, log: LogFile, spawn: Spawn
    ) -> None:
        self._boxed = uses_sandbox(settings)
        if not self._boxed or settings.APPS_NETWORK == "host":
            # The ports of this machine are for all apps together.
            port = _free_port()
            plan = replace(on_loopback(plan, port), port=port)
        self._settings, self._plan, self._environment, self._frame = settings, plan, environment, frame
        frame.data.mkdir(parents=True, exist_ok=True)
        listener = _listen(frame.socket)
        try:
            if self._boxed:
                self._process = _start_in_sandbox(settings, plan, environment, frame, listener.fileno(), spawn)
            else:
                box = _sandbox(settings, plan, environment, frame, listener.fileno(), _plain_variables(plan, frame))
                self._process = spawn(lambda: start_plain(box, plan, environment, frame.files, listener.fileno()))
        finally:
            listener.close()
        self.ready = threading.Event()
        assert self._process.stdout is not None
        self._reader = threading.Thread(target=log.copy, args=[self._process.stdout], name="app log", daemon=True)
        self._reader.start()

    @property
    def socket(self) -> Path:
        """See :attr:`App.socket`."""
        return self._frame.socket

    @property
    def keeps_prefix(self) -> bool:
        """See :attr:`App.keeps_prefix`."""
        return keeps_prefix(self._plan.command)

    @property
    def artefact(self) -> str:
        """See :attr:`App.artefact`: the folder of its environment."""
        return str(self._environment.folder)

    @property
    def exit_code(self) -> int | None:
        """See :attr:`App.exit_code`."""
        return self._process.poll()

    @property
    def ended_by(self) -> str | None:
        """See :attr:`App.ended_by`: here limits are watched, see :meth:`excess`."""
        return None

    def wait_until_ready(self, seconds: float, stopped: threading.Event) -> bool:
        """See :meth:`App.wait_until_ready`."""
        path = f"{self._frame.prefix if self.keeps_prefix else ''}/"
        left = seconds
        while self.exit_code is None and left > 0 and not stopped.is_set():
            if is_good(status_of(self._frame.socket, path)):
                self.ready.set()
                return self.exit_code is None
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(_CHECK_SECONDS)
            left -= _CHECK_SECONDS
        return False

    def used(self) -> tuple[int, int]:
        """See :meth:`App.used`."""
        pids = self._pids()
        return process_tree.used_memory(pids, self._settings.APPS_MEMORY), len(pids)

    def excess(self, *, disk: bool) -> str | None:
        """See :meth:`App.excess`."""
        if self._settings.APPS_MEMORY and self.used()[0] > self._settings.APPS_MEMORY:
            return limits.memory_excess(self._settings)
        if not self._boxed and len(self._pids()) > self._settings.APPS_PIDS:
            return f"Process limit exceeded ({self._settings.APPS_PIDS})"
        return limits.disk_excess(self._settings, [self._frame.data, self._frame.files]) if disk else None

    def stop(self, *, at_once: bool = False) -> None:
        """See :meth:`App.stop`: kills everything in the sandbox."""
        if self._process.stdin is not None:
            with suppress(OSError):
                self._process.stdin.close()
        if not at_once:
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(_END_SECONDS)
        # Its monitors end by themselves when all inside has ended.
        process_tree.kill_all(self._pids())
        try:
            self._process.wait(_END_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._reader.join(_END_SECONDS)
        self._frame.socket.unlink(missing_ok=True)
        shutil.rmtree(self._frame.files, ignore_errors=True)

    def _pids(self) -> list[int]:
        found = process_tree.descendants(self._process.pid)
        return process_tree.inside_sandbox(found) if self._boxed else found


def uses_sandbox(settings: Settings) -> bool:
    """Whether apps run in a sandbox: always, or where one works, or never.

    Args:
        settings: APPS_SANDBOX.
    """
    return settings.APPS_SANDBOX == "required" or (settings.APPS_SANDBOX == "preferred" and sandbox.problem() is None)


def with_what_holds(settings: Settings) -> Settings:
    """Returns the settings with the network that apps really have: without a sandbox that of this machine.

    Args:
        settings: the settings as given.
    """
    if settings.APPS == "containers" or uses_sandbox(settings):
        return settings
    return replace(settings, APPS_NETWORK="host")


def keeps_prefix(command: Sequence[str]) -> bool:
    """Whether an app that is served below a path expects that path in its requests.

    Args:
        command: what starts it.
    """
    return any(word.split()[:1] == ["streamlit"] for word in command)


def app_variables(settings: Settings, port: int, prefix: str) -> dict[str, str]:
    """Returns the environment variables that every app gets.

    Args:
        settings: the limits.
        port: the port it listens on.
        prefix: path that it is served below; empty for none.
    """
    cpus = settings.APPS_CPUS or len(os.sched_getaffinity(0))
    found = {
        "LANG": "C.UTF-8",
        "PYTHONUNBUFFERED": "1",
        "PORT": str(port),
        "ACCELERATOR": "none",
        "CPU_CORES": str(cpus),
        "OMP_NUM_THREADS": str(cpus),
        "HF_HOME": f"{DATA}/.huggingface",
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "GRADIO_ANALYTICS_ENABLED": "False",
        "MPLCONFIGDIR": "/tmp/matplotlib",  # noqa: S108 - inside
        "STREAMLIT_BROWSER_GATHER_USAGE_STATS": "false",
    }
    if settings.APPS_MEMORY:
        found["MEMORY"] = f"{settings.APPS_MEMORY // 2**30 or 1}Gi"
    if settings.APPS_NETWORK == "outgoing":
        address = f"http://127.0.0.1:{bridge.OUTGOING_PORT}"
        found |= dict.fromkeys(("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"), address)
        found |= {"NO_PROXY": "localhost,127.0.0.1", "no_proxy": "localhost,127.0.0.1"}
    if prefix:
        found |= {"GRADIO_ROOT_PATH": prefix, "STREAMLIT_SERVER_BASE_URL_PATH": prefix.strip("/")}
    return found


def _start_in_sandbox(
    settings: Settings, plan: Plan, environment: Environment, frame: Frame, descriptor: int, spawn: Spawn
) -> subprocess.Popen[bytes]:
    sandbox.own_by_host_user(frame.files, frame.data)
    box = _sandbox(settings, plan, environment, frame, descriptor, _own_variables(plan))
    command = [f"{ENVIRONMENT}/bin/python", "-I", "-S", BRIDGE, str(descriptor), str(plan.port)]
    command += [OUTGOING if frame.outgoing else "-", str(settings.APPS_PIDS), *_found(environment, plan.command)]
    return spawn(lambda: sandbox.start(box, command, ends_with_input=True))


def _plain_variables(plan: Plan, frame: Frame) -> dict[str, str]:
    kept = str(frame.data)
    return {"HOME": kept, "HF_HOME": f"{kept}/.huggingface", **plan.variables}


def _free_port() -> int:
    with socket.create_server((LOOPBACK, 0)) as found:
        return int(found.getsockname()[1])


def _own_variables(plan: Plan) -> dict[str, str]:
    place = {
        "PATH": f"{ENVIRONMENT}/bin:/usr/local/bin:/usr/bin:/bin",
        "VIRTUAL_ENV": ENVIRONMENT,
        "HOME": sandbox.HOME,
    }
    return {**place, **plan.variables}


def _system_files(folder: Path) -> dict[str, Path]:
    """Writes the files of accounts and hosts that a sandbox contains.

    Args:
        folder: where to write them.
    Returns:
        Place inside → file.
    """
    folder.mkdir(parents=True, exist_ok=True)
    texts = {
        "/etc/passwd": f"user:x:{sandbox.USER}:{sandbox.USER}::{sandbox.HOME}:/bin/sh\n",
        "/etc/group": f"user:x:{sandbox.USER}:\n",
        "/etc/hosts": "127.0.0.1 localhost\n",
    }
    found = {}
    for place, text in texts.items():
        found[place] = folder / Path(place).name
        found[place].write_text(text)
        found[place].chmod(0o644)
    return found


def _sandbox(
    settings: Settings,
    plan: Plan,
    environment: Environment,
    frame: Frame,
    descriptor: int,
    own: Mapping[str, str],
) -> sandbox.Sandbox:
    prefix = environment.interpreter.prefix
    read = {ENVIRONMENT: environment.folder, BRIDGE: Path(bridge.__file__)}
    read |= _system_files(frame.socket.parent)
    if not prefix.is_relative_to("/usr"):
        read[str(prefix)] = prefix
    if frame.outgoing is not None:
        read[OUTGOING] = frame.outgoing
    return sandbox.Sandbox(
        read,
        {plan.folder: frame.files, DATA: frame.data},
        {**app_variables(settings, plan.port, frame.prefix), **own, **frame.variables},
        plan.folder,
        frame.name,
        network=settings.APPS_NETWORK == "host",
        file_bytes=settings.APPS_DISK,
        memory_bytes=settings.APPS_MEMORY,
        cpus=settings.APPS_CPUS,
        descriptors=(descriptor,),
    )


def _found(environment: Environment, command: Sequence[str]) -> list[str]:
    """Returns the command with the program of the environment, if it has one of that name."""
    program, *rest = command
    if "/" not in program and (environment.folder / "bin" / program).exists():
        return [f"{ENVIRONMENT}/bin/{program}", *rest]
    return [program, *rest]


def _listen(path: Path) -> socket.socket:
    path.unlink(missing_ok=True)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    listener.bind(str(path))
    path.chmod(0o600)
    listener.listen(_BACKLOG)
    return listener
