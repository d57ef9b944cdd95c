"""Takes the pictures of the documentation: `invoke screenshots`."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from playwright.sync_api import Browser, Page, expect, sync_playwright

from assembler_runner.devhub import StandInHub
from tests.support.services import PASSWORD, Client, Process
from tests.ui.browsing import CHROMIUM, QUIET, Visitor

VIEW = {"width": 920, "height": 560}
PHONE = {"width": 360, "height": 640}
READY = r"Assembler is ready at (http://\S+)"
APP = "import cv2\nimport gradio as gr\n\ngr.Interface(str, 'text', 'text').launch()\n"
LOG = ["Starting", "Traceback (most recent call last):", '  File "/app/app.py", line 1, in <module>', "    import cv2"]
LOG += ["ModuleNotFoundError: No module named 'cv2'"]
SITES = {"opening-hours": ["website"], "handbook": ["website"], "timetable": ["course-2026"], "menu": ["course-2026"]}


def take(folder: Path) -> None:
    """Takes all pictures.

    Args:
        folder: where they are written, as PNG.
    """
    with tempfile.TemporaryDirectory() as instance, StandInHub() as hub, sync_playwright() as playwright:
        command = ("-m", "assembler_runner", "serve", "--port", "0", "--instance", instance)
        settings = {"ADMIN_PASSWORD": PASSWORD, "HF_TOKEN": "hf_alice", "HF_ENDPOINT": hub.url}
        browser = playwright.chromium.launch(executable_path=str(CHROMIUM), args=QUIET)
        with Process(*command, **settings, DEFAULT_TARGET="local", FOLLOW_SECONDS="0.05") as process:
            url = process.wait_for_line(READY)[1]
            with Client(url) as client:
                spaces = _make_spaces(client, hub)
            visitor = Visitor(browser, url, viewport=VIEW)
            visitor.open("/ui/login")
            _save(visitor.page, folder / "sign-in.png")
            visitor.sign_in("admin", PASSWORD)
            _take_main(visitor, spaces, folder)
            for name, path in _screens(spaces).items():
                visitor.open(path)
                _save(visitor.page, folder / f"{name}.png")
            visitor.assert_fine()
            _take_phone(browser, url, spaces, folder)
        browser.close()


def _take_main(visitor: Visitor, spaces: dict[str, str], folder: Path) -> None:
    """Takes the screens that need something to happen first."""
    page = visitor.page
    expect(page.locator("tbody [data-state=running]")).to_have_count(len(SITES))
    _save(page, folder / "spaces.png")
    visitor.open("/ui/new")
    _save(page, folder / "templates.png")
    visitor.open("/ui/new?type=static&template=landing")
    page.locator("[data-open='index.html']").click()
    expect(page.locator("#preview .state.good")).to_be_visible()
    _save(page, folder / "new.png")
    visitor.open(f"/ui/spaces/{spaces['vision']}")
    expect(page.get_by_role("button", name="Apply fix")).to_be_visible()
    _save(page, folder / "cause.png")
    visitor.open(f"/ui/spaces/{spaces['vision']}?tab=logs")
    expect(page.get_by_text("No module named").first).to_be_visible()
    _save(page, folder / "logs.png")
    visitor.open(f"/ui/spaces/{spaces['menu']}?tab=history")
    page.get_by_role("link", name="Show").first.click()
    expect(page.get_by_text("Soup of the day").first).to_be_visible()
    _save(page, folder / "history.png")


def _screens(spaces: dict[str, str]) -> dict[str, str]:
    """Returns name of the picture → path of each other screen."""
    menu = f"/ui/spaces/{spaces['menu']}"
    tabs = {name: f"{menu}?tab={name}" for name in ("files", "events", "settings")}
    lists = {name: f"/ui/{name}" for name in ("queue", "plugins", "accounts", "webhooks", "agents", "audit", "account")}
    return {
        **tabs,
        "request": f"/ui/requests/{spaces['request']}",
        **lists,
        "realm": f"/ui/realms/{spaces['realm']}",
        "documentation": "/docs",
    }


def _take_phone(browser: Browser, url: str, spaces: dict[str, str], folder: Path) -> None:
    """Takes two screens as a phone shows them, in German and in the dark."""
    visitor = Visitor(browser, url, viewport=PHONE, locale="de-DE", color_scheme="dark")
    visitor.sign_in("admin", PASSWORD)
    _save(visitor.page, folder / "phone-spaces.png")
    visitor.open(f"/ui/spaces/{spaces['vision']}")
    _save(visitor.page, folder / "phone-cause.png")
    visitor.assert_fine()


def _make_spaces(client: Client, hub: StandInHub) -> dict[str, str]:
    made = {}
    for name, labels in SITES.items():
        body = {"space_type": "static", "name": name, "labels": labels, "files": {"index.html": f"<h1>{name}</h1>"}}
        space = client.post("/spaces", body)
        client.wait(space["latest_request"]["id"])
        made[name] = str(space["id"])
    changed = client.post(
        f"/spaces/{made['menu']}", {"files": {"index.html": "<h1>menu</h1>\n<p>Soup of the day</p>\n"}}
    )
    update = str(changed["latest_request"]["id"])
    client.wait(update)
    for user in ("ann", "ben"):
        client.post("/auth/users", {"name": user, "password": PASSWORD, "roles": ["member"]})
    client.post("/webhooks", {"url": "https://example.org/hook", "description": "Chat of the team"})
    hub.script("alice/vision", ["BUILDING"])
    files = {"app.py": APP, "requirements.txt": "numpy\n"}
    body = {"space_type": "gradio", "name": "vision", "target": "huggingface", "files": files}
    space = client.post("/spaces", body)
    client.wait(space["latest_request"]["id"])
    hub.set_logs("alice/vision", "run", LOG)
    hub.set_stage("alice/vision", "RUNTIME_ERROR")
    realm = client.get("/auth/users/@me")["realm_id"]
    return made | {"vision": str(space["id"]), "request": update, "realm": str(realm)}


def _save(page: Page, path: Path) -> None:
    page.mouse.move(0, 0)
    page.screenshot(path=path, animations="disabled", caret="hide")
    print(f"{path}: {path.stat().st_size // 1000} kB")


if __name__ == "__main__":
    take(Path(sys.argv[1]))
