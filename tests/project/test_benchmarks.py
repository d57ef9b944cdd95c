"""Each benchmark runs in its smallest form; what it measures there means nothing."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.__main__ import NAMES
from benchmarks.measuring import Goal, Runs, in_turn
from tests.support.services import PROJECT


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_it_runs(name: str, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "benchmarks", name, "--quick", "--folder", str(tmp_path)]
    done = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, timeout=300, check=False)
    if "server not available" in done.stderr or "no sandbox works here" in done.stderr:
        pytest.skip(done.stderr.splitlines()[-1])
    assert done.returncode == 0, done.stderr
    result = json.loads((tmp_path / f"{name}.json").read_text())
    assert result["name"] == name
    assert result["rows"]
    assert all(row.keys() == result["rows"][0].keys() for row in result["rows"])


def test_sides_run_in_turn_and_again_where_they_waver() -> None:
    order: list[str] = []
    numbers = iter([1.0, 9.0, 1.0, 1.1])

    def wavering() -> float:
        order.append("a")
        return next(numbers)

    def steady() -> float:
        order.append("b")
        return 1.0

    found = in_turn({"a": wavering, "b": steady}, rounds=2, warm=False)
    assert "".join(order) == "abababab"
    assert found["a"] == Runs([1.0, 1.1])


def test_goals_know_their_direction() -> None:
    assert Goal("faster", 13.0, 13).met
    assert not Goal("faster", 12.9, 13).met
    assert Goal("smaller", 1.1, 1.15, at_least=False).met
    assert not Goal("smaller", 1.2, 1.15, at_least=False).met
