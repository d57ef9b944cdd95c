"""The pages of a Space: changes, cause and fix, history, settings, deletion."""

from __future__ import annotations

import io
from urllib.parse import parse_qs, urlsplit

import pytest

from assembler_runner.devhub import StandInHub
from tests.conftest import Service
from tests.requests.test_fix import APP, LOG, with_problem
from tests.ui.people import Person, text_of

INDEX = "<h1>Hello</h1>\n"


class Page:
    """The pages of one Space, for a person."""

    def __init__(self, service: Service, space_id: str) -> None:
        self.service, self.id, self.here = service, space_id, f"/ui/spaces/{space_id}"
        self.person = Person(service)

    def change(self, path: str, /, **form: object) -> dict[str, object]:
        """Sends a form that leads to a request, runs it, and returns the Space."""
        self.person.change(self.here + path, **form)
        return self.work()

    def work(self) -> dict[str, object]:
        self.service.work(self.service.space(self.id)["latest_request"]["id"])
        return self.service.space(self.id)

    def text(self, query: str = "") -> str:
        return text_of(self.person.open(self.here + query).text)

    def file(self, path: str) -> str:
        preview = self.service.post(f"/spaces/{self.id}/preview?content=true", {"mode": "merge", "files": {}}).json
        return str(next(file["content"] for file in preview["files"] if file["path"] == path))


@pytest.fixture
def page(service: Service) -> Page:
    done = service.publish(name="hours", files={"index.html": INDEX, "notes.txt": "one\r\ntwo\r\n"})
    return Page(service, done["space_id"])


def test_a_file_is_checked_and_changed(page: Page) -> None:
    commit = str(page.service.space(page.id)["commit_oid"])
    form = {"path": "index.html", "content": "<h1>Bye</h1>\r\n", "commit": commit}
    shown = text_of(page.person.send(f"{page.here}/files", action="check", **form).text)
    assert "-<h1>Hello</h1>" in shown
    page.change("/files", action="publish", **form)
    assert page.file("index.html") == "<h1>Bye</h1>\n"


def test_line_ends_of_a_file_stay(page: Page) -> None:
    page.change("/files", action="publish", path="notes.txt", content="one\r\n2\r\n")
    assert page.file("notes.txt") == "one\r\n2\r\n"


def test_a_change_of_an_older_version_is_refused_with_what_was_typed(page: Page) -> None:
    form = {"path": "index.html", "content": "<h1>Mine</h1>", "commit": "0" * 40}
    answer = page.person.send(f"{page.here}/files", action="publish", **form)
    assert answer.status_code == 412
    assert "&lt;h1&gt;Mine&lt;/h1&gt;</textarea>" in answer.text


def test_files_are_added_and_removed(page: Page) -> None:
    page.change("/files", action="publish", path="new.txt", content="new")
    page.change("/files", action="publish", upload=(io.BytesIO(b"\x89PNG\0"), "logo.png"))
    shown = text_of(page.person.send(f"{page.here}/files", remove="yes", path="new.txt", content="new").text)
    assert "new.txt deleted" in shown
    space = page.change("/files", action="publish", remove="yes", path="new.txt", commit="")
    latest = space["latest_request"]
    assert isinstance(latest, dict)
    assert [file["path"] for file in latest["files"]] == ["README.md", "index.html", "logo.png", "notes.txt"]
    assert "This file is not text" in page.text("?tab=files&path=logo.png")


def test_an_error_in_the_files_is_refused_with_its_reason(page: Page) -> None:
    answer = page.person.send(f"{page.here}/files", action="publish", remove="yes", path="index.html")
    assert answer.status_code == 422
    assert "A static Space starts with 'index.html'" in text_of(answer.text)


def test_the_history_compares_and_restores(page: Page) -> None:
    first = page.service.space(page.id)["latest_request"]["id"]
    page.change("/files", action="publish", path="index.html", content="<h1>Bye</h1>\n")
    second = page.service.space(page.id)["latest_request"]["id"]
    shown = page.text(f"?tab=history&show={second}")
    assert "What release 2 changed" in shown
    assert "-<h1>Hello</h1>" in shown
    shown = page.text(f"?tab=history&restore={first}")
    assert "+<h1>Hello</h1>" in shown
    page.change("/command", command="rollback", request_id=first)
    assert page.file("index.html") == INDEX
    assert page.person.client.get(f"{page.here}?tab=history&show=x").status_code == 404


def test_the_cause_comes_with_its_fix(hub_service: Service, hub: StandInHub) -> None:
    files = {"app.py": APP, "requirements.txt": "numpy\n"}
    done = hub_service.publish(space_type="gradio", files=files, name="vision")
    body = {"log": LOG, "kind": "run", "space_type": "gradio", "files": sorted(files)}
    problem = hub_service.post("/diagnoses", body).json
    with_problem(hub_service, done["space_id"], problem)
    page = Page(hub_service, done["space_id"])
    shown = page.text()
    assert "Why it does not run" in shown
    assert "+opencv-python-headless" in shown
    page.change("/command", command="apply_fix")
    assert hub.tree("alice/vision")["requirements.txt"] == b"numpy\nopencv-python-headless\n"


def test_a_command_that_is_not_possible_says_why(page: Page) -> None:
    answer = page.person.send(f"{page.here}/command", command="restart")
    assert answer.status_code == 409
    assert "restart is not possible" in text_of(answer.text)


def test_settings_are_changed(hub_service: Service, hub: StandInHub) -> None:
    app = "import gradio as gr\ngr.Interface(str, 'text', 'text').launch()\n"
    variables = {"OLD": "1", "SAME": "2"}
    done = hub_service.publish(space_type="gradio", files={"app.py": app}, name="tuned", variables=variables)
    page = Page(hub_service, done["space_id"])
    names, values = ["SAME", "NEW", ""], ["2", "3", ""]
    page.change("/settings", part="variables", variable_name=names, variable_value=values)
    page.change("/settings", part="secrets", secret_name="API_KEY", secret_value="very secret")
    shown = page.person.open(f"{page.here}?tab=settings").text
    assert 'name="remove" value="API_KEY"' in shown
    assert "very secret" not in shown
    space = page.change("/settings", part="machine", hardware="cpu-upgrade", sleep_time="3600")
    assert space["variables"] == {"SAME": "2", "NEW": "3"}
    page.person.change(f"{page.here}/settings", part="labels", labels="a, b", expires_at="2099-01-01T10:30")
    space = hub_service.space(page.id)
    assert (space["labels"], space["expires_at"]) == (["a", "b"], "2099-01-01T10:30:00.000000Z")
    page.change("/settings", part="secrets", remove="API_KEY")
    assert hub_service.space(page.id)["secret_names"] == []
    answer = page.person.send(f"{page.here}/settings", part="machine", sleep_time="soon")
    assert answer.status_code == 422


def test_a_space_is_deleted_by_its_name_only(page: Page) -> None:
    shown = page.text("/delete")
    assert "cannot be undone" in shown
    answer = page.person.send(f"{page.here}/delete", name="other")
    assert answer.status_code == 422
    assert "This is not the name of the Space." in text_of(answer.text)
    assert page.person.change(f"{page.here}/delete", name="hours") == "/ui/spaces?done=deleted"
    assert page.work()["state"] == "deleted"


def test_a_copy_and_a_new_name(page: Page) -> None:
    address = page.person.change(f"{page.here}/command", command="duplicate", name="copy")
    copy = urlsplit(address).path.rpartition("/")[2]
    assert page.service.space(copy)["name"] == "copy"
    page.change("/command", command="move", name="renamed")
    assert page.service.space(page.id)["name"] == "renamed"


def test_the_list_filters_by_its_address(page: Page) -> None:
    page.service.publish(name="other", labels=["course 2026"])
    assert page.person.open("/ui/spaces").text.count("<tr id=") == 2
    for line, names in (
        ("hou", ["hours"]),
        ('label:"course 2026"', ["other"]),
        ("state:failed", []),
        ("type:static", ["hours", "other"]),
    ):
        shown = page.person.client.get("/ui/spaces", query_string={"q": line}, headers={"Accept": "text/html"}).text
        assert [name for name in ("hours", "other") if f">{name}</a>" in shown] == names, line
    answer = page.person.client.get("/ui/spaces?q=nothing:x", headers={"Accept": "text/html"})
    assert "There is no filter nothing." in text_of(answer.text)


def test_several_spaces_are_deleted_after_a_look(page: Page) -> None:
    other = page.service.publish(name="other")["space_id"]
    shown = page.person.send("/ui/spaces/bulk", command="delete", id=[page.id, other])
    assert "Would be done for hours other" in text_of(shown.text)
    assert page.service.space(other)["latest_request"]["action"] == "create"
    address = page.person.change("/ui/spaces/bulk", command="delete", id=[page.id, other], confirmed="yes")
    assert parse_qs(urlsplit(address).query) == {"done": ["accepted"]}
    assert page.service.space(other)["latest_request"]["action"] == "delete"


def test_labels_of_several_spaces_are_changed_after_a_look(page: Page) -> None:
    other = page.service.publish(name="other")["space_id"]
    form = {"command": "update", "id": [page.id, other], "add_labels": "course, demo"}
    shown = page.person.send("/ui/spaces/bulk", **form)
    assert "Would be done for hours other" in text_of(shown.text)
    assert 'name="add_labels" value="course, demo"' in shown.text
    page.person.change("/ui/spaces/bulk", **form, confirmed="yes")
    assert {tuple(page.service.space(each)["labels"]) for each in (page.id, other)} == {("course", "demo")}
    assert "add_labels" in text_of(page.person.send("/ui/spaces/bulk", command="update", id=page.id).text)
