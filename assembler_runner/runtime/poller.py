"""The thread that follows the running apps, in every worker process, beside the publishing and never in its way."""

from __future__ import annotations

import logging
import threading
import time

from flask import Flask

from assembler_runner.core.database import db
from assembler_runner.runtime import watches
from assembler_runner.runtime.probe import look
from assembler_runner.services import Services

log = logging.getLogger(__name__)

LANES = 8
"""Accounts that are looked at side by side: one whose target hangs must not hold up the others."""


class Poller(threading.Thread):
    """Looks at what is due, one Space of an account after the other, as often as the account's rate limit allows.

    Args:
        app: the application.
        services: what the process holds.
    """

    def __init__(self, app: Flask, services: Services) -> None:
        super().__init__(name="follower", daemon=True)
        self._app, self._services = app, services
        self._idle = min(1.0, services.settings.FOLLOW_SECONDS / 2)
        self._stopped = threading.Event()
        self._busy: set[str] = set()
        self._lock = threading.Lock()

    def run(self) -> None:
        """Follows until it is stopped."""
        while not self._stopped.is_set():
            wait = self._idle
            try:
                with self._app.app_context():
                    self._serve(watches.due_accounts())
                    wait = max(0.05, watches.seconds_to_next(self._idle))
                    db.session.remove()
            except Exception as problem:  # noqa: BLE001 - a database that is away must not end the thread
                log.warning("what is due could not be found: %s", type(problem).__name__)
                wait = self._idle
            self._stopped.wait(wait if not self.busy else self._idle)

    @property
    def busy(self) -> bool:
        """Whether a look is under way."""
        return bool(self._busy)

    def stop(self) -> None:
        """Ends the thread soon; claims that are left behind run out."""
        self._stopped.set()

    def _serve(self, accounts: list[str]) -> None:
        for account in accounts:
            with self._lock:
                if account in self._busy or len(self._busy) >= LANES:
                    continue
                self._busy.add(account)
            threading.Thread(target=self._probe_all, args=[account], name="looks", daemon=True).start()

    def _probe_all(self, account: str) -> None:
        try:
            while not self._stopped.is_set():
                started = time.monotonic()
                with self._app.app_context():
                    claimed = watches.claim_next(account, self._services.leases.seconds)
                    if claimed is None:
                        return
                    space_id, owner = claimed
                    gap = look(self._services, space_id, owner).gap
                self._stopped.wait(max(0.0, gap - (time.monotonic() - started)))
        # As above: the claim runs out, and the Space is looked at again.
        except Exception as problem:
            log.warning("a look ended with %s", type(problem).__name__, exc_info=problem)
            self._stopped.wait(self._idle)
        finally:
            with self._lock:
                self._busy.discard(account)
