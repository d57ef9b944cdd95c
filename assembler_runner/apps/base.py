"""What the supervisor knows of the ways to run apps: as processes in a sandbox, or as containers of an engine."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from assembler_runner.apps.log_file import LogFile
from assembler_runner.files.tree import SpaceFile

TRIAL_PREFIX = "assembler-trial-"
"""Beginning of the ids of apps that are run before they are published."""


@dataclass(frozen=True)
class Order:
    """What is to be started.

    Args:
        read_tree: reads the files.
        variables: environment variables, without secrets.
        secrets: further environment variables.
        folder: a folder for the files, thrown away afterwards.
        data: the folder that is kept.
        cache: folder of the realm's environments.
        socket: where the app is reached.
        outgoing: socket of the proxy for the app's own calls, or None.
        build_log: file of the build log.
        run_log: file of the run log.
        name: host name inside.
        prefix: path that the app is served below; empty for a host name of its own.
        fresh: whether requirements are installed anew.
        keeps_log: whether the run log continues that of the run before, which crashed.
        app_id: the app.
        generation: the wanted generation that it is started for.
        oid: its commit.
        in_use: what running apps use, which is not removed to make room.
        realm: id of the realm of the app.
    """

    read_tree: Callable[[], Mapping[str, SpaceFile]]
    variables: Mapping[str, str]
    secrets: Mapping[str, str]
    folder: Path
    data: Path
    cache: Path
    socket: Path
    outgoing: Path | None
    build_log: Path
    run_log: Path
    name: str
    prefix: str = ""
    fresh: bool = False
    keeps_log: bool = False
    app_id: str = ""
    generation: int = 0
    oid: str = ""
    in_use: frozenset[str] = frozenset()
    realm: str = ""


class App(Protocol):
    """A running app."""

    @property
    def socket(self) -> Path:
        """Where it is reached."""

    @property
    def keeps_prefix(self) -> bool:
        """Whether it expects the path that it is served below in its requests."""

    @property
    def artefact(self) -> str:
        """What it runs with: an environment or an image."""

    @property
    def exit_code(self) -> int | None:
        """The exit code; None while it runs."""

    @property
    def ended_by(self) -> str | None:
        """The limit that ended it, in the Hub's words; None for none."""

    def wait_until_ready(self, seconds: float, stopped: threading.Event) -> bool:
        """Waits until the app answers.

        Args:
            seconds: maximum seconds.
            stopped: ends the waiting.
        Returns:
            Whether it answers; False if it ended, or has not answered in time.
        """

    def excess(self, *, disk: bool) -> str | None:
        """Returns the limit that it exceeds, in the Hub's words; None for none.

        Args:
            disk: whether to measure its files, too.
        """

    def used(self) -> tuple[int, int]:
        """Returns the memory in bytes and the number of processes that it uses."""

    def stop(self, *, at_once: bool = False) -> None:
        """Ends the app and removes its files: asks first, unless `at_once`."""


class Work(Protocol):
    """The start of one app: first its parts are built, then it is started."""

    @property
    def start_seconds(self) -> float:
        """Maximum seconds until it answers."""

    @property
    def resolved(self) -> list[str] | None:
        """The installed packages with their versions, once they are known."""

    def build(self, log: Callable[[str], None], stopped: threading.Event) -> None:
        """Builds what the app runs with.

        Args:
            log: receives each line.
            stopped: ends the work when it is set.
        Raises:
            BuildFailed: it could not be built.
        """

    def start(self, log: LogFile) -> App:
        """Starts the app.

        Args:
            log: receives its output.
        """


@dataclass(frozen=True)
class Left:
    """An app that an earlier process of the service started, and that still runs.

    Args:
        app_id: the app.
        generation: the generation that it was started for.
        oid: its commit.
        app: the app.
        log: its log.
    """

    app_id: str
    generation: int
    oid: str
    app: App
    log: LogFile


class Driver(Protocol):
    """A way to run apps."""

    def sockets(self, folder: Path) -> Path:
        """Returns the folder for the sockets of apps.

        Args:
            folder: a folder with a short path, that only this account can enter.
        """

    def prepare(self, order: Order, tree: Mapping[str, SpaceFile]) -> Work:
        """Plans a start.

        Args:
            order: what is to be started.
            tree: its files.
        Raises:
            NotRunnable: it cannot be run this way.
        """

    def take_over(self, sockets: Path) -> list[Left]:
        """Returns the apps of an earlier process that still answer, and removes what else it left.

        Args:
            sockets: the folder for the sockets.
        """

    def cache_bytes(self) -> dict[str, int]:
        """Returns the size of what apps run with, by the id of their realm."""

    def forget(self, app_id: str) -> None:
        """Removes all that is left of an app that was deleted."""

    def close(self) -> None:
        """Gives back what the driver holds."""
