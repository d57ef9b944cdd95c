"""The web pages: what the server needs, what a browser needs, and how much JavaScript a page loads."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Any

import httpx
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
    "`JavaScript kB`: all modules that the page loads, uncompressed. Opponent: the same list as JSON. The last table: "
    "`assembler serve` while other people have pages open, each with a stream of events."
)
OPEN_PAGES, PEOPLE = 200, 8
CHROMIUM = "/usr/bin/chromium"
SCREENS = {
    "Spaces": "/ui/spaces",
    "New": "/ui/new",
    "one Space": "/ui/spaces/{space}",
    "queue": "/ui/queue",
}
STREAM = {"Accept": "text/event-stream"}
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
    result.more = [_while_pages_are_open(0, rounds), _while_pages_are_open(PEOPLE if quick else OPEN_PAGES, rounds)]
    spaces = result.rows[0]
    result.goals = [
        Goal("page of 50 of 10 000 Spaces: ms on the server", spaces["server ms"], 100, at_least=False),
        Goal("page of 50 of 10 000 Spaces: ms in Chromium", spaces["browser ms"] or 0, 300, at_least=False),
        Goal("JavaScript of a page, kB", max(r["JavaScript kB"] or 0 for r in result.rows), 40, at_least=False),
        Goal("open pages on one process that receive events", result.more[1]["receive events"], OPEN_PAGES),
    ]
    return result


def _while_pages_are_open(count: int, rounds: int) -> dict[str, Any]:
    """Measures the page of Spaces while others are open.

    Args:
        count: how many, of as many people as :data:`PEOPLE`.
        rounds: how often it is measured.
    """
    with stage.folder() as instance, stage.serve(instance) as process, ExitStack() as stack:
        url = stage.address(process)
        admin = stack.enter_context(closing(stage.logged_in(url)))
        people = [stack.enter_context(closing(_person(admin, url, number))) for number in range(min(count, PEOPLE))]
        streams = [
            stack.enter_context(people[number % PEOPLE].stream("GET", "/events", headers=STREAM, timeout=60))
            for number in range(count)
        ]
        body = {"space_type": "static", "target": "local", "files": {"index.html": "x"}}
        assert admin.post("/spaces", json=body).status_code == 202
        received = [next(stream.iter_lines(), "") for stream in streams if stream.status_code == 200]
        page = stack.enter_context(httpx.Client(base_url=url, headers=OWN, timeout=60))
        page.post("/ui/login", data={"name": "admin", "password": stage.PASSWORD})
        runs = Runs([timed(lambda: page.get("/ui/spaces").raise_for_status()) for _ in range(rounds)])
        memory = sum(map(stage.memory_of, process.pids))
    return {
        "open pages": count,
        "receive events": len([line for line in received if line]),
        "page ms": round(runs.median * 1000, 1),
        "MiB": round(memory, 1),
    }


def _person(admin: httpx.Client, url: str, number: int) -> httpx.Client:
    """Creates an account, and returns a client that is logged in with it."""
    body = {"name": f"person-{number}", "password": stage.PASSWORD, "roles": ["member"]}
    assert admin.post("/auth/users", json=body).status_code == 201
    client = httpx.Client(base_url=url, timeout=60)
    answer = client.post(
        "/auth/token", json={"grant_type": "password", "username": body["name"], "password": stage.PASSWORD}
    )
    client.headers["Authorization"] = f"Bearer {answer.json()['access_token']}"
    return client


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
