"""What one app of this machine does at present."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from assembler_runner.apps.base import App
from assembler_runner.apps.launch import Launch
from assembler_runner.apps.log_file import LogFile

WAITS = (1.0, 5.0, 25.0)
"""Waits before each restart of a crashed app, in seconds."""

ROUTE_SECONDS = 1.0
"""Time until the proxy surely knows that an app is not to be reached any more."""

STEADY_SECONDS = 600.0
"""An app that ran for so long has earned all restarts again."""


@dataclass(eq=False)
class Running:
    """An app that answers.

    Args:
        process: the app.
        log: its log.
        generation: the wanted generation that it was started for.
        oid: its commit.
        page: its first page and headers (see `app_page`); None if the table has them.
    """

    process: App
    log: LogFile
    generation: int
    oid: str
    page: Mapping[str, Any] | None = None
    since: float = field(default_factory=time.monotonic)

    def stop(self, *, at_once: bool = False) -> None:
        """Ends the app and removes its files."""
        self.process.stop(at_once=at_once)
        self.log.close()


@dataclass
class Slot:
    """One app.

    Args:
        app_id: the app.
        current: the app that visitors reach.
        launch: a start that is under way, and for which generation and commit.
        crashes: how often it ended by itself.
        retry_at: when it is started again; None for not by itself.
        used_at: when it was used last, by the monotonic clock.
        wakes: whether a visit asked for it while it was asleep.
        realm: its realm.
        disk_at: when its files are measured next.
        leaving: apps that visitors reached before, with the last of their connections.
    """

    app_id: str
    current: Running | None = None
    launch: Launch | None = None
    launch_generation: int = 0
    launch_oid: str = ""
    crashes: int = 0
    retry_at: float | None = None
    used_at: float = field(default_factory=time.monotonic)
    wakes: bool = False
    realm: str = ""
    disk_at: float = 0.0
    leaving: list[Running] = field(default_factory=list)

    def stop(self, *, at_once: bool = False) -> None:
        """Ends the app, those that are leaving, and a start that is under way."""
        if self.launch is not None:
            self.launch.stopped.set()
            self.launch.join()
            if self.launch.outcome is not None and self.launch.outcome.process is not None:
                assert self.launch.outcome.log is not None
                Running(self.launch.outcome.process, self.launch.outcome.log, 0, "").stop(at_once=at_once)
            self.launch = None
        if self.current is not None:
            self.current.stop(at_once=at_once)
            self.current = None
        for old in list(self.leaving):
            self._end(old)

    def in_background(self, *, seconds: float = ROUTE_SECONDS) -> None:
        """Ends the app that visitors reached until now, in a thread, after a time for its open connections."""
        if self.current is None:
            return
        old, self.current = self.current, None
        self.leaving.append(old)
        timer = threading.Timer(seconds, self._end, [old])
        timer.daemon = True
        timer.start()

    def _end(self, old: Running) -> None:
        # The timer and the end of the service may come at the same time.
        with suppress(ValueError):
            self.leaving.remove(old)
            old.stop()


def end_all(slots: Iterable[Slot]) -> None:
    """Ends all apps at the same time, and waits until they have ended."""
    stopping = [threading.Thread(target=slot.stop, daemon=True) for slot in slots]
    for thread in stopping:
        thread.start()
    for thread in stopping:
        thread.join()


def exit_message(code: int | None) -> str | None:
    """Returns the message of an app that has ended by itself; None if its exit code is not known."""
    return None if code is None else f"Exit code: {code}. Reason: the app ended"
