"""Fixtures of the tests in a real browser: a service with a worker, and people who visit it."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, expect, sync_playwright

from assembler_runner.devhub import StandInHub
from tests.support.services import PASSWORD, Process
from tests.ui.browsing import CHROMIUM, INDEX, LIMIT, QUIET, Visitor

READY = r"Assembler is ready at (http://\S+)"


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    if not CHROMIUM.exists():
        pytest.skip(f"server not available: no {CHROMIUM}; install it with apt-get install chromium")
    expect.set_options(timeout=LIMIT)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=str(CHROMIUM), args=QUIET)
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def web_hub() -> Iterator[StandInHub]:
    with StandInHub() as running:
        yield running


@pytest.fixture(scope="module")
def web_url(tmp_path_factory: pytest.TempPathFactory, web_hub: StandInHub) -> Iterator[str]:
    """Address of a service that publishes to this machine, or to the stand-in Hub."""
    folder = tmp_path_factory.mktemp("instance")
    command = ("-m", "assembler_runner", "serve", "--port", "0", "--instance", str(folder))
    settings = {
        "ADMIN_PASSWORD": PASSWORD,
        "HF_TOKEN": "hf_alice",
        "HF_ENDPOINT": web_hub.url,
        "DEFAULT_TARGET": "local",
    }
    with Process(*command, **settings, FOLLOW_SECONDS="0.05") as process:
        yield process.wait_for_line(READY)[1]


NewVisitor = Callable[..., Visitor]


@pytest.fixture
def visitor(browser: Browser, web_url: str, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[NewVisitor]:
    """Creates visitors; each must end without complaints. With SCREENSHOTS=folder, the last view is saved there."""
    made: list[Visitor] = []

    def make(**settings: Any) -> Visitor:
        made.append(Visitor(browser, web_url, **settings))
        return made[-1]

    yield make
    folder = Path(os.environ.get("SCREENSHOTS", tmp_path))
    for number, done in enumerate(made):
        done.page.screenshot(path=folder / f"{request.node.name}-{number}.png", full_page=True)
        done.assert_fine()
        done.close()


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """A folder with a site."""
    folder = tmp_path / "site"
    folder.mkdir()
    (folder / "index.html").write_text(INDEX)
    (folder / "style.css").write_text("h1 { color: green }\n")
    return folder
