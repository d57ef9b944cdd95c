"""The first hour of a person in a real browser, by keyboard, against a real service."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

from tests.support.services import PASSWORD, Client, Process
from tests.support.standin_hub import StandInHub
from tests.ui.browsing import CHROMIUM, LIMIT, PHONE, QUIET, Visitor

pytestmark = pytest.mark.slow

READY = r"Assembler is ready at (http://\S+)"
INDEX = "<!doctype html>\n<title>Opening hours</title>\n<link rel=stylesheet href=style.css>\n<h1>Open today</h1>\n"
APP = "import cv2\nimport gradio as gr\n\ngr.Interface(str, 'text', 'text').launch()\n"
LOG = ["Starting", "Traceback (most recent call last):", '  File "/app/app.py", line 1, in <module>', "    import cv2"]
LOG += ["ModuleNotFoundError: No module named 'cv2'"]
HOSTILE = "<img src=x onerror=alert(1)><script>alert(2)</script>\u202e"


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
def hub() -> Iterator[StandInHub]:
    with StandInHub() as running:
        yield running


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory, hub: StandInHub) -> Iterator[str]:
    """Address of a service that publishes to this machine, or to the stand-in Hub."""
    folder = tmp_path_factory.mktemp("instance")
    command = ("-m", "assembler_runner", "serve", "--port", "0", "--instance", str(folder))
    settings = {"ADMIN_PASSWORD": PASSWORD, "HF_TOKEN": "hf_alice", "HF_ENDPOINT": hub.url, "DEFAULT_TARGET": "local"}
    with Process(*command, **settings, FOLLOW_SECONDS="0.05") as process:
        yield process.wait_for_line(READY)[1]


NewVisitor = Callable[..., Visitor]


@pytest.fixture
def visitor(browser: Browser, url: str, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[NewVisitor]:
    """Creates visitors; each must end without complaints. With SCREENSHOTS=folder, the last view is saved there."""
    made: list[Visitor] = []

    def make(**settings: Any) -> Visitor:
        made.append(Visitor(browser, url, **settings))
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


def button(page: Page, name: str) -> Any:
    return page.get_by_role("button", name=name, exact=True)


def tab(page: Page, name: str) -> Any:
    return page.get_by_role("navigation", name="Parts of the Space").get_by_role("link", name=name, exact=True)


def edit(person: Visitor, path: str, text: str) -> None:
    """Replaces the text of a file of the Space that is shown, and publishes it."""
    page = person.page
    person.press(tab(page, "Files"))
    person.press(page.get_by_role("link", name=path, exact=True))
    editor = person.reach(page.get_by_role("textbox", name=f"Content {path}"))
    page.keyboard.press("Control+A")
    editor.press("Delete")
    page.keyboard.insert_text(text)
    person.press(button(page, "Publish"))


def test_the_first_hour(visitor: NewVisitor, site: Path) -> None:
    person = visitor()
    page = person.page
    person.sign_in("admin", PASSWORD)
    expect(page.get_by_role("heading", name="No Spaces yet")).to_be_visible()

    # A folder becomes a running Space.
    page.keyboard.press("n")
    page.wait_for_url("**/ui/new")
    with page.expect_file_chooser() as chooser:
        person.press(page.get_by_label("Choose a folder"))
    chooser.value.set_files(site)
    expect(page.get_by_role("tab", name="index.html")).to_be_visible()
    person.type(page.get_by_label("Name", exact=True), "opening-hours")
    expect(page.locator("#preview").get_by_role("button", name="style.css")).to_be_visible()
    person.press(button(page, "Publish"))
    page.wait_for_url("**/ui/spaces/*")
    expect(page.locator("[data-state=running]").first).to_be_visible()
    expect(page.get_by_role("link", name="Open app")).to_be_visible()

    # It is broken, and says why.
    edit(person, "index.html", INDEX.replace("style.css", "styel.css"))
    expect(page.get_by_text("'index.html' refers to 'styel.css', which was not sent.")).to_be_visible()
    expect(page.locator(".finding .at", has_text="index.html:3")).to_be_visible()

    # It is repaired.
    edit(person, "index.html", INDEX.replace("today", "tomorrow"))
    expect(page.get_by_text("refers to 'styel.css'")).to_have_count(0)
    expect(page.get_by_role("region", name="Latest request").locator("[data-state=succeeded]")).to_be_visible()

    # What is in the history comes back.
    person.press(tab(page, "History"))
    expect(page.locator("#releases tbody tr")).to_have_count(3)
    person.press(button(page, "Restore").last)
    expect(page.get_by_text("-<h1>Open tomorrow</h1>")).to_be_visible()
    expect(page.get_by_text("+<h1>Open today</h1>")).to_be_visible()
    person.press(button(page, "Restore").first)
    page.wait_for_url("**/ui/spaces/*done=rollback")
    expect(page.locator("#story [data-state=succeeded]")).to_be_visible()
    person.press(tab(page, "History"))
    expect(page.locator("#releases tbody tr")).to_have_count(4)

    # A colleague joins.
    page.keyboard.press("g")
    page.keyboard.press("a")
    page.wait_for_url("**/ui/accounts")
    person.type(page.get_by_label("Name", exact=True), "ann")
    person.type(page.get_by_label("Password", exact=True), "horse battery staple")
    person.reach(page.get_by_label("Role", exact=True))
    page.keyboard.type("viewer")
    person.press(button(page, "Add"))
    expect(page.get_by_role("row", name="ann").get_by_text("viewer").first).to_be_visible()

    colleague = visitor()
    colleague.sign_in("ann", "horse battery staple")
    colleague.press(colleague.page.get_by_role("link", name="opening-hours"))
    expect(colleague.page.get_by_role("heading", name="opening-hours")).to_be_visible()
    expect(button(colleague.page, "Delete")).to_have_count(0)


def test_a_broken_app_tells_its_cause_and_is_repaired_with_one_key(visitor: NewVisitor, hub: StandInHub) -> None:
    hub.script("alice/vision", ["BUILDING"])
    person = visitor()
    page = person.page
    person.sign_in("admin", PASSWORD)
    page = person.open("/ui/new")
    person.press(button(page, "Add a file"))
    page.keyboard.type("app.py")
    page.keyboard.press("Enter")
    page.keyboard.insert_text(APP)
    person.type(page.get_by_label("Name", exact=True), "vision")
    person.press(page.get_by_text("Place, machine and labels"))
    person.reach(page.get_by_label("Published on"))
    page.keyboard.type("hugg")
    person.press(button(page, "Publish"))
    page.wait_for_url("**/ui/spaces/*")
    expect(page.locator("#story [data-state=succeeded]")).to_be_visible()
    hub.set_logs("alice/vision", "run", LOG)
    hub.set_stage("alice/vision", "RUNTIME_ERROR")
    expect(page.get_by_role("heading", name="Why it does not run")).to_be_visible()
    expect(page.locator("#story").get_by_text("cv2").first).to_be_visible()
    expect(page.locator(".diff .added", has_text="opencv-python-headless")).to_be_visible()
    hub.script("alice/vision", ["RUNNING"])
    person.press(button(page, "Apply fix"))
    page.wait_for_url("**/ui/spaces/*done=apply_fix")
    expect(page.locator("#head [data-state=running]")).to_be_visible()
    assert b"opencv-python-headless" in hub.tree("alice/vision")["requirements.txt"]


def test_a_draft_survives_a_reload_but_a_secret_does_not(visitor: NewVisitor) -> None:
    person = visitor()
    person.sign_in("admin", PASSWORD)
    page = person.open("/ui/new")
    person.press(button(page, "Add a file"))
    page.keyboard.type("index.html")
    page.keyboard.press("Enter")
    page.keyboard.insert_text("<h1>Half a thought")
    person.type(page.get_by_label("Name", exact=True), "draft")
    person.press(page.get_by_text("Variables and secrets"))
    person.type(page.get_by_label("Secret", exact=True).first, "API_KEY")
    person.type(page.get_by_label("Value", exact=True).nth(1), "very secret")
    page.reload()
    expect(page.get_by_label("Name", exact=True)).to_have_value("draft")
    expect(page.locator("code-editor .source")).to_have_text("<h1>Half a thought")
    assert "very secret" not in page.evaluate("JSON.stringify(sessionStorage)")
    assert "very secret" not in page.content()


def test_a_template_is_filled_in_and_published(visitor: NewVisitor) -> None:
    person = visitor(locale="de-DE")
    person.sign_in("admin", PASSWORD)
    page = person.open("/ui/new")
    expect(page.get_by_role("heading", name="Neuer Space")).to_be_visible()
    person.press(page.get_by_role("link", name="Landing"))
    expect(page.get_by_label("Art", exact=True)).to_have_value("static")
    person.type(page.get_by_label("Headline"), "Guten Tag")
    expect(page.locator("#preview").get_by_role("button", name="page.js")).to_be_visible()
    person.type(page.get_by_label("Name", exact=True), "guten-tag")
    person.press(button(page, "Veröffentlichen"))
    page.wait_for_url("**/ui/spaces/*")
    expect(page.locator("#head [data-state=running]")).to_have_text("Läuft")


@pytest.mark.parametrize(
    "look", [{"viewport": PHONE}, {"viewport": PHONE, "color_scheme": "dark", "locale": "de-DE"}], ids=["phone", "dark"]
)
def test_every_screen_fits_a_phone(visitor: NewVisitor, url: str, look: dict[str, Any]) -> None:
    name = "a-rather-long-name-of-a-space-that-does-not-fit-into-one-line-" + look.get("locale", "en")
    with Client(url) as client:
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


def test_hostile_names_and_log_lines_are_text(visitor: NewVisitor, hub: StandInHub) -> None:
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
    hub.set_logs("alice/hostile", "run", [HOSTILE, "an ERROR came", *LOG])
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


def test_new_spaces_are_announced_and_states_change_in_place(visitor: NewVisitor, site: Path) -> None:
    watching, working = visitor(), visitor()
    watching.sign_in("admin", PASSWORD)
    working.sign_in("admin", PASSWORD)
    page = working.open("/ui/new")
    page.get_by_label("Choose a folder").set_input_files(site)
    working.type(page.get_by_label("Name", exact=True), "announced")
    expect(page.locator("#preview").get_by_role("button", name="index.html")).to_be_visible()
    working.press(button(page, "Publish"))
    page.wait_for_url("**/ui/spaces/*")
    news = watching.page.locator(".news")
    expect(news).to_have_text("1 new – show")
    watching.press(news)
    row = watching.page.get_by_role("row", name="announced")
    expect(row.locator("[data-state=running]")).to_be_visible()
    # The Space is deleted by typing its name; the row changes without a reload.
    working.press(button(page, "Delete"))
    working.type(page.get_by_label("Type announced to confirm"), "announced")
    working.press(button(page, "Delete for good"))
    expect(page.get_by_text("The Space is being deleted.")).to_be_visible()


AXE = Path(os.environ.get("TEST_AXE_CORE", "node_modules/axe-core/axe.min.js"))


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_no_accessibility_faults(visitor: NewVisitor, url: str, scheme: str) -> None:
    if not AXE.exists():
        pytest.skip(f"no {AXE}: npm install --no-save axe-core, or name the file in TEST_AXE_CORE")
    with Client(url) as client:
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
