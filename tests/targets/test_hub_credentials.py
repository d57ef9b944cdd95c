"""Each realm publishes with its own Hub token, which is never shown."""

from __future__ import annotations

import logging
from typing import Any

import pytest
import sqlalchemy as sa

from assembler_runner.accounts.models import HubCredential
from assembler_runner.core.database import db
from assembler_runner.core.vault import UnreadableSecret, Vault
from assembler_runner.devhub import Account, Fault, StandInHub
from assembler_runner.ops import key_rotation
from assembler_runner.spaces.models import SpaceRequest
from tests.conftest import SECRETS, MakeService, Service
from tests.support.people import Person, made, make_realm, make_user

TOKEN = "hf_carol_token_nobody_may_see"
STATIC: dict[str, Any] = {"space_type": "static", "files": {"index.html": "x"}}


@pytest.fixture
def ann(hub_service: Service, hub: StandInHub) -> Person:
    """The admin of a realm of its own; its token belongs to carol."""
    hub.add_account(TOKEN, Account("carol", orgs={"acme": "write", "lab": "read"}))
    return make_user(hub_service, "ann", make_realm(hub_service, "ours"), "realm_admin")


def place(person: Person) -> str:
    return f"/auth/realms/{person.get('/auth/users/@me').json['realm_id']}/hub-credential"


def put(person: Person, **body: Any) -> Any:
    return person.open("PUT", place(person), {"token": TOKEN, **body})


def publish(service: Service, person: Person, **body: Any) -> dict[str, Any]:
    space = made(person.post("/spaces", {**STATIC, **body}), 202)
    return service.work(space["latest_request"]["id"])


def test_a_realm_without_a_token_has_the_local_target_only(hub_service: Service, hub: StandInHub, ann: Person) -> None:
    assert ann.get(place(ann)).status_code == 404
    refused = ann.post("/spaces", {**STATIC, "target": "huggingface"})
    assert (refused.status_code, refused.json["issues"][0]["code"]) == (422, "target_not_available")
    assert publish(hub_service, ann, name="here")["status"] == "succeeded"
    assert hub.spaces() == []
    # Only the operator may share the service's own token.
    realm = place(ann).removesuffix("/hub-credential")
    assert ann.post(realm, {"share_default_hub": True}).status_code == 403
    made(hub_service.post(realm, {"share_default_hub": True}), 202)
    assert publish(hub_service, ann, name="there")["status"] == "succeeded"
    assert hub.spaces() == ["alice/there"]


def test_a_realm_publishes_with_its_own_token(hub_service: Service, hub: StandInHub, ann: Person) -> None:
    shown = made(put(ann), 200)
    assert (shown["account_name"], shown["plan"], shown["role"]) == ("carol", "pro", "write")
    assert (shown["namespaces"], shown["default_namespace"]) == (["carol", "acme"], "carol")
    assert shown["orgs"] == [{"name": "acme", "role": "write"}, {"name": "lab", "role": "read"}]
    assert publish(hub_service, ann, name="one")["status"] == "succeeded"
    assert publish(hub_service, ann, name="two", namespace="acme")["status"] == "succeeded"
    hub_service.publish(name="mine")
    assert sorted(hub.spaces()) == ["acme/two", "alice/mine", "carol/one"]
    refused = ann.post("/spaces", {**STATIC, "namespace": "alice"})
    assert (refused.status_code, refused.json["issues"][0]["code"]) == (422, "namespace_not_allowed")
    assert ann.delete(place(ann)).status_code == 202
    assert ann.post("/spaces", {**STATIC, "target": "huggingface"}).status_code == 422


def test_the_token_is_never_shown(
    hub_service: Service, hub: StandInHub, ann: Person, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    answers = [put(ann), ann.get(place(ann))]
    fault = Fault("status", method="POST", path="/api/repos/create", status=403, body={"error": f"not with {TOKEN}"})
    hub.faults.add(fault)
    failed = publish(hub_service, ann, name="one")
    assert failed["status"] == "failed"
    answers += [ann.get(f"/requests/{failed['id']}/events"), ann.get("/auth/audit-log"), ann.get("/auth/realms")]
    answers.append(ann.delete(place(ann)))
    assert all(answer.status_code in (200, 202) and TOKEN not in answer.text for answer in answers)
    assert TOKEN not in str(failed)
    assert TOKEN not in caplog.text
    with hub_service.app.app_context():
        for table in db.metadata.sorted_tables:
            assert TOKEN not in str(db.session.execute(sa.select(table)).all()), table.name


@pytest.mark.parametrize(("body", "field"), [
    ({"token": "hf_unknown"}, "token"),
    ({"token": "hf_reader"}, "token"),
    ({"token": "two words"}, "token"),
    ({"namespaces": ["acme", "alice"]}, "namespaces.1"),
    ({"namespaces": ["lab"]}, "namespaces.0"),
    ({"namespaces": []}, "namespaces"),
    ({"namespaces": ["acme"], "default_namespace": "carol"}, "default_namespace"),
    ({"realm_id": "x"}, "realm_id"),
])  # fmt: skip
def test_a_token_is_checked_when_it_is_set(hub: StandInHub, ann: Person, body: dict[str, Any], field: str) -> None:
    hub.add_account("hf_reader", Account("rita", token_role="read"))
    answer = put(ann, **body)
    assert answer.status_code == 422
    assert [issue["path"] for issue in answer.json["issues"]] == [field]
    assert TOKEN not in answer.text
    assert ann.get(place(ann)).status_code == 404


def test_an_unreachable_hub_changes_nothing(hub: StandInHub, ann: Person) -> None:
    made(put(ann), 200)
    hub.faults.add(Fault("status", method="GET", path="/api/whoami-v2", status=503, body={"error": "away"}))
    answer = put(ann, namespaces=["acme"])
    assert (answer.status_code, answer.json["code"]) == (503, "target_unavailable")
    assert ann.get(place(ann)).json["namespaces"] == ["carol", "acme"]


def test_permissions_to_read_and_set_the_token(hub_service: Service, ann: Person) -> None:
    made(put(ann), 200)
    member = make_user(hub_service, "max", ann.get("/auth/users/@me").json["realm_id"], "member")
    assert [member.get(place(ann)).status_code, put(member).status_code] == [403, 403]
    other = make_user(hub_service, "eve", make_realm(hub_service, "theirs"), "realm_admin")
    for method in ("GET", "PUT", "DELETE"):
        assert other.open(method, place(ann), {"token": TOKEN}).status_code == 404


def test_keys_are_rotated(hub_service: Service, hub: StandInHub, ann: Person, make_service: MakeService) -> None:
    made(put(ann), 200)
    body = {"space_type": "docker", "files": {"app.py": "x"}, "name": "one", "secrets": {"KEY": "v"}}
    request_id = made(ann.post("/spaces", body), 202)["latest_request"]["id"]
    old, new = SECRETS["SECRET_KEY"], "quite another key of the tests, 0123456789"
    with hub_service.app.app_context():
        before = db.session.scalars(sa.select(HubCredential.key_id)).one()
        with pytest.raises(UnreadableSecret):
            key_rotation.rotate(Vault(new))
        db.session.rollback()
        assert key_rotation.rotate(Vault(new, old)) == 2
        assert db.session.scalars(sa.select(HubCredential.key_id)).one() == Vault(new).key_id != before
        sealed = db.session.get_one(SpaceRequest, request_id).encrypted_secrets
        assert sealed is not None
        assert Vault(new).decrypt(sealed) == {"KEY": "v"}
    # The old key alone no longer decrypts anything, and the request says so.
    assert hub_service.work(request_id)["status"] == "failed"


def test_a_token_that_was_copied_to_another_realm_is_refused(hub_service: Service, ann: Person) -> None:
    other = make_realm(hub_service, "thieves")
    services = hub_service.services
    realm_id = ann.get("/auth/users/@me").json["realm_id"]
    assert put(ann).status_code < 300
    with hub_service.app.app_context():
        row = db.session.get(HubCredential, realm_id)
        assert row is not None
        copied = HubCredential(
            **{
                column.key: getattr(row, column.key)
                for column in HubCredential.__table__.columns
                if column.key not in ("realm_id", "created_at", "updated_at")
            }
        )
        copied.realm_id = other
        db.session.add(copied)
        db.session.commit()
        assert services.targets.token(realm_id) == TOKEN
        with pytest.raises(UnreadableSecret):
            services.targets.token(other)
        # Those from before name no realm, and stay readable.
        row.encrypted_token = services.vault.encrypt({"token": TOKEN})
        db.session.commit()
        assert services.targets.token(realm_id) == TOKEN
