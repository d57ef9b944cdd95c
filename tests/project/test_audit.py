"""`invoke audit`, with answers of pip-audit as it prints them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

PROJECT = Path(__file__).resolve().parent.parent.parent
CLEAN: dict[str, Any] = {"name": "flask", "version": "3.1.3", "vulns": []}
OPEN = {"name": "jinja2", "version": "1.0", "vulns": [{"id": "CVE-2016-1", "fix_versions": ["2.8.1"]}]}
SKIPPED = {"name": "six", "skip_reason": "Dependency not found on PyPI and could not be audited: six (1.0)"}


def audit(folder: Path, output: str) -> subprocess.CompletedProcess[str]:
    """Runs the task with a module `pip_audit` that prints an answer."""
    (folder / "pip_audit.py").write_text(f"print({output!r})\n")
    command = [sys.executable, "-m", "invoke", "audit"]
    env = {**os.environ, "PYTHONPATH": str(folder)}
    return subprocess.run(command, check=False, cwd=PROJECT, env=env, capture_output=True, text=True, timeout=120)


@pytest.mark.parametrize(
    ("rows", "code", "line"),
    [
        ([CLEAN], 0, "requirements.lock: 1 packages checked, 0 advisories"),
        ([CLEAN, OPEN], 1, "  jinja2 1.0: CVE-2016-1, fixed in 2.8.1"),
        ([CLEAN, SKIPPED], 1, "  Not checked: six"),
        ([SKIPPED], 1, "requirements.lock: none of 1 packages could be checked. This needs the network."),
    ],
)
def test_the_audit_reports_what_was_found_and_what_was_not_checked(
    tmp_path: Path, rows: list[dict[str, Any]], code: int, line: str
) -> None:
    done = audit(tmp_path, json.dumps({"dependencies": rows, "fixes": []}))
    assert (done.returncode, line in (done.stdout + done.stderr).splitlines()) == (code, True), done


def test_an_audit_that_cannot_read_says_so(tmp_path: Path) -> None:
    done = audit(tmp_path, "")
    assert done.returncode == 1
    assert "This needs the network; nothing was checked." in done.stderr
