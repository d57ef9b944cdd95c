"""Health check of a container, for HEALTHCHECK and probes: `python -m assembler_runner.ops.healthcheck`.

It runs every few seconds on a machine that may be busy, so it imports little.
"""

from __future__ import annotations

import os
import socket
import sys
import time
import urllib.request
from pathlib import Path

from assembler_runner.core.errors import SettingsError
from assembler_runner.core.settings import Settings, load

ALIVE_SECONDS = 120


def main() -> None:
    """Exits with 0 if the process of this container is healthy, otherwise with 1."""
    try:
        sys.exit(0 if healthy(load(os.environ)) else 1)
    except SettingsError as problem:
        sys.exit(f"Error: {problem.message}\nHint: {problem.hint}")


def healthy(settings: Settings) -> bool:
    """Returns whether the process of this container is healthy."""
    if settings.CONTAINER_MODE == "server":
        url = f"http://127.0.0.1:{settings.SERVER_PORT}/health/live"
        try:
            with urllib.request.urlopen(url, timeout=5) as answer:
                return int(answer.status) == 200
        except OSError:
            return False
    if settings.CONTAINER_MODE == "apps":
        try:
            # The proxy itself is only started with the first app.
            socket.create_connection(("127.0.0.1", settings.APPS_PORT), timeout=5).close()
        except OSError:
            return False
        return True
    if settings.CONTAINER_MODE in ("worker", "beat") and settings.ALIVE_FILE:
        file = Path(settings.ALIVE_FILE)
        return file.exists() and time.time() - file.stat().st_mtime < ALIVE_SECONDS
    return True


if __name__ == "__main__":
    main()
