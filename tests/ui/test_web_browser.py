"""The first hour of a person in a real browser, by keyboard, against a real service."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from assembler_runner.devhub import StandInHub
from tests.support.services import PASSWORD
from tests.ui.browsing import INDEX, LOG, Visitor, button
from tests.ui.conftest import NewVisitor

pytestmark = pytest.mark.slow

APP = "import cv2\nimport gradio as gr\n\ngr.Interface(str, 'text', 'text').launch()\n"


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

    # A colleague joins. The shortcuts are there when the page is loaded.
    page.wait_for_load_state("load")
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


def test_a_broken_app_tells_its_cause_and_is_repaired_with_one_key(visitor: NewVisitor, web_hub: StandInHub) -> None:
    web_hub.script("alice/vision", ["BUILDING"])
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
    web_hub.set_logs("alice/vision", "run", LOG)
    web_hub.set_stage("alice/vision", "RUNTIME_ERROR")
    expect(page.get_by_role("heading", name="Why it does not run")).to_be_visible()
    expect(page.locator("#story").get_by_text("cv2").first).to_be_visible()
    expect(page.locator(".diff .added", has_text="opencv-python-headless")).to_be_visible()
    web_hub.script("alice/vision", ["RUNNING"])
    person.press(button(page, "Apply fix"))
    page.wait_for_url("**/ui/spaces/*done=apply_fix")
    expect(page.locator("#head [data-state=running]")).to_be_visible()
    assert b"opencv-python-headless" in web_hub.tree("alice/vision")["requirements.txt"]


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
