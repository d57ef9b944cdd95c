"""The sessions of the pages are run by bash against a service that really runs, and give what is shown."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx
import pytest

from assembler_runner.core.places import PROJECT
from tests.project.pages import Block, blocks
from tests.support.services import PASSWORD, Process

DOCS = PROJECT / "docs"
README = [PROJECT / "README.md"]
TUTORIAL = [DOCS / "tutorial.md"]
API = [DOCS / f"{name}.md" for name in ("api", "api-files", "api-events", "api-states", "api-lists", "api-changes")]
LOGIN = "assembler login --url http://127.0.0.1:5005 -u admin"
SEPARATOR = "\x1e"


def same(shown: Any, real: Any) -> bool:
    """Returns whether a response matches the documented one; `…` matches any text, and as a key or item any others."""
    if isinstance(shown, str):
        pattern = ".*".join(map(re.escape, shown.split("…")))
        return shown == "…" or (isinstance(real, str) and re.fullmatch(pattern, real, re.DOTALL) is not None)
    if isinstance(shown, dict) and isinstance(real, dict):
        named = set(shown) - {"…"}
        complete = named <= set(real) if "…" in shown else named == set(real)
        return complete and all(same(shown[name], real[name]) for name in named)
    if isinstance(shown, list) and isinstance(real, list):
        return len(shown) == len(real) and all(map(same, shown, real))
    return bool(shown == real) and type(shown) is type(real)


def run_session(pages: list[Path], url: str, folder: Path) -> list[tuple[Block | None, str]]:
    """Runs all blocks of some pages in one shell, in an empty folder.

    Returns the documented and the real output of each.
    """
    found = [block for page in pages for block in blocks(page)]
    steps = [(step, after) for step, after in zip(found, [*found[1:], None], strict=True) if step.kind == "sh session"]
    script = f"\nprintf '{SEPARATOR}'\n".join(step.text for step, _ in steps)
    script = script.replace(LOGIN, f"{LOGIN} --password-stdin <<< '{PASSWORD}'")
    assert "http://127.0.0.1:5005" in script
    script = script.replace("http://127.0.0.1:5005", url).replace("PASSWORD=…", f"PASSWORD='{PASSWORD}'")
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environ = {"PATH": path, "HOME": str(folder), "LANG": "C.UTF-8"}
    done = subprocess.run(
        ["bash", "-uc", f"exec 2>&1; cd {folder}\n{script}"],
        capture_output=True,
        text=True,
        check=True,
        timeout=180,
        env=environ,
    )
    outputs = done.stdout.split(SEPARATOR)
    return [
        (after if after and after.kind in ("json", "text") else None, output)
        for (_, after), output in zip(steps, outputs, strict=True)
    ]


@pytest.mark.parametrize("pages", [README, API, TUTORIAL], ids=lambda pages: pages[0].stem)
def test_sessions_give_what_is_shown(pages: list[Path], tmp_path: Path) -> None:
    command = ("-m", "assembler_runner", "serve", "--port", "0", "--instance", str(tmp_path / "instance"))
    work = tmp_path / "work"
    work.mkdir()
    with Process(*command, ADMIN_PASSWORD=PASSWORD) as process:
        url = process.wait_for_line(r"Assembler is ready at (http://\S+)")[1]
        outputs = run_session(pages, url, work)
        answers = [(shown, real) for shown, real in outputs if shown]
        assert answers
        for shown, real in answers:
            expected = shown.text.replace("http://127.0.0.1:5005", url)
            alike = (
                same(json.loads(expected), json.loads(real))
                if shown.kind == "json"
                else same(expected.strip(), real.strip())
            )
            assert alike, f"{pages[0].name} shows\n{expected}\nbut it is\n{real}"
        unshown = [real for shown, real in outputs if shown is None and real.strip()]
        assert pages == TUTORIAL or unshown == []
        if pages == README:
            space = json.loads(answers[-1][1])["url"]
            assert "params.js" in httpx.get(space).text
            assert "Hello World" in httpx.get(f"{space}/live/params.js").text
        assert process.stop() == 0


def test_that_comparison_finds_differences() -> None:
    assert same({"a": "x…", "…": "…"}, {"a": "xyz", "b": 1})
    assert not same({"a": "x"}, {"a": "x", "b": 1})
    assert not same({"a": "x…"}, {"a": "y"})
    assert not same([1], [1, 2])
    assert not same(1, True)
