"""The routes of the proxy: which host name leads to which socket. The supervisor writes them, the proxy reads them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

PUBLIC = ("public", "protected")
"""Visibilities of Spaces whose apps everyone may use."""


@dataclass(frozen=True)
class Route:
    """One app.

    Args:
        app_id: the app.
        is_open: whether everyone may use it; else a ticket is needed.
        stage: its stage, in the Hub's words.
        socket: path of its socket; empty while it does not run.
        keeps_prefix: whether it expects the path that it is served below.
        base_path: path of the page that is shown first; empty for the root.
        custom_headers: headers of all its responses.
    """

    app_id: str
    is_open: bool
    stage: str
    socket: str = ""
    keeps_prefix: bool = False
    base_path: str = ""
    custom_headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Routes:
    """All routes.

    Args:
        by_host: first label of the host name → route.
        signals: path of the socket on which the supervisor learns what was used.
    """

    by_host: Mapping[str, Route]
    signals: str = ""

    def write(self, path: Path) -> None:
        """Writes the routes, so that a reader sees the old ones or the new ones."""
        text = json.dumps(
            {"signals": self.signals, "routes": {host: asdict(route) for host, route in self.by_host.items()}}
        )
        path.parent.mkdir(parents=True, exist_ok=True)
        new = path.with_suffix(".new")
        new.write_text(text)
        new.replace(path)


class RoutesReader:
    """Reads the routes again when they have changed.

    Args:
        path: the file.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._seen: tuple[int, int] | None = None
        self._routes = Routes({})

    def read(self) -> Routes:
        """Returns the current routes; none before the supervisor has written any."""
        try:
            status = self._path.stat()
        except FileNotFoundError:
            return self._routes
        if (seen := (status.st_mtime_ns, status.st_ino)) != self._seen:
            data = json.loads(self._path.read_text())
            by_host = {host: Route(**values) for host, values in data["routes"].items()}
            self._routes, self._seen = Routes(by_host, data["signals"]), seen
        return self._routes
