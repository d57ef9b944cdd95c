"""What the account of a Hub token may create is known before the Hub is asked."""

from __future__ import annotations

from typing import Any

import pytest

from assembler_runner.devhub import Account, StandInHub
from assembler_runner.targets.hub.account import HubAccount
from assembler_runner.targets.hub.entitlement import check_account
from tests.conftest import MakeService, Service
from tests.support.people import Person, made, make_realm, make_user
from tests.support.services import wait_until

TOKEN = "hf_free_account"
GRADIO: dict[str, Any] = {"space_type": "gradio", "files": {"app.py": "import gradio\n"}, "target": "huggingface"}
FREE = HubAccount("carol", "free", "write", {"acme": "write", "lab": "read"}, can_pay=False)


@pytest.fixture
def carol(hub_service: Service, hub: StandInHub) -> Person:
    """The admin of a realm whose token belongs to a free account."""
    hub.add_account(TOKEN, Account("carol", is_pro=False, can_pay=False, orgs={"acme": "write"}))
    person = make_user(hub_service, "carol", make_realm(hub_service, "ours"), "realm_admin")
    realm = person.get("/auth/users/@me").json["realm_id"]
    made(person.open("PUT", f"/auth/realms/{realm}/hub-credential", {"token": TOKEN}), 200)
    return person


@pytest.mark.parametrize(
    ("sdk", "namespace", "hardware", "visibility", "codes"),
    [
        ("static", None, None, None, []),
        ("gradio", None, None, None, ["plan_required"]),
        ("docker", "carol", "cpu-basic", "private", ["plan_required"]),
        ("gradio", None, "zero-a10g", None, []),
        ("gradio", "acme", None, None, []),
        ("gradio", "lab", None, None, ["namespace_not_writable"]),
        ("static", "stranger", None, None, ["namespace_not_writable"]),
        ("gradio", None, "t4-small", None, ["payment_method_required"]),
        ("static", None, None, "protected", ["plan_required"]),
        ("gradio", None, None, "protected", ["plan_required", "plan_required"]),
    ],
)
def test_what_a_free_account_may_create(
    sdk: str, namespace: str | None, hardware: str | None, visibility: str | None, codes: list[str]
) -> None:
    assert [found.code for found in check_account(FREE, sdk, namespace, hardware, visibility)] == codes


def test_a_token_that_only_reads_creates_nothing() -> None:
    (found,) = check_account(HubAccount("carol", "pro", "read", {}), "static", None, None, None)
    assert found.code == "token_only_reads"


def test_a_space_that_the_plan_does_not_allow_is_rejected_with_the_choices(
    hub_service: Service, hub: StandInHub, carol: Person
) -> None:
    answer = carol.post("/spaces", GRADIO)
    assert answer.status_code == 422
    (issue,) = [issue for issue in answer.json["issues"] if issue["severity"] == "error"]
    assert (issue["code"], issue["path"]) == ("plan_required", "space_type")
    assert issue["values"] == {"account": "carol", "plan": "free", "namespace": "carol"}
    for choice in ("static", "zero-a10g", "acme", "PRO"):
        assert choice in issue["hint"]
    shown = carol.post("/spaces/preview", GRADIO)
    assert (shown.status_code, "plan_required" in {found["code"] for found in shown.json["findings"]}) == (200, True)
    assert hub.spaces() == []


def test_who_knows_better_can_allow_it(hub_service: Service, hub: StandInHub, carol: Person) -> None:
    hub.add_account(TOKEN, Account("carol", is_pro=True))
    request_id = made(carol.post("/spaces", {**GRADIO, "allow": ["plan_required"]}), 202)["latest_request"]["id"]
    assert hub_service.work(request_id)["status"] == "succeeded"


def test_the_account_of_the_service_is_learned_again_after_a_rejection(
    make_service: MakeService, hub: StandInHub
) -> None:
    hub.add_account(TOKEN, Account("carol", is_pro=False))
    service = make_service(HF_TOKEN=TOKEN, HF_ENDPOINT=hub.url)
    service.services.targets.learn_account()
    realm = service.get("/auth/users/@me").json["realm_id"]

    def known() -> bool:
        with service.app.app_context():
            return service.services.targets.account(realm) is not None

    wait_until(known, "the account is known")
    hub.add_account(TOKEN, Account("carol", is_pro=True))
    assert service.post("/spaces", GRADIO).status_code == 422
    wait_until(lambda: service.post("/spaces", GRADIO).status_code == 202, "the new plan is known")
