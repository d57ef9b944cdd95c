"""Running apps in `assembler serve`: whether they run, and the start of the supervisor."""

from __future__ import annotations

import fcntl
import signal
import socket
import tempfile
import threading
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

from flask import Flask

from assembler_runner.apps import sandbox
from assembler_runner.apps.container_driver import OUTGOING_FOLDER
from assembler_runner.apps.drivers import make_driver
from assembler_runner.apps.engine import engine_problem, find_socket
from assembler_runner.apps.environments import uv_path
from assembler_runner.apps.process import uses_sandbox, with_what_holds
from assembler_runner.apps.proxy_process import ProxyProcess, open_port
from assembler_runner.apps.realms import ids_of_realms, realms_of_spaces
from assembler_runner.apps.supervisor import FOLDER_PREFIX, Supervisor
from assembler_runner.core.database import db
from assembler_runner.core.errors import SettingsError
from assembler_runner.core.settings import Settings
from assembler_runner.services import EXTENSION, Services


def why_not(settings: Settings) -> str | None:
    """Returns why apps cannot run on this machine; None if they can.

    Args:
        settings: the settings as given.
    """
    if settings.APPS == "containers":
        return engine_problem(settings.APPS_ENGINE)
    missing = sandbox.problem() if settings.APPS_SANDBOX == "required" else None
    return missing or (None if uv_path() else "uv is not installed")


def where(settings: Settings) -> str:
    """Returns what apps run in, in words.

    Args:
        settings: the settings as given.
    """
    if settings.APPS == "containers":
        return f"in containers of the engine at {find_socket(settings.APPS_ENGINE)}"
    if uses_sandbox(settings):
        return "in a sandbox of bubblewrap"
    reason = "APPS_SANDBOX=none" if settings.APPS_SANDBOX == "none" else sandbox.problem()
    return f"WITHOUT a sandbox ({reason}), with the rights and the network of this account"


def choose(settings: Settings) -> tuple[Settings, socket.socket | None, str]:
    """Decides whether apps run, and opens the port of their proxy.

    Args:
        settings: the settings as given; APPS is not off.
    Returns:
        The settings with APPS and APPS_PORT as they are used, the open port or None, and a line for the operator.
    Raises:
        SettingsError: apps are asked for, but cannot run here, or the port cannot be listened on.
    """
    reason = why_not(settings)
    if reason is not None:
        if settings.APPS:
            raise SettingsError(
                f"APPS={settings.APPS} is not possible: {reason}.", hint="Correct this, or set APPS=off."
            )
        return replace(settings, APPS="off"), None, f"Apps of the target local are not run: {reason}."
    settings = with_what_holds(settings)
    listener = _open(settings)
    port = listener.getsockname()[1]
    other = "" if settings.APPS_PORT in (0, port) else f" (port {settings.APPS_PORT} is in use)"
    line = f"Apps of the target local run {where(settings)}; network: {settings.APPS_NETWORK}; "
    line += f"their proxy listens on port {port}{other}."
    return replace(settings, APPS=settings.APPS or "process", APPS_PORT=port), listener, line


def start_supervisor(app: Flask, listener: socket.socket) -> Supervisor:
    """Starts the thread that starts and ends apps.

    Args:
        app: the application.
        listener: the open port of the proxy.
    """
    services: Services = app.extensions[EXTENSION]
    target, settings = services.targets.local, services.settings
    assert target.apps is not None
    with app.app_context():
        engine = db.engine
    folder = Path(tempfile.mkdtemp(prefix=FOLDER_PREFIX))
    driver = make_driver(settings, target.app_files)
    outgoing = driver.sockets(folder) / OUTGOING_FOLDER / "proxy" if settings.APPS_NETWORK == "outgoing" else None
    if outgoing is not None:
        outgoing.parent.mkdir(exist_ok=True)
    supervisor = Supervisor(
        settings,
        driver,
        target.apps,
        target,
        target.app_files,
        partial(realms_of_spaces, lambda: engine),
        partial(ids_of_realms, lambda: engine, settings.apps_allowed_realms),
        ProxyProcess(settings, listener, target.app_files.routes, outgoing),
        folder,
    )
    supervisor.start()
    return supervisor


def run(make: Callable[[Settings], Flask], settings: Settings) -> None:
    """Runs apps in a process of its own, for an installation without `assembler serve`, until a signal ends it.

    Args:
        make: makes the application.
        settings: the settings as given.
    Raises:
        SettingsError: apps cannot run here, or another process runs the apps of this instance.
    """
    chosen, listener, line = choose(settings if settings.runs_apps else replace(settings, APPS="process"))
    assert listener is not None
    app = make(chosen)
    root = app.extensions[EXTENSION].targets.local.app_files.root
    root.mkdir(parents=True, exist_ok=True)
    with (root / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise SettingsError("Another process runs the apps of this instance.", hint="Stop it first.") from None
        supervisor = start_supervisor(app, listener)
        print(line, flush=True)
        ended = threading.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: ended.set())
        while not ended.wait(1.0):
            pass
        supervisor.stop()


def _open(settings: Settings) -> socket.socket:
    try:
        return open_port(settings.APPS_HOST, settings.APPS_PORT)
    except SettingsError:
        if settings.APPS:
            raise
        # Nobody asked for this port: another service on this machine uses it.
        return open_port(settings.APPS_HOST, 0)
