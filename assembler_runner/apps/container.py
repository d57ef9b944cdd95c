"""One app as a container. It has a network of its own without any connection; a second container, which shares this
network, connects its port with a Unix socket that only this service can open, as the bridge of a sandbox does."""

from __future__ import annotations

import inspect
import shutil
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from assembler_runner.apps import bridge, limits
from assembler_runner.apps.engine import Engine, EngineError
from assembler_runner.apps.log_file import LINE_BYTES, LogFile
from assembler_runner.apps.readiness import is_good, status_of
from assembler_runner.core.settings import Settings

ROLE, APP, BRIDGE = "assembler.role", "app", "bridge"
SOCKET_NAME = "app.sock"

_USER, _ANYBODY = "1000:1000", "65534:65534"
_SOCKETS, _OUTGOING = "/assembler/sockets", "/assembler/outgoing"
_CHECK_SECONDS, _END_SECONDS, _AGAIN_SECONDS = 0.2, 10, 1.0
_BRIDGE_BYTES, _BRIDGE_PROCESSES = 128 * 2**20, 32
_SHARED_BYTES, _LOG_BYTES, _FILES = 256 * 2**20, "2m", 1024
_ALL_PROCESSES = 30000


def _limit(name: str, number: int) -> dict[str, Any]:
    return {"Name": name, "Soft": number, "Hard": number}


# All containers of an account share the number of its processes, so PidsLimit is what limits an app; Podman would ask
# for more than some machines allow.
_LIMITS = [_limit("core", 0), _limit("nofile", _FILES), _limit("nproc", _ALL_PROCESSES)]


@dataclass(frozen=True)
class Box:
    """What a container is made of.

    Args:
        name: its name.
        image: its image.
        bridge_image: the image of its bridge, with Python.
        marks: its labels.
        host: its host name inside.
        variables: all environment variables.
        data: the folder that it sees as `/data`.
        folder: the folder of its socket.
        outgoing: socket of the proxy for its own calls, or None.
        port: the port it listens on.
        prefix: path that it expects to be served below; empty for none.
        keeps_prefix: whether visits arrive with the path that it is served below.
        network: `none`, or the network of the engine.
    """

    name: str
    image: str
    bridge_image: str
    marks: Mapping[str, str]
    host: str
    variables: Mapping[str, str]
    data: Path
    folder: Path
    outgoing: Path | None
    port: int
    prefix: str
    keeps_prefix: bool
    network: str


def start_containers(engine: Engine, settings: Settings, box: Box) -> tuple[str, str]:
    """Starts the container of an app and its bridge.

    Args:
        engine: the engine.
        settings: the limits.
        box: what it is made of.
    Returns:
        The ids of the two.
    Raises:
        EngineError: the engine refused it; nothing is left.
    """
    found: list[str] = []
    try:
        found.append(engine.create(box.name, _app_body(engine, settings, box)))
        engine.start(found[0])
        found.append(engine.create(f"{box.name}-bridge", _bridge_body(engine, box, found[0])))
        engine.start(found[1])
    except EngineError:
        # The bridge cannot join an app that has ended at once; its log and exit code are still wanted.
        state = engine.state(found[0]) if len(found) == 2 else None
        if state is None or state["Running"]:
            for container in reversed(found):
                engine.remove(container)
            raise
    return found[0], found[1]


def _app_body(engine: Engine, settings: Settings, box: Box) -> dict[str, Any]:
    host: dict[str, Any] = {
        **_confined(box.network),
        "Memory": settings.APPS_MEMORY,
        # The same number: nothing is swapped.
        "MemorySwap": settings.APPS_MEMORY,
        "NanoCpus": settings.APPS_CPUS * 10**9,
        "PidsLimit": settings.APPS_PIDS,
        "ShmSize": _SHARED_BYTES,
        "Mounts": [_mount(engine, box.data, "/data")],
        "Ulimits": [*_LIMITS, *([_limit("fsize", settings.APPS_DISK)] if settings.APPS_DISK else [])],
    }
    if not engine.is_podman:
        host["LogConfig"] = {"Type": "json-file", "Config": {"max-size": _LOG_BYTES, "max-file": "2"}}
    return {
        "Image": box.image,
        "User": _USER,
        "Hostname": box.host[:63],
        "Env": [f"{name}={value}" for name, value in box.variables.items()],
        "Labels": {**box.marks, ROLE: APP},
        **_no_health_check(engine),
        "HostConfig": host,
    }


def _bridge_body(engine: Engine, box: Box, app: str) -> dict[str, Any]:
    mounts = [_mount(engine, box.folder, _SOCKETS)]
    if box.outgoing is not None:
        mounts.append({**_mount(engine, box.outgoing.parent, _OUTGOING), "ReadOnly": True})
    words = [
        f"{_SOCKETS}/{SOCKET_NAME}",
        str(box.port),
        f"{_OUTGOING}/{box.outgoing.name}" if box.outgoing else "-",
        "0",
    ]
    return {
        "Image": box.bridge_image,
        "User": _ANYBODY,
        "Entrypoint": ["python3", "-I", "-S", "-c", inspect.getsource(bridge)],
        "Cmd": words,
        "Env": [],
        "Labels": {**box.marks, ROLE: BRIDGE},
        **_no_health_check(engine),
        "HostConfig": {
            **_confined(f"container:{app}"),
            "ReadonlyRootfs": True,
            "Memory": _BRIDGE_BYTES,
            "PidsLimit": _BRIDGE_PROCESSES,
            "Mounts": mounts,
        },
    }


def _confined(network: str) -> dict[str, Any]:
    return {
        "NetworkMode": network,
        "Init": True,
        "CapDrop": ["ALL"],
        "SecurityOpt": ["no-new-privileges"],
        "RestartPolicy": {"Name": "no"},
        "Ulimits": _LIMITS,
    }


def _no_health_check(engine: Engine) -> dict[str, Any]:
    # Its health is what its first answer says. Podman makes a timer of systemd of it, whatever it is.
    return {} if engine.is_podman else {"Healthcheck": {"Test": ["NONE"]}}


def _mount(engine: Engine, path: Path, place: str) -> dict[str, Any]:
    return {"Type": "bind", "Source": engine.outside(path), "Target": place}


class ContainerApp:
    """A running app; see :class:`App`.

    Args:
        engine: the engine.
        settings: the limits.
        containers: ids of its container and of its bridge.
        box: what it is made of.
        log: receives its output.
        socket: where it is reached.
        since: time from which on its output is read; 0 for all of it.
    """

    def __init__(
        self,
        engine: Engine,
        settings: Settings,
        containers: tuple[str, str],
        box: Box,
        log: LogFile,
        socket: Path,
        since: float = 0,
    ) -> None:
        self._engine, self._settings, self._box, self._log = engine, settings, box, log
        self._container, self._bridge = containers
        self._socket = socket
        self._code: int | None = None
        self._ended_by: str | None = None
        self._ended, self._removed = threading.Event(), False
        self._reader = threading.Thread(target=self._follow, args=[since], name="app log", daemon=True)
        self._reader.start()

    @property
    def socket(self) -> Path:
        """See :attr:`App.socket`."""
        return self._socket

    @property
    def keeps_prefix(self) -> bool:
        """See :attr:`App.keeps_prefix`."""
        return self._box.keeps_prefix

    @property
    def artefact(self) -> str:
        """See :attr:`App.artefact`: its image."""
        return self._box.image

    @property
    def exit_code(self) -> int | None:
        """See :attr:`App.exit_code`."""
        return self._code if self._ended.is_set() else None

    @property
    def ended_by(self) -> str | None:
        """See :attr:`App.ended_by`."""
        return self._ended_by

    def answers(self) -> bool:
        """Whether it answers now."""
        path = f"{self._box.prefix if self._box.keeps_prefix else ''}/"
        return is_good(status_of(self._socket, path))

    def wait_until_ready(self, seconds: float, stopped: threading.Event) -> bool:
        """See :meth:`App.wait_until_ready`."""
        deadline = time.monotonic() + seconds
        while not self._ended.is_set() and time.monotonic() < deadline and not stopped.is_set():
            if self.answers():
                return not self._ended.is_set()
            self._ended.wait(_CHECK_SECONDS)
        return False

    def used(self) -> tuple[int, int]:
        """See :meth:`App.used`."""
        query = {"stream": "false", "one-shot": "true"}
        found = self._engine.call("GET", f"/containers/{self._container}/stats", query, missing=True) or {}
        memory = found.get("memory_stats") or {}
        files = (memory.get("stats") or {}).get("total_inactive_file") or (memory.get("stats") or {}).get(
            "inactive_file"
        )
        used = int(memory.get("usage") or 0) - int(files or 0)
        return max(0, used), int((found.get("pids_stats") or {}).get("current") or 0)

    def excess(self, *, disk: bool) -> str | None:
        """See :meth:`App.excess`: the kernel limits memory and processes; files are measured."""
        if not disk or not self._settings.APPS_DISK:
            return None
        found = self._engine.call("GET", f"/containers/{self._container}/json", {"size": "true"}, missing=True) or {}
        return limits.disk_excess(self._settings, [self._box.data], int(found.get("SizeRw") or 0))

    def stop(self, *, at_once: bool = False) -> None:
        """See :meth:`App.stop`."""
        # Engines that do not answer: what is left is removed by the next start.
        with suppress(EngineError):
            if not at_once and not self._ended.is_set():
                self._engine.stop(self._container, _END_SECONDS)
            self._ended.wait(_CHECK_SECONDS)
        self._removed = True
        for container in (self._bridge, self._container):
            with suppress(EngineError):
                self._engine.remove(container)
        self._reader.join(_END_SECONDS)
        shutil.rmtree(self._socket.parent, ignore_errors=True)

    def _follow(self, since: float) -> None:
        """Copies the output until the container has ended; learns why."""
        while not self._removed:
            with suppress(EngineError):
                self._copy(since)
            since = time.time()
            try:
                state = self._engine.state(self._container)
            except EngineError:
                # The engine is started again; its containers may live on.
                time.sleep(_AGAIN_SECONDS)
                continue
            if state is None or not state["Running"]:
                self._code = int(state["ExitCode"]) if state is not None else 137
                if state is not None and state.get("OOMKilled"):
                    self._ended_by = limits.memory_excess(self._settings)
                    self._log.write(self._ended_by)
                break
            time.sleep(_CHECK_SECONDS)
        if self._code is None:
            self._code = 137
        self._ended.set()

    def _copy(self, since: float) -> None:
        held = b""
        for piece in self._engine.log(self._container, since):
            *lines, held = (held + piece).split(b"\n")
            for line in lines:
                self._write(line)
            while len(held) > LINE_BYTES:
                self._write(held[:LINE_BYTES])
                held = held[LINE_BYTES:]
        if held:
            self._write(held)

    def _write(self, line: bytes) -> None:
        for start in range(0, max(1, len(line)), LINE_BYTES):
            self._log.write(line[start : start + LINE_BYTES].decode("utf-8", "replace").rstrip("\r"))
