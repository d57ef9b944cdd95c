"""Where the files of running apps are: logs, kept data, and the routes of the proxy."""

from __future__ import annotations

import json
import socket
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class AppFiles:
    """The folder of all apps of an instance.

    Args:
        root: the folder.
    """

    root: Path

    def of(self, app_id: str) -> Path:
        """Returns the folder of one app."""
        return self.root / "apps" / app_id

    def data(self, app_id: str) -> Path:
        """Returns the folder that an app sees as `/data`; it is kept."""
        return self.of(app_id) / "data"

    def log(self, app_id: str, kind: str) -> Path:
        """Returns the file that a log is written to."""
        return self.of(app_id) / f"{kind}.log"

    def logs(self, app_id: str, kind: str) -> list[Path]:
        """Returns the files of a log, oldest first."""
        newest = self.log(app_id, kind)
        return [newest.with_name(f"{newest.name}.1"), newest]

    @property
    def cache(self) -> Path:
        """The folder of installed requirements."""
        return self.root / "cache"

    @property
    def sockets(self) -> Path:
        """The folder of the sockets of apps in containers, which outlive a process of the service."""
        return self.root / "sockets"

    @property
    def usage(self) -> Path:
        """The file with the number of bytes in use."""
        return self.root / "usage.json"

    @property
    def routes(self) -> Path:
        """The file that tells the proxy which app is where."""
        return self.root / "routes.json"

    def wake_supervisor(self) -> None:
        """Makes the supervisor read the table now; without it, it does so within seconds."""
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender, suppress(OSError, ValueError, KeyError):
            sender.setblocking(False)
            sender.sendto(b"look", json.loads(self.routes.read_text())["signals"])
