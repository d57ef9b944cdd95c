"""What `assembler doctor` says of the apps of this machine: whether they run, in what, and which limits hold."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from assembler_runner.apps.container_driver import BRIDGE_IMAGE
from assembler_runner.apps.engine import Engine, EngineError, find_socket
from assembler_runner.apps.image_build import can_mount_secrets
from assembler_runner.apps.limits import DISK_SECONDS
from assembler_runner.apps.process import uses_sandbox, with_what_holds
from assembler_runner.apps.supervisor import ROUND_SECONDS
from assembler_runner.core.settings import Settings
from assembler_runner.ops.apps import where, why_not

Row = tuple[str, Literal["ok", "warning", "error"], str, str]

_KERNEL, _WATCHED = "by the kernel", "watched every {:g} s"


def checks(settings: Settings) -> Iterator[Row]:
    """Yields part, outcome, message and hint of each check.

    Args:
        settings: the settings as given.
    """
    if settings.APPS == "off":
        yield "apps", "ok", "they are not run (APPS=off)", ""
        return
    reason = why_not(settings)
    if reason is not None:
        hint = "Correct this, or set APPS=off; apps of the target local are then only stored."
        yield "apps", "error" if settings.runs_apps else "warning", f"they cannot be run: {reason}", hint
        return
    shown = f"they run {where(settings)}; network: {with_what_holds(settings).APPS_NETWORK}"
    if settings.APPS == "containers":
        yield "apps", "ok", shown, ""
        yield from _engine(settings)
        yield "apps", "ok", _limits(settings, _KERNEL, _KERNEL), ""
        return
    boxed = uses_sandbox(settings)
    hint = "" if boxed else "Install bubblewrap and set APPS_SANDBOX=required, unless you trust all apps."
    yield "apps", "ok" if boxed else "warning", shown, hint
    round_words = _WATCHED.format(ROUND_SECONDS)
    memory = f"for one process {_KERNEL}, for all together {round_words}"
    yield "apps", "ok", _limits(settings, _KERNEL if boxed else round_words, memory), ""


def _limits(settings: Settings, processes: str, memory: str) -> str:
    disk = f"for one file {_KERNEL}, for all together {_WATCHED.format(DISK_SECONDS)}"
    return (
        f"limits of one app: {settings.APPS_PIDS} processes ({processes}); {settings.APPS_MEMORY} bytes of memory "
        f"({memory}); {settings.APPS_DISK} bytes of files ({disk})"
    )


def _engine(settings: Settings) -> Iterator[Row]:
    path = find_socket(settings.APPS_ENGINE)
    if path is None:
        return
    engine = Engine(path)
    try:
        if not engine.has_image(BRIDGE_IMAGE) and engine.own_container is None:
            yield "apps", "ok", f"the image {BRIDGE_IMAGE} is not there yet and is fetched when it is needed", ""
        if not can_mount_secrets(engine):
            hint = "Install docker-buildx or docker-buildx-plugin."
            yield "apps", "warning", "images cannot read secrets while they are built: buildx is not installed", hint
    except EngineError as problem:
        yield "apps", "error", problem.message, "Check the engine and APPS_ENGINE."
    finally:
        engine.close()
