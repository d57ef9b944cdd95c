"""People in the web pages: browsers without and with JavaScript."""

from __future__ import annotations

import re
from html import unescape
from html.parser import HTMLParser
from typing import Any

from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from tests.conftest import PASSWORD, Service

OWN = {"Sec-Fetch-Site": "same-origin", "Accept": "text/html"}


class Person:
    """A person whose browser has no JavaScript."""

    def __init__(self, service: Service, name: str = "admin", password: str = PASSWORD, realm: str = "") -> None:
        self.client: FlaskClient = service.app.test_client()
        answer = self.send("/ui/login", name=name, password=password, realm=realm)
        assert answer.status_code == 303, answer.text

    def open(self, path: str, **headers: str) -> TestResponse:
        """Opens a page that must be there."""
        answer = self.client.get(path, headers=OWN | headers)
        assert answer.status_code == 200, answer.text
        assert_well_formed(answer.text)
        return answer

    def send(self, path: str, /, **form: Any) -> TestResponse:
        """Sends a form."""
        files = any(isinstance(value, tuple | list) for value in form.values())
        kind = "multipart/form-data" if files or path.endswith(("/new", "/files")) else None
        answer = self.client.post(path, data=form, headers=OWN, content_type=kind)
        if answer.mimetype == "text/html" and answer.status_code != 303:
            assert_well_formed(answer.text)
        return answer

    def change(self, path: str, /, **form: Any) -> str:
        """Sends a form that must be accepted; returns the address it leads to."""
        answer = self.send(path, **form)
        assert answer.status_code == 303, text_of(answer.text)
        return str(answer.headers["Location"])


class _Checker(HTMLParser):
    """Finds what the policy would block, fields without a name, and elements that are not closed."""

    void = frozenset({"meta", "link", "input", "img", "br"})

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.problems: list[str] = []
        self.ids: list[str] = []
        self.labelled: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        self.problems += [f"{tag} {name}" for name in values if name.startswith("on") or name == "style"]
        if tag == "script" and not (values.get("src") or "").startswith("/assets/"):
            self.problems.append("inline script")
        if values.get("id"):
            self.ids.append(str(values["id"]))
        if tag == "label" and values.get("for"):
            self.labelled.add(str(values["for"]))
        named = "label" in self.open or "aria-label" in values or str(values.get("id")) in self.labelled
        named = named or values.get("type") == "hidden" or "hidden" in values
        if tag in ("input", "select", "textarea") and not named:
            self.problems.append(f"{tag} {values.get('name')} has no label")
        if tag not in self.void:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if self.open and self.open[-1] == tag:
            self.open.pop()
        else:
            self.problems.append(f"</{tag}> inside of {self.open[-1:]}")


def assert_well_formed(html: str) -> None:
    """Asserts that a page has nothing that its policy blocks, and that its elements and labels are complete."""
    checker = _Checker()
    checker.feed(html)
    twice = {each for each in checker.ids if checker.ids.count(each) > 1}
    found = [
        *checker.problems,
        *(f"<{tag}> is not closed" for tag in checker.open),
        *(f"two ids {each}" for each in twice),
    ]
    assert not found, f"{found} in {html}"


def text_of(html: str) -> str:
    """Returns the text of the main part of a page."""
    body = re.sub(r"(?s).*<main[^>]*>(.*)</main>.*", r"\1", html)
    return unescape(re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", body))).strip()
