"""The page of a realm: its settings, and its Hub token."""

from __future__ import annotations

import pytest

from assembler_runner.devhub import StandInHub
from tests.conftest import MakeService, Service
from tests.support.people import WORD, made, make_realm, make_user
from tests.ui.people import Person, text_of


@pytest.fixture
def ours(make_service: MakeService, hub: StandInHub) -> tuple[Service, str, Person]:
    """A service, the id of a realm, and its administrator."""
    service = make_service(HF_ENDPOINT=hub.url, HUB_TIMEOUT=2.0)
    realm_id = make_realm(service, "ours")
    make_user(service, "chief", realm_id, "realm_admin")
    return service, realm_id, Person(service, "chief", WORD, "ours")


def test_a_token_is_checked_stored_and_never_shown(ours: tuple[Service, str, Person]) -> None:
    service, realm_id, chief = ours
    here = f"/ui/realms/{realm_id}"
    assert f'href="{here}"' in chief.open("/ui/accounts?kind=realms").text
    assert "Without a token" in text_of(chief.open(here).text)
    wrong = chief.send(f"{here}/hub-token", token="hf_nobody")
    assert wrong.status_code == 422
    assert "does not accept this token" in text_of(wrong.text) and "hf_nobody" not in wrong.text
    chief.change(f"{here}/hub-token", token="hf_alice")
    shown = chief.open(here)
    assert "Account alice" in text_of(shown.text) and "hf_alice" not in shown.text
    assert service.get(f"/auth/realms/{realm_id}/hub-credential").json["account_name"] == "alice"
    chief.change(f"{here}/hub-token", action="remove")
    assert service.get(f"/auth/realms/{realm_id}/hub-credential").status_code == 404


def test_settings_of_the_own_realm_without_its_limits(ours: tuple[Service, str, Person]) -> None:
    service, realm_id, chief = ours
    chief.change(f"/ui/realms/{realm_id}", display_name="Our realm", max_spaces="9")
    realm = service.get(f"/auth/realms/{realm_id}").json
    assert (realm["display_name"], realm["max_spaces"], realm["allow_agents"]) == ("Our realm", None, False)
    assert "max_spaces" not in chief.open(f"/ui/realms/{realm_id}").text


def test_limits_are_set_by_who_manages_all_realms(ours: tuple[Service, str, Person]) -> None:
    service, realm_id, _ = ours
    admin = Person(service)
    wrong = admin.send(f"/ui/realms/{realm_id}", max_spaces="many")
    assert wrong.status_code == 422 and 'value="many"' in wrong.text
    admin.change(f"/ui/realms/{realm_id}", max_spaces="9", share_default_hub="yes", allow_agents="yes")
    realm = service.get(f"/auth/realms/{realm_id}").json
    assert (realm["max_spaces"], realm["share_default_hub"], realm["allow_agents"]) == (9, True, True)


def test_another_realm_is_not_found(ours: tuple[Service, str, Person]) -> None:
    service, _, chief = ours
    other = make_realm(service, "theirs")
    for path in (f"/ui/realms/{other}", f"/ui/realms/{other}/hub-token"):
        assert chief.send(path, token="hf_alice").status_code == 404
    assert chief.client.get(f"/ui/realms/{other}").status_code == 404


def test_pipelines_are_trusted_and_removed(ours: tuple[Service, str, Person]) -> None:
    service, realm_id, chief = ours
    here = f"/ui/realms/{realm_id}"
    assert "Create a robot first" in text_of(chief.open(here).text)
    robot = made(service.post("/auth/robots", {"name": "bot", "realm_id": realm_id}))
    form = {"name": "app", "robot_id": robot["id"], "issuer": "https://gitlab.com", "subject": "project_path:me/app:*"}
    wrong = chief.send(f"{here}/pipelines", **form | {"subject": "*"})
    assert wrong.status_code == 422 and 'value="https://gitlab.com"' in wrong.text
    chief.change(f"{here}/pipelines", **form)
    assert "app as bot project_path:me/app:*" in text_of(chief.open(here).text)
    (row,) = service.get("/auth/trusted-publishers").json["data"]
    assert {name: row[name] for name in form} == form
    chief.change(f"{here}/pipelines/{row['id']}")
    assert service.get("/auth/trusted-publishers").json["data"] == []
