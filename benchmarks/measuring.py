"""What all benchmarks share: runs in turn, medians, what came of it as JSON."""

from __future__ import annotations

import json
import os
import platform
import statistics
import subprocess
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).resolve().parent / "results"
STEADY = 1 / 3
"""Largest spread of one side's runs, as a part of their median, that is not run again."""


@dataclass(frozen=True)
class Goal:
    """What a benchmark has to reach.

    Args:
        text: the goal in words.
        value: what was measured.
        limit: what is wanted.
        at_least: whether more is better.
        why: where it is missed, the reason.
    """

    text: str
    value: float
    limit: float
    at_least: bool = True
    why: str = ""

    @property
    def met(self) -> bool:
        """Whether it is reached."""
        return self.value >= self.limit if self.at_least else self.value <= self.limit


@dataclass(frozen=True)
class Plot:
    """A picture of the rows.

    Args:
        x: the column along the bottom.
        y: the columns that are drawn, one line each.
        unit: what the numbers are.
        log: whether both axes are logarithmic.
    """

    x: str
    y: list[str]
    unit: str
    log: bool = True


@dataclass
class Result:
    """What came of a benchmark.

    Args:
        name: its name.
        what: what is measured and against what, for readers.
        rows: the table; all rows have the same columns.
        goals: what it had to reach.
        plot: its picture, if it has one.
        more: a second table.
    """

    name: str
    what: str
    rows: list[dict[str, Any]] = field(default_factory=list)
    goals: list[Goal] = field(default_factory=list)
    plot: Plot | None = None
    more: list[dict[str, Any]] = field(default_factory=list)


@dataclass(frozen=True)
class Runs:
    """What the runs of one side measured.

    Args:
        values: one number a run, of whatever is measured.
    """

    values: list[float]

    @property
    def median(self) -> float:
        """The median."""
        return statistics.median(self.values)

    @property
    def spread(self) -> float:
        """Range of the middle runs (the best and the worst left out from five runs on), as a part of the median."""
        middle = sorted(self.values)[1:-1] if len(self.values) >= 5 else self.values
        return (max(middle) - min(middle)) / self.median if self.median else 0.0


def in_turn(
    sides: Mapping[str, Callable[[], float]], rounds: int, repeats: int = 1, warm: bool = True
) -> dict[str, Runs]:
    """Runs all sides in turn, A B A B …; once more where a side's runs differ by more than a third.

    Args:
        sides: name → one run, which returns what it measured.
        rounds: how often each is run.
        repeats: how often all of it may be repeated.
        warm: run each once before, without counting it.
    Returns:
        Name → the runs.
    """
    if warm:
        for run in sides.values():
            run()
    best: dict[str, Runs] = {}
    for _ in range(1 + repeats):
        found: dict[str, list[float]] = {name: [] for name in sides}
        for _ in range(rounds):
            for name, run in sides.items():
                found[name].append(run())
        runs = {name: Runs(values) for name, values in found.items()}
        if not best or _worst(runs) < _worst(best):
            best = runs
        if _worst(best) <= STEADY:
            break
    return best


def _worst(runs: Mapping[str, Runs]) -> float:
    return max(side.spread for side in runs.values())


def timed(work: Callable[[], Any]) -> float:
    """Returns the seconds that work takes."""
    begun = time.perf_counter()
    work()
    return time.perf_counter() - begun


def percentile(values: list[float], part: float) -> float:
    """Returns the value below which a part (0 to 1) of all lies."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * part))]


def loop_seconds() -> float:
    """Returns the processor time of ten million additions: how fast the machine is at this moment."""
    begun, total = time.process_time(), 0
    for number in range(10_000_000):
        total += number
    return time.process_time() - begun


def machine() -> dict[str, Any]:
    """Returns what these numbers were measured on."""
    models = [line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")]
    return {
        "processor": models[0].partition(":")[2].strip() if models else platform.processor(),
        "cores": os.cpu_count(),
        "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1),
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.release().partition('-')[0]}",
        "load": round(os.getloadavg()[0], 1),
        "loop_seconds": round(loop_seconds(), 2),
    }


def save(result: Result, folder: Path = RESULTS) -> Path:
    """Writes a result as JSON."""
    folder.mkdir(parents=True, exist_ok=True)
    written = {**asdict(result), "at": datetime.now(UTC).isoformat(timespec="seconds"), "machine": machine()}
    written["goals"] = [{**asdict(goal), "met": goal.met} for goal in result.goals]
    written["commit"] = _commit()
    path = folder / f"{result.name}.json"
    path.write_text(json.dumps(written, indent=1) + "\n")
    return path


def _commit() -> str:
    command = ["git", "rev-parse", "--short", "HEAD"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=RESULTS.parent, check=False)
    return done.stdout.strip()
