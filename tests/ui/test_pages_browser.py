"""Every page in a real browser: it shows its content, calls no other host, and logs no errors."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, ConsoleMessage, Page, expect, sync_playwright
from werkzeug.serving import make_server

from tests.conftest import Service

pytestmark = pytest.mark.slow

# A limit for a page that hangs, on any machine; every wait ends with its event.
LIMIT = 120_000.0
expect.set_options(timeout=LIMIT)

CHROMIUM = Path("/usr/bin/chromium")
QUIET = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
DESKTOP, PHONE = {"width": 1280, "height": 900}, {"width": 390, "height": 844}

INDEX = (
    "<!doctype html><title>Live</title><link rel=stylesheet href=style.css><h1>…</h1><script src=params.js></script>"
)
SCRIPT = '<script>document.querySelector("h1").textContent = window.PARAMS.message</script>'
FILES = {
    "index.html": INDEX + SCRIPT,
    "style.css": "h1 { color: rgb(0, 128, 0) }",
    "README.md": "# About\n\nA *page*.\n",
}


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    if not CHROMIUM.exists():
        pytest.skip(f"server not available: no {CHROMIUM}; install it with apt-get install chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=str(CHROMIUM), args=QUIET)
        yield browser
        browser.close()


@pytest.fixture
def url(service: Service) -> Iterator[str]:
    """Address of the service, listening."""
    server = make_server("127.0.0.1", 0, service.app, threaded=True)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


class Visit:
    """A page with all its requests and logged errors."""

    def __init__(self, page: Page, url: str) -> None:
        self.page = page
        self.url = url
        self.asked: list[str] = []
        self.complaints: list[str] = []
        page.on("request", lambda request: self.asked.append(request.url))
        page.on("requestfailed", lambda request: self.complaints.append(f"failed: {request.url}"))
        page.on("console", self._listen)
        page.on("pageerror", lambda error: self.complaints.append(str(error)))

    def _listen(self, message: ConsoleMessage) -> None:
        # A page that is not HTML cannot name its icon; the browser requests a default URL.
        if message.type in ("error", "warning") and not message.location["url"].endswith("/favicon.ico"):
            self.complaints.append(f"{message.location['url']}: {message.text}")

    def open(self, path: str) -> Page:
        """Opens a page of the service."""
        self.page.goto(self.url + path)
        return self.page

    def assert_fine(self) -> None:
        """Asserts that no other host was called, blocked or not, and that no error was logged."""
        self.page.wait_for_load_state("networkidle")
        own = urlsplit(self.url)
        foreign = [
            asked
            for asked in self.asked
            if urlsplit(asked).scheme not in ("data", "blob") and urlsplit(asked)[:2] != own[:2]
        ]
        assert foreign == []
        assert self.complaints == []


NewVisit = Callable[..., Visit]


@pytest.fixture
def visit(browser: Browser, url: str, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[NewVisit]:
    """Creates visits; each must end without errors. With SCREENSHOTS=folder, the last view of each is saved there."""
    made: list[Visit] = []

    def make(**settings: Any) -> Visit:
        page = browser.new_page(**({"viewport": DESKTOP} | settings))
        page.set_default_timeout(LIMIT)
        made.append(Visit(page, url))
        return made[-1]

    yield make
    folder = Path(os.environ.get("SCREENSHOTS", tmp_path))
    for number, done in enumerate(made):
        done.page.screenshot(path=folder / f"{request.node.name.replace('/', '')}-{number}.png")
        done.assert_fine()
        done.page.close()


@pytest.fixture
def space(service: Service) -> dict[str, Any]:
    """A published static Space."""
    done = service.publish(files=FILES, name="opening-hours", parameters={"message": "Open <today>"})
    assert done["status"] == "succeeded"
    return service.space(done["space_id"])


@pytest.mark.parametrize("look", [{}, {"color_scheme": "dark"}, {"viewport": PHONE}], ids=["light", "dark", "phone"])
def test_first_page(visit: NewVisit, look: dict[str, Any]) -> None:
    page = visit(**look).open("/")
    expect(page.get_by_label("Name", exact=True)).to_be_focused()
    expect(page.get_by_label("Password", exact=True)).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")


# The pages of the API have thousands of elements, and a search by role or text reads all of them: each names its place.
SUBMIT = "Submit a Space request"
OPERATIONS = {
    "/redoc": "[data-section-id^='tag/spaces/'] h2",
    "/rapidoc": "[data-content-id='post-/spaces']",
    "/swagger-ui": ".opblock-post",
}


@pytest.mark.parametrize("path", sorted(OPERATIONS))
def test_links_to_the_api_documentation(visit: NewVisit, path: str) -> None:
    page = visit().open("/")
    page.locator(f"nav a[href='{path}']").click()
    expect(page.locator(OPERATIONS[path], has_text=SUBMIT)).to_be_visible()


def test_rapidoc_draws_one_operation_at_a_time(visit: NewVisit) -> None:
    page = visit().open("/rapidoc")
    page.locator(OPERATIONS["/rapidoc"]).click()
    expect(page.locator("rapi-doc h2", has_text=SUBMIT)).to_be_visible()
    assert page.locator("rapi-doc .expanded-req-resp-container").count() == 1


def test_redoc(visit: NewVisit) -> None:
    page = visit().open("/redoc")
    expect(page.locator("h1", has_text="Assembler")).to_be_visible()
    page.locator("[data-item-id='tag/spaces']").click()
    page.locator(f"[role=menuitem][aria-label='{SUBMIT}']").click()
    operation = page.locator("[data-section-id^='tag/spaces/']", has_text=SUBMIT)
    expect(operation.locator("h2", has_text=SUBMIT)).to_be_in_viewport()
    expect(operation.get_by_text("the value of the variable PARAMS").first).to_be_visible()
    # The index of the search is made by a worker.
    search = page.locator("[role=search]")
    search.locator("input").fill("preview")
    expect(search.get_by_text("Preview a Space").first).to_be_visible()


def test_rapidoc(visit: NewVisit) -> None:
    page = visit().open("/rapidoc")
    page.locator(OPERATIONS["/rapidoc"], has_text=SUBMIT).click()
    expect(page.locator("rapi-doc h2", has_text=SUBMIT)).to_be_in_viewport()
    expect(page.get_by_text("Repeating a call with the same key and body").first).to_be_visible()


def test_swagger_ui_sends_a_request(visit: NewVisit, service: Service) -> None:
    page = visit().open("/swagger-ui")
    page.get_by_role("button", name="Authorize").first.click()
    page.locator(".auth-container input").fill(service.headers["Authorization"].removeprefix("Bearer "))
    page.locator(".auth-btn-wrapper .authorize").click()
    page.locator(".auth-btn-wrapper .btn-done").click()
    operation = page.locator(".opblock", has_text="List the types of Spaces")
    operation.click()
    operation.get_by_role("button", name="Try it out").click()
    operation.get_by_role("button", name="Execute").click()
    expect(operation.locator(".live-responses-table .response-col_status", has_text="200")).to_be_visible()
    expect(operation.locator(".live-responses-table")).to_contain_text("streamlit")


def test_docs(visit: NewVisit, url: str) -> None:
    page = visit().open("/docs")
    expect(page.get_by_text(f"Base URL: {url}")).to_be_visible()
    expect(page.get_by_text("POST /create-space").first).to_be_visible()


@pytest.mark.parametrize("look", [{}, {"color_scheme": "dark"}, {"viewport": PHONE}], ids=["light", "dark", "phone"])
def test_page_of_a_space(visit: NewVisit, space: dict[str, Any], look: dict[str, Any]) -> None:
    page = visit(**look).open(urlsplit(space["url"]).path)
    expect(page.get_by_role("link", name="index.html")).to_be_visible()
    expect(page.get_by_text("A *page*.")).to_be_visible()
    expect(page.frame_locator("iframe").get_by_role("heading", name="Open <today>")).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")


def test_page_of_a_file(visit: NewVisit, space: dict[str, Any]) -> None:
    page = visit().open(urlsplit(space["url"]).path)
    page.get_by_role("link", name="index.html").click()
    expect(page.get_by_text(SCRIPT)).to_be_visible()


def test_live_page_runs_in_a_sandbox(visit: NewVisit, space: dict[str, Any]) -> None:
    page = visit().open(urlsplit(space["url"]).path + "/live/")
    heading = page.get_by_role("heading", name="Open <today>")
    expect(heading).to_be_visible()
    assert heading.evaluate("shown => getComputedStyle(shown).color") == "rgb(0, 128, 0)"
    assert page.evaluate("window.origin") == "null"
