"""The invoke tasks for documentation and dependencies; each task is really run."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from assembler_runner.core.places import PROJECT
from tests.conftest import Service

HTML = PROJECT / "docs" / "_build" / "html"


def invoke(*arguments: str, folder: Path = PROJECT, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "invoke", *arguments]
    path = {"PYTHONPATH": str(folder)}
    return subprocess.run(
        command, capture_output=True, text=True, check=False, cwd=folder, env={**os.environ, **path, **environment}
    )


@pytest.fixture(scope="module")
def pages() -> Path:
    """The documentation, built; a warning is an error."""
    done = invoke("doc")
    assert (done.returncode, done.stderr) == (0, ""), done.stderr
    return HTML


@pytest.mark.slow
def test_the_documentation_is_complete(pages: Path) -> None:
    for page in (PROJECT / "docs").glob("*.md"):
        assert (pages / f"{page.stem}.html").exists(), page
    for module in ("assembly.assemble", "publishing.pipeline", "targets.hub.target", "api.spaces"):
        package = (pages / "source" / f"assembler_runner.{module.rpartition('.')[0]}.html").read_text()
        assert f'id="module-assembler_runner.{module}"' in package, module
    assert "SpacePlugin" in (pages / "plugin-api.html").read_text()
    commands = (pages / "cli.html").read_text()
    for name in ("serve", "plugin-check", "doctor", "backup", "restore", "requests-requeue", "user-create"):
        assert f'id="assembler-{name}"' in commands, name
    spec = json.loads((pages / "openapi" / "api-spec.json").read_text())
    assert "/create-space" in spec["paths"]
    assert "redoc.standalone.js" in (pages / "openapi" / "index.html").read_text()
    assert str(PROJECT) not in "".join(page.read_text() for page in pages.glob("*.html"))


@pytest.mark.slow
def test_no_page_fetches_anything_from_outside(pages: Path) -> None:
    fetched = re.compile(
        r"<(?:script|img|iframe|source|embed|object)\b[^>]*?\b(?:src|data)=[\"']?((?:https?:)?//[^\"' >]+)"
        r"|<link\b[^>]*?\bhref=[\"']?((?:https?:)?//[^\"' >]+)"
    )
    for page in pages.rglob("*.html"):
        assert fetched.findall(page.read_text(encoding="utf-8")) == [], page
    for style in pages.rglob("*.css"):
        assert re.findall(r"(?:@import|url\()\s*[\"']?(?:https?:)?//", style.read_text(encoding="utf-8")) == [], style


@pytest.mark.slow
def test_targets_are_listed(pages: Path) -> None:
    found = invoke("doc-index", "--filter=spaceplugin").stdout.splitlines()
    assert any(line.startswith("py:class assembler_runner.plugin.SpacePlugin → ") for line in found)
    assert all("spaceplugin" in line.lower() for line in found)
    assert len(invoke("doc-index").stdout.splitlines()) > 500


@pytest.mark.slow
def test_the_browser_is_opened(pages: Path, tmp_path: Path) -> None:
    browser = tmp_path / "browser"
    browser.write_text(f'#!/bin/sh\necho "$1" > {tmp_path}/opened\n')
    browser.chmod(0o755)
    assert invoke("browse-doc", BROWSER=f"{browser} %s").returncode == 0
    assert (tmp_path / "opened").read_text().strip() == (pages / "index.html").as_uri()


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """A copy of the files that the tasks read and write."""
    for name in ("tasks.py", "pyproject.toml", "requirements.in", "requirements-dev.in"):
        shutil.copy(PROJECT / name, tmp_path / name)
    for name in ("requirements.lock", "requirements-dev.lock"):
        shutil.copy(PROJECT / name, tmp_path / name)
    shutil.copytree(PROJECT / "assembler_runner", tmp_path / "assembler_runner")
    return tmp_path


@pytest.mark.slow
def test_dependencies_are_locked_as_they_are_declared(copy: Path) -> None:
    done = invoke("update-dependencies", folder=copy)
    assert done.returncode == 0, done.stderr
    for name in ("requirements.lock", "requirements-dev.lock"):
        text = (copy / name).read_text()
        assert text == (PROJECT / name).read_text(), f"{name} is out of date; run invoke update-dependencies"
        assert "http://" not in text
        assert "https://" not in text
        assert text.count("--hash=sha256:") > text.count("==") > 50
    rows = json.loads((copy / "assembler_runner" / "ui" / "licenses.json").read_text())
    assert {"Flask", "huggingface_hub", "celery"} <= {row["name"] for row in rows}
    assert all(row["url"].startswith("https://") for row in rows if row["url"])
    assert not {"pytest", "Sphinx", "mypy"} & {row["name"] for row in rows}


def test_licences_are_listed_and_served(service: Service) -> None:
    listed = invoke("list-licenses").stdout
    assert re.search(r"^Flask \S+: BSD-3-Clause \(https://", listed, re.MULTILINE)
    assert re.search(r"^pytest \S+: MIT", listed, re.MULTILINE)
    page = service.client.get("/licenses")
    assert page.status_code == 200
    for row in json.loads((PROJECT / "assembler_runner" / "ui" / "licenses.json").read_text()):
        assert f">{row['name']}<" in page.text or f">{row['name']}</a>" in page.text


def test_what_needs_the_pages_says_so_where_there_are_none(copy: Path) -> None:
    for task in ("browse-doc", "doc-index"):
        done = invoke(task, folder=copy)
        assert done.returncode == 1
        assert "invoke doc" in done.stderr


def test_packages_with_data_name_it() -> None:
    declared = tomllib.loads((PROJECT / "pyproject.toml").read_text())["tool"]["setuptools"]["package-data"]
    assert "ui/*.json" in declared["assembler_runner"]
