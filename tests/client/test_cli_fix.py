"""`assembler fix` and `assembler adopt`: what is shown before anything is changed, and the answer of a person."""

from __future__ import annotations

import json
import os
import pty
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from uuid import uuid4

import pytest

from assembler_client import Assembler
from tests.client.conftest import Running
from tests.client.test_cli import PROGRAM, Run, logged_in, run, site
from tests.support.services import PROJECT

__all__ = ["logged_in", "run", "site"]

EDIT = {"path": "index.html", "action": "replace", "line": None, "old": "Hello", "new": "Hallo"}
PROBLEM = {
    "code": "greeting",
    "message": "The greeting is not German.",
    "hint": "Say it in German.",
    "fix": {"title": "Greet in German", "safe": True, "edits": [EDIT], "options": {}},
}


@pytest.fixture
def broken(logged_in: Run, running: Running, site: Path) -> str:
    """The name of a Space with a problem that has a fix."""
    name = f"broken-{uuid4().hex[:8]}"
    logged_in("create", "site", "--name", name, "--type", "static")
    with closing(sqlite3.connect(running.folder / "assembler.db", timeout=30)) as database:
        database.execute("UPDATE spaces SET problem = ? WHERE name = ?", (json.dumps(PROBLEM), name))
        database.commit()
    return name


def on_a_terminal(tmp_path: Path, answer: str, *arguments: str) -> tuple[int, str]:
    """Runs the command on a terminal of its own; returns exit code and output."""
    ours = {"PATH": os.environ["PATH"], "PYTHONPATH": str(PROJECT / "client"), "LANG": "C.UTF-8", "TERM": "dumb"}
    ours |= {"XDG_CONFIG_HOME": str(tmp_path / "config"), "HOME": str(tmp_path)}
    master, slave = pty.openpty()
    try:
        os.write(master, answer.encode())
        done = subprocess.run(
            [sys.executable, "-c", PROGRAM, *arguments],
            check=False,
            stdin=slave,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env=ours,
            timeout=120,
        )
    finally:
        os.close(slave)
        os.close(master)
    return done.returncode, done.stdout


def content(assembler: Assembler, name: str) -> str | None:
    request = assembler.find(name).latest_request
    assert request is not None
    (file,) = [file for file in request.files if file.path == "index.html"]
    return file.sha256


def test_a_fix_is_shown_as_a_diff_and_confirmed(broken: str, assembler: Assembler, tmp_path: Path) -> None:
    before = content(assembler, broken)
    code, shown = on_a_terminal(tmp_path, "n\n", "fix", broken)
    assert (code, content(assembler, broken)) == (130, before)
    assert "--- a/index.html" in shown
    assert "+++ b/index.html" in shown
    assert "-<h1>Hello</h1>" in shown
    assert "+<h1>Hallo</h1>" in shown
    assert "Apply this fix?" in shown
    code, shown = on_a_terminal(tmp_path, "y\n", "fix", broken)
    assert code == 0, shown
    assert content(assembler, broken) != before


def test_without_a_terminal_it_must_be_confirmed_by_an_option(
    broken: str, logged_in: Run, assembler: Assembler
) -> None:
    before = content(assembler, broken)
    assert "--yes" in logged_in("fix", broken, code=2).stderr
    assert content(assembler, broken) == before
    logged_in("fix", broken, "--yes")
    assert content(assembler, broken) != before


def test_adopt(logged_in: Run, site: Path, assembler: Assembler) -> None:
    name = f"adopted-{uuid4().hex[:8]}"
    logged_in("create", "site", "--name", name, "--type", "static")
    namespace = assembler.find(name).namespace
    managed = logged_in("adopt", f"{namespace}/{name}", "--target", "local", code=4)
    assert "already managed" in managed.stderr
    assert "no Space" in logged_in("adopt", f"{namespace}/nowhere-{name}", "--target", "local", code=4).stderr
    assert "NAMESPACE/NAME" in logged_in("adopt", "nowhere", code=3).stderr
