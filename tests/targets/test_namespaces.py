"""Namespaces of the local target belong to realms, and names of realms are unique without case."""

from __future__ import annotations

from typing import Any

import pytest
import sqlalchemy as sa

from assembler_runner.core.database import db
from assembler_runner.targets.namespaces import LocalNamespace
from tests.conftest import Service
from tests.support.people import Person, made, make_realm, make_user

STATIC: dict[str, Any] = {"space_type": "static", "files": {"index.html": "x"}}


def submit(person: Person, **more: Any) -> Any:
    return person.post("/spaces", STATIC | more)


def published(service: Service, person: Person, **more: Any) -> dict[str, Any]:
    space = made(submit(person, **more), 202)
    assert service.work(space["latest_request"]["id"])["status"] == "succeeded"
    return dict(person.get(f"/spaces/{space['id']}").json)


def change(service: Service, person: Person, path: str, body: dict[str, Any]) -> None:
    answer = made(person.post(path, body), 202)
    request_id = (answer.get("latest_request") or answer)["id"]
    assert service.work(request_id)["status"] == "succeeded"


def refused(answer: Any) -> None:
    assert answer.status_code == 422, answer.json
    (issue,) = answer.json["issues"]
    assert (issue["code"], issue["path"]) == ("namespace_not_allowed", "namespace")


@pytest.fixture
def ann(service: Service) -> Person:
    return make_user(service, "ann", make_realm(service, "first"))


@pytest.fixture
def eve(service: Service) -> Person:
    return make_user(service, "ann", make_realm(service, "second"))


def test_accounts_of_one_name_in_two_realms_do_not_collide(service: Service, ann: Person, eve: Person) -> None:
    urls = [published(service, person, name="site", visibility="private")["url"] for person in (ann, eve)]
    assert [url.rpartition("/local/")[2] for url in urls] == ["first/site", "second/site"]
    assert service.publish(name="site")["status"] == "succeeded"
    assert service.client.get("/local/admin/site").status_code == 200


@pytest.mark.parametrize("namespace", ["admin", "Admin", "second", "SECOND", "team", "nobody", "local"])
def test_a_realm_publishes_under_its_own_name_only(service: Service, ann: Person, eve: Person, namespace: str) -> None:
    published(service, eve, name="secret", visibility="private")
    answers = [submit(ann, namespace=namespace, name=name) for name in ("secret", "other")]
    for answer in answers:
        refused(answer)
    first, second = (answer.get_data(as_text=True) for answer in answers)
    assert first == second, "the answer tells nothing about Spaces of another realm"
    refused(ann.post("/spaces/preview", STATIC | {"namespace": namespace}))
    space = published(service, ann, name="site", namespace="First")
    for command in ("move", "duplicate"):
        refused(ann.post(f"/spaces/{space['id']}/command", {"command": command, "namespace": namespace}))


def test_master_leaves_other_realms_alone(service: Service, ann: Person) -> None:
    refused(service.post("/spaces", STATIC | {"namespace": "first"}))
    published(service, ann)
    refused(service.post("/spaces", STATIC | {"namespace": "FIRST"}))
    assert service.post("/spaces", STATIC | {"namespace": "team"}).status_code == 202


def test_a_realm_named_like_an_account_of_master_gets_another_namespace(service: Service) -> None:
    realm_id = make_realm(service, "admin")
    eve = make_user(service, "eve", realm_id)
    space = published(service, eve, name="site")
    assert space["namespace"] == f"admin-{realm_id[:8]}"
    assert service.space(service.submit(name="site")["id"])["namespace"] == "admin"


def test_names_that_give_one_namespace_are_kept_apart(service: Service) -> None:
    found = {
        published(service, make_user(service, "x", make_realm(service, name)), name="site")["namespace"]
        for name in ("a.b", "a_b", "a+b")
    }
    assert len(found) == 3


def test_a_renamed_realm_keeps_its_spaces_and_another_of_its_name_gets_none(service: Service, ann: Person) -> None:
    space = published(service, ann, name="site", visibility="private")
    made(service.post(f"/auth/realms/{space['realm_id']}", {"name": "renamed"}), 202)
    change(service, ann, f"/spaces/{space['id']}", {"files": {"index.html": "y"}})
    assert submit(ann, namespace="first").status_code == 202
    newcomer = make_user(service, "new", make_realm(service, "first"))
    assert published(service, newcomer, name="site")["namespace"].startswith("first-")


def test_spaces_from_before_keep_working(service: Service, ann: Person) -> None:
    space = published(service, ann, name="site")
    master = service.get("/auth/users/@me").json["realm_id"]
    with service.app.app_context():
        db.session.execute(sa.update(LocalNamespace).values(realm_id=master))
        db.session.commit()
    for path, body in (
        (f"/spaces/{space['id']}", {"files": {"index.html": "z"}}),
        (f"/spaces/{space['id']}/command", {"command": "move", "name": "moved"}),
    ):
        change(service, ann, path, body)


@pytest.mark.parametrize("name", ["Master", "MASTER", "First"])
def test_realm_names_are_unique_without_case(service: Service, ann: Person, name: str) -> None:
    assert service.post("/auth/realms", {"name": name}).status_code == 409
    realm_id = make_realm(service, "another")
    assert service.post(f"/auth/realms/{realm_id}", {"name": name}).status_code == 409
    chief = make_user(service, "chief", realm_id, "realm_admin")
    assert chief.post(f"/auth/realms/{realm_id}", {"name": name}).status_code == 409
    assert service.post(f"/auth/realms/{realm_id}", {"name": "Another"}).status_code == 202
