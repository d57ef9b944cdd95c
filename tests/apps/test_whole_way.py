"""The whole way, as `make run` starts it: a template becomes an app that answers, chats, logs and sleeps."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from playwright.sync_api import Browser, expect, sync_playwright

from tests.support.app_service import TRUSTED, AppService, needs_sandbox, visit
from tests.support.services import PASSWORD, Client, Process, wait_until
from tests.ui.browsing import CHROMIUM, LIMIT, QUIET, Visitor, button

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    if not CHROMIUM.exists():
        pytest.skip(f"server not available: no {CHROMIUM}; install it with apt-get install chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=str(CHROMIUM), args=QUIET)
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[AppService, str]]:
    """`assembler serve` with nothing set that decides whether apps run."""
    needs_sandbox()
    instance = tmp_path_factory.mktemp("whole") / "instance"
    kept = {name: value for name, value in os.environ.items() if name.startswith(TRUSTED)}
    command = ("-m", "assembler_runner", "serve", "--port", "0", "--instance", str(instance))
    settings = {"APPS": "", "APPS_PORT": "0", "ADMIN_PASSWORD": PASSWORD, "FOLLOW_SECONDS": "0.2"}
    with Process(*command, **settings, **kept) as process:
        url = process.wait_for_line(r"ready at (\S+)")[1]
        process.wait_for_line("Apps of the target local run in a sandbox of bubblewrap; network: none;")
        with Client(url) as client:
            yield AppService(process, client, instance), url
        assert process.stop() == 0, process.log


def cli(folder: Path, *words: str, stdin: str = "") -> str:
    """Runs a command of the command line with a login of its own."""
    environ = {"PATH": os.environ["PATH"], "HOME": str(folder), "XDG_CONFIG_HOME": str(folder)}
    command = [Path(sys.executable).with_name("assembler"), *words]
    done = subprocess.run(command, env=environ, input=stdin, capture_output=True, text=True, check=False, cwd=folder)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def until_it_answers(apps: AppService, name: str) -> dict[str, Any]:
    """Waits until the app of a Space answers at its address; skips where its packages cannot be installed."""
    found = {space["name"]: space for space in apps.client.get("/spaces")["data"]}[name]
    space = apps.until(found["id"], "running", "build_error", "runtime_error", timeout=600)
    if space["state"] == "build_error":
        pytest.skip(f"no package index: {space['problem']['message']}")
    assert space["state"] == "running", space["problem"]
    assert visit(space["app_url"]).status_code == 200
    return space


def test_a_chat_made_by_command_and_in_the_browser(
    service: tuple[AppService, str], browser: Browser, tmp_path: Path
) -> None:
    apps, url = service
    cli(tmp_path, "login", "--url", url, "-u", "admin", "--password-stdin", stdin=f"{PASSWORD}\n")
    made = ("-t", "gradio", "--template", "chat", "--name", "by-command", "--target", "local")
    cli(tmp_path, "create", *made, "--no-wait")
    until_it_answers(apps, "by-command")
    person = Visitor(browser, url)
    expect.set_options(timeout=LIMIT)
    person.sign_in("admin", PASSWORD)
    page = person.open("/ui/new")
    person.press(page.get_by_role("link", name="Chat"))
    expect(page.get_by_label("Type", exact=True)).to_have_value("gradio")
    person.type(page.get_by_label("Name", exact=True), "in-browser")
    person.press(button(page, "Publish"))
    page.wait_for_url("**/ui/spaces/*")
    space = until_it_answers(apps, "in-browser")
    person.close()
    check_chat(browser, space["app_url"])
    check_log(apps, url, space)
    check_sleep(apps, space)


def check_chat(browser: Browser, app_url: str) -> None:
    context = browser.new_context()
    page = context.new_page()
    page.set_default_timeout(LIMIT)
    page.goto(app_url)
    field = page.locator("textarea").last
    field.fill("hello")
    field.press("Enter")
    expect(page.get_by_text("Hello", exact=False).last).to_be_visible()
    expect(page.locator(".bot").last).to_be_visible()
    context.close()


def check_log(apps: AppService, url: str, space: dict[str, Any]) -> None:
    """A stream that was opened before a restart shows what the app then says."""
    headers = {"Authorization": f"Bearer {apps.client.token}", "Accept": "text/event-stream"}
    address, starts = f"{url}/spaces/{space['id']}/logs", 0
    with httpx.stream("GET", address, headers=headers, timeout=120) as stream:
        for line in stream.iter_lines():
            if "Running on" in line:
                starts += 1
                if starts == 2:
                    return
                apps.command(space["id"], "restart")
    raise AssertionError("the stream has ended")


def check_sleep(apps: AppService, space: dict[str, Any]) -> None:
    apps.until(space["id"], "running")
    apps.change(space["id"], sleep_time=1)
    apps.until(space["id"], "sleeping")
    wait_until(lambda: visit(space["app_url"]).status_code == 200, "a visit wakes it")
