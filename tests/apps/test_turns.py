"""Realms take turns when apps are started."""

from __future__ import annotations

import threading

from assembler_runner.apps.turns import Turns
from tests.support.services import wait_until


def test_realms_take_turns() -> None:
    turns, served = Turns(1), []
    turns.take("first")

    def start(realm: str) -> None:
        turns.take(realm)
        served.append(realm)
        turns.give_back(realm)

    threads = []
    for realm in ("many", "many", "many", "few", "other"):
        threads.append(threading.Thread(target=start, args=[realm]))
        threads[-1].start()
        wait_until(lambda: len(turns._waiting) == len(threads), "it waits")
    turns.give_back("first")
    for thread in threads:
        thread.join()
    assert served == ["many", "few", "other", "many", "many"]
