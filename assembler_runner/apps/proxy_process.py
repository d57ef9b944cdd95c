"""The proxy as a process of its own, started again if it ends."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import threading
from contextlib import suppress
from pathlib import Path

from assembler_runner.apps.addresses import Addresses
from assembler_runner.apps.tickets import key_of
from assembler_runner.core.errors import SettingsError
from assembler_runner.core.settings import Settings

_BACKLOG, _END_SECONDS = 512, 10.0


def open_port(host: str, port: int) -> socket.socket:
    """Listens on a port, which stays open while the proxy is started again.

    Args:
        host: the address.
        port: the port; 0 for a free one.
    Raises:
        SettingsError: the port cannot be listened on.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
    except OSError as problem:
        listener.close()
        raise SettingsError(
            f"The proxy of the apps cannot listen on {host}:{port}: {problem.strerror}.",
            hint="Choose another port with APPS_PORT; 0 selects a free one.",
        ) from None
    listener.listen(_BACKLOG)
    return listener


class ProxyProcess:
    """The process.

    Args:
        settings: addresses and limits.
        listener: the open port.
        routes: file of the routes.
        outgoing: the socket of the proxy for the apps' own calls; None if they make none by it.
    """

    def __init__(self, settings: Settings, listener: socket.socket, routes: Path, outgoing: Path | None) -> None:
        self._settings, self._listener, self._routes, self.outgoing = settings, listener, routes, outgoing
        self._process: subprocess.Popen[bytes] | None = None
        self._lock = threading.Lock()

    def ensure(self) -> None:
        """Starts the process unless it runs."""
        with self._lock:
            if self._process is not None and self._process.poll() is None:
                return
            command = [sys.executable, "-m", "assembler_runner.apps.proxy", str(self._listener.fileno())]
            self._process = subprocess.Popen(
                command, stdin=subprocess.PIPE, pass_fds=[self._listener.fileno()], start_new_session=True
            )
            addresses = Addresses(self._settings)
            given = {
                "routes": str(self._routes),
                "key": key_of(self._settings.SECRET_KEY).hex(),
                "suffix": addresses.suffix,
                "secure": addresses.is_secure,
                "trusted": self._settings.TRUSTED_PROXIES > 0,
                "outgoing": str(self.outgoing) if self.outgoing else "",
            }
            assert self._process.stdin is not None
            with suppress(BrokenPipeError):
                self._process.stdin.write(json.dumps(given).encode() + b"\n")
                self._process.stdin.flush()

    def stop(self) -> None:
        """Ends the process and closes the port."""
        if self._process is not None:
            assert self._process.stdin is not None
            self._process.stdin.close()
            try:
                self._process.wait(_END_SECONDS)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        self._listener.close()
