"""Tokens of a person on the page My account."""

from __future__ import annotations

import re

from tests.conftest import Service
from tests.support.people import WORD, make_realm, make_user
from tests.ui.people import Person, text_of


def test_a_token_is_shown_once_works_and_is_deleted(service: Service) -> None:
    make_user(service, "ann", make_realm(service, "ours"))
    ann = Person(service, "ann", WORD, "ours")
    assert "No tokens yet" in text_of(ann.open("/ui/account").text)
    assert 'value="user_manage"' not in ann.open("/ui/account").text
    created = ann.send("/ui/account/tokens", name="notebook", scopes="space_read", days="30")
    assert created.status_code == 201
    (token,) = set(re.findall(r"asm_[\w-]{43}", created.text))
    page = ann.open("/ui/account").text
    assert token not in page and "notebook" in page and "space_read" in text_of(page)
    answer = service.client.get("/spaces", headers={"Authorization": f"Bearer {token}"})
    assert answer.status_code == 200
    (place,) = re.findall(r'action="(/ui/account/tokens/[^"]+)"', page)
    ann.change(place)
    assert "notebook" not in ann.open("/ui/account").text
    assert service.client.get("/spaces", headers={"Authorization": f"Bearer {token}"}).status_code == 401


def test_what_is_wrong_is_shown_beside_what_was_typed(service: Service) -> None:
    make_user(service, "ann", make_realm(service, "ours"))
    ann = Person(service, "ann", WORD, "ours")
    for wrong in ({"name": "x", "days": "30"}, {"name": "x", "scopes": "space_read", "days": "9" * 30}):
        answer = ann.send("/ui/account/tokens", **wrong)
        assert answer.status_code == 422 and 'value="x"' in answer.text
    assert ann.send("/ui/account/tokens/none").status_code == 404
