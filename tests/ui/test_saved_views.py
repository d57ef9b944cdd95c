"""Filters of the page of Spaces with a name."""

from __future__ import annotations

from tests.conftest import Service
from tests.support.people import WORD, make_realm, make_user
from tests.ui.people import Person, text_of

LINE = "label:course-2026 type:static"


def test_a_view_is_saved_shown_and_removed(service: Service) -> None:
    service.publish(name="hours", labels=["course-2026"])
    service.publish(name="other")
    person = Person(service)
    address = person.change("/ui/views", name="My course", line=LINE)
    shown = person.open(address)
    assert "hours" in text_of(shown.text) and "other" not in text_of(shown.text)
    assert "Remove the view My course" in text_of(shown.text)
    assert "My course" in text_of(person.open("/ui/spaces").text)
    person.change("/ui/views", name="My course", line="state:running")
    assert "type%3Astatic" not in person.open("/ui/spaces").text
    person.change("/ui/views/remove", name="My course")
    assert "My course" not in text_of(person.open("/ui/spaces").text)


def test_views_are_those_of_one_person(service: Service) -> None:
    service.publish(name="hours")
    make_user(service, "ann", make_realm(service, "ours"), "realm_admin")
    Person(service).change("/ui/views", name="<b>mine</b>", line=LINE)
    ann = Person(service, "ann", WORD, "ours")
    ann.change("/ui/views/remove", name="<b>mine</b>")
    assert "mine" not in ann.open("/ui/spaces").text
    assert "&lt;b&gt;mine&lt;/b&gt;" in Person(service).open("/ui/spaces").text


def test_a_view_needs_a_name_and_there_are_not_too_many(service: Service) -> None:
    person = Person(service)
    assert person.send("/ui/views", name=" ", line=LINE).status_code == 422
    assert person.send("/ui/views", name="x" * 33, line=LINE).status_code == 422
    for number in range(20):
        person.change("/ui/views", name=f"view {number}", line=LINE)
    answer = person.send("/ui/views", name="one more", line=LINE)
    assert answer.status_code == 409 and "20 saved views" in text_of(answer.text)
