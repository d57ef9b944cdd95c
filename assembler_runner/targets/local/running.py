"""The app of a local Space: its stage, its logs and its settings, read from and written to the table of apps."""

from __future__ import annotations

import time
from collections import deque
from datetime import datetime
from pathlib import Path
from typing import Any

from assembler_runner.core.errors import TargetNotFound, TargetRefused
from assembler_runner.targets.base import Head, LogLine, LogReader, Machine, PublishedSpace, Runtime, SpaceSpec
from assembler_runner.targets.existing import ExistingSpace
from assembler_runner.targets.local.app_files import AppFiles
from assembler_runner.targets.local.apps_table import PAUSE, RUN, LocalApps

HARDWARE = "cpu-basic"
RUNNING_STAGES = ("RUNNING", "RUNNING_BUILDING", "RUNNING_APP_STARTING")
"""Stages of an app that answers."""

_NO_LOG = "The target local neither builds nor runs apps, so there is no log."
_POLL_SECONDS = 0.2


class LocalRunning:
    """A mixin of :class:`LocalTarget`; without a table, apps are only stored."""

    apps: LocalApps | None
    app_files: AppFiles
    """The table of apps, None if apps are only stored, and where their files are."""

    def head(self, space: PublishedSpace) -> Head:
        """Reads the head of the history."""
        raise NotImplementedError

    def sdk(self, namespace: str, name: str) -> str:
        """Returns the SDK of a Space."""
        raise NotImplementedError

    def visibility(self, namespace: str, name: str) -> str:
        """Returns the visibility of a Space."""
        raise NotImplementedError

    def find(self, namespace: str | None, name: str) -> PublishedSpace | None:
        """Finds a Space by name."""
        raise NotImplementedError

    def variables(self, space: PublishedSpace) -> dict[str, str]:
        """Returns the variables of a Space."""
        raise NotImplementedError

    def existing(self, namespace: str, name: str) -> ExistingSpace:
        """See :meth:`Target.existing`."""
        space = self.find(namespace, name)
        if space is None:
            raise TargetNotFound()
        return ExistingSpace(
            space=space,
            head=self.head(space),
            sdk=self.sdk(namespace, name),
            visibility=self.visibility(namespace, name),
            variables=self.variables(space),
            secret_names=(),
            stage=self.runtime(space).stage,
        )

    def runtime(self, space: PublishedSpace) -> Runtime:
        """See :meth:`Target.runtime`: a static Space is served; others are only stored where no apps run."""
        if self.sdk(space.namespace, space.name) == "static":
            return Runtime("RUNNING", self.head(space).oid)
        row = self.apps.find(space.namespace, space.name) if self.apps else None
        if row is None:
            return Runtime("STORED", self.head(space).oid)
        if row.stage_generation != row.generation and row.desired == RUN:
            # The supervisor has not begun yet.
            runs = row.stage in ("SLEEPING", *RUNNING_STAGES)
            return Runtime("RUNNING_BUILDING" if runs else "BUILDING", row.commit_oid)
        return Runtime(row.stage, row.stage_oid, row.message)

    def read_log(self, space: PublishedSpace, kind: str, tail: int, *, follow: bool = False) -> LogReader:
        """See :meth:`Target.read_log`."""
        row = self.apps.find(space.namespace, space.name) if self.apps else None
        if row is None:
            return LogReader(_NO_LOG)
        return FileLog(self.app_files.logs(row.id, kind), tail, follow=follow)

    def state_after_commit(self, sdk: str) -> str:
        """See :meth:`Target.state_after_commit`."""
        if sdk == "static":
            return "running"
        return "building" if self.apps else "stored"

    def machine(self, space: PublishedSpace) -> Machine:
        """See :meth:`Target.machine`."""
        row = self._row(space)
        return Machine(self.runtime(space).stage, row.hardware or HARDWARE, row.sleep_time)

    def set_secret(self, space: PublishedSpace, key: str, value: str | None) -> None:
        """See :meth:`Target.set_secret`."""
        self._row(space)
        self._table().set_secret(space.namespace, space.name, key, value)

    def set_hardware(self, space: PublishedSpace, flavor: str, sleep_time: int | None) -> None:
        """See :meth:`Target.set_hardware`: there is one machine, so only the free flavor."""
        if flavor != HARDWARE:
            raise TargetRefused(f"Apps of the target local run on this machine: {flavor} is not available.")
        self._row(space)
        self._table().change(space.namespace, space.name, hardware=flavor, sleep_time=sleep_time)

    def set_sleep_time(self, space: PublishedSpace, seconds: int) -> None:
        """See :meth:`Target.set_sleep_time`."""
        self._row(space)
        self._table().change(space.namespace, space.name, starts=False, sleep_time=seconds)

    def restart(self, space: PublishedSpace, *, factory: bool = False) -> None:
        """See :meth:`Target.restart`."""
        self._row(space)
        values: dict[str, Any] = {"fresh": True} if factory else {}
        self._table().change(space.namespace, space.name, desired=RUN, **values)

    def pause(self, space: PublishedSpace) -> None:
        """See :meth:`Target.pause`."""
        self._row(space)
        self._table().change(space.namespace, space.name, desired=PAUSE)

    def _table(self) -> LocalApps:
        assert self.apps is not None
        return self.apps

    def _row(self, space: PublishedSpace) -> Any:
        """Returns the app; a Space that was published before apps ran here gets one."""
        row = self._table().find(space.namespace, space.name)
        if row is None:
            oid = self.head(space).oid
            if oid is None or self.sdk(space.namespace, space.name) == "static":
                raise TargetNotFound("The Space has no app.")
            self._add_app(space, self.visibility(space.namespace, space.name), commit_oid=oid, generation=1)
            row = self._table().find(space.namespace, space.name)
        if row is None:
            raise TargetNotFound("The Space has no app.")
        return row

    def _add_app(self, space: PublishedSpace, visibility: str, **values: Any) -> None:
        self._table().create(space.namespace, space.name, visibility, **values)

    def _app_created(self, space: PublishedSpace, spec: SpaceSpec) -> None:
        """Stores the settings and secrets of a new Space's app."""
        if self.apps is None or spec.sdk == "static":
            return
        # A row that a Space of the same name left behind, if its removal was interrupted.
        self.apps.remove(space.namespace, space.name)
        self._add_app(space, spec.visibility, hardware=spec.hardware, sleep_time=spec.sleep_time)
        self.apps.add_secrets(space.namespace, space.name, spec.secrets)

    def _app_committed(self, space: PublishedSpace, oid: str) -> None:
        """Notes that a commit is to run."""
        if self.apps is None or self.sdk(space.namespace, space.name) == "static":
            return
        if not self.apps.change(space.namespace, space.name, commit_oid=oid):
            self._add_app(space, self.visibility(space.namespace, space.name), commit_oid=oid, generation=1)


class FileLog(LogReader):
    """The log of an app.

    Args:
        files: the files of the log, oldest first; each line is a time, a tab and the text.
        tail: maximum number of existing lines.
        follow: whether to continue with new lines.
    """

    def __init__(self, files: list[Path], tail: int, *, follow: bool) -> None:
        super().__init__()
        self._newest = files[-1]
        self._follow = follow
        self._waiting: deque[str] = deque(maxlen=tail)
        self._open: Any = None
        for path in files[:-1]:
            if path.exists():
                with path.open(encoding="utf-8", errors="replace") as file:
                    self._waiting.extend(file)
        self._read_new()
        # Lines that arrive from now on must not push out those that were not read yet.
        self._waiting = deque(self._waiting)

    @property
    def ended(self) -> bool:
        """Whether no more lines will come."""
        return not self._follow and not self._waiting

    def read(self, timeout: float) -> LogLine | None:
        """Returns the next line, or None if none arrives in time."""
        deadline = time.monotonic() + timeout
        while not self._waiting and self._follow:
            self._read_new()
            if self._waiting or time.monotonic() >= deadline:
                break
            time.sleep(min(_POLL_SECONDS, max(0.0, deadline - time.monotonic())))
        return _line(self._waiting.popleft()) if self._waiting else None

    def close(self) -> None:
        """Closes the file."""
        if self._open is not None:
            self._open.close()
        self._open, self._follow = None, False

    def _read_new(self) -> None:
        try:
            if self._open is None or self._open_is_old():
                if self._open is not None:
                    self._waiting.extend(self._open)
                    self._open.close()
                self._open = self._newest.open(encoding="utf-8", errors="replace")
        except FileNotFoundError:
            return
        while line := self._open.readline():
            if not line.endswith("\n"):
                # It is being written; read it again as a whole.
                self._open.seek(self._open.tell() - len(line.encode()))
                break
            self._waiting.append(line)

    def _open_is_old(self) -> bool:
        try:
            return bool(self._newest.stat().st_ino != Path(f"/dev/fd/{self._open.fileno()}").stat().st_ino)
        except FileNotFoundError:
            return False


def _line(row: str) -> LogLine:
    stamp, _, text = row.rstrip("\n").partition("\t")
    try:
        return LogLine(datetime.fromisoformat(stamp), text)
    except ValueError:
        return LogLine(None, row.rstrip("\n"))
