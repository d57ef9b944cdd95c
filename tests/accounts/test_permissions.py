"""Permissions of every route, derived from the OpenAPI document: a route that declares no rule fails here."""

from __future__ import annotations

import io
import re
from typing import Any

import pytest

from assembler_runner.accounts.permissions import ANY_ACCOUNT, MASTER_ONLY, PERMISSIONS, ROLES, built_in_id
from tests.conftest import Service
from tests.support.people import Person, made, make_realm, make_user

METHODS = ("get", "post", "put", "patch", "delete")
READ_ONLY = {"GET"}


def operations(service: Service) -> list[tuple[str, str, dict[str, Any]]]:
    spec = service.client.get("/api-spec.json").json
    return [
        (method.upper(), path, operation)
        for path, item in spec["paths"].items()
        for method, operation in item.items()
        if method in METHODS
    ]


def test_every_operation_declares_its_permission(service: Service) -> None:
    for method, path, operation in operations(service):
        rule, is_open = operation.get("x-permission"), operation.get("security") == []
        assert is_open != (rule is not None), f"{method} {path} needs @blueprint.needs(…) or @blueprint.open()"
        assert is_open or rule == ANY_ACCOUNT or rule in PERMISSIONS, f"{method} {path}"


def test_every_view_is_documented_public_or_denied(service: Service) -> None:
    documented = {re.sub(r"{[^}]+}", "{}", path) for _, path, _ in operations(service)}
    for rule in service.app.url_map.iter_rules():
        view = service.app.view_functions[rule.endpoint]
        known = re.sub(r"<[^>]+>", "{}", rule.rule) in documented
        assert known or getattr(view, "is_public", False) or hasattr(view, "requires"), rule.rule


def test_a_view_without_a_rule_is_denied(service: Service) -> None:
    service.app._got_first_request = False
    service.app.add_url_rule("/forgotten", "forgotten", lambda: "secret")
    assert service.client.get("/forgotten").status_code == 401
    assert service.get("/forgotten").status_code == 403


@pytest.fixture
def foreign(service: Service) -> dict[str, str]:
    """One object of every kind in the realm `theirs`, by its path prefix."""
    realm_id = make_realm(service, "theirs")
    user = make_user(service, "eve", realm_id, role="realm_admin")
    space = made(user.post("/spaces", {"space_type": "static", "files": {"index.html": "x"}}), 202)
    robot_id = made(user.post("/auth/robots", {"name": "bot"}))["id"]
    role_id = made(user.post("/auth/roles", {"name": "own"}))["id"]
    permission_id = made(user.post("/auth/permissions", {"name": "thing_do"}))["id"]
    grants = {"role-permissions": {"role_id": role_id, "permission_id": permission_id}}
    for kind, holder_id in (("user", user.id), ("robot", robot_id)):
        grants[f"{kind}-roles"] = {f"{kind}_id": holder_id, "role_id": role_id}
        grants[f"{kind}-permissions"] = {f"{kind}_id": holder_id, "permission_id": permission_id}
    ids = {path: made(user.post(f"/auth/{path}", body))["id"] for path, body in grants.items()}
    publisher = {"name": "own", "robot_id": robot_id, "issuer": "https://example.org", "subject": "repo:theirs/app"}
    ids["trusted-publishers"] = made(user.post("/auth/trusted-publishers", publisher))["id"]
    ids["tokens"] = made(user.post("/auth/tokens", {"name": "own", "scopes": ["space_read"]}))["id"]
    webhook = made(user.post("/webhooks", {"url": "https://example.org/"}))
    named = {"realms": realm_id, "users": user.id, "robots": robot_id, "clients": robot_id, "roles": role_id}
    aliases = {"client-roles": ids["robot-roles"], "client-permissions": ids["robot-permissions"]}
    entry = user.get("/auth/audit-log").json["data"][0]["id"]
    below_auth = {**named, "permissions": permission_id, **ids, **aliases, "audit-log": str(entry)}
    below_auth = {f"/auth/{path}": object_id for path, object_id in below_auth.items()}
    bucket_id = made(user.post("/storage/buckets", {"name": "own"}))["id"]
    form = {"a": (io.BytesIO(b"theirs"), "a.txt")}
    uploaded = user.service.client.post(f"/storage/buckets/{bucket_id}/upload", data=form, headers=user.headers)
    return {
        **below_auth,
        "/storage/buckets": bucket_id,
        "/storage/bucket-files": made(uploaded)["data"][0]["id"],
        "/spaces": space["id"],
        "/requests": space["latest_request"]["id"],
        "/webhooks": webhook["id"],
    }


def address(path: str, foreign: dict[str, str]) -> str:
    """Inserts the foreign object's id into a path; a new kind of object has to be added to the fixture."""
    before, brace, rest = path.partition("/{")
    if not brace:
        return path
    if before == "/space-types":
        return "/space-types/static"
    assert before in foreign, f"the test knows no foreign object for {path}"
    return f"{before}/{foreign[before]}{rest.partition('}')[2]}"


def holds(role: str | None, permission: str, realm: str) -> bool:
    if permission == ANY_ACCOUNT:
        return True
    granted = set(ROLES[role][1]) if role else set()
    return permission in (granted if realm == "master" else granted - MASTER_ONLY)


@pytest.mark.parametrize("role", [*ROLES, None])
def test_the_matrix_of_routes_and_roles_for_foreign_objects(
    service: Service, foreign: dict[str, str], role: str | None
) -> None:
    person = make_user(service, "ann", make_realm(service, "ours"), role)
    strangers = set(foreign.values())
    for method, path, operation in operations(service):
        if operation.get("security") == []:
            continue
        where = address(path, foreign)
        anonymous = service.client.open(where, method=method, json={})
        assert anonymous.status_code == 401, f"{method} {path}"
        answer = person.open(method, where, {})
        wanted = f"{role}: {method} {path} gave {answer.status_code}"
        if not holds(role, operation["x-permission"], "ours"):
            assert (answer.status_code, answer.json["code"]) == (403, "forbidden"), wanted
        elif ("{" in path and where != "/space-types/static") or path == "/auth/robots/@me":
            assert (answer.status_code, answer.json["code"]) == (404, "not_found"), wanted
        else:
            assert answer.status_code in (200, 202, 400, 422), wanted
            assert not any(stranger in answer.text for stranger in strangers if len(stranger) > 30), wanted


def test_nothing_of_the_other_realm_has_changed_and_master_sees_it(service: Service, foreign: dict[str, str]) -> None:
    person = make_user(service, "ann", make_realm(service, "ours"), "realm_admin")
    for method, path, operation in operations(service):
        if operation.get("security") != []:
            person.open(method, address(path, foreign), {"name": "taken", "active": False, "command": "cancel"})
    for path, object_id in foreign.items():
        if path == "/auth/tokens":
            # Nobody but their person sees them.
            assert service.get(f"{path}/{object_id}").status_code == 404
        elif path != "/auth/audit-log":
            assert service.get(f"{path}/{object_id}").status_code == 200, path
    assert service.get(f"/auth/users/{foreign['/auth/users']}").json["name"] == "eve"
    assert service.get(f"/requests/{foreign['/requests']}").json["status"] == "queued"


def test_accounts_cannot_exceed_their_permissions(service: Service) -> None:
    realm_id = make_realm(service, "ours")
    chief = make_user(service, "chief", realm_id, "realm_admin")
    role_ids = {name: built_in_id("role", name) for name in ROLES}

    def grant(person: Person, user_id: str, role: str) -> Any:
        return person.post("/auth/user-roles", {"user_id": user_id, "role_id": role_ids[role]})

    refused = grant(chief, chief.id, "admin")
    assert (refused.status_code, refused.json["code"]) == (403, "forbidden")
    assert "realm_manage" in refused.json["message"]
    permission = {"user_id": chief.id, "permission_id": built_in_id("permission", "realm_manage")}
    assert chief.post("/auth/user-permissions", permission).status_code == 403
    # A new role gets at most the creator's permissions, and the name of a permission alone grants nothing.
    own = made(chief.post("/auth/roles", {"name": "own"}))
    more = {"role_id": own["id"], "permission_id": built_in_id("permission", "realm_manage")}
    assert chief.post("/auth/role-permissions", more).status_code == 403
    assert chief.post("/auth/permissions", {"name": "realm_manage"}).json["code"] == "name_taken"
    # In the realm master, a user manager cannot become admin by setting the admin's password.
    helper = make_user(service, "helper", None, "realm_admin")
    admin_id = service.get("/auth/users?filter[name]=admin").json["data"][0]["id"]
    for answer in (
        helper.post(f"/auth/users/{admin_id}", {"password": "known to the helper"}),
        helper.delete(f"/auth/users/{admin_id}"),
        grant(helper, helper.id, "admin"),
    ):
        assert answer.status_code == 403
    # Outside master, the role admin gives no access to other realms.
    made(service.post("/auth/user-roles", {"user_id": chief.id, "role_id": role_ids["admin"]}))
    assert [realm["name"] for realm in chief.get("/auth/realms").json["data"]] == ["ours"]
    assert chief.post("/auth/realms", {"name": "more"}).status_code == 403


def test_built_in_objects_cannot_be_changed_and_one_manager_remains(service: Service) -> None:
    master = service.get("/auth/realms?filter[name]=master").json["data"][0]["id"]
    admin = service.get("/auth/users/@me").json
    grant = service.get(f"/auth/user-roles?filter[user_id]={admin['id']}").json["data"][0]["id"]
    role_grant = service.get("/auth/role-permissions").json["data"][0]["id"]
    attempts = [
        ("DELETE", f"/auth/realms/{master}", None),
        ("POST", f"/auth/realms/{master}", {"name": "other"}),
        ("DELETE", f"/auth/roles/{built_in_id('role', 'admin')}", None),
        ("POST", f"/auth/roles/{built_in_id('role', 'viewer')}", {"name": "looker"}),
        ("DELETE", f"/auth/role-permissions/{role_grant}", None),
        ("DELETE", f"/auth/permissions/{built_in_id('permission', 'space_read')}", None),
        ("DELETE", f"/auth/users/{admin['id']}", None),
        ("POST", f"/auth/users/{admin['id']}", {"active": False}),
        ("DELETE", f"/auth/user-roles/{grant}", None),
    ]
    for method, path, body in attempts:
        answer = service.client.open(path, method=method, json=body, headers=service.headers)
        assert answer.status_code == 409, f"{method} {path}: {answer.json}"
    assert service.get("/auth/users/@me").json == admin


def test_a_revoked_role_takes_effect_at_once(service: Service) -> None:
    person = make_user(service, "ann", None, "member")
    assert person.get("/spaces").status_code == 200
    (grant,) = service.get(f"/auth/user-roles?filter[user_id]={person.id}").json["data"]
    made(service.client.delete(f"/auth/user-roles/{grant['id']}", headers=service.headers), 202)
    assert person.get("/spaces").status_code == 403
