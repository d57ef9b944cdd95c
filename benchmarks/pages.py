"""The web pages: what the server needs, what a browser needs, and how much JavaScript a page loads."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from playwright.sync_api import Page, sync_playwright
from werkzeug.serving import make_server

from assembler_runner.core.database import db
from assembler_runner.spaces.models import SpaceRequest
from assembler_runner.ui import ui
from benchmarks import stage
from benchmarks.growth import Grown
from benchmarks.measuring import Goal, Result, Runs, timed

WHAT = (
    "Pages with 10 000 Spaces in the database. `server ms`: the complete application, without a network. `browser ms`: "
    "until Chromium has the document and has run its modules (`domContentLoadedEventEnd`), over HTTP on this machine. "
    "`JavaScript kB`: all modules that the page loads, uncompressed. Opponent: the same list as JSON."
)
CHROMIUM = "/usr/bin/chromium"
SCREENS = {
    "Spaces": "/ui/spaces",
    "New": "/ui/new",
    "one Space": "/ui/spaces/{space}",
    "queue": "/ui/queue",
}
OWN = {"Sec-Fetch-Site": "same-origin", "Accept": "text/html"}
_MODULE = re.compile(r"""(?:src="[^"]*/|from\s+["']\./|import\s+["']\./)([\w-]+\.js)""")


def run(quick: bool) -> Result:
    """Runs the benchmark."""
    size, rounds = (60, 1) if quick else (10_000, 15)
    result = Result("pages", WHAT)
    with stage.database("sqlite") as uri:
        grown = Grown(uri)
        grown.grow_to(size)
        _name_failures(grown)
        browser_ms = _in_a_browser(grown, rounds)
        grown.client.post("/ui/login", data={"name": "admin", "password": stage.PASSWORD}, headers=OWN)
        for name, path in SCREENS.items():
            address = path.format(space=grown.first["space"])
            page = grown.client.get(address, headers=OWN)
            assert page.status_code == 200, page.get_data(as_text=True)
            server = Runs([timed(lambda a=address: grown.client.get(a, headers=OWN)) for _ in range(rounds)])
            result.rows.append(
                {
                    "page": name,
                    "server ms": round(server.median * 1000, 1),
                    "browser ms": browser_ms[name],
                    "JavaScript kB": round(_javascript(page.get_data(as_text=True)) / 1000, 1),
                }
            )
        listed = "/spaces?page[limit]=50"
        json_ms = Runs([timed(lambda: grown.client.get(listed, headers=grown.headers)) for _ in range(rounds)])
        row = {"page": "the list as JSON", "server ms": round(json_ms.median * 1000, 1)}
        result.rows.append({**row, "browser ms": None, "JavaScript kB": None})
        grown.close()
    spaces = result.rows[0]
    result.goals = [
        Goal("page of 50 of 10 000 Spaces: ms on the server", spaces["server ms"], 100, at_least=False),
        Goal("page of 50 of 10 000 Spaces: ms in Chromium", spaces["browser ms"] or 0, 300, at_least=False),
        Goal("JavaScript of a page, kB", max(r["JavaScript kB"] or 0 for r in result.rows), 40, at_least=False),
    ]
    return result


def _name_failures(grown: Grown) -> None:
    failed = sa.update(SpaceRequest).where(SpaceRequest.status == "failed")
    with grown.app.app_context():
        db.session.execute(failed.values(error={"code": "target_unavailable", "message": "No response.", "hint": None}))
        db.session.commit()


def _javascript(page: str) -> int:
    """Returns the bytes of all modules that a page loads."""
    folder = Path(str(ui.static_folder))
    waiting, sizes = _MODULE.findall(page), {}
    while waiting:
        name = waiting.pop()
        if name not in sizes:
            source = (folder / name).read_text(encoding="utf-8")
            sizes[name] = len(source.encode())
            waiting += _MODULE.findall(source)
    return sum(sizes.values())


def _in_a_browser(grown: Grown, rounds: int) -> dict[str, float | None]:
    if not Path(CHROMIUM).exists():
        return dict.fromkeys(SCREENS)
    with _served(grown) as url, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        page = browser.new_page()
        page.goto(f"{url}/ui/login")
        page.get_by_label("Name", exact=True).fill("admin")
        page.get_by_label("Password", exact=True).fill(stage.PASSWORD)
        page.get_by_role("button", name="Sign in").click()
        page.get_by_role("button", name="Sign out").wait_for()
        found: dict[str, float | None] = {
            name: _loaded(page, url + path.format(space=grown.first["space"]), rounds) for name, path in SCREENS.items()
        }
        browser.close()
    return found


def _loaded(page: Page, address: str, rounds: int) -> float:
    times = []
    for _ in range(rounds + 1):
        page.goto(address, wait_until="domcontentloaded")
        times.append(page.evaluate("performance.getEntriesByType('navigation')[0].domContentLoadedEventEnd"))
    # The first one also fills the cache of the browser.
    return round(Runs(times[1:]).median, 1)


@contextmanager
def _served(grown: Grown) -> Iterator[str]:
    server: Any = make_server("127.0.0.1", 0, grown.app, threaded=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
