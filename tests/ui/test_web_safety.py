"""Web pages in a real browser: phones, no JavaScript, hostile text, hostile Spaces, accessibility."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import expect

from assembler_runner.devhub import StandInHub
from tests.support.services import PASSWORD, Client
from tests.ui.browsing import INDEX, LOG, PHONE, button
from tests.ui.conftest import NewVisitor

pytestmark = pytest.mark.slow

HOSTILE = "<img src=x onerror=alert(1)><script>alert(2)</script>\u202e"


@pytest.mark.parametrize(
    "look", [{"viewport": PHONE}, {"viewport": PHONE, "color_scheme": "dark", "locale": "de-DE"}], ids=["phone", "dark"]
)
def test_every_screen_fits_a_phone(visitor: NewVisitor, web_url: str, look: dict[str, Any]) -> None:
    name = "a-rather-long-name-of-a-space-that-does-not-fit-into-one-line-" + look.get("locale", "en")
    with Client(web_url) as client:
        body = {"space_type": "static", "name": name, "files": {"index.html": INDEX}, "labels": ["course-2026"]}
        space = f"/ui/spaces/{client.post('/spaces', body)['id']}"
    person = visitor(**look)
    person.sign_in("admin", PASSWORD)
    screens = ["spaces", "new", "new?type=static&template=landing", "queue", "plugins", "accounts", "audit"]
    paths = [f"/ui/{screen}" for screen in [*screens, "webhooks", "agents", "account"]]
    paths += [f"{space}?tab={tab}" for tab in ("overview", "files", "files&path=index.html", "logs", "events")]
    for path in [*paths, f"{space}?tab=history", f"{space}?tab=settings", f"{space}/delete", "/ui/nothing"]:
        person.open(path)
        person.assert_fits()


def test_everything_works_without_javascript(visitor: NewVisitor, site: Path) -> None:
    person = visitor(java_script_enabled=False)
    person.sign_in("admin", PASSWORD)
    page = person.open("/ui/new")
    page.get_by_label("Choose a folder").set_input_files(site)
    page.get_by_label("Name", exact=True).fill("plain")
    button(page, "Check").click()
    expect(page.get_by_text("Can be published")).to_be_visible()
    # The files that were chosen are kept in the form.
    expect(page.locator("textarea[name='file.index.html']")).to_have_value(INDEX)
    button(page, "Publish").click()
    page.wait_for_url("**/ui/spaces/*")
    expect(page.get_by_role("heading", name="plain")).to_be_visible()


def test_hostile_names_and_log_lines_are_text(visitor: NewVisitor, web_hub: StandInHub) -> None:
    person = visitor()
    person.sign_in("admin", PASSWORD)
    page = person.open("/ui/new")
    person.press(button(page, "Add a file"))
    page.keyboard.type("<img src=x onerror=alert(1)>.py")
    page.keyboard.press("Enter")
    page.keyboard.insert_text(HOSTILE)
    expect(page.locator("#preview .finding").first).to_be_visible()
    person.press(button(page, "Remove this file"))
    person.press(button(page, "Add a file"))
    page.keyboard.type("app.py")
    page.keyboard.press("Enter")
    page.keyboard.insert_text("import gradio as gr\ngr.Interface(str, 'text', 'text').launch()\n")
    person.type(page.get_by_label("Name", exact=True), "hostile")
    person.press(page.get_by_text("Place, machine and labels"))
    person.reach(page.get_by_label("Published on"))
    page.keyboard.type("hugg")
    person.press(button(page, "Publish"))
    page.wait_for_url("**/ui/spaces/*")
    expect(page.locator("#story [data-state=succeeded]")).to_be_visible()
    web_hub.set_logs("alice/hostile", "run", [HOSTILE, "an ERROR came", *LOG])
    page.goto(page.url.split("?")[0] + "?tab=logs&kind=run#L2")
    expect(page.locator("#L1")).to_contain_text("<script>alert(2)</script>")
    expect(page.locator("#L2.here")).to_be_visible()
    person.reach(page.get_by_label("Only errors"))
    page.keyboard.press("Space")
    expect(page.locator("#L3")).to_be_hidden()
    expect(page.locator("#L4")).to_be_visible()
    expect(page.locator("#L7")).to_be_visible()
    assert page.locator("main img, main script").count() == 0


def test_a_hostile_space_cannot_use_the_session(visitor: NewVisitor, site: Path) -> None:
    attack = """<!doctype html><title>waiting</title><script>
    (async () => {
      const said = [];
      const everywhere = "/ui/account/sign-out-everywhere";
      const calls = [["GET", "/ui/spaces"], ["GET", "/spaces"], ["POST", everywhere], ["POST", "/spaces"]];
      for (const [method, url] of calls) {
        try { said.push((await fetch(url, {method, credentials: "include", mode: "no-cors"})).type); }
        catch (problem) { said.push(problem.name); }
      }
      try { said.push(document.cookie || "no cookie"); } catch (problem) { said.push(problem.name); }
      try { said.push(String(parent.document.title)); } catch (problem) { said.push(problem.name); }
      document.title = said.join(" ");
      document.forms[0].submit();
    })()</script><form method=post action="/ui/account/sign-out-everywhere"></form>"""
    (site / "index.html").write_text(attack)
    person = visitor()
    person.sign_in("admin", PASSWORD)
    page = person.open("/ui/new")
    page.get_by_label("Choose a folder").set_input_files(site)
    person.type(page.get_by_label("Name", exact=True), "attack")
    expect(page.locator("#preview").get_by_role("button", name="index.html")).to_be_visible()
    person.press(button(page, "Publish"))
    page.wait_for_url("**/ui/spaces/*")
    expect(page.locator("#head [data-state=running]")).to_be_visible()
    # In a window of its own: what a browser refuses is logged there.
    window = person.context.new_page()
    answers: list[tuple[str, int]] = []
    window.on("response", lambda answer: answers.append((answer.request.method, answer.status)))
    with window.expect_response("**/ui/account/sign-out-everywhere") as posted:
        window.goto(person.url + "/local/admin/attack/live/")
    assert posted.value.status == 403
    window.wait_for_load_state("networkidle")
    # Without the cookie the API answers 401, and a page refuses another origin.
    assert {status for method, status in answers if method == "POST"} == {401, 403}
    window.close()
    person.open("/ui/spaces")
    expect(page.get_by_role("heading", name="Spaces", exact=True)).to_be_visible()


def test_a_folder_can_be_dropped(visitor: NewVisitor, site: Path) -> None:
    (site / "sub").mkdir()
    (site / "sub" / "page.html").write_text("<h1>Below</h1>")
    (site / ".git").mkdir()
    (site / ".git" / "config").write_text("not sent")
    person = visitor()
    person.sign_in("admin", PASSWORD)
    page = person.open("/ui/new")
    place = page.locator("file-drop").bounding_box()
    assert place is not None
    dragged: dict[str, Any] = {"items": [], "files": [str(site)], "dragOperationsMask": 1}
    session = person.context.new_cdp_session(page)
    for kind in ("dragEnter", "dragOver", "drop"):
        where = {"x": place["x"] + 20, "y": place["y"] + 20}
        session.send("Input.dispatchDragEvent", {"type": kind, "data": dragged, **where})
    shown = page.locator("#preview .tree")
    expect(shown.get_by_role("button", name="sub/page.html")).to_be_visible()
    expect(shown.get_by_role("button", name="index.html")).to_be_visible()
    expect(shown.get_by_text("config")).to_have_count(0)


AXE = Path(os.environ.get("TEST_AXE_CORE", "node_modules/axe-core/axe.min.js"))


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_no_accessibility_faults(visitor: NewVisitor, web_url: str, scheme: str) -> None:
    if not AXE.exists():
        pytest.skip(f"no {AXE}: npm install --no-save axe-core, or name the file in TEST_AXE_CORE")
    with Client(web_url) as client:
        body = {"space_type": "static", "files": {"index.html": INDEX}, "labels": ["course"]}
        space = f"/ui/spaces/{client.post('/spaces', body)['id']}"
    person = visitor(color_scheme=scheme)
    faults = {}
    person.open("/")
    script = AXE.read_text(encoding="utf-8")
    screens = ["spaces", "new", "new?type=static&template=landing", "queue", "plugins", "accounts", "audit", "webhooks"]
    paths = [f"/ui/{screen}" for screen in [*screens, "agents", "account"]]
    paths += [
        f"{space}?tab={tab}" for tab in ("overview", "files", "files&path=index.html", "logs", "history", "settings")
    ]
    person.sign_in("admin", PASSWORD)
    for path in ["/docs", *paths]:
        page = person.open(path)
        page.evaluate(script)
        found = page.evaluate("axe.run(document, {resultTypes: ['violations']})")["violations"]
        if found:
            faults[path] = [(each["id"], each["nodes"][0]["html"][:160], len(each["nodes"])) for each in found]
    assert faults == {}
