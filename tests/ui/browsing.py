"""A real browser for the tests of the web pages, used by keyboard."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Locator, Page, expect

# A limit for a page that hangs, on any machine; every wait ends with its event.
LIMIT = 120_000.0
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
DESKTOP, PHONE = {"width": 1280, "height": 900}, {"width": 320, "height": 640}
MOST_TABS = 120
INDEX = "<!doctype html>\n<title>Opening hours</title>\n<link rel=stylesheet href=style.css>\n<h1>Open today</h1>\n"
LOG = ["Starting", "Traceback (most recent call last):", '  File "/app/app.py", line 1, in <module>', "    import cv2"]
LOG += ["ModuleNotFoundError: No module named 'cv2'"]


class Visitor:
    """A person with a browser; every page must be free of errors, violations of its policy, and foreign requests."""

    def __init__(self, browser: Browser, url: str, **settings: Any) -> None:
        self.context: BrowserContext = browser.new_context(**({"viewport": DESKTOP, "locale": "en-GB"} | settings))
        self.page: Page = self.context.new_page()
        self.page.set_default_timeout(LIMIT)
        self.url = url
        self.complaints: list[str] = []
        self.page.on("console", self._listen)
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("request", lambda request: self._check_host(request.url))

    def _check_host(self, url: str) -> None:
        if urlsplit(url).scheme not in ("data", "blob") and urlsplit(url)[:2] != urlsplit(self.url)[:2]:
            self.complaints.append(f"a request to {url}")

    def _listen(self, message: ConsoleMessage) -> None:
        # Answers that refuse a form are logged as errors, too; violations of the policy are in the same list.
        if message.type in ("error", "warning") and "the server responded with a status of 4" not in message.text:
            self.complaints.append(f"{message.location['url']}: {message.text}")

    def open(self, path: str) -> Page:
        """Opens a page of the service."""
        self.page.goto(self.url + path)
        return self.page

    def sign_in(self, name: str, password: str) -> None:
        """Signs in by keyboard."""
        self.open("/")
        expect(self.page.locator("[name=name]")).to_be_focused()
        self.page.keyboard.type(name)
        self.page.keyboard.press("Tab")
        self.page.keyboard.type(password)
        self.page.keyboard.press("Enter")
        self.page.wait_for_url("**/ui/spaces")

    def reach(self, place: Locator) -> Locator:
        """Moves the focus to an element with the key Tab."""
        expect(place).to_be_visible()
        for _ in range(MOST_TABS):
            if place.evaluate("each => each === document.activeElement || each.contains(document.activeElement)"):
                return place
            if self.page.evaluate("document.activeElement.isContentEditable"):
                # In an editor Tab indents; after Escape it leaves.
                self.page.keyboard.press("Escape")
            self.page.keyboard.press("Tab")
        raise AssertionError(f"{place} cannot be reached with the key Tab")

    def press(self, place: Locator) -> None:
        """Presses a button or follows a link by keyboard."""
        self.reach(place)
        self.page.keyboard.press("Enter")

    def type(self, place: Locator, text: str) -> None:
        """Replaces the text of a field by keyboard."""
        self.reach(place)
        self.page.keyboard.press("Control+A")
        self.page.keyboard.type(text)

    def assert_fine(self) -> None:
        """Asserts that no error was logged, and nothing but the service was called."""
        assert self.complaints == []

    def assert_fits(self) -> None:
        """Asserts that the page needs no scrolling to the side."""
        wide = "document.documentElement.scrollWidth > window.innerWidth"
        assert not self.page.evaluate(wide), f"{self.page.url} is wider than the window"

    def close(self) -> None:
        """Closes the browser's windows."""
        self.context.close()


def button(page: Page, name: str) -> Locator:
    """Returns the button with exactly this name."""
    return page.get_by_role("button", name=name, exact=True)
