"""Makes the apps of this machine what the table of apps wants, and writes down what became of them.

One thread decides everything; only starts have threads of their own. The table is read in every round, so nothing is
lost with a message; a message only makes the next round earlier. Apps end with this process, so after a crash every app
is started anew from the table.
"""

from __future__ import annotations

import logging
import os
import shutil
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

from assembler_runner.apps import limits
from assembler_runner.apps.addresses import Addresses
from assembler_runner.apps.base import Driver, Order
from assembler_runner.apps.launch import RUNTIME_ERROR, STORED, Launch, Outcome
from assembler_runner.apps.numbers import UsageLoop
from assembler_runner.apps.proxy_process import ProxyProcess
from assembler_runner.apps.routes import PUBLIC, Route, Routes, RoutesReader
from assembler_runner.apps.slot import STEADY_SECONDS, WAITS, Running, Slot, end_all, exit_message
from assembler_runner.apps.turns import Turns
from assembler_runner.core.loops import Loop
from assembler_runner.core.settings import Settings
from assembler_runner.targets.base import PublishedSpace
from assembler_runner.targets.local.app_files import AppFiles
from assembler_runner.targets.local.app_tree import newest_commit, tree_at
from assembler_runner.targets.local.apps_table import PAUSE, LocalApps
from assembler_runner.targets.local.target import LocalTarget

log = logging.getLogger(__name__)

ROUND_SECONDS = 2.0
SOON_SECONDS = 0.05
DRAIN_SECONDS = 30.0
"""Time that open connections have to end after an update of their app."""

HEADS_SECONDS = 60.0
"""How often the commits of the repositories are compared with the table."""

_SLEEPING, _RUNNING, _PAUSED, _STARTING = "SLEEPING", "RUNNING", "PAUSED", "APP_STARTING"
_LOOK, _SIGNALS = b"look", "signals"

FOLDER_PREFIX = "assembler-apps-"
"""Beginning of the names of folders for sockets, by which those that were left behind are known."""

Realms = Callable[[], Mapping[str, str]]
"""Returns the id of the realm of each local Space, by its place."""


class Supervisor(Loop):
    """The thread that starts and ends apps.

    Args:
        settings: the limits.
        driver: how apps are run.
        apps: the table.
        target: the local target, which has the files.
        files: where the files of apps are.
        realms: to which realm each Space belongs.
        allowed: the realms whose apps may run, by id; None for all.
        proxy: the proxy.
        folder: a folder for sockets with a short path, that only this account can enter; removed at the end.
    """

    def __init__(
        self,
        settings: Settings,
        driver: Driver,
        apps: LocalApps,
        target: LocalTarget,
        files: AppFiles,
        realms: Realms,
        allowed: Callable[[], frozenset[str] | None],
        proxy: ProxyProcess,
        folder: Path,
    ) -> None:
        super().__init__("apps", ROUND_SECONDS)
        self._settings, self._driver, self._apps, self._target, self._files = settings, driver, apps, target, files
        self._realms, self._allowed, self._proxy = realms, allowed, proxy
        self._addresses = Addresses(settings)
        self._slots: dict[str, Slot] = {}
        self._turns = Turns(len(os.sched_getaffinity(0)))
        self._folder = folder
        self._sockets = driver.sockets(folder)
        self._took_over = False
        self._usage = UsageLoop(driver, files)
        self._signals = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._signals.bind(str(self._folder / _SIGNALS))
        self._heads_at = 0.0
        self._changed = False
        self._answering: list[Callable[[], None]] = []
        self._written: Mapping[str, Route] | None = None
        self._clean()
        self._write_routes({})

    @property
    def running(self) -> int:
        """Number of apps that answer."""
        return sum(slot.current is not None for slot in self._slots.values())

    def wake(self) -> None:
        """Makes the next round begin now."""
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender, suppress(OSError):
            sender.sendto(_LOOK, str(self._folder / _SIGNALS))

    def rest(self, seconds: float) -> None:
        """Waits for the next round, or for a message that makes it begin now; takes all messages that are there."""
        deadline = time.monotonic() + seconds
        with suppress(OSError):
            while (left := deadline - time.monotonic()) > 0:
                self._signals.settimeout(left)
                if self._take(self._signals.recv(256)):
                    break
            self._signals.setblocking(False)
            while True:
                self._take(self._signals.recv(256))

    def stop(self) -> None:
        """Ends the rounds, then all apps and the proxy."""
        super().stop()
        self._usage.stop()
        self.wake()
        if self.is_alive():
            self.join()
        end_all(self._slots.values())
        self._proxy.stop()
        self._signals.close()
        self._driver.close()
        shutil.rmtree(self._folder, ignore_errors=True)

    def work(self) -> float:
        """One round; after a change another one follows soon, since routes follow from the table."""
        self._changed = False
        rows = {row.id: row for row in self._apps.all()}
        if not self._took_over:
            self._take_over(rows)
            self._usage.start()
        if rows:
            self._proxy.ensure()
        for app_id in [app_id for app_id in self._slots if app_id not in rows]:
            self._forget(app_id)
        if time.monotonic() >= self._heads_at:
            self._compare_heads(rows.values())
            self._heads_at = time.monotonic() + HEADS_SECONDS
        # Where there is room for few, the realms with the fewest apps come first.
        realms = self._realms()
        active = Counter(slot.realm for slot in self._slots.values() if slot.current or slot.launch)
        for row in sorted(rows.values(), key=lambda row: active[realms.get(row.place, "")]):
            if row.commit_oid is not None:
                self._reconcile(row, self._slots.setdefault(row.id, Slot(row.id)))
        self._write_routes(rows)
        # After the routes: a visitor who reads that an app runs is led to its first page.
        for report in self._answering:
            report()
        self._answering.clear()
        return SOON_SECONDS if self._changed else self.pause

    def _reconcile(self, row: Any, slot: Slot) -> None:
        launch = slot.launch
        if launch is not None and launch.outcome is not None:
            self._finish(row, slot, launch.outcome)
            # The row was read before the outcome was written: what follows from it is decided in the next round.
            self._changed = True
            return
        if row.desired == PAUSE:
            self._pause(row, slot)
            return
        if slot.launch is not None:
            if slot.launch_generation != row.generation:
                # Ends soon with an outcome that is dropped, then the wanted one is started.
                slot.launch.stopped.set()
            return
        if self._has_ended(row, slot):
            return
        if self._needs_start(row, slot):
            self._start(row, slot)
        elif slot.current is not None and self._is_idle(row, slot):
            oid = slot.current.oid
            slot.in_background()
            self._report(row, _SLEEPING, row.generation, oid)

    def _pause(self, row: Any, slot: Slot) -> None:
        slot.retry_at = None
        if slot.launch is not None:
            # Its outcome is ended in a later round.
            slot.launch.stopped.set()
            return
        slot.in_background()
        if row.stage != _PAUSED or row.stage_generation != row.generation:
            self._report(row, _PAUSED, row.generation, row.stage_oid)

    def _needs_start(self, row: Any, slot: Slot) -> bool:
        if slot.current is not None:
            return row.generation not in (slot.current.generation, row.stage_generation)
        if slot.retry_at is not None:
            return time.monotonic() >= slot.retry_at
        if row.stage_generation != row.generation:
            return True
        if row.stage == _SLEEPING:
            return slot.wakes
        # Of an earlier process of the service, which ended while the app ran or was started.
        return bool(row.stage.endswith(("RUNNING", "STARTING", "BUILDING")))

    def _has_ended(self, row: Any, slot: Slot) -> bool:
        """Whether the app has just ended; then it is decided what follows."""
        current = slot.current
        if current is None:
            return False
        excess = current.process.excess(disk=time.monotonic() >= slot.disk_at)
        if time.monotonic() >= slot.disk_at:
            slot.disk_at = time.monotonic() + limits.DISK_SECONDS
        if excess is not None:
            current.log.write(excess)
            current.stop(at_once=True)
        code = current.process.exit_code
        if code is None:
            return False
        if time.monotonic() - current.since > STEADY_SECONDS:
            slot.crashes = 0
        current.stop()
        slot.current = None
        self._plan_retry(row, slot, excess or current.process.ended_by, code, current.oid)
        return True

    def _plan_retry(self, row: Any, slot: Slot, message: str | None, code: int | None, oid: str) -> None:
        slot.crashes += 1
        if slot.crashes <= len(WAITS):
            slot.retry_at = time.monotonic() + WAITS[slot.crashes - 1]
            self._report(row, _STARTING, row.generation, oid, message=message, exit_code=code)
            return
        slot.retry_at = None
        self._report(row, RUNTIME_ERROR, row.generation, oid, message=message or exit_message(code), exit_code=code)

    def _start(self, row: Any, slot: Slot) -> None:
        realm = self._realms().get(row.place)
        if realm is None:
            return
        allowed = self._allowed()
        if allowed is not None and realm not in allowed:
            self._report(row, STORED, row.generation, row.commit_oid, message="Apps of this realm are not run here.")
            return
        if slot.current is None and not self._make_room(realm):
            return
        slot.retry_at, slot.wakes = None, False
        slot.launch_generation, slot.launch_oid = row.generation, row.commit_oid
        before = "RUNNING_" if slot.current is not None else ""
        order = self._order(row, realm, slot)
        report = lambda stage: self._report(row, before + stage, row.generation, row.commit_oid)  # noqa: E731 - short
        slot.launch = Launch(self._settings, self._driver, order, self._turns, report, self.wake)
        slot.realm = realm
        slot.launch.start()

    def _order(self, row: Any, realm: str, slot: Slot) -> Order:
        # Two starts of one app may overlap: the running one keeps its files and its socket.
        number = f"{row.id}-{row.generation}-{slot.crashes}-{time.monotonic_ns() % 10**6}"
        socket_folder = self._sockets / number
        socket_folder.mkdir()
        own = {
            "SPACE_ID": f"{row.namespace}/{row.name}",
            "SPACE_AUTHOR_NAME": row.namespace,
            "SPACE_REPO_NAME": row.name,
            "SPACE_TITLE": row.name,
            "SPACE_HOST": self._addresses.host(row.host),
        }
        place = PublishedSpace(row.namespace, row.name, "")
        return Order(
            partial(tree_at, self._target, row.namespace, row.name, row.commit_oid),
            {**own, **self._target.variables(place)},
            self._apps.secrets(row.id),
            self._files.root / "run" / number,
            self._files.data(row.id),
            self._files.cache / realm,
            socket_folder / "app.sock",
            self._proxy.outgoing,
            self._files.log(row.id, "build"),
            self._files.log(row.id, "run"),
            row.host,
            self._addresses.prefix(row.host),
            row.fresh,
            slot.crashes > 0,
            row.id,
            row.generation,
            row.commit_oid,
            frozenset(one.current.process.artefact for one in self._slots.values() if one.current),
            realm,
        )

    def _finish(self, row: Any, slot: Slot, outcome: Outcome) -> None:
        assert slot.launch is not None
        slot.launch = None
        oid, generation = slot.launch_oid, slot.launch_generation
        if outcome.process is None:
            if generation != row.generation:
                return
            if slot.crashes and outcome.stage == RUNTIME_ERROR:
                self._plan_retry(row, slot, outcome.message, outcome.exit_code, oid)
                return
            message = outcome.message or exit_message(outcome.exit_code)
            self._report(row, outcome.stage, generation, oid, message=message, exit_code=outcome.exit_code, fresh=False)
            return
        assert outcome.log is not None
        slot.in_background(seconds=DRAIN_SECONDS)
        slot.current = Running(outcome.process, outcome.log, generation, oid, outcome.page)
        slot.used_at = time.monotonic()
        values = {"resolved": outcome.resolved, "page": outcome.page, "fresh": False}
        self._answering.append(partial(self._report, row, _RUNNING, generation, oid, **values))

    def _is_idle(self, row: Any, slot: Slot) -> bool:
        seconds = row.sleep_time or self._settings.APPS_SLEEP
        return bool(seconds) and time.monotonic() - slot.used_at > seconds

    def _make_room(self, realm: str) -> bool:
        """Whether one more app may run; the one that was not used for longest is sent to sleep if that helps."""
        active = [slot for slot in self._slots.values() if slot.current is not None or slot.launch is not None]
        of_realm = [slot for slot in active if slot.realm == realm]
        limit = self._settings.APPS_REALM_MAX
        if limit and len(of_realm) >= limit:
            active = of_realm
        elif len(active) < self._settings.APPS_MAX:
            return True
        idle = [slot for slot in active if slot.current is not None and slot.launch is None]
        idle = [slot for slot in idle if time.monotonic() - slot.used_at > limits.BUSY_SECONDS]
        if not idle:
            return False
        chosen = min(idle, key=lambda slot: slot.used_at)
        chosen.in_background()
        self._apps.report(chosen.app_id, stage=_SLEEPING)
        return True

    def _report(self, row: Any, stage: str, generation: int, oid: str | None, **values: Any) -> None:
        self._changed = True
        values = {"message": None, "exit_code": None, **values, "stage_generation": generation, "stage_oid": oid}
        self._apps.report(row.id, stage=stage, **values)

    def _take(self, message: bytes) -> bool:
        """Takes a message; returns whether it makes the next round begin now."""
        kind, _, app_id = message.decode("ascii", "replace").partition(" ")
        slot = self._slots.get(app_id)
        if slot is not None:
            slot.used_at = time.monotonic()
            slot.wakes = slot.wakes or (kind == "wake" and slot.current is None)
        return kind != "used"

    def _forget(self, app_id: str) -> None:
        slot = self._slots.pop(app_id)

        def end() -> None:
            slot.stop()
            self._driver.forget(app_id)
            shutil.rmtree(self._files.of(app_id), ignore_errors=True)

        threading.Thread(target=end, name="app end", daemon=True).start()

    def _take_over(self, rows: Mapping[str, Any]) -> None:
        """Continues with the apps that an earlier process of the service left running."""
        for left in self._driver.take_over(self._sockets):
            running = Running(left.app, left.log, left.generation, left.oid)
            row = rows.get(left.app_id)
            if row is None or row.desired == PAUSE or left.app_id in self._slots:
                running.stop(at_once=True)
            else:
                self._slots[left.app_id] = Slot(left.app_id, current=running)
        self._took_over = True

    def _compare_heads(self, rows: Any) -> None:
        """Finds commits whose note in the table was lost with a crash between the two."""
        for row in rows:
            oid = newest_commit(self._target, row.namespace, row.name)
            if oid is not None and oid != row.commit_oid:
                self._apps.change(row.namespace, row.name, commit_oid=oid)

    def _write_routes(self, rows: Mapping[str, Any]) -> None:
        found = {}
        for app_id, slot in self._slots.items():
            row, running = rows[app_id], slot.current
            stage = row.stage if row.stage_generation == row.generation else _STARTING
            address, keeps = (str(running.process.socket), running.process.keeps_prefix) if running else ("", False)
            shown, page = (_RUNNING, running.page or row.page) if running else (stage, row.page)
            found[row.host] = Route(app_id, row.visibility in PUBLIC, shown, address, keeps, **(page or {}))
        if found != self._written:
            Routes(found, str(self._folder / _SIGNALS)).write(self._files.routes)
            self._written = found

    def _clean(self) -> None:
        """Removes what a process of the service left that was killed."""
        shutil.rmtree(self._files.root / "run", ignore_errors=True)
        left = Path(RoutesReader(self._files.routes).read().signals)
        if left.name == _SIGNALS and left.parent.name.startswith(FOLDER_PREFIX):
            shutil.rmtree(left.parent, ignore_errors=True)
