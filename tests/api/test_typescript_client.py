"""The TypeScript client of docs/api-clients.md: generated, checked by tsc, and really used."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from assembler_runner.core.places import PROJECT
from tests.project.pages import blocks
from tests.support.services import PASSWORD, Client, Process

PAGE = PROJECT / "docs" / "api-clients.md"
SECONDS = 600


def run(folder: Path, command: str, **environ: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["bash", "-euc", command],
        check=False,
        cwd=folder,
        env={**os.environ, "npm_config_cache": str(folder / "cache"), **environ},
        capture_output=True,
        text=True,
        timeout=SECONDS,
    )


@pytest.mark.slow
def test_the_typescript_client_of_the_page_works(tmp_path: Path) -> None:
    if shutil.which("npm") is None or shutil.which("node") is None:
        pytest.skip("node and npm are not installed: the TypeScript client was not tested")
    (program,) = [block.text for block in blocks(PAGE) if block.kind == "typescript example"]
    (commands,) = [block.text for block in blocks(PAGE) if block.kind == "bash" and "npx" in block.text]
    install, *others = commands.splitlines()
    (tmp_path / "package.json").write_text('{"name": "typed", "private": true, "type": "module"}')
    (tmp_path / "main.ts").write_text(program)
    installed = run(tmp_path, install.replace("npm install", "npm install --no-audit --no-fund --silent"))
    if installed.returncode:
        pytest.skip(f"the registry of npm is not reachable: {installed.stderr.strip()[-200:]}")
    settings = {"ADMIN_PASSWORD": PASSWORD}
    arguments = ("-m", "assembler_runner", "serve", "--port", "0", "--instance", str(tmp_path / "instance"))
    with Process(*arguments, **settings) as service:
        url = service.wait_for_line(r"ready at (\S+)")[1]
        with Client(url) as client:
            token = client.token
        done = run(tmp_path, "\n".join(others).replace("http://127.0.0.1:5005", url), TOKEN=token)
    assert done.returncode == 0, done.stdout + done.stderr
    assert json.loads(done.stdout.splitlines()[-1]) == [["typed"], "static"]
