"""A short run of the fuzzer; `invoke fuzz` runs longer ones."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

PROJECT = Path(__file__).resolve().parent.parent.parent


@pytest.mark.slow
def test_a_short_run_finds_nothing() -> None:
    command = [sys.executable, "-m", "tests.support.fuzz", "--minutes", "0.2", "--seed", "3"]
    done = subprocess.run(command, check=False, cwd=PROJECT, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout[-5000:]
    assert " calls, {200: " in done.stdout
