"""Tokens of a person: what they may do, until when, and how they end."""

from __future__ import annotations

import base64
from datetime import timedelta
from typing import Any

import pytest
import sqlalchemy as sa

from assembler_runner.accounts.models import AuditEntry
from assembler_runner.accounts.personal_tokens import DEFAULT_DAYS, MOST, PREFIX, PersonalToken
from assembler_runner.core.database import db, utcnow
from tests.conftest import PASSWORD, Service
from tests.support.people import NOBODY, WORD, Person, login, made, make_realm, make_user

SPACE = {"space_type": "static", "target": "local", "files": {"index.html": "<p>Hello</p>"}}


def create(person: Person, *scopes: str, **more: Any) -> dict[str, Any]:
    return made(person.post("/auth/tokens", {"name": "ci", "scopes": list(scopes), **more}))


def acting(service: Service, token: str) -> Person:
    return Person(service, "", {"access_token": token})


def set_times(service: Service, **values: Any) -> None:
    with service.app.app_context():
        db.session.execute(sa.update(PersonalToken).values(**values))
        db.session.commit()


@pytest.fixture
def ann(service: Service) -> Person:
    return make_user(service, "ann", make_realm(service, "ours"))


def test_it_acts_for_its_person_within_its_scopes(service: Service, ann: Person) -> None:
    token = create(ann, "space_create", "space_read")
    assert token["token"].startswith(PREFIX) and token["scopes"] == ["space_create", "space_read"]
    program = acting(service, token["token"])
    space = made(program.post("/spaces", SPACE), 202)
    assert space["owner_id"] == ann.id
    assert [row["id"] for row in program.get("/spaces").json["data"]] == [space["id"]]
    assert program.delete(f"/spaces/{space['id']}").status_code == 403
    assert program.get("/auth/roles").status_code == 403
    assert sorted(program.get("/auth/users/@me").json["permissions"]) == ["space_create", "space_read"]


def test_it_may_never_do_more_than_its_person(service: Service, ann: Person) -> None:
    answer = ann.post("/auth/tokens", {"name": "ci", "scopes": ["user_manage"]})
    assert answer.status_code == 403 and "user_manage" in answer.json["message"]
    token = create(ann, "space_create", "space_read")["token"]
    for grant in service.get(f"/auth/user-roles?filter[user_id]={ann.id}").json["data"]:
        service.client.delete(f"/auth/user-roles/{grant['id']}", headers=service.headers)
    assert acting(service, token).get("/spaces").status_code == 403


@pytest.mark.parametrize(
    ("body", "path"),
    [
        ({"name": "ci", "scopes": []}, "scopes"),
        ({"name": "ci", "scopes": ["fly"]}, "scopes.0"),
        ({"name": "", "scopes": ["space_read"]}, "name"),
        ({"scopes": ["space_read"]}, "name"),
        ({"name": "ci", "scopes": ["space_read"], "expires_at": "2001-01-01T00:00:00Z"}, "expires_at"),
        ({"name": "ci", "scopes": ["space_read"], "expires_at": "2901-01-01T00:00:00"}, "expires_at"),
        ({"name": "ci", "scopes": ["space_read"], "expires_at": "soon"}, "expires_at"),
        ({"name": "ci", "scopes": ["space_read"], "days": 5}, "days"),
    ],
)
def test_invalid_fields_are_named(ann: Person, body: dict[str, Any], path: str) -> None:
    answer = ann.post("/auth/tokens", body)
    assert answer.status_code == 422
    assert [issue["path"] for issue in answer.json["issues"]] == [path]


def test_only_a_person_who_has_signed_in_creates_one(service: Service, ann: Person) -> None:
    token = create(ann, "space_read")["token"]
    body = {"name": "another", "scopes": ["space_read"]}
    assert acting(service, token).post("/auth/tokens", body).status_code == 403
    robot = made(service.post("/auth/robots", {"name": "bot"}))
    tokens = made(login(service, grant_type="robot_credentials", id=robot["id"], secret=robot["secret"]), 200)
    assert Person(service, robot["id"], tokens).post("/auth/tokens", body).status_code == 403


def test_it_changes_nothing_of_the_account_itself(service: Service, ann: Person) -> None:
    first, second = (create(ann, "space_read", name=name) for name in ("first", "second"))
    program = acting(service, first["token"])
    assert program.post("/auth/users/@me", {"display_name": "Changed"}).status_code == 403
    assert program.delete(f"/auth/tokens/{second['id']}").status_code == 403
    assert ann.get("/auth/users/@me").json["display_name"] is None
    made(program.delete(f"/auth/tokens/{first['id']}"), 202)
    assert [row["name"] for row in ann.get("/auth/tokens").json["data"]] == ["second"]


def test_the_list_shows_the_own_tokens_and_never_the_token(service: Service, ann: Person) -> None:
    token = create(ann, "space_read")
    bob = make_user(service, "bob")
    assert bob.get("/auth/tokens").json["data"] == []
    assert bob.get(f"/auth/tokens/{token['id']}").status_code == 404
    assert bob.delete(f"/auth/tokens/{token['id']}").status_code == 404
    listed = ann.get("/auth/tokens").json
    assert listed["data"] == [ann.get(f"/auth/tokens/{token['id']}").json]
    assert listed["meta"]["total"] == 1
    assert set(listed["data"][0]) == {"id", "name", "scopes", "created_at", "expires_at", "used_at"}
    assert token["token"] not in ann.get("/auth/tokens").text
    with service.app.app_context():
        assert token["token"] not in str(db.session.execute(sa.select(PersonalToken.__table__)).all())


def test_its_last_use_is_noted(service: Service, ann: Person) -> None:
    token = create(ann, "space_read")
    assert token["used_at"] is None
    acting(service, token["token"]).get("/spaces")
    first = ann.get("/auth/tokens").json["data"][0]["used_at"]
    acting(service, token["token"]).get("/spaces")
    assert first and ann.get("/auth/tokens").json["data"][0]["used_at"] == first
    set_times(service, used_at=utcnow() - timedelta(minutes=2))
    acting(service, token["token"]).get("/spaces")
    assert ann.get("/auth/tokens").json["data"][0]["used_at"] > first


def ended_by_deletion(service: Service, ann: Person, token: dict[str, Any]) -> None:
    made(ann.delete(f"/auth/tokens/{token['id']}"), 202)


def ended_by_revocation(service: Service, ann: Person, token: dict[str, Any]) -> None:
    made(service.client.post("/auth/token/revoke", json={"token": token["token"]}), 200)
    assert ann.get("/auth/tokens").json["data"] == []


def ended_by_time(service: Service, ann: Person, token: dict[str, Any]) -> None:
    set_times(service, expires_at=utcnow() - timedelta(seconds=1))


def ended_by_a_new_password(service: Service, ann: Person, token: dict[str, Any]) -> None:
    made(ann.post("/auth/users/@me", {"password": "another long password", "current_password": WORD}), 202)


def ended_with_the_account(service: Service, ann: Person, token: dict[str, Any]) -> None:
    made(service.post(f"/auth/users/{ann.id}", {"active": False}), 202)


@pytest.mark.parametrize(
    "end",
    [ended_by_deletion, ended_by_revocation, ended_by_time, ended_by_a_new_password, ended_with_the_account],
)
def test_it_ends_at_once(service: Service, ann: Person, end: Any) -> None:
    token = create(ann, "space_read")
    program = acting(service, token["token"])
    assert program.get("/spaces").status_code == 200
    end(service, ann, token)
    assert program.get("/spaces").status_code == 401


def test_names_are_unique_and_their_number_is_limited(service: Service, ann: Person) -> None:
    create(ann, "space_read")
    assert ann.post("/auth/tokens", {"name": "ci", "scopes": ["space_read"]}).json["code"] == "conflict"
    for number in range(1, MOST):
        create(ann, "space_read", name=f"ci {number}")
    answer = ann.post("/auth/tokens", {"name": "one more", "scopes": ["space_read"]})
    assert answer.status_code == 409 and str(MOST) in answer.json["message"]


def test_it_lasts_ninety_days_unless_told_otherwise(service: Service, ann: Person) -> None:
    create(ann, "space_read")
    chosen = create(ann, "space_read", name="short", expires_at=(utcnow() + timedelta(days=1)).isoformat())
    with service.app.app_context():
        rows = {row.name: row for row in db.session.scalars(sa.select(PersonalToken))}
        assert rows["ci"].expires_at - rows["ci"].created_at - timedelta(days=DEFAULT_DAYS) < timedelta(seconds=5)
        assert rows["short"].expires_at - rows["short"].created_at < timedelta(days=1, seconds=5)
    assert chosen["expires_at"]


def test_git_takes_it_in_place_of_the_password(service: Service, ann: Person) -> None:
    token = create(ann, "space_create", "space_read")["token"]
    space = made(acting(service, token).post("/spaces", {**SPACE, "visibility": "private", "name": "hidden"}), 202)
    service.work(space["latest_request"]["id"])
    page = f"/local/{space['namespace']}/hidden/live/index.html"
    answers = [
        service.client.get(page, headers={"Authorization": f"Basic {base64.b64encode(login.encode()).decode()}"})
        for login in (f"anything:{token}", f"anything:{PREFIX}wrong")
    ]
    assert [answer.status_code for answer in answers] == [200, 401]
    assert "Hello" in answers[0].text


def test_both_ends_of_its_life_are_in_the_audit_log(service: Service, ann: Person) -> None:
    token = create(ann, "space_read")
    made(ann.delete(f"/auth/tokens/{token['id']}"), 202)
    with service.app.app_context():
        query = sa.select(AuditEntry).where(AuditEntry.object_type == "personal_token").order_by(AuditEntry.id)
        entries = [(row.action, row.actor_name, row.object_name) for row in db.session.scalars(query)]
        text = str(db.session.execute(sa.select(AuditEntry.__table__)).all())
    assert entries == [("create", "ann", "ci"), ("delete", "ann", "ci")]
    assert token["token"] not in text and PASSWORD not in text


def test_a_token_that_nobody_has(service: Service) -> None:
    assert acting(service, f"{PREFIX}{NOBODY}").get("/spaces").status_code == 401
    assert service.client.post("/auth/token/revoke", json={"token": f"{PREFIX}x"}).status_code == 200
