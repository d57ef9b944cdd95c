"""Hot reload of plugins in debug mode: a changed file of a plugin folder is used from the next call on."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Sequence
from pathlib import Path

from assembler_runner.assembly.registry import MODULE_PREFIX, Registry

State = frozenset[tuple[str, int, int]]


class PluginReloader:
    """Loads all plugins anew when a file below one of the folders has changed.

    Args:
        registry: the registry in use; its contents are replaced.
        folders: the folders to watch.
        load: makes a new registry from the same sources.
    """

    def __init__(self, registry: Registry, folders: Sequence[Path], load: Callable[[], Registry]) -> None:
        self._registry = registry
        self._folders = folders
        self._load = load
        self._lock = threading.Lock()
        self._seen = self._state()

    def before_call(self) -> None:
        """Reloads if something has changed."""
        with self._lock:
            state = self._state()
            if state == self._seen:
                return
            self._seen = state
            for name in [name for name in sys.modules if name.startswith(MODULE_PREFIX)]:
                del sys.modules[name]
            self._registry.replace_with(self._load())

    def _state(self) -> State:
        found = set()
        for folder in self._folders:
            for path in folder.rglob("*") if folder.is_dir() else ():
                if "__pycache__" in path.parts:
                    continue
                try:
                    known = path.stat()
                except OSError:
                    continue
                found.add((str(path), known.st_mtime_ns, known.st_size))
        return frozenset(found)
