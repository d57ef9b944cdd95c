"""The form of a new Space, as a browser without JavaScript sends it."""

from __future__ import annotations

import io
import zipfile

import pytest

from tests.conftest import Service
from tests.ui.people import Person, text_of

INDEX = "<!doctype html><link rel=stylesheet href=style.css><h1>Hello</h1>"


@pytest.fixture
def person(service: Service) -> Person:
    return Person(service)


def space_at(service: Service, address: str) -> dict[str, object]:
    """Returns the Space whose page an address is, after its request has run."""
    space_id = address.removeprefix("/ui/spaces/").partition("?")[0]
    service.work(service.space(space_id)["latest_request"]["id"])
    return service.space(space_id)


def files_of(space: dict[str, object]) -> dict[str, str]:
    latest = space["latest_request"]
    assert isinstance(latest, dict)
    return {file["path"]: file["origin"] for file in latest["files"]}


def test_a_folder_is_published_without_its_own_name(service: Service, person: Person) -> None:
    folder = [(io.BytesIO(INDEX.encode()), "my-site/index.html"), (io.BytesIO(b"h1 {}"), "my-site/sub/style.css")]
    address = person.change("/ui/new", action="publish", name="site", folder=folder)
    space = space_at(service, address)
    assert (space["name"], space["space_type"], space["state"]) == ("site", "static", "running")
    assert files_of(space) == {"README.md": "generated", "index.html": "given", "sub/style.css": "given"}


def test_an_archive_is_published(service: Service, person: Person) -> None:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("top/index.html", INDEX)
    packed.seek(0)
    address = person.change("/ui/new", action="publish", name="zipped", archive=(packed, "site.zip"))
    assert files_of(space_at(service, address)) == {"README.md": "generated", "index.html": "given"}


def test_typed_files_options_and_settings_arrive(service: Service, person: Person) -> None:
    form = {
        "action": "publish",
        "space_type": "static",
        "name": "typed",
        "file.index.html": "<h1>One</h1>\r\n<p>two</p>\r\n",
        "path": "more.txt",
        "content": "more",
        "option.title": "My title",
        "option.tags": "one\r\ntwo",
        "option.pinned": "true",
        "option.emoji": "",
        "parameters": '{"user": "Ann"}',
        "labels": "course, 2026",
        "variables_name": ["MODE", ""],
        "variables_value": ["x", ""],
        "visibility": "private",
    }
    space = space_at(service, person.change("/ui/new", **form))
    latest = space["latest_request"]
    assert isinstance(latest, dict)
    assert latest["options"] == {"title": "My title", "tags": ["one", "two"], "pinned": True}
    assert latest["parameters"] == {"user": "Ann"}
    assert (space["labels"], space["visibility"]) == (["course", "2026"], "private")
    assert {"index.html", "more.txt", "params.json"} <= files_of(space).keys()
    page = person.open(f"/ui/spaces/{space['id']}?tab=files&path=index.html").text
    assert "&lt;h1&gt;One&lt;/h1&gt;\n&lt;p&gt;two&lt;/p&gt;\n</textarea>" in page


def test_a_template_takes_its_parameters(service: Service, person: Person) -> None:
    page = person.open("/ui/new?type=static&template=landing").text
    assert 'name="parameter.headline"' in page
    assert "page.js" in text_of(page)
    form = {"action": "publish", "space_type": "static", "template": "static/landing", "name": "landed"}
    space = space_at(service, person.change("/ui/new", **form, **{"parameter.headline": "Good day"}))
    latest = space["latest_request"]
    assert isinstance(latest, dict)
    assert latest["parameters"]["headline"] == "Good day"


def test_the_preview_names_everything_that_would_go_wrong(person: Person) -> None:
    answer = person.send("/ui/new", action="check", space_type="static", name="x", **{"file.page.html": "<h1>x"})
    assert answer.status_code == 200
    page = text_of(answer.text)
    assert "Errors that prevent publishing: 1" in page
    assert "A static Space starts with 'index.html', which is not among the files." in page
    refused = person.send("/ui/new", action="publish", space_type="static", name="x", **{"file.page.html": "<h1>x"})
    assert refused.status_code == 422
    assert "&lt;h1&gt;x</textarea>" in refused.text


def test_fields_that_are_not_valid_are_named(person: Person) -> None:
    form = {"space_type": "static", "name": "not valid!", "parameters": "{", "expires_at": "2020-01-01T00:00"}
    answer = person.send("/ui/new", action="publish", **form, **{"file.index.html": "x"})
    assert answer.status_code == 422
    page = text_of(answer.text)
    for word in ("The parameters are not valid JSON.", "expires_at", "Must be 1 to 96 letters"):
        assert word in page
    assert 'value="not valid!"' in answer.text


def test_the_fix_of_a_finding_changes_the_file(person: Person) -> None:
    app = "import cv2\nimport gradio as gr\ngr.Interface(str, 'text', 'text').launch()\n"
    form = {"space_type": "gradio", "file.app.py": app, "file.requirements.txt": "numpy\n"}
    page = person.send("/ui/new", action="check", **form).text
    found = page.partition('name="apply" value="')[2].partition('"')[0]
    assert found, text_of(page)
    fixed = person.send("/ui/new", apply=found.replace("&#34;", '"'), **form).text
    assert f'name="apply" value="{found}"' not in fixed
    assert "data-changed=" in fixed


def test_an_earlier_request_fills_in_the_form(service: Service, person: Person) -> None:
    files = {"index.html": INDEX, "style.css": "h1 {}"}
    done = service.publish(name="first", files=files, parameters={"user": "Ann"}, options={"title": "T"}, labels=["a"])
    page = person.open(f"/ui/new?request={done['id']}").text
    assert 'name="file.index.html"' in page
    assert 'value="first"' in page
    assert 'value="T"' in page
    assert "&#34;user&#34;: &#34;Ann&#34;" in page


def test_secrets_are_never_shown_again(person: Person) -> None:
    form = {"space_type": "static", "secrets_name": "API_KEY", "secrets_value": "very secret", "name": "x"}
    answer = person.send("/ui/new", action="publish", **form, **{"file.index.html": "x"})
    assert answer.status_code == 422
    assert "A static Space has no secrets" in text_of(answer.text)
    assert "very secret" not in answer.text


def test_the_same_is_shown_for_programs(person: Person) -> None:
    form = {"space_type": "static", "template": "static/landing", "name": "it's", "parameter.headline": "a b"}
    page = person.send("/ui/new", action="check", **form).text
    assert "assembler create \\\n  -t static" in page
    assert "-p &#39;headline=a b&#39;" in page
    assert "template=&#39;landing&#39;" in page
    assert "-F &#39;body={&#34;space_type&#34;: &#34;static&#34;" in page
