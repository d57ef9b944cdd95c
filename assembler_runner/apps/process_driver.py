"""Apps as processes in a sandbox, with requirements that uv installs."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from assembler_runner.apps import limits
from assembler_runner.apps.base import App, Left, Order
from assembler_runner.apps.builder import build
from assembler_runner.apps.compilation import Compilation
from assembler_runner.apps.environments import Environment
from assembler_runner.apps.log_file import LogFile
from assembler_runner.apps.plan import Plan, make_plan
from assembler_runner.apps.process import AppProcess, Frame, Spawn
from assembler_runner.apps.working_folder import write_tree
from assembler_runner.core.settings import Settings
from assembler_runner.files.tree import SpaceFile
from assembler_runner.targets.local.app_files import AppFiles


class ProcessDriver:
    """See :class:`Driver`.

    Args:
        settings: the limits.
        files: where the files of apps are.
        in_this_thread: whether sandboxes are started by the calling thread, which they end with.
    """

    def __init__(self, settings: Settings, files: AppFiles, *, in_this_thread: bool = False) -> None:
        self._settings, self._files = settings, files
        # A sandbox ends with the thread that made it; this one lives as long as the process.
        self._spawner = None if in_this_thread else ThreadPoolExecutor(1, "app spawner")
        self._compilations: list[Compilation] = []
        self._lock = threading.Lock()

    def sockets(self, folder: Path) -> Path:
        """See :meth:`Driver.sockets`."""
        return folder

    def prepare(self, order: Order, tree: Mapping[str, SpaceFile]) -> ProcessWork:
        """See :meth:`Driver.prepare`."""
        plan = make_plan(tree, self._settings.APPS_START_TIMEOUT)
        # A first run before publishing ends at once, and with it what its thread has started.
        compiles = self._compile if self._spawner is not None else None
        return ProcessWork(self._settings, order, tree, plan, self._spawn, compiles)

    def take_over(self, sockets: Path) -> list[Left]:
        """See :meth:`Driver.take_over`: sandboxes end with the process that made them."""
        return []

    def cache_bytes(self) -> dict[str, int]:
        """See :meth:`Driver.cache_bytes`."""
        cache = self._files.cache
        return {path.name: limits.size_of(path) for path in cache.iterdir()} if cache.exists() else {}

    def forget(self, app_id: str) -> None:
        """See :meth:`Driver.forget`: environments are shared, and removed when there is no room."""

    def close(self) -> None:
        """See :meth:`Driver.close`."""
        for compilation in self._compilations:
            compilation.end()
        if self._spawner is not None:
            self._spawner.shutdown(wait=False)

    def _compile(self, environment: Environment, folder: Path, ready: threading.Event, seconds: float) -> None:
        compilation = Compilation(self._settings, environment, folder, self._spawn, ready, seconds)
        compilation.start()
        with self._lock:
            self._compilations = [*(each for each in self._compilations if each.is_alive()), compilation]

    def _spawn(self, start: Callable[[], Any]) -> Any:
        return start() if self._spawner is None else self._spawner.submit(start).result()


class ProcessWork:
    """See :class:`Work`.

    Args:
        settings: the limits.
        order: what is to be started.
        tree: its files.
        plan: how it is run.
        spawn: starts a sandbox.
        compiles: compiles its packages once it answers; None for not at all.
    """

    def __init__(
        self,
        settings: Settings,
        order: Order,
        tree: Mapping[str, SpaceFile],
        plan: Plan,
        spawn: Spawn,
        compiles: Callable[[Environment, Path, threading.Event, float], None] | None,
    ) -> None:
        self._compiles = compiles
        self._settings, self._order, self._tree, self._plan, self._spawn = settings, order, tree, plan, spawn
        self._environment: Environment | None = None

    @property
    def start_seconds(self) -> float:
        """See :attr:`Work.start_seconds`."""
        return self._plan.start_seconds

    @property
    def resolved(self) -> list[str] | None:
        """See :attr:`Work.resolved`."""
        return self._environment.resolved.splitlines() if self._environment is not None else None

    def build(self, log: Callable[[str], None], stopped: threading.Event) -> None:
        """See :meth:`Work.build`."""
        order = self._order
        write_tree(self._tree, order.folder)
        if self._plan.packages_txt:
            log("packages.txt is not used here: the app has the programs of this machine.")
        in_use = frozenset(map(Path, order.in_use))
        self._environment = build(
            self._settings,
            self._plan,
            order.folder,
            order.cache,
            self._spawn,
            log,
            stopped,
            fresh=order.fresh,
            in_use=in_use,
        )

    def start(self, log: LogFile) -> App:
        """See :meth:`Work.start`."""
        order = self._order
        assert self._environment is not None
        variables = {**order.variables, **order.secrets}
        frame = Frame(order.name, order.folder, order.data, order.socket, order.outgoing, variables, order.prefix)
        app = AppProcess(self._settings, self._plan, self._environment, frame, log, self._spawn)
        if self._compiles is not None:
            self._compiles(self._environment, order.cache, app.ready, self.start_seconds)
        return app
