"""The stages a Space runs through, played from a script."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

SDKS = ("gradio", "docker", "static")
FREE_HARDWARE = ("cpu-basic", "zero-a10g")
PAID_HARDWARE = (
    "cpu-upgrade", "t4-small", "t4-medium", "l4x1", "l4x4", "l40sx1", "l40sx4", "l40sx8",
    "a10g-small", "a10g-large", "a10g-largex2", "a10g-largex4", "a100-large", "a100x4", "a100x8",
    "rtx-pro-6000", "rtx-pro-6000x2", "rtx-pro-6000x4", "rtx-pro-6000x8",
)  # fmt: skip
HARDWARE = FREE_HARDWARE + PAID_HARDWARE
FREE_SLEEP_SECONDS = 48 * 3600


@dataclass(frozen=True)
class Stage:
    """One scene: a stage shown for so many polls or seconds, or for ever.

    `sha` makes the runtime name the newest commit, or lie with the one before it.
    """

    name: str
    polls: int | None = None
    seconds: float | None = None
    error: str | None = None
    sha: Literal["head", "previous"] | None = None


Step = Stage | str | tuple[str, int | float]


def stages(steps: Iterable[Step]) -> list[Stage]:
    """Scenes from their short forms: (stage, number of polls), (stage, seconds as a float), or a name."""
    return [_stage(step) for step in steps]


def _stage(step: Step) -> Stage:
    if isinstance(step, Stage):
        return step
    if isinstance(step, str):
        return Stage(step)
    name, length = step
    return Stage(name, seconds=length) if isinstance(length, float) else Stage(name, polls=length)


BUILD = stages([("BUILDING", 1), ("APP_STARTING", 1), "RUNNING"])


class Runtime:
    """Plays stages; only asking for the runtime counts as a poll."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._stages: list[Stage] = [Stage("NO_APP_FILE")]
        self._polled = 0
        self._since = time.monotonic()

    def play(self, script: Sequence[Stage]) -> None:
        """Start a script; its last stage stays."""
        with self._lock:
            self._stages = list(script)
            self._polled = 0
            self._since = time.monotonic()

    def poll(self) -> Stage:
        """The stage now, counted as asked for."""
        with self._lock:
            self._advance()
            self._polled += 1
            return self._stages[0]

    def peek(self) -> Stage:
        """The stage now, not counted."""
        with self._lock:
            self._advance()
            return self._stages[0]

    def _advance(self) -> None:
        while len(self._stages) > 1:
            stage = self._stages[0]
            if stage.polls is not None and self._polled >= stage.polls:
                self._since = time.monotonic()
            elif stage.seconds is not None and time.monotonic() >= self._since + stage.seconds:
                self._since += stage.seconds
            else:
                return
            self._stages.pop(0)
            self._polled = 0
