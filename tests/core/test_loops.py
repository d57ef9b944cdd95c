"""Background threads: a failed round is retried, a stop takes effect at once."""

from __future__ import annotations

import threading

import pytest

from assembler_runner.core.loops import Loop, OnDemand
from tests.support.services import wait_until


def test_a_failed_round_is_logged_and_retried(caplog: pytest.LogCaptureFixture) -> None:
    rounds: list[int] = []
    again = threading.Event()

    def work() -> None:
        rounds.append(len(rounds))
        if len(rounds) < 3:
            raise OSError("secret address")
        again.set()

    loop = Loop("tests", 0.01, work)
    loop.start()
    assert again.wait(10)
    loop.stop()
    loop.join(10)
    assert not loop.is_alive()
    assert caplog.messages[:2] == ["tests: a round failed: OSError"] * 2


def test_a_stop_ends_the_pause() -> None:
    loop = Loop("tests", 3600, lambda: None)
    loop.start()
    loop.stop()
    loop.join(10)
    assert not loop.is_alive()


def test_a_loop_starts_once_and_again_after_its_end() -> None:
    made: list[Loop] = []

    def make() -> Loop:
        made.append(Loop("tests", 3600, lambda: None))
        return made[-1]

    on_demand = OnDemand(make)
    on_demand.stop()
    on_demand.ensure()
    on_demand.ensure()
    assert len(made) == 1
    on_demand.stop()
    wait_until(lambda: not made[0].is_alive(), "the loop has ended")
    on_demand.ensure()
    assert len(made) == 2
    on_demand.stop()
