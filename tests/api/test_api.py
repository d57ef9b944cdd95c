"""The HTTP API: tokens, lists, types, idempotency, health; against the real application."""

from __future__ import annotations

import re
import threading
from datetime import timedelta
from typing import Any

import pytest
from flask_jwt_extended import create_access_token

from assembler_runner.accounts.models import Realm, Role, User
from assembler_runner.accounts.passwords import hash_password
from assembler_runner.accounts.permissions import built_in_id, grant_role
from assembler_runner.core.database import db
from tests.conftest import PASSWORD, MakeService, Service

PUBLIC = {
    "/",
    "/docs",
    "/redoc",
    "/rapidoc",
    "/swagger-ui",
    "/api-spec.json",
    "/health/live",
    "/health/ready",
    "/licenses",
    "/llms.txt",
}
SIGNING_IN = {"/ui/login", "/ui/login/oidc", "/ui/login/oidc/callback", "/ui/logout"}
UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
MOMENT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z")


def test_every_route_needs_a_token_but_the_public_ones(service: Service) -> None:
    for rule in service.app.url_map.iter_rules():
        path = re.sub(r"<[^>]+>", "x", rule.rule)
        if (
            path in {*PUBLIC, *SIGNING_IN}
            or path.startswith(("/assets/", "/local/"))
            or path.startswith(("/auth/token", "/.well-known/"))
        ):
            continue
        for method in rule.methods - {"HEAD", "OPTIONS"}:
            answer = service.client.open(path, method=method, json={})
            assert answer.status_code == 401, f"{method} {path}"
            assert answer.json["code"] == "unauthorized"
            assert answer.headers["WWW-Authenticate"].partition(" ")[0] == "Bearer"


@pytest.mark.parametrize("path", sorted(PUBLIC))
def test_public_pages_answer_without_a_token(service: Service, path: str) -> None:
    assert service.client.get(path).status_code == 200


def test_tokens_by_password_and_by_refresh_token(service: Service) -> None:
    tokens = service.login()
    assert set(tokens) == {"access_token", "expires_in", "token_type", "scope", "refresh_token"}
    assert (tokens["expires_in"], tokens["token_type"], tokens["scope"]) == (3600, "Bearer", "global")
    again = service.client.post(
        "/auth/token", data={"grant_type": "refresh_token", "refresh_token": tokens["refresh_token"]}
    )
    assert again.status_code == 200
    headers = {"Authorization": f"Bearer {again.json['access_token']}"}
    assert service.client.get("/spaces", headers=headers).status_code == 200
    assert (
        service.client.post(
            "/auth//token", json={"grant_type": "password", "username": "admin", "password": PASSWORD}
        ).status_code
        == 200
    )


BAD_GRANTS = [
    ({"grant_type": "password", "username": "admin", "password": "wrong"}, 400, "invalid_credentials"),
    ({"grant_type": "password", "username": "nobody", "password": "wrong"}, 400, "invalid_credentials"),
    ({"grant_type": "refresh_token", "refresh_token": "x.y.z"}, 400, "invalid_token"),
    ({"grant_type": "password", "username": "admin"}, 422, "invalid_request"),
    ({"grant_type": "magic"}, 422, "invalid_request"),
    ({}, 422, "invalid_request"),
]


@pytest.mark.parametrize(("body", "status", "code"), BAD_GRANTS)
def test_wrong_credentials(service: Service, body: dict[str, str], status: int, code: str) -> None:
    answer = service.client.post("/auth/token", json=body)
    assert (answer.status_code, answer.json["code"]) == (status, code)


def test_the_response_does_not_reveal_whether_a_user_exists(service: Service) -> None:
    bodies = [{"grant_type": "password", "username": name, "password": "wrong"} for name in ("admin", "nobody")]
    first, second = (service.client.post("/auth/token", json=body).json for body in bodies)
    assert first == second


def test_tokens_that_are_not_valid(service: Service) -> None:
    tokens = service.login()
    with service.app.app_context():
        user_id = db.session.query(User.id).scalar()
        expired = create_access_token(user_id, expires_delta=timedelta(seconds=-1))
        stranger = create_access_token("00000000-0000-0000-0000-000000000000")
    changed = (
        tokens["access_token"][:-2] + ("A" if tokens["access_token"][-2] != "A" else "B") + tokens["access_token"][-1]
    )
    unsigned = "eyJhbGciOiJub25lIn0." + tokens["access_token"].split(".")[1] + "."
    bad = [tokens["refresh_token"], expired, stranger, changed, unsigned, "x", "", "a.b.c"]
    for header in [f"Bearer {token}" for token in bad] + ["Basic YTpi", "Bearer", tokens["access_token"]]:
        answer = service.client.get("/spaces", headers={"Authorization": header})
        assert (answer.status_code, answer.json["code"]) == (401, "unauthorized"), header


def test_a_disabled_account_is_out_at_once(service: Service) -> None:
    with service.app.app_context():
        db.session.query(User).update({"active": False})
        db.session.commit()
    assert service.get("/spaces").status_code == 401
    body = {"grant_type": "password", "username": "admin", "password": PASSWORD}
    assert service.client.post("/auth/token", json=body).json["code"] == "invalid_credentials"


def test_objects_of_another_realm_are_not_found(service: Service) -> None:
    space = service.submit()
    with service.app.app_context():
        realm = Realm(name="other")
        db.session.add(realm)
        db.session.flush()
        eve = User(name="eve", realm_id=realm.id, password_hash=hash_password("pw"))
        db.session.add(eve)
        db.session.flush()
        grant_role(eve, db.session.get_one(Role, built_in_id("role", "member")))
        db.session.commit()
    body = {"grant_type": "password", "username": "eve", "password": "pw", "realm": "other"}
    token = service.client.post("/auth/token", json=body).json["access_token"]
    headers = {"Authorization": f"Bearer {token}"}
    request_id = space["latest_request"]["id"]
    paths = [
        f"/spaces/{space['id']}",
        f"/spaces/{space['id']}/requests",
        f"/requests/{request_id}",
        f"/requests/{request_id}/events",
    ]
    assert [service.client.get(path, headers=headers).status_code for path in paths] == [404] * 4
    command = service.client.post(f"/requests/{request_id}/command", json={"command": "cancel"}, headers=headers)
    assert command.status_code == 404
    assert service.client.get("/spaces", headers=headers).json["meta"]["total"] == 0
    assert service.client.get("/requests", headers=headers).json["meta"]["total"] == 0


def test_a_submitted_space_as_json(service: Service) -> None:
    answer = service.post(
        "/spaces", {"space_type": "static", "files": {"index.html": "x"}, "name": "one", "labels": ["a"]}
    )
    assert answer.status_code == 202
    space = answer.json
    request = space["latest_request"]
    assert answer.headers["Location"] == f"/requests/{request['id']}"
    assert set(space) == {
        "id", "name", "namespace", "url", "target", "space_type", "visibility", "state", "realm_id", "owner_id",
        "publisher_id", "labels", "findings", "commit_oid", "foreign_oid", "expires_at", "created_at", "updated_at",
        "latest_request",
        "variables", "secret_names", "app_url",
        "state_since", "state_checked_at", "state_source", "stage", "problem",
    }  # fmt: skip
    assert set(request) >= {
        "id", "space_id", "action", "status", "space_type", "plugin", "parameters", "options", "files", "tree_digest",
        "commit", "findings", "attempts", "error", "created_at", "started_at", "finished_at",
    }  # fmt: skip
    assert (space["name"], space["state"], space["labels"]) == ("one", "creating", ["a"])
    assert space["url"] == "http://localhost/local/admin/one"
    assert (request["status"], request["action"], request["commit"], request["error"]) == (
        "queued",
        "create",
        None,
        None,
    )
    assert request["plugin"] == {"name": "static", "version": "1.0.0"}
    assert UUID.fullmatch(space["id"])
    assert MOMENT.fullmatch(space["created_at"])
    assert [(file["path"], file["origin"]) for file in request["files"]] == [
        ("README.md", "generated"),
        ("index.html", "given"),
    ]
    done = service.work(request["id"])
    assert done["status"] == "succeeded"
    assert service.space(space["id"])["latest_request"] == done
    assert service.get(f"/spaces/{space['id']}/requests").json["data"] == [done]


def test_defaults_of_a_submission(service: Service) -> None:
    space = service.post("/spaces", {"files": {"app.py": "print(1)\n"}}).json
    assert re.fullmatch(r"GeneratedSpace-[a-z0-9]{6}", space["name"])
    assert (space["space_type"], space["visibility"], space["target"]) == ("gradio", "public", "local")


def test_idempotency_key(service: Service) -> None:
    body = {"space_type": "static", "files": {"index.html": "x"}}
    first = service.post("/spaces", body, headers={"Idempotency-Key": "k1"})
    service.work(first.json["latest_request"]["id"])
    second = service.post("/spaces", body, headers={"Idempotency-Key": "k1"})
    assert (second.status_code, second.json, second.headers["Location"]) == (202, first.json, first.headers["Location"])
    other_body = service.post("/spaces", {**body, "name": "z"}, headers={"Idempotency-Key": "k1"})
    assert (other_body.status_code, other_body.json["code"]) == (422, "idempotency_key_reused")
    assert service.post("/spaces", body, headers={"Idempotency-Key": "k2"}).json["id"] != first.json["id"]
    assert service.post("/spaces", body, headers={"Idempotency-Key": " "}).status_code == 422
    assert service.get("/spaces").json["meta"]["total"] == 2


def test_idempotency_key_from_parallel_calls(service: Service) -> None:
    answers: list[Any] = []

    def send() -> None:
        client = service.app.test_client()
        body = {"space_type": "static", "files": {"index.html": "x"}}
        answers.append(client.post("/spaces", json=body, headers=service.headers | {"Idempotency-Key": "same"}))

    threads = [threading.Thread(target=send) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {answer.status_code for answer in answers} == {202}
    assert len({answer.json["id"] for answer in answers}) == 1
    assert service.get("/spaces").json["meta"]["total"] == 1


def test_lists_filter_sort_and_page(service: Service) -> None:
    for name in ("b-two", "a-one", "c-three", "a_x"):
        service.submit(name=name)

    def names(query: str) -> list[str]:
        answer = service.get(f"/spaces?{query}")
        assert answer.status_code == 200, answer.json
        return [space["name"] for space in answer.json["data"]]

    assert names("sort=name") == ["a-one", "a_x", "b-two", "c-three"]
    assert names("sort=-name") == ["c-three", "b-two", "a_x", "a-one"]
    assert names("") == ["a_x", "c-three", "a-one", "b-two"]
    assert names("filter[name]=a-one") == ["a-one"]
    assert names("filter[name]==a-one") == ["a-one"]
    assert names("filter[name]=!a-one&sort=name") == ["a_x", "b-two", "c-three"]
    assert names("filter[name]=~A-&sort=name") == ["a-one"]
    assert names("filter[name]=~%25o%25&sort=name") == ["a-one", "b-two"]
    assert names("filter[name]=~a_&sort=name") == ["a_x"]
    assert names("filter[name]=a-one,b-two&sort=name") == ["a-one", "b-two"]
    assert names("filter[name]=!a-one,b-two&sort=name") == ["a_x", "c-three"]
    assert names("filter[createdAt]=>2020-01-01T00:00:00Z&filter[space_type]=static&sort=name")[0] == "a-one"
    assert names("filter[created_at]=<2020-01-01T00:00:00Z") == []
    assert names("filter[name]=>a-one&filter[name]=<c&sort=name") == ["a_x", "b-two"]
    assert names("sort=space_type,-name") == ["c-three", "b-two", "a_x", "a-one"]
    assert names("page[limit]=2&page[offset]=1&sort=name") == ["a_x", "b-two"]
    meta = service.get("/spaces?page[limit]=2&page[offset]=1").json["meta"]
    assert meta.pop("after")
    assert meta == {"total": 4, "limit": 2, "offset": 1, "schema": {}}
    assert service.get("/spaces?page[limit]=100000&page[offset]=-3").json["meta"]["offset"] == 0
    assert service.get("/requests?filter[status]=queued").json["meta"]["total"] == 4


@pytest.mark.parametrize(
    ("query", "code", "named"),
    [
        ("filter[nmae]=x", "unknown_filter", "created_at"),
        ("sort=nmae", "unknown_sort", "created_at"),
        ("filters[name]=x", "unknown_parameter", "page[limit]"),
        ("filter[created_at]=yesterday", "invalid_filter", None),
        ("page[limit]=many", "invalid_page", None),
    ],
)
def test_an_unknown_query_is_reported(service: Service, query: str, code: str, named: str | None) -> None:
    answer = service.get(f"/spaces?{query}")
    assert (answer.status_code, answer.json["code"]) == (400, "invalid_query")
    (issue,) = answer.json["issues"]
    assert issue["code"] == code
    assert named is None or named in issue["hint"]


def test_space_types(service: Service) -> None:
    types = {shown["name"]: shown for shown in service.get("/space-types").json["data"]}
    assert set(types) == {"docker", "gradio", "static", "streamlit"}
    assert types["gradio"]["default_files"] == ["README.md", "requirements.txt"]
    assert types["static"]["default_files"] == ["README.md"]
    assert types["docker"]["default_files"] == ["Dockerfile", "README.md", "requirements.txt"]
    assert types["streamlit"]["sdk"] == "docker"
    options = types["docker"]["options"]
    assert options["properties"]["app_port"] | {"type": "integer"} == {
        "type": "integer", "default": 7860, "minimum": 1, "maximum": 65535, "description": "Port the app listens on.",
    }  # fmt: skip
    assert options["additionalProperties"] is False
    assert service.get("/space-types/gradio").json == service.get("/space-types/gradio@1.0.0").json == types["gradio"]
    missing = service.get("/space-types/gradio@9")
    assert (missing.status_code, missing.json["code"]) == (404, "not_found")


def test_plugins_and_a_broken_one(make_service: MakeService, tmp_path: Any) -> None:
    for name, code in {"bad": "1/0", "empty": ""}.items():
        (tmp_path / "more" / name).mkdir(parents=True)
        (tmp_path / "more" / name / "__init__.py").write_text(code)
    service = make_service(PLUGIN_FOLDERS=f"{tmp_path / 'more'}:{tmp_path / 'none'}")
    records = {record["name"]: record for record in service.get("/plugins").json["data"]}
    assert [name for name, record in records.items() if record["state"] == "loaded"] == [
        "docker",
        "gradio",
        "static",
        "streamlit",
    ]
    assert "ZeroDivisionError" in records["bad"]["error"]
    assert "SpacePlugin" in records["empty"]["error"]
    assert "does not exist" in records["none"]["error"]


@pytest.mark.parametrize(("path", "method", "status", "code"), [
    ("/nothing", "GET", 404, "not_found"),
    ("/spaces/nothing", "GET", 404, "not_found"),
    ("/spaces", "DELETE", 405, "method_not_allowed"),
])  # fmt: skip
def test_errors_have_one_shape(service: Service, path: str, method: str, status: int, code: str) -> None:
    answer = service.client.open(path, method=method, headers=service.headers)
    assert answer.status_code == status
    assert set(answer.json) == {"statusCode", "status_code", "name", "code", "message", "hint", "issues"}
    assert (answer.json["statusCode"], answer.json["status_code"], answer.json["code"]) == (status, status, code)


def test_an_unexpected_error_reveals_nothing(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("assembler_runner.requests.queries.find_space", lambda *_: 1 / 0)
    answer = service.get("/spaces/x")
    assert (answer.status_code, answer.json["code"]) == (500, "internal_error")
    assert "division" not in answer.text


def test_ready_reports_each_part(service: Service) -> None:
    answer = service.client.get("/health/ready")
    assert (answer.status_code, answer.json["database"], answer.json["workers"]) == (200, "ok", "unavailable")
    assert answer.json["status"] == "degraded"
