"""The registry of space types: plugins from folders, git repositories and installed packages.

:meth:`Registry.add` is the only way to register a plugin. A broken plugin is listed with its error and never stops the
service.
"""

from __future__ import annotations

import hashlib
import importlib.util
import inspect
import logging
import re
import sys
import traceback
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from functools import partial
from importlib import metadata
from pathlib import Path
from types import ModuleType
from typing import Any, Literal

from packaging.version import InvalidVersion, Version

from assembler_runner.assembly import git_source
from assembler_runner.assembly.plugin_contract import probe
from assembler_runner.core.errors import AssemblerError
from assembler_runner.plugin import SpacePlugin

log = logging.getLogger(__name__)

_REPOSITORY = "git repository"
MODULE_PREFIX = "assembler_plugin_"
"""Beginning of the names of the modules of plugins from folders."""


@dataclass(frozen=True)
class PluginRecord:
    """A loaded or broken plugin.

    Args:
        name: the space type, or the package's name if the type is not known.
        version: the plugin's version, or None if it is not known.
        source: folder, package or repository of the plugin.
        state: `loaded` or `broken`.
        error: why it is broken, or None.
        note: a remark, e.g. that an older commit of its repository is used, or None.
    """

    name: str
    version: str | None
    source: str
    state: Literal["loaded", "broken"]
    error: str | None = None
    note: str | None = None


class Registry:
    """All plugins of a process; a type may have several versions."""

    def __init__(self) -> None:
        self.records: list[PluginRecord] = []
        self._plugins: dict[str, dict[Version, SpacePlugin]] = {}
        self._sources: dict[tuple[str, Version], str] = {}

    def add(self, cls: type[SpacePlugin], source: str, note: str | None = None) -> None:
        """Registers a plugin class.

        Args:
            cls: the class; its names were validated when it was defined.
            source: a description of its origin.
            note: a remark, or None.
        Raises:
            ValueError: this version of the type is already registered; names both sources.
            PluginError: the plugin violates its contract.
        """
        version = Version(cls.version)
        known = self._sources.get((cls.space_type, version))
        if known is not None:
            raise ValueError(
                f"{cls.space_type} {version} is already registered from {known}; change the version or remove one"
            )
        plugin = cls()
        probe(plugin)
        self._plugins.setdefault(cls.space_type, {})[version] = plugin
        self._sources[cls.space_type, version] = source
        self.records.append(PluginRecord(cls.space_type, str(version), source, "loaded", note=note))

    def replace_with(self, other: Registry) -> None:
        """Takes over the plugins of another registry."""
        self.records, self._plugins, self._sources = other.records, other._plugins, other._sources

    def get(self, name: str) -> SpacePlugin | None:
        """Returns the plugin of a type.

        Args:
            name: `gradio` for the newest version, `gradio@1.2.0` for a specific one.
        Returns:
            The plugin, or None.
        """
        space_type, at, wanted = name.partition("@")
        versions = self._plugins.get(space_type)
        if not versions:
            return None
        if not at:
            return versions[_newest(versions)]
        try:
            return versions.get(Version(wanted))
        except InvalidVersion:
            return None

    def versions(self, space_type: str) -> list[str]:
        """Returns the versions of a type, the newest first."""
        return [str(version) for version in sorted(self._plugins.get(space_type, {}), reverse=True)]

    def all(self) -> list[SpacePlugin]:
        """Returns every version of every type, in order of name and version."""
        return [
            plugin
            for _, versions in sorted(self._plugins.items())
            for _, plugin in sorted(versions.items(), key=_first)
        ]

    def types(self) -> list[SpacePlugin]:
        """Returns the newest version of each type, in order of name."""
        return [versions[_newest(versions)] for _, versions in sorted(self._plugins.items())]

    def add_note(self, plugin: SpacePlugin, note: str) -> None:
        """Adds a note to the record of a plugin, and logs it as an error."""
        log.error("plugin %s %s: %s", plugin.space_type, plugin.version, note)
        known = (plugin.space_type, str(Version(plugin.version)))
        self.records = [
            replace(record, note=note) if (record.name, record.version, record.state) == (*known, "loaded") else record
            for record in self.records
        ]

    def load_folders(self, folders: Iterable[Path]) -> None:
        """Loads all packages of several folders; see :meth:`load_folder`."""
        for folder in folders:
            self.load_folder(folder)

    def load_folder(self, folder: Path) -> None:
        """Loads every package (folder with `__init__.py`) directly inside a folder, in order of name.

        A package that cannot be loaded becomes a record with state `broken` and is logged.
        """
        if not folder.is_dir():
            self._broken(folder.name, None, str(folder), "the plugin folder does not exist")
            return
        for package in _packages(folder):
            self._load(package.name, str(package), partial(_import_package, package))

    def load_git(self, lines: Iterable[str], folder: Path, protocols: frozenset[str]) -> None:
        """Loads plugins from git repositories; an unusable line becomes a record with state `broken`.

        Args:
            lines: lines of the form `git+URL[@ref][#subdirectory=dir]`.
            folder: the folder for checkouts.
            protocols: the allowed protocols.
        """
        for line in lines:
            shown = git_source.shown(line)
            try:
                parsed = git_source.parse(line, protocols)
                shown = parsed.shown
                checkout = git_source.check_out(parsed, folder)
            except AssemblerError as problem:
                self._broken(_REPOSITORY, None, shown, f"{problem.message} {problem.hint or ''}".strip())
                continue
            source = f"{shown} at {checkout.commit}"
            if checkout.note:
                log.warning("plugins from %s: %s", shown, checkout.note)
            packages = _packages(checkout.folder)
            if not packages:
                self._broken(_REPOSITORY, None, source, "the folder contains no package (folder with __init__.py)")
            for package in packages:
                self._load(package.name, f"{source}, {package.name}", partial(_import_package, package), checkout.note)

    def load_entry_points(self, group: str = "assembler_runner.plugins") -> None:
        """Loads plugins of installed distributions; an entry point names a class or a module with classes."""
        for point in sorted(metadata.entry_points(group=group), key=lambda point: point.name):
            offered_by = f"{point.dist.name} {point.dist.version}" if point.dist else "unknown"
            self._load(point.name, f"installed package {offered_by}, entry point {point.name}", point.load)

    def _load(self, name: str, source: str, read: Callable[[], Any], note: str | None = None) -> None:
        try:
            found = read()
            classes: list[Any] = [found] if inspect.isclass(found) else _plugin_classes(found)
        # A plugin's module may raise anything, even SystemExit, which must not stop the service.
        except BaseException as problem:
            if isinstance(problem, KeyboardInterrupt):
                raise
            self._broken(name, None, source, reason(problem))
            return
        if not classes or not all(issubclass(cls, SpacePlugin) and hasattr(cls, "space_type") for cls in classes):
            self._broken(name, None, source, "it contains no subclass of SpacePlugin with a space_type")
            return
        for cls in classes:
            try:
                self.add(cls, source, note)
            except (Exception, SystemExit) as problem:  # noqa: BLE001 - a plugin's constructor may raise anything
                self._broken(cls.space_type, cls.version, source, reason(problem))

    def _broken(self, name: str, version: str | None, source: str, error: str) -> None:
        log.error("plugin %s from %s is broken: %s", name, source, error)
        self.records.append(PluginRecord(name, version, source, "broken", error))


def reason(problem: BaseException) -> str:
    """Describes an exception with its location in the plugin, for operator and author; not shown to callers.

    Args:
        problem: what the plugin raised, or the error made of it.
    """
    if isinstance(problem, AssemblerError):
        cause = problem.__cause__
        return problem.message if cause is None else f"{problem.message} {reason(cause)}"
    text = f"{type(problem).__name__}: {problem}"
    if isinstance(problem, SyntaxError):
        return text
    own_folder = str(Path(__file__).parent.parent)
    frames = [frame for frame in traceback.extract_tb(problem.__traceback__) if Path(frame.filename).is_file()]
    theirs = [frame for frame in frames if not frame.filename.startswith(own_folder)]
    return f"{text} ({Path(theirs[-1].filename).name}, line {theirs[-1].lineno})" if theirs else text


def _packages(folder: Path) -> list[Path]:
    """Returns the packages directly in a folder, without hidden ones, or the folder itself if it is a package."""
    if (folder / "__init__.py").is_file():
        return [folder]
    packages = (path for path in folder.iterdir() if (path / "__init__.py").is_file())
    return sorted(path for path in packages if not path.name.startswith("."))


def _first(pair: tuple[Version, SpacePlugin]) -> Version:
    return pair[0]


def _newest(versions: Iterable[Version]) -> Version:
    """Returns the newest release; a pre-release only if there is no release (PEP 440)."""
    known = list(versions)
    return max([version for version in known if not version.is_prerelease] or known)


def _import_package(package: Path) -> ModuleType:
    # The folder is part of the name, because two plugin folders may contain packages with the same name.
    place = hashlib.sha256(str(package.resolve()).encode()).hexdigest()[:12]
    name = f"{MODULE_PREFIX}{place}_{re.sub(r'[^0-9A-Za-z_]', '_', package.name)}"
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
