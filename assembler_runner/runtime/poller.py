"""The thread of each worker process that probes published apps, independent of publishing."""

from __future__ import annotations

import logging
import threading
import time

from flask import Flask

from assembler_runner.core.database import db
from assembler_runner.core.loops import Loop
from assembler_runner.runtime import watches
from assembler_runner.runtime.probe import look
from assembler_runner.services import Services

log = logging.getLogger(__name__)

LANES = 8
"""Number of accounts that are probed in parallel, so that a target that hangs does not delay other accounts."""


class Poller(Loop):
    """Probes the due Spaces of each account one after the other, as fast as the account's rate limit allows.

    Args:
        app: the application.
        services: the services of this process.
    """

    def __init__(self, app: Flask, services: Services) -> None:
        super().__init__("poller", min(1.0, services.settings.FOLLOW_SECONDS / 2))
        self._app, self._services = app, services
        self._busy: set[str] = set()
        self._lock = threading.Lock()

    def work(self) -> float:
        """Starts the probes that are due; returns the seconds until the next one is."""
        with self._app.app_context():
            self._start_lanes(watches.due_accounts())
            wait = max(0.05, watches.seconds_to_next(self.pause))
            db.session.remove()
        return self.pause if self.busy else wait

    @property
    def busy(self) -> bool:
        """Whether a probe is running."""
        return bool(self._busy)

    def _start_lanes(self, accounts: list[str]) -> None:
        for account in accounts:
            with self._lock:
                if account in self._busy or len(self._busy) >= LANES:
                    continue
                self._busy.add(account)
            threading.Thread(target=self._probe_all, args=[account], name="probes", daemon=True).start()

    def _probe_all(self, account: str) -> None:
        try:
            while not self.stopped.is_set():
                started = time.monotonic()
                with self._app.app_context():
                    claimed = watches.claim_next(account, self._services.leases.seconds)
                    if claimed is None:
                        return
                    space_id, owner = claimed
                    gap = look(self._services, space_id, owner).gap
                self.stopped.wait(max(0.0, gap - (time.monotonic() - started)))
        # The claim expires, and the Space is probed again.
        except Exception as problem:
            log.warning("a probe ended with %s", type(problem).__name__, exc_info=problem)
            self.stopped.wait(self.pause)
        finally:
            with self._lock:
                self._busy.discard(account)
