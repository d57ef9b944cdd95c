"""Which driver runs the apps."""

from __future__ import annotations

from assembler_runner.apps.base import Driver
from assembler_runner.apps.container_driver import ContainerDriver
from assembler_runner.apps.engine import Engine, EngineError, find_socket
from assembler_runner.apps.process import with_what_holds
from assembler_runner.apps.process_driver import ProcessDriver
from assembler_runner.core.settings import Settings
from assembler_runner.targets.local.app_files import AppFiles


def make_driver(settings: Settings, files: AppFiles, *, in_this_thread: bool = False) -> Driver:
    """Returns the driver that the settings name.

    Args:
        settings: APPS and the limits.
        files: where the files of apps are.
        in_this_thread: whether sandboxes are started by the calling thread, which they end with.
    Raises:
        EngineError: there is no container engine.
    """
    if settings.APPS != "containers":
        return ProcessDriver(with_what_holds(settings), files, in_this_thread=in_this_thread)
    path = find_socket(settings.APPS_ENGINE)
    if path is None:
        raise EngineError("there is no socket that this account may use")
    return ContainerDriver(settings, Engine(path), files)
