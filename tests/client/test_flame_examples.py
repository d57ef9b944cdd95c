"""The examples that users of the FLAME Hub client know, with our names, against a service that really runs."""

from __future__ import annotations

import json
import re
import time
import uuid

import pytest

import assembler_client
from tests.client.conftest import Running
from tests.support.services import PASSWORD


@pytest.fixture
def auth(running: Running) -> assembler_client.auth.PasswordAuth:
    return assembler_client.auth.PasswordAuth(username="admin", password=PASSWORD, base_url=f"{running.url}/auth/")


@pytest.fixture
def core_client(running: Running, auth: assembler_client.auth.PasswordAuth) -> assembler_client.CoreClient:
    return assembler_client.CoreClient(base_url=f"{running.url}/core/", auth=auth)


def test_find_the_master_realm(running: Running, auth: assembler_client.auth.PasswordAuth) -> None:
    with assembler_client.AuthClient(base_url=f"{running.url}/auth/", auth=auth) as auth_client:
        master_realms = auth_client.find_realms(filter={"name": "master"})
        assert len(master_realms) == 1
        master_realm = master_realms.pop()
        assert isinstance(master_realm.id, uuid.UUID)
        assert auth_client.find_one_realm(filter={"name": "master"}) == master_realm
        assert auth_client.get_realm(str(master_realm.id)) == auth_client.get_realm(master_realm) == master_realm


def test_create_update_get_delete(running: Running, core_client: assembler_client.CoreClient) -> None:
    name = f"my-space-{time.monotonic_ns()}"
    with core_client:
        my_space = core_client.create_space(name=name, space_type="static", files={"index.html": "<h1>Hello</h1>"})
        assert json.loads(my_space.model_dump_json(indent=2))["name"] == name
        assert my_space.latest_request is not None
        core_client.wait_for(my_space.latest_request)
        core_client.update_space(my_space, labels=["mine"])
        found = core_client.get_space(my_space.id)
        assert found is not None
        assert (found.labels, found.state) == (["mine"], "running")
        assert core_client.get_space("497dcba3-ecbf-4587-a2dd-5eb0665e6880") is None
        asked = core_client.delete_space(my_space)
        assert asked.latest_request is not None
        gone = core_client.wait_for(asked.latest_request)
        assert gone is not None
        assert gone.state == "deleted"


def test_pages_filters_and_order(running: Running, auth: assembler_client.auth.PasswordAuth) -> None:
    start = time.monotonic_ns()
    with assembler_client.AuthClient(base_url=f"{running.url}/auth/", auth=auth) as client:
        made = [client.create_realm(name=f"r{start}-{number:02}") for number in range(30)]
        assert client.find_realms(page={"limit": 50, "offset": 0}) == client.get_realms()
        first_25 = client.find_realms(page={"limit": 25}, sort={"by": "name"})
        next_10 = client.find_realms(page={"limit": 10, "offset": 10}, sort={"by": "name"})
        assert first_25[10:20] == next_10
        assert client.find_realms(filter={"name": made[7].name}).pop().id == made[7].id
        like = assembler_client.types.FilterOperator.like
        liked = client.find_realms(filter={"name": f"~r{start}-0"})
        assert liked == client.find_realms(filter={"name": (like, f"r{start}-0")})
        assert len(liked) == 10
        assert len(client.find_realms(filter={"name": [made[1].name, made[2].name]})) == 2
        assert [realm.name for realm in client.find_realms(filter={"built_in": True})] == ["master"]
        inside = assembler_client.between(made[3].name, made[5].name)
        assert [realm.name for realm in client.find_realms(filter={"name": inside}, sort="name")] == [
            realm.name for realm in made[3:6]
        ]
        ours = {"name": assembler_client.contains(f"{start}")}
        rising = client.find_realms(filter=ours, sort={"by": "created_at"})
        falling = client.find_realms(filter=ours, sort={"by": "created_at", "order": "descending"})
        assert rising == falling[::-1]
        assert list(client.iter_realms(filter=ours)) == rising
        for realm in made:
            client.delete_realm(realm)
        assert client.find_realms(filter=ours) == []


def test_exceptions(running: Running, auth: assembler_client.auth.PasswordAuth) -> None:
    with assembler_client.AuthClient(base_url=f"{running.url}/auth/", auth=auth) as client:
        with pytest.raises(assembler_client.HubAPIError) as raised:
            client.create_robot(name="my-new-robot", realm_id=f"{uuid.uuid4()}")
        problem = raised.value
        assert re.match(r"received status code 422 \(invalid_request\): ", str(problem))
        assert problem.error_response is not None
        shown = json.loads(problem.error_response.model_dump_json(indent=2))
        assert (shown["status_code"], shown["code"]) == (422, "invalid_request")
        assert [issue.path for issue in problem.issues] == ["realm_id"]
        with pytest.raises(assembler_client.Conflict):
            client.create_realm(name="master")
        with pytest.raises(assembler_client.InvalidRequest, match="nmae"):
            client.find_realms(filter={"nmae": "x"})


def test_grants(running: Running, auth: assembler_client.auth.PasswordAuth) -> None:
    with assembler_client.AuthClient(base_url=f"{running.url}/auth/", auth=auth) as client:
        user = client.create_user(
            name=f"user-{time.monotonic_ns()}", password="a long enough password", email="a@b.example"
        )
        role = client.create_role(name=f"role-{time.monotonic_ns()}")
        permission = client.find_one_permission(filter={"name": "space_read"})
        assert permission is not None
        client.create_role_permission(role, permission)
        given = client.create_user_role(user, role)
        assert (given.user_id, given.role_id) == (user.id, role.id)
        with_mail = client.find_one_user(filter={"id": user.id}, fields="email", include="realm")
        assert with_mail is not None and with_mail.realm is not None
        assert (with_mail.email, with_mail.realm.name) == ("a@b.example", "master")
        assert client.find_one_user_role(filter={"user_id": user}) == client.get_user_role(given)
        theirs = assembler_client.PasswordAuth(user.name, "a long enough password", running.url)
        with assembler_client.CoreClient(running.url, theirs) as core:
            core.get_spaces()
        with assembler_client.AuthClient(running.url, theirs) as own, pytest.raises(assembler_client.Forbidden):
            own.create_realm(name="not-theirs")
        client.delete_user_role(given)
        client.delete_user(user)
        client.delete_role(role)
        actions = {entry.action for entry in client.iter_audit_entries(filter={"object_id": user.id})}
        assert "create" in " ".join(actions)
