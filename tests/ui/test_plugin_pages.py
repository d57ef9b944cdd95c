"""The page of a plugin, as the documentation shows it: in the frame of the pages, with their sign-in and policy."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.conftest import MakeService, Service
from tests.ui.people import OWN, Person, text_of

PROJECT = Path(__file__).resolve().parent.parent.parent
ADDRESS = "/ui/plugins/board@1.0/"


@pytest.fixture
def service(make_service: MakeService, tmp_path: Path) -> Service:
    """A service with the plugin of the documentation."""
    text = (PROJECT / "docs" / "plugins.md").read_text(encoding="utf-8")
    (code,) = re.findall(r"^```python page\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    (tmp_path / "board").mkdir()
    (tmp_path / "board" / "__init__.py").write_text(code, encoding="utf-8")
    return make_service(PLUGIN_FOLDERS=str(tmp_path))


def test_it_stands_in_the_frame_of_the_pages(service: Service) -> None:
    answer = Person(service).open(ADDRESS)
    assert "admin may write here." in text_of(answer.text)
    assert 'aria-label="Main"' in answer.text
    assert "require-trusted-types-for 'script'" in answer.headers["Content-Security-Policy"]


def test_it_is_reached_from_the_type_and_from_new(service: Service) -> None:
    person = Person(service)
    for screen in ("plugins", "new"):
        assert f'href="{ADDRESS}"' in person.open(f"/ui/{screen}").text


def test_it_needs_a_sign_in(service: Service) -> None:
    answer = service.app.test_client().get(ADDRESS, headers=OWN)
    assert (answer.status_code, answer.headers["Location"]) == (303, f"/ui/login?next={ADDRESS.replace('@', '%40')}")
    # For programs the same endpoint takes a token.
    assert service.client.get("/plugins/board@1.0/").status_code == 401
