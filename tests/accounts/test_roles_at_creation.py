"""New accounts get the roles that are asked for, and no others."""

from __future__ import annotations

from typing import Any

import pytest

from tests.conftest import Service
from tests.support.people import WORD, made, make_realm, make_user


def roles_of(service: Service, kind: str, account_id: str) -> list[str]:
    granted = service.get(f"/auth/{kind}-roles?filter[{kind}_id]={account_id}").json["data"]
    names = {role["id"]: role["name"] for role in service.get("/auth/roles?page[limit]=100").json["data"]}
    return sorted(names[grant["role_id"]] for grant in granted)


def body_of(kind: str, name: str, **more: Any) -> dict[str, Any]:
    return {"name": name, **({"password": WORD} if kind == "user" else {}), **more}


@pytest.mark.parametrize("kind", ["user", "robot"])
def test_roles_that_are_asked_for_replace_the_usual_one(service: Service, kind: str) -> None:
    expected = {"usual": (None, ["member"]), "viewer": (["viewer"], ["viewer"]), "none": ([], [])}
    for name, (wanted, found) in expected.items():
        more = {} if wanted is None else {"roles": wanted}
        account = made(service.post(f"/auth/{kind}s", body_of(kind, name, **more)))
        assert "roles" not in account
        assert roles_of(service, kind, account["id"]) == found
    viewer = next(role["id"] for role in service.get("/auth/roles").json["data"] if role["name"] == "viewer")
    account = made(service.post(f"/auth/{kind}s", body_of(kind, "by-id", roles=[viewer, "viewer", "member"])))
    assert roles_of(service, kind, account["id"]) == ["member", "viewer"]
    answer = service.post(f"/auth/{kind}s/{account['id']}", {"roles": ["viewer"]})
    assert (answer.status_code, answer.json["issues"][0]["path"]) == (422, "roles")


def test_roles_above_the_caller_or_of_another_realm_are_refused(service: Service) -> None:
    theirs = made(service.post("/auth/roles", {"name": "theirs", "realm_id": make_realm(service, "theirs")}))
    chief = make_user(service, "chief", make_realm(service, "ours"), "realm_admin")
    for roles, status in ((["admin"], 403), (["nothing"], 422), ([theirs["id"]], 422), (["theirs"], 422), ("x", 422)):
        answer = chief.post("/auth/users", body_of("user", "new", roles=roles))
        assert answer.status_code == status, (roles, answer.json)
    users = chief.get("/auth/users").json["data"]
    assert [user["name"] for user in users] == ["chief"], "nothing is left of what was refused"
