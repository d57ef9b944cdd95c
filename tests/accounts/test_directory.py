"""Realms, users, robots, clients, roles, permissions and grants: created, listed, updated and deleted over HTTP."""

from __future__ import annotations

from typing import Any

import pytest

from assembler_runner.accounts.permissions import ROLES, built_in_id
from assembler_runner.api.accounts import RESOURCES
from tests.conftest import Service
from tests.support.people import NOBODY, made, make_realm, make_user

CHANGED = {"display_name": "Shown", "description": "What for"}
NEW: dict[str, dict[str, Any]] = {
    "realms": {"name": "ours", **CHANGED},
    "users": {"name": "ann", "display_name": "Ann", "email": "ann@example.org", "first_name": "A", "last_name": "N"},
    "robots": {"name": "bot", "display_name": None, "secret": "a chosen secret"},
    "clients": {"name": "bot", "redirect_uri": None, "grant_types": None, "auth_method": "secret"},
    "roles": {"name": "editor", **CHANGED},
    "permissions": {"name": "thing_do", "realm_id": None, "policy_id": None},
}


def delete(service: Service, path: str) -> Any:
    return service.client.delete(path, headers=service.headers)


def actions(service: Service, object_id: str) -> list[str]:
    entries = service.get(f"/auth/audit-log?filter[object_id]={object_id}&sort=id").json["data"]
    return [entry["action"] for entry in entries]


@pytest.mark.parametrize("path", sorted(NEW))
def test_life_cycle_of_each_kind(service: Service, path: str) -> None:
    row = made(service.post(f"/auth/{path}", NEW[path]))
    shown = {name: value for name, value in NEW[path].items() if name not in ("secret", "email")}
    assert {name: row[name] for name in shown} == shown
    where = f"/auth/{path}/{row['id']}"
    row.pop("secret", None)
    assert service.get(where).json == row
    assert service.get(f"/auth/{path}?filter[id]={row['id']}").json["data"] == [row]
    changed = made(service.post(where, {"displayName": "Other"}), 202)
    assert changed == row | {"display_name": "Other", "updated_at": changed["updated_at"]}
    assert made(service.post(where, {"display_name": None}), 202)["display_name"] is None
    taken = service.post(f"/auth/{path}", NEW[path])
    assert (taken.status_code, taken.json["code"]) == (409, "name_taken")
    gone = delete(service, where)
    assert (gone.status_code, gone.json["id"]) == (202, row["id"])
    assert service.get(where).status_code == delete(service, where).status_code == 404
    assert actions(service, row["id"]) == ["create", "update", "update", "delete"]


GRANTS = [resource for resource in RESOURCES if not resource.changes]


@pytest.mark.parametrize("resource", GRANTS, ids=lambda resource: resource.path)
def test_life_cycle_of_each_grant(service: Service, resource: Any) -> None:
    sides = resource.path.removesuffix("s").split("-")
    ids = {f"{side}_id": made(service.post(f"/auth/{side}s", NEW[f"{side}s"]))["id"] for side in sides}
    where = f"/auth/{resource.path}"
    row = made(service.post(where, ids))
    assert {name: row[name] for name in ids} == ids
    assert set(row) >= {"id", f"{sides[0]}_realm_id", f"{sides[1]}_realm_id", "created_at", "updated_at"}
    assert service.get(f"{where}/{row['id']}").json == row
    include = ",".join((*sides, f"{sides[0]}Realm", f"{sides[1]}_realm"))
    (full,) = service.get(f"{where}?filter[id]={row['id']}&include={include}").json["data"]
    assert [full[side]["id"] for side in sides] == list(ids.values())
    assert full[f"{sides[0]}_realm"]["name"] == "master"
    assert service.post(where, ids).status_code == 409
    wrong = service.post(where, dict.fromkeys(ids, NOBODY))
    assert wrong.status_code == 422
    assert service.post(f"{where}/{row['id']}", ids).status_code == 405
    assert delete(service, f"{where}/{row['id']}").status_code == 202
    assert service.get(f"{where}/{row['id']}").status_code == 404


def test_robots_and_clients_are_the_same_accounts(service: Service) -> None:
    robot = made(service.post("/auth/robots", {"name": "bot"}))
    client = service.get(f"/auth/clients/{robot['id']}").json
    assert (client["name"], client["secret_hashed"], client["auth_method"]) == ("bot", True, "secret")
    assert set(client) >= {
        "id", "name", "built_in", "display_name", "description", "redirect_uri", "active", "secret_hashed",
        "secret_encrypted", "grant_types", "base_url", "auth_method", "token_binding_method", "backchannel_logout_uri",
        "post_logout_redirect_uri", "realm_id", "created_at", "updated_at",
    }  # fmt: skip
    (grant,) = service.get(f"/auth/client-roles?filter[clientId]={robot['id']}").json["data"]
    assert grant["role_id"] == built_in_id("role", "member")
    assert service.get(f"/auth/robot-roles/{grant['id']}").json["robot_id"] == robot["id"]


def test_fields_and_include(service: Service) -> None:
    user = made(service.post("/auth/users", NEW["users"]))
    assert not {"email", "realm", "password"} & user.keys()
    # An unescaped plus sign arrives as a space.
    for fields in ("%2Bemail", "+email", "email"):
        full = service.get(f"/auth/users/{user['id']}?fields={fields}&include=realm").json
        assert (full["email"], full["realm"]["name"]) == ("ann@example.org", "master")
    for query, known in (("fields=password_hash", "email"), ("include=roles", "realm")):
        answer = service.get(f"/auth/users?{query}")
        assert (answer.status_code, answer.json["code"]) == (400, "invalid_query")
        assert known in answer.json["issues"][0]["hint"]
        assert service.get(f"/auth/users/{user['id']}?{query}").status_code == 400
    assert service.get(f"/auth/users/{user['id']}?sort=name").status_code == 400
    assert service.get("/spaces?include=owner").status_code == 400


@pytest.mark.parametrize("resource", RESOURCES, ids=lambda resource: resource.path)
def test_every_shown_field_can_be_filtered_and_sorted(service: Service, resource: Any) -> None:
    person = make_user(service, "ann")
    made(service.post("/auth/robots", {"name": "bot"}))
    assert person.id
    rows = service.get(f"/auth/{resource.path}").json["data"]
    known = service.get(f"/auth/{resource.path}?sort=nothing").json["issues"][0]["hint"]
    for field in resource.listing.fields:
        assert field in known
        answer = service.get(f"/auth/{resource.path}?sort=-{field},id&filter[{field}]=!x,null")
        assert answer.status_code in (200, 400), answer.json
        assert service.get(f"/auth/{resource.path}?sort={field}").status_code == 200
        assert service.get(f"/auth/{resource.path}?filter[{field}]=null").status_code == 200
    assert rows == [] or set(resource.listing.fields) - set(resource.hidden) <= set(rows[0]) | {"details"}


@pytest.mark.parametrize("resource", RESOURCES, ids=lambda resource: resource.path)
def test_rows_are_found_by_names_of_related_objects(service: Service, resource: Any) -> None:
    make_user(service, "ann")
    made(service.post("/auth/robots", {"name": "bot", "roles": ["viewer"]}))
    for name in resource.includes:
        if not (known := resource.listing.related.get(f"{name}.name")):
            assert name.endswith("_realm")
            continue
        where = f"/auth/{resource.path}?page[limit]=200&include={name}"
        rows = [row for row in service.get(where).json["data"] if row[name] is not None]
        names = {row[name]["name"] for row in rows}
        for each in names:
            found = service.get(f"{where}&filter[{name}.name]={each}").json["data"]
            assert found == [row for row in rows if row[name]["name"] == each] and known
            others = service.get(f"{where}&filter[{name}.name]=!{each}").json["data"]
            assert {row["id"] for row in others} == {row["id"] for row in rows} - {row["id"] for row in found}
        assert service.get(f"{where}&filter[{name}.name]=nobody").json["data"] == []
        answer = service.get(f"{where}&filter[{name}.nmae]=x")
        assert answer.status_code == 400 and f"{name}.name" in answer.json["issues"][0]["hint"]


def test_awkward_filters(service: Service) -> None:
    for value in ("%00", "~%5C", "~%5C%25", "~_%25", "~", "!", "=", "'", "%25%25", "~%27%20OR%201=1"):
        answer = service.get(f"/auth/users?filter[name]={value}")
        assert answer.status_code in (200, 400), value
        assert value in ("!", "%25%25", "~") or not answer.json.get("data"), value
    assert service.get("/auth/users/%00").status_code == 404


@pytest.mark.parametrize(("path", "body", "field"), [
    ("realms", {"name": NOBODY}, "name"),
    ("realms", {"name": "a/b"}, "name"),
    ("realms", {}, "name"),
    ("realms", {"name": "x", "built_in": True}, "built_in"),
    ("realms", {"name": "x", "max_spaces": -1}, "max_spaces"),
    ("realms", {"name": "x", "description": "\0"}, "description"),
    ("users", {"name": "x", "password": "short"}, "password"),
    ("users", {"name": "x", "email": "nonsense"}, "email"),
    ("users", {"name": "x", "password_hash": "x"}, "password_hash"),
    ("users", {"name": "x", "token_generation": 7}, "token_generation"),
    ("users", {"name": "x", "id": NOBODY}, "id"),
    ("users", {"name": "x", "roles": "admin"}, "roles"),
    ("users", {"name": "x", "realm_id": NOBODY}, "realm_id"),
    ("users", {"name": "x", "realm_id": "x"}, "realm_id"),
    ("users", {"name": "x", "display_name": "a", "displayName": "b"}, "displayName"),
    ("robots", {"name": "x", "user_id": NOBODY}, "user_id"),
    ("robots", {"name": "x", "secret_hash": "x"}, "secret_hash"),
    ("robots", {"name": "x", "redirect_uri": "x"}, "redirect_uri"),
    ("clients", {"name": "x", "auth_method": "tls"}, "auth_method"),
    ("roles", {"name": "x", "permissions": []}, "permissions"),
    ("roles", {"name": "\ud800"}, "name"),
    ("user-roles", {"user_id": NOBODY}, "role_id"),
])  # fmt: skip
def test_invalid_input_is_rejected(service: Service, path: str, body: dict[str, Any], field: str) -> None:
    answer = service.post(f"/auth/{path}", body)
    assert (answer.status_code, answer.json["code"]) == (422, "invalid_request")
    assert [issue["path"] for issue in answer.json["issues"]] == [field]
    assert service.get("/auth/users").json["meta"]["total"] == 1


def test_objects_of_two_realms_cannot_be_combined(service: Service) -> None:
    ours, theirs = make_realm(service, "ours"), make_realm(service, "theirs")
    ann = make_user(service, "ann", ours, "realm_admin")
    role = made(service.post("/auth/roles", {"name": "theirs", "realm_id": theirs}))
    mixed = service.post("/auth/user-roles", {"user_id": ann.id, "role_id": role["id"]})
    assert (mixed.status_code, mixed.json["issues"][0]["code"]) == (422, "other_realm")
    moved = service.post(f"/auth/users/{ann.id}", {"realm_id": theirs})
    assert (moved.status_code, moved.json["issues"][0]["code"]) == (422, "immutable")
    assert service.post(f"/auth/users/{ann.id}", {"realm_id": ours}).status_code == 202
    elsewhere = ann.post("/auth/robots", {"name": "bot", "realm_id": theirs})
    assert (elsewhere.status_code, elsewhere.json["issues"][0]["path"]) == (422, "realm_id")
    assert ann.post("/auth/user-roles", {"user_id": ann.id, "role_id": role["id"]}).status_code == 422
    same_name = make_user(service, "ann", theirs)
    assert same_name.get("/auth/users/@me").json["realm_id"] == theirs


def test_a_realm_is_deleted_with_its_accounts_but_not_with_spaces(service: Service) -> None:
    realm_id = make_realm(service, "ours")
    ann = make_user(service, "ann", realm_id, "realm_admin")
    made(ann.post("/auth/robots", {"name": "bot", "user_id": ann.id}))
    made(ann.post("/auth/roles", {"name": "editor"}))
    space = made(ann.post("/spaces", {"space_type": "static", "files": {"index.html": "x"}}), 202)
    refused = delete(service, f"/auth/realms/{realm_id}")
    assert (refused.status_code, "Spaces" in refused.json["message"]) == (409, True)
    ann.post(f"/requests/{space['latest_request']['id']}/command", {"command": "cancel"})
    assert delete(service, f"/auth/realms/{realm_id}").status_code == 202
    assert ann.get("/spaces").status_code == 401
    assert service.get("/auth/users").json["meta"]["total"] == 1
    assert service.get(f"/spaces/{space['id']}").status_code == 404


def test_new_accounts_get_the_default_role_only_if_the_creator_has_it(service: Service) -> None:
    realm_id = make_realm(service, "ours")
    person = make_user(service, "ann", realm_id, None)
    for name in ("robot_manage", "robot_read"):
        grant = {"user_id": person.id, "permission_id": built_in_id("permission", name)}
        made(service.post("/auth/user-permissions", grant))
    robot = made(person.post("/auth/robots", {"name": "bot"}))
    assert service.get(f"/auth/robot-roles?filter[robot_id]={robot['id']}").json["meta"]["total"] == 0
    robot = made(service.post("/auth/robots", {"name": "other", "realm_id": realm_id}))
    assert service.get(f"/auth/robot-roles?filter[robot_id]={robot['id']}").json["meta"]["total"] == 1


def test_me(service: Service) -> None:
    me = service.get("/auth/users/@me").json
    assert (me["name"], sorted(me["permissions"])) == ("admin", sorted(ROLES["admin"][1]))
    assert made(service.post("/auth/users/@me", {"display_name": "Chief"}), 202)["display_name"] == "Chief"


def test_the_audit_log_records_actor_action_and_address(service: Service) -> None:
    ann = make_user(service, "ann", make_realm(service, "ours"), "realm_admin")
    robot = made(ann.post("/auth/robots", {"name": "bot", "secret": "a chosen secret"}))
    space = made(ann.post("/spaces", {"space_type": "static", "files": {"index.html": "x"}, "name": "site"}), 202)
    ann.post(f"/requests/{space['latest_request']['id']}/command", {"command": "cancel"})
    log = ann.get("/auth/audit-log?sort=id&filter[actor_id]=" + ann.id).json
    assert [(row["action"], row["object_type"], row["object_name"]) for row in log["data"]] == [
        ("create", "robot", "bot"),
        ("create", "space", "site"),
        ("cancel", "request", "site"),
    ]
    first = log["data"][0]
    assert (first["actor_name"], first["actor_kind"], first["address"]) == ("ann", "user", "127.0.0.1")
    assert (first["object_id"], first["details"]) == (robot["id"], {"fields": ["name", "secret"]})
    assert "a chosen secret" not in str(log)
    others = service.get("/auth/audit-log?filter[action]=create&filter[objectType]=realm").json["data"]
    assert [row["object_name"] for row in others] == ["ours"]
