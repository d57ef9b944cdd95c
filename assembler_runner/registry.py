"""The space types this service knows: plugins found in folders, checked, and looked up by name.

Only :meth:`Registry.add` registers. A broken plugin is listed with its error and never stops the service.
"""

from __future__ import annotations

import importlib.util
import inspect
import logging
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Literal

from packaging.version import Version

from assembler_runner.plugin import SpacePlugin

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class PluginRecord:
    """One plugin that was found.

    Args:
        name: the space type, or the package's name where it could not be read.
        version: the plugin's version, or None where it could not be read.
        source: where it was found.
        state: `loaded` or `broken`.
        error: why it is broken, or None.
    """

    name: str
    version: str | None
    source: str
    state: Literal["loaded", "broken"]
    error: str | None = None


class Registry:
    """All plugins of one process, several versions of a type side by side."""

    def __init__(self) -> None:
        self.records: list[PluginRecord] = []
        self._plugins: dict[str, dict[Version, SpacePlugin]] = {}
        self._sources: dict[tuple[str, Version], str] = {}

    def add(self, cls: type[SpacePlugin], source: str) -> None:
        """Registers one plugin class.

        Args:
            cls: the class; its names were checked when it was defined.
            source: where it comes from, for people.
        Raises:
            ValueError: where type and version are there already, naming both sources.
        """
        version = Version(cls.version)
        known = self._sources.get((cls.space_type, version))
        if known is not None:
            raise ValueError(
                f"{cls.space_type} {version} is there already, from {known}; change the version or remove one"
            )
        self._plugins.setdefault(cls.space_type, {})[version] = cls()
        self._sources[cls.space_type, version] = source
        self.records.append(PluginRecord(cls.space_type, str(version), source, "loaded"))

    def get(self, name: str) -> SpacePlugin | None:
        """Looks a type up.

        Args:
            name: `gradio` for the newest version, `gradio@1.2.0` for that one.
        Returns:
            The plugin, or None where there is none.
        """
        space_type, _, wanted = name.partition("@")
        versions = self._plugins.get(space_type)
        if not versions:
            return None
        if not wanted:
            return versions[max(versions)]
        return next((plugin for version, plugin in versions.items() if str(version) == wanted), None)

    def types(self) -> list[SpacePlugin]:
        """Returns the newest version of each type, in order of name."""
        return [versions[max(versions)] for _, versions in sorted(self._plugins.items())]

    def load_folders(self, folders: Iterable[Path]) -> None:
        """Loads every package directly inside each of the folders; see :meth:`load_folder`."""
        for folder in folders:
            self.load_folder(folder)

    def load_folder(self, folder: Path) -> None:
        """Loads every package (folder with `__init__.py`) directly inside a folder, in order of name.

        A package that cannot be loaded becomes a record with state `broken`, and one log line.
        """
        if not folder.is_dir():
            self._broken(folder.name, None, str(folder), "the plugin folder does not exist")
            return
        for package in sorted(path for path in folder.iterdir() if (path / "__init__.py").is_file()):
            self._load_package(package)

    def _load_package(self, package: Path) -> None:
        source = str(package)
        try:
            module = _import_package(package)
        # A stranger's module may raise anything at all, SystemExit included; none of it may stop the service.
        except BaseException as problem:
            if isinstance(problem, KeyboardInterrupt):
                raise
            self._broken(package.name, None, source, f"{type(problem).__name__}: {problem}")
            return
        classes = _plugin_classes(module)
        if not classes:
            self._broken(package.name, None, source, "it holds no subclass of SpacePlugin with a space_type")
        for cls in classes:
            try:
                self.add(cls, source)
            # The constructor is the stranger's, too.
            except Exception as problem:  # noqa: BLE001
                self._broken(cls.space_type, cls.version, source, f"{type(problem).__name__}: {problem}")

    def _broken(self, name: str, version: str | None, source: str, error: str) -> None:
        log.error("plugin %s from %s is broken: %s", name, source, error)
        self.records.append(PluginRecord(name, version, source, "broken", error))


def _import_package(package: Path) -> ModuleType:
    # The folder is part of the name: two plugin folders may hold packages of one name.
    name = f"assembler_plugins_{abs(hash(str(package.resolve().parent))):x}_{package.name}"
    if name in sys.modules:
        return sys.modules[name]
    spec = importlib.util.spec_from_file_location(
        name, package / "__init__.py", submodule_search_locations=[str(package)]
    )
    if spec is None or spec.loader is None:
        raise ImportError(f"{package} cannot be imported")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module


def _plugin_classes(module: ModuleType) -> list[type[SpacePlugin]]:
    own = (module.__name__, module.__name__ + ".")
    found = [
        cls
        for _, cls in inspect.getmembers(module, inspect.isclass)
        if issubclass(cls, SpacePlugin)
        and hasattr(cls, "space_type")
        and (cls.__module__ == own[0] or cls.__module__.startswith(own[1]))
    ]
    return sorted(found, key=lambda cls: (cls.space_type, cls.__name__))
