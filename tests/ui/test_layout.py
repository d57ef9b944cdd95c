"""What holds for all pages: policy, errors, languages, templates."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from assembler_runner.ui.web import VIEWS
from tests.conftest import Service
from tests.ui.people import Person, text_of

UI = Path(VIEWS[0].__file__ or "").parent
TEMPLATES = sorted((UI / "templates").glob("*.html"))
SCREENS = ["spaces", "new", "queue", "plugins", "accounts", "accounts?kind=robots", "accounts?kind=realms", "audit"]
SCREENS += ["webhooks", "agents", "account", "new?type=gradio&template=image"]
TABS = [
    "overview",
    "files",
    "files&path=index.html",
    "files&new=1",
    "logs",
    "events",
    "history",
    "webhooks",
    "settings",
]
POLICY = {"default-src 'none'", "script-src 'self'", "style-src 'self'", "require-trusted-types-for 'script'"}
HOSTILE = "<script>alert(1)</script>\"'{{ 7 * 7 }}"


@pytest.mark.parametrize("language", ["en", "de"])
@pytest.mark.parametrize("screen", SCREENS)
def test_every_screen_is_complete(service: Service, screen: str, language: str) -> None:
    service.publish(name="opening-hours", labels=["course"])
    answer = Person(service).open(f"/ui/{screen}", **{"Accept-Language": language})
    assert f'<html lang="{language}">' in answer.text
    assert set(answer.headers["Content-Security-Policy"].split("; ")) >= POLICY
    assert "unsafe" not in answer.headers["Content-Security-Policy"]
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.headers["X-Frame-Options"] == "DENY"
    assert answer.text.count('class="primary"') + answer.text.count("button primary") <= 1


@pytest.mark.parametrize("tab", TABS)
def test_every_tab_of_a_space_is_complete(service: Service, tab: str) -> None:
    done = service.publish(name="opening-hours")
    page = Person(service).open(f"/ui/spaces/{done['space_id']}?tab={tab}").text
    assert 'aria-current="page"' in page
    for word in ("Restart", "Delete", "History"):
        assert word in text_of(page)
    assert page.count('class="primary"') + page.count("button primary") <= 1


def test_the_request_has_a_page(service: Service) -> None:
    done = service.publish(name="opening-hours")
    page = text_of(Person(service).open(f"/ui/requests/{done['id']}").text)
    assert "The Space admin/opening-hours was created." in page
    assert "index.html given" in page


@pytest.mark.parametrize(
    ("path", "status", "title"),
    [("/ui/nothing", 404, "Not found"), ("/ui/spaces/x", 404, "Not found"), ("/nothing", 404, "Not found")],
)
def test_errors_are_pages_for_browsers_and_json_for_programs(
    service: Service, path: str, status: int, title: str
) -> None:
    person = Person(service)
    answer = person.client.get(path, headers={"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"})
    assert (answer.status_code, answer.mimetype) == (status, "text/html")
    assert f"<h1>{title}</h1>" in answer.text
    answer = person.client.get(path, headers={"Accept": "application/json"})
    assert (answer.status_code, answer.json["code"]) == (status, "not_found")


def test_the_start_page_depends_on_who_asks(service: Service) -> None:
    client = service.app.test_client()
    page = client.get("/", headers={"Accept": "text/html"}).text
    assert ">Name<input" in page
    assert ">Password<input" in page
    assert "curl -s" in client.get("/", headers={"Accept": "*/*"}).text
    answer = Person(service).client.get("/", headers={"Accept": "text/html"})
    assert answer.headers["Location"] == "/ui/spaces"


def test_what_a_role_may_not_do_is_not_offered_and_refused(service: Service) -> None:
    service.post("/auth/users", {"name": "ann", "password": "horse battery staple", "roles": ["viewer"]})
    done = service.publish(name="opening-hours")
    ann = Person(service, "ann", "horse battery staple")
    page = ann.open(f"/ui/spaces/{done['space_id']}").text
    for word in ("Restart", "Delete", "New Space"):
        assert word not in text_of(page)
    assert 'href="/ui/accounts"' not in page
    assert ann.client.get("/ui/new", headers={"Accept": "text/html"}).status_code == 403
    assert ann.client.get("/ui/accounts", headers={"Accept": "text/html"}).status_code == 403
    assert ann.send(f"/ui/spaces/{done['space_id']}/delete", name="opening-hours").status_code == 403
    assert service.space(done["space_id"])["state"] != "deleted"


def test_spaces_of_other_realms_do_not_exist(service: Service) -> None:
    realm = service.post("/auth/realms", {"name": "school"}).json
    user = {"name": "ann", "password": "horse battery staple", "realm_id": realm["id"], "roles": ["realm_admin"]}
    service.post("/auth/users", user)
    done = service.publish(name="of-master")
    ann = Person(service, "ann", "horse battery staple", "school")
    assert "of-master" not in ann.open("/ui/spaces").text
    paths = [f"/ui/spaces/{done['space_id']}", f"/ui/requests/{done['id']}", f"/ui/new?request={done['id']}"]
    paths.append(f"/ui/spaces/{done['space_id']}/delete")
    assert [ann.client.get(path).status_code for path in paths] == [404] * len(paths)
    space = f"/ui/spaces/{done['space_id']}"
    sent = [f"{space}/command", f"{space}/settings", f"{space}/delete", f"/ui/requests/{done['id']}/command"]
    assert [ann.send(path, command="retry", name="x").status_code for path in sent] == [404] * len(sent)
    assert "of-master" not in ann.open("/ui/audit").text


def test_hostile_text_is_text(service: Service) -> None:
    service.post("/auth/users", {"name": "ann", "password": "horse battery staple", "display_name": HOSTILE})
    files = {"index.html": HOSTILE, "a<b>&'\".txt": HOSTILE}
    done = service.publish(name="opening-hours", files=files, labels=[HOSTILE[:40]])
    person = Person(service)
    space = f"/ui/spaces/{done['space_id']}"
    paths = ["/ui/spaces", "/ui/accounts", "/ui/audit", "/ui/webhooks", space, f"/ui/requests/{done['id']}"]
    paths += [f"{space}?tab={tab}" for tab in ("files", "files&path=index.html", "history", "events", "settings")]
    paths += [f"{space}?tab=history&show={done['id']}", f"/ui/new?request={done['id']}", f"/ui/spaces?q={HOSTILE}"]
    for path in paths:
        page = person.open(path).text
        assert "<script>alert" not in page
        assert "49" not in re.findall(r"alert\(1\).{0,40}", page)


def test_no_template_marks_text_as_safe() -> None:
    assert len(TEMPLATES) > 25
    for template in TEMPLATES:
        text = template.read_text(encoding="utf-8")
        assert not re.search(r"\|\s*safe\b|autoescape\s+false|Markup", text), template.name


def test_modules_make_no_markup_from_text_and_are_small() -> None:
    modules = sorted((UI / "static").glob("*.js"))
    for module in modules:
        text = module.read_text(encoding="utf-8")
        assert not re.search(r"innerHTML|outerHTML\s*=|insertAdjacentHTML|document\.write|eval\(|Function\(", text)
        assert "http://" not in text and "https://" not in text
    assert sum(module.stat().st_size for module in modules) < 40_000


def test_language_and_colours_are_kept_in_the_browser(service: Service) -> None:
    person = Person(service)
    assert person.change("/ui/account/look", language="de", theme="dark") == "/ui/account?done=look"
    page = person.open("/ui/account", **{"Accept-Language": "en"}).text
    assert '<html lang="de" data-theme="dark">' in page
    person.change("/ui/account/look", language="", theme="")
    assert '<html lang="en">' in person.open("/ui/account", **{"Accept-Language": "en"}).text
