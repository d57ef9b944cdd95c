"""Accounts, requests, webhooks and the own account in the web pages."""

from __future__ import annotations

import re

import pytest

from assembler_runner.devhub import Fault, StandInHub
from tests.conftest import PASSWORD, Service
from tests.ui.people import Person, text_of

STRONG = "horse battery staple"


@pytest.fixture
def admin(service: Service) -> Person:
    return Person(service)


def id_of(service: Service, kind: str, name: str) -> str:
    rows = service.get(f"/auth/{kind}?filter[name]={name}").json["data"]
    return str(rows[0]["id"])


def test_a_colleague_gets_a_role_and_loses_it(service: Service, admin: Person) -> None:
    admin.change("/ui/accounts", kind="users", name="ann", password=STRONG, role="viewer")
    assert "ann viewer" in text_of(admin.open("/ui/accounts").text)
    ann, here = Person(service, "ann", STRONG), f"/ui/accounts/users/{id_of(service, 'users', 'ann')}"
    assert "New Space" not in text_of(ann.open("/ui/spaces").text)
    admin.change(here, action="grant", role_id=id_of(service, "roles", "member"))
    assert "New Space" in text_of(ann.open("/ui/spaces").text)
    grant = re.search(r'name="grant_id" value="([^"]+)"', admin.open("/ui/accounts?q=ann").text)
    assert grant
    admin.change(here, action="revoke", grant_id=grant[1])
    admin.change(here, action="password", password="another " + STRONG)
    assert ann.client.get("/ui/spaces").status_code == 401
    admin.change(here, action="disable")
    assert ann.send("/ui/login", name="ann", password="another " + STRONG).status_code == 400
    admin.change(here, action="delete")
    assert service.get("/auth/users?filter[name]=ann").json["data"] == []


def test_problems_of_an_account_stand_in_the_form(admin: Person) -> None:
    answer = admin.send("/ui/accounts", kind="users", name="no good!", password="short", role="nothing")
    assert answer.status_code == 422
    page = text_of(answer.text)
    assert "name" in page and "password" in page
    assert 'value="no good!"' in answer.text
    assert "short" not in re.findall(r'value="([^"]*)"', answer.text)


def test_the_secret_of_a_robot_is_shown_once(service: Service, admin: Person) -> None:
    answer = admin.send("/ui/accounts", kind="robots", name="deployer", role="member")
    assert answer.status_code == 201
    robot_id, secret = re.search(r"<code>(\S+)\n(\S+)</code>", answer.text).groups()  # type: ignore[union-attr]
    login = {"grant_type": "robot_credentials", "id": robot_id, "secret": secret}
    assert service.client.post("/auth/token", json=login).status_code == 200
    assert secret not in admin.open("/ui/accounts?kind=robots").text


def test_nobody_grants_more_than_they_have(service: Service, admin: Person) -> None:
    realm = service.post("/auth/realms", {"name": "school"}).json
    user = {"name": "head", "password": STRONG, "realm_id": realm["id"], "roles": ["realm_admin"]}
    service.post("/auth/users", user)
    head = Person(service, "head", STRONG, "school")
    answer = head.send("/ui/accounts", kind="users", name="eve", password=STRONG, role="admin")
    assert answer.status_code == 403
    other = head.send(f"/ui/accounts/users/{id_of(service, 'users', 'admin')}", action="delete")
    assert other.status_code == 404
    assert head.send("/ui/accounts", kind="realms", name="mine").status_code == 403


def test_the_own_password_ends_all_sessions(service: Service, admin: Person) -> None:
    form = {"current_password": PASSWORD, "password": "another " + STRONG, "repeated": "another " + STRONG}
    wrong = admin.send("/ui/account/password", **(form | {"repeated": "x"}))
    assert (wrong.status_code, "The two new passwords differ." in text_of(wrong.text)) == (422, True)
    wrong = admin.send("/ui/account/password", **(form | {"current_password": "wrong"}))
    assert "The current password is wrong." in text_of(wrong.text)
    assert admin.change("/ui/account/password", **form) == "/ui/login?done=password"
    assert admin.client.get("/ui/spaces").status_code == 401
    Person(service, "admin", "another " + STRONG)


def test_one_session_is_ended(service: Service, admin: Person) -> None:
    other = Person(service)
    ids = re.findall(r"/ui/account/sessions/([0-9a-f-]+)", admin.open("/ui/account").text)
    assert len(ids) == 2
    ann = service.post("/auth/users", {"name": "ann", "password": STRONG}).json
    assert ann["id"]
    assert Person(service, "ann", STRONG).send(f"/ui/account/sessions/{ids[0]}").status_code == 404
    for each in ids:
        admin.send(f"/ui/account/sessions/{each}")
    assert {person.client.get("/ui/spaces").status_code for person in (admin, other)} == {401}


def test_programs_are_shown_and_logged_out(service: Service, admin: Person) -> None:
    page = admin.open("/ui/agents").text
    assert "http://localhost/mcp" in page
    (login,) = re.findall(r'action="/ui/agents/([0-9a-f-]+)"', page)
    admin.change(f"/ui/agents/{login}")
    assert service.get("/spaces").status_code == 401


def test_robots_are_shown_with_their_rights_and_logged_out(service: Service, admin: Person) -> None:
    me = service.get("/auth/users/@me").json["id"]
    made = service.post("/auth/robots", {"name": "helper", "user_id": me, "roles": ["viewer"]}).json
    body = {"grant_type": "robot_credentials", "id": made["id"], "secret": made["secret"]}
    token = service.client.post("/auth/token", json=body).json["access_token"]
    headers = {"Authorization": f"Bearer {token}"}
    assert service.client.get("/spaces", headers=headers).status_code == 200
    page = admin.open("/ui/agents").text
    assert "claude mcp add assembler -- assembler mcp" in text_of(page)
    assert "May do: " in text_of(page) and "space_read" in text_of(page)
    for login in re.findall(r'action="/ui/agents/([0-9a-f-]+)"', page):
        admin.change(f"/ui/agents/{login}")
    assert service.client.get("/spaces", headers=headers).status_code == 401


def test_a_request_is_cancelled_and_retried(service: Service, admin: Person) -> None:
    made = service.submit(name="slow")["latest_request"]["id"]
    assert "slow" in text_of(admin.open("/ui/queue").text)
    admin.change(f"/ui/requests/{made}/command", command="cancel")
    assert service.request(made)["status"] == "cancelled"
    admin.change(f"/ui/requests/{made}/command", command="retry")
    assert service.work(made)["status"] == "succeeded"
    assert admin.send(f"/ui/requests/{made}/command", command="retry").status_code == 409


def test_failures_are_shown_by_cause_and_sent_again(hub_service: Service, hub: StandInHub) -> None:
    admin = Person(hub_service)
    hub.faults.add(Fault(path="/api/repos/create", status=400, times=None))
    failed = hub_service.publish(name="x")
    assert failed["status"] == "failed"
    assert failed["error"]["message"] in text_of(admin.open("/ui/queue").text)
    assert admin.change("/ui/queue/retry", code=failed["error"]["code"]).startswith("/ui/queue?done=retried&retried=1")
    assert hub_service.request(failed["id"])["status"] == "queued"


def test_webhooks_are_made_tested_and_deleted(service: Service, admin: Person) -> None:
    answer = admin.send("/ui/webhooks", url="http://127.0.0.1/x")
    assert answer.status_code == 422
    answer = admin.send("/ui/webhooks", url="https://example.com/hook", description="Chat")
    assert answer.status_code == 201
    secret = re.search(r"<code>(whsec_[^<]+)</code>", answer.text)
    assert secret
    (row,) = service.get("/webhooks").json["data"]
    here = f"/ui/webhooks/{row['id']}"
    admin.change(f"{here}/command", command="test")
    assert "test" in text_of(admin.open(here).text)
    admin.change(f"{here}/command", command="deactivate")
    assert service.get(f"/webhooks/{row['id']}").json["active"] is False
    rotated = admin.send(f"{here}/command", command="rotate_secret").text
    assert "whsec_" in rotated
    assert secret[1] not in rotated
    assert admin.send(f"{here}/command", command="explode").status_code == 422
    admin.change(f"{here}/command", command="delete")
    assert service.get("/webhooks").json["data"] == []


def test_the_audit_log_is_filtered(service: Service, admin: Person) -> None:
    service.publish(name="hours")
    service.publish(name="other")
    page = text_of(admin.open("/ui/audit?object_name=hour").text)
    assert "hours" in page
    assert "other" not in page
