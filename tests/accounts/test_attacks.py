"""Attacks by an authenticated account: mass assignment, ids of other realms, filters as oracles."""

from __future__ import annotations

from typing import Any

import pytest

from assembler_runner.accounts.permissions import ROLES
from assembler_runner.api.accounts import RESOURCES
from assembler_runner.api.schemas.space_input import SpaceInput
from assembler_runner.spaces.models import Space, SpaceRequest
from tests.conftest import Service
from tests.support.people import NOBODY, Person, made, make_realm, make_user

WRITABLE = [resource for resource in RESOURCES if resource.taken is not None]
VALUES: dict[str, Any] = {"built_in": True, "active": True, "token_generation": 0}


def forbidden_columns(resource: Any) -> list[str]:
    taken = resource.taken()
    columns = [column.key for column in resource.kind.model.__mapper__.columns]
    return [name for name in columns if name not in taken.fields and name not in taken.ignored]


@pytest.fixture
def chief(service: Service) -> Person:
    return make_user(service, "chief", make_realm(service, "ours"), "realm_admin")


@pytest.mark.parametrize("resource", WRITABLE, ids=lambda resource: resource.path)
def test_mass_assignment_of_every_column(service: Service, resource: Any) -> None:
    """Undeclared columns are rejected by name, in both spellings, on creation and on change."""
    columns = forbidden_columns(resource)
    assert {"id", "created_at", "updated_at"} <= set(columns)
    row = (service.get(f"/auth/{resource.path}").json["data"] or [None])[0]
    for name in columns:
        camel = name.split("_")[0] + "".join(part.capitalize() for part in name.split("_")[1:])
        for key in {name, camel}:
            body = {key: VALUES.get(name, NOBODY)}
            for path in [f"/auth/{resource.path}"] + (
                [f"/auth/{resource.path}/{row['id']}"] if row and resource.changes else []
            ):
                answer = service.post(path, body)
                assert answer.status_code == 422, f"{path} {key}: {answer.json}"
                assert key in [issue["path"] for issue in answer.json["issues"]], f"{path} {key}"
    if row is not None:
        assert service.get(f"/auth/{resource.path}/{row['id']}").json == row


def test_mass_assignment_of_spaces(service: Service) -> None:
    known = SpaceInput().fields
    columns = {column.key for model in (Space, SpaceRequest) for column in model.__mapper__.columns}
    body = {"space_type": "static", "files": {"index.html": "x"}}
    for name in sorted(columns - set(known)):
        answer = service.post("/spaces", {**body, name: NOBODY})
        assert (answer.status_code, answer.json["issues"][0]["path"]) == (422, name)
    assert service.get("/spaces").json["meta"]["total"] == 0


def test_ids_of_another_realm_in_bodies_do_not_exist(service: Service, chief: Person) -> None:
    theirs = make_realm(service, "theirs")
    eve = make_user(service, "eve", theirs)
    robot = made(service.post("/auth/robots", {"name": "bot", "realm_id": theirs}))
    role = made(service.post("/auth/roles", {"name": "own", "realm_id": theirs}))
    permission = made(service.post("/auth/permissions", {"name": "thing", "realm_id": theirs}))
    mine = made(chief.post("/auth/roles", {"name": "mine"}))
    attempts: list[tuple[str, dict[str, str]]] = [
        ("users", {"name": "x", "realm_id": theirs}),
        ("robots", {"name": "x", "realm_id": theirs}),
        ("robots", {"name": "x", "user_id": eve.id}),
        ("clients", {"name": "x", "realm_id": theirs}),
        ("roles", {"name": "x", "realm_id": theirs}),
        ("permissions", {"name": "x", "realm_id": theirs}),
        ("user-roles", {"user_id": eve.id, "role_id": mine["id"]}),
        ("user-roles", {"user_id": chief.id, "role_id": role["id"]}),
        ("user-permissions", {"user_id": chief.id, "permission_id": permission["id"]}),
        ("robot-roles", {"robot_id": robot["id"], "role_id": mine["id"]}),
        ("client-permissions", {"client_id": robot["id"], "permission_id": permission["id"]}),
        ("role-permissions", {"role_id": mine["id"], "permission_id": permission["id"]}),
        ("role-permissions", {"role_id": role["id"], "permission_id": permission["id"]}),
    ]
    for path, body in attempts:
        # The response for an object of another realm equals that for a missing object.
        nowhere = {name: NOBODY if value in (theirs, eve.id) else value for name, value in body.items()}
        answers = [chief.post(f"/auth/{path}", sent) for sent in (body, nowhere)]
        assert [answer.status_code for answer in answers] == [422, 422], f"{path} {body}"
        assert answers[0].json["issues"] == answers[1].json["issues"], path


def test_filters_reveal_only_visible_fields(service: Service, chief: Person) -> None:
    """Filters and sorting apply only to visible fields, so that no secret can be guessed letter by letter."""
    for resource in RESOURCES:
        hidden = {"password_hash", "secret_hash", "token_generation", "secret"}
        assert not hidden & set(resource.listing.fields), resource.path
        for name in sorted(hidden):
            assert service.get(f"/auth/{resource.path}?filter[{name}]=~a").status_code == 400
            assert service.get(f"/auth/{resource.path}?sort={name}").status_code == 400
    eve = make_user(service, "eve", make_realm(service, "theirs"))
    assert chief.get(f"/auth/users?filter[id]={eve.id}").json["meta"]["total"] == 0
    assert chief.get("/auth/users?filter[realm_id]=!null").json["meta"]["total"] == 1


def test_a_new_user_with_the_name_of_a_deleted_one_gets_none_of_its_rights(service: Service) -> None:
    first = make_user(service, "ann", None, "realm_admin")
    made(service.client.delete(f"/auth/users/{first.id}", headers=service.headers), 202)
    second = make_user(service, "ann", None, "viewer")
    assert first.get("/spaces").status_code == 401
    assert second.get("/auth/users/@me").json["permissions"] == sorted(ROLES["viewer"][1])


def test_other_authentication_schemes_are_rejected(service: Service) -> None:
    token = service.login()["access_token"]
    for headers in (
        {"Authorization": f"bearer  {token} x"},
        {"Authorization": f"Token {token}"},
        {"Cookie": f"access_token_cookie={token}"},
        {"X-Forwarded-User": "admin"},
    ):
        assert service.client.get("/spaces", headers=headers).status_code == 401
    assert service.client.get(f"/spaces?access_token={token}&jwt={token}").status_code == 401
    override = {**service.headers, "X-HTTP-Method-Override": "DELETE"}
    assert service.client.get("/auth/realms", headers=override).status_code == 200
