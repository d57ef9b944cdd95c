"""Kills, stops and restarts of the service's processes; nothing is touched that was not started by the stage."""

from __future__ import annotations

import os
import random
import signal
import threading
import time
from contextlib import suppress

from .model import Ledger
from .stage import LEASE_SECONDS, Stage
from .weather import STEPS

RESTART_SECONDS = 0.4
AIM_SECONDS = 2.0
ONE, AIMED, CHILD, ALL, STOP, FLUSH = "one", "aimed", "child", "all", "stop", "flush"
WEIGHTS = {ONE: 10, AIMED: 6, CHILD: 4, ALL: 3, STOP: 2, FLUSH: 3}


class Monkey:
    """Does harm until enough was killed or time is up.

    Args:
        stage: the processes.
        ledger: what was sent, for messages that come again.
        seed: decides what is done.
        kills: how many processes to kill.
        deadline: when to stop, by the monotonic clock.
        enough: is set when to stop at once.
    """

    def __init__(
        self, stage: Stage, ledger: Ledger, seed: int, kills: int, deadline: float, enough: threading.Event
    ) -> None:
        self.kills = self.stops = self.flushes = self.extra_messages = 0
        self._stage, self._ledger, self._wanted, self._deadline = stage, ledger, kills, deadline
        self._chance = random.Random(f"{seed}/monkey")
        self._enough = enough

    def run(self) -> None:
        """Does harm; afterwards everything runs again."""
        acts = {
            ONE: self._kill_one,
            AIMED: self._kill_at_a_step,
            CHILD: self._kill_child,
            ALL: self._kill_all,
            STOP: self._stop,
            FLUSH: self._flush,
        }
        embedded = self._stage.broker == "memory"
        names = [name for name in WEIGHTS if not (embedded and name in (CHILD, ALL, FLUSH))]
        # At least one of these, also in a short run.
        self._stop()
        if not embedded:
            self._flush()
        while self.kills < self._wanted and time.monotonic() < self._deadline and not self._enough.is_set():
            self._enough.wait(self._chance.uniform(0.1, 0.8))
            acts[self._chance.choices(names, [WEIGHTS[name] for name in names])[0]]()
            self._send_again()
        self._stage.start_all()

    def _kill_one(self, roles: list[str] | None = None) -> None:
        role = self._chance.choice(roles or self._stage.roles)
        self._kill(role)
        self._restart([role])

    def _kill_at_a_step(self) -> None:
        """Kills while a call is on its way to the Hub, or its answer on the way back."""
        method, path = self._chance.choice(STEPS)
        fault = {"kind": "hang", "method": method, "path": path, "seconds": AIM_SECONDS}
        faults = self._stage.hub.ask("POST", "faults", {**fault, "applied": self._chance.random() < 0.5})
        deadline = time.monotonic() + AIM_SECONDS
        while time.monotonic() < deadline and not self._stage.hub.ask("GET", "faults")[len(faults) - 1]["fired"]:
            self._enough.wait(0.03)
        self._kill_one([role for role in self._stage.roles if role != "api"])

    def _kill_child(self) -> None:
        """Kills a process of the API that its parent has to replace."""
        children = self._stage.processes["api"].children()
        if children:
            with suppress(ProcessLookupError):
                os.kill(self._chance.choice(children), signal.SIGKILL)
                self.kills += 1

    def _kill_all(self) -> None:
        for role in self._stage.roles:
            self._kill(role)
        self._restart(self._stage.roles)

    def _stop(self) -> None:
        """Stops a process past its lease and wakes it again; sometimes another one is killed meanwhile."""
        role = self._chance.choice(self._stage.roles)
        process = self._stage.processes[role]
        process.signal_all(signal.SIGSTOP)
        self.stops += 1
        until = time.monotonic() + LEASE_SECONDS + self._chance.uniform(0.3, 1.5)
        others = [other for other in self._stage.roles if other != role]
        if others and self._chance.random() < 0.4:
            self._kill_one(others)
        self._enough.wait(max(0.0, until - time.monotonic()))
        process.signal_all(signal.SIGCONT)

    def _flush(self) -> None:
        self._stage.flush()
        self.flushes += 1

    def _kill(self, role: str) -> None:
        self._stage.kill(role)
        self.kills += 1

    def _restart(self, roles: list[str]) -> None:
        if self._chance.random() < 0.5:
            self._enough.wait(self._chance.uniform(0, RESTART_SECONDS))
        for role in roles:
            self._stage.start(role)
        # Now and then the next blow comes while it is starting.
        if self._chance.random() < 0.7:
            for role in roles:
                self._stage.wait_for(role)

    def _send_again(self) -> None:
        if self._stage.broker == "memory" or self._chance.random() < 0.5:
            return
        known = self._ledger.accepted_ids()
        chosen = self._chance.sample(known, min(len(known), 20))
        self._stage.send(chosen)
        self.extra_messages += len(chosen)
