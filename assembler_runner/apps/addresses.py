"""The addresses of apps."""

from __future__ import annotations

from urllib.parse import urlsplit

from assembler_runner.core.settings import Settings

APPS_PATH = "/apps"


class Addresses:
    """Where apps are reached.

    Args:
        settings: APPS_URL, APPS_ROUTING and APPS_PORT.
    """

    def __init__(self, settings: Settings) -> None:
        self._by_path = settings.APPS_ROUTING == "path"
        default = f"http://localhost:{settings.APPS_PORT}" if self._by_path else ""
        self._form = settings.APPS_URL or default or f"http://{{app}}.localhost:{settings.APPS_PORT}"

    def url(self, label: str) -> str:
        """Returns the address of an app.

        Args:
            label: first label of its host name.
        """
        if self._by_path:
            return f"{self._form.rstrip('/')}{APPS_PATH}/{label}/"
        return self._form.replace("{app}", label)

    def host(self, label: str) -> str:
        """Returns the host name of an app."""
        return urlsplit(self.url(label)).hostname or ""

    def prefix(self, label: str) -> str:
        """Returns the path that an app is served below; empty if it has a host name of its own."""
        return f"{APPS_PATH}/{label}" if self._by_path else ""

    @property
    def suffix(self) -> str:
        """What follows the first label of the host names, such as `.localhost`; empty with paths."""
        return "" if self._by_path else (urlsplit(self.url("app")).hostname or "app").removeprefix("app")

    @property
    def is_secure(self) -> bool:
        """Whether visitors use https."""
        return self._form.startswith("https:")
