"""Pipelines sign in with the token of their platform, if a trusted publisher names it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import jwt
import pytest
import sqlalchemy as sa

from assembler_runner.accounts import identity_tokens
from assembler_runner.accounts.models import AuditEntry
from assembler_runner.core.database import db
from tests.conftest import MakeService, Service
from tests.support.issuer import Issuer, issuer
from tests.support.people import NOBODY, Person, login, made, make_realm, make_user

EXCHANGE = "urn:ietf:params:oauth:grant-type:token-exchange"
ID_TOKEN = "urn:ietf:params:oauth:token-type:id_token"
MAIN = "repo:me/app:ref:refs/heads/main"


@pytest.fixture
def service(make_service: MakeService) -> Service:
    return make_service(OIDC_AUDIENCE="assembler", OIDC_ALLOWED_NETWORKS="127.0.0.0/8")


@pytest.fixture
def platform() -> Iterator[Issuer]:
    with issuer() as found:
        yield found


@pytest.fixture
def robot(service: Service) -> dict[str, Any]:
    return made(service.post("/auth/robots", {"name": "bot", "roles": ["member"]}))


def trust(service: Service, platform: Issuer, robot: dict[str, Any], **more: Any) -> dict[str, Any]:
    body = {"name": "app", "robot_id": robot["id"], "issuer": platform.url, "subject": MAIN, **more}
    return made(service.post("/auth/trusted-publishers", body))


def exchange(service: Service, token: str, **more: str) -> Any:
    return login(service, grant_type=EXCHANGE, subject_token=token, subject_token_type=ID_TOKEN, **more)


def test_a_pipeline_acts_as_the_robot(service: Service, platform: Issuer, robot: dict[str, Any]) -> None:
    trust(service, platform, robot, claims={"environment": "production", "run": 5})
    answer = made(exchange(service, platform.token(environment="production", run=5)), 200)
    assert answer["token_type"] == "Bearer" and answer["expires_in"] > 0 and "refresh_token" not in answer
    assert answer["issued_token_type"] == "urn:ietf:params:oauth:token-type:access_token"
    pipeline = Person(service, robot["id"], answer)
    body = {"space_type": "static", "target": "local", "files": {"index.html": "<p>Hello</p>"}}
    assert made(pipeline.post("/spaces", body), 202)["owner_id"] == robot["id"]
    with service.app.app_context():
        entry = db.session.scalar(sa.select(AuditEntry).where(AuditEntry.action == "log_in"))
        assert entry is not None and (entry.actor_name, entry.details["publisher"]) == ("bot", "app")
        assert entry.details["subject"] == MAIN


@pytest.mark.parametrize(
    ("subject", "given", "fits"),
    [
        (MAIN, MAIN, True),
        (MAIN, f"{MAIN}-2", False),
        (MAIN, MAIN.upper(), False),
        ("repo:me/app:*", MAIN, True),
        ("repo:me/app:*", "repo:me/app-evil:ref:refs/heads/main", False),
        ("repo:me/app:*", "repo:me/app:", True),
    ],
)
def test_the_subject(
    service: Service, platform: Issuer, robot: dict[str, Any], subject: str, given: str, fits: bool
) -> None:
    trust(service, platform, robot, subject=subject)
    assert exchange(service, platform.token(sub=given)).status_code == (200 if fits else 400)


@pytest.mark.parametrize(
    ("wanted", "found"), [({"a": "1"}, {"a": 1}), ({"a": True}, {"a": 1}), ({"a": "x"}, {}), ({"a": "x"}, {"a": "X"})]
)
def test_claims_have_to_be_equal(
    service: Service, platform: Issuer, robot: dict[str, Any], wanted: Any, found: Any
) -> None:
    trust(service, platform, robot, subject=None, claims=wanted)
    assert exchange(service, platform.token(**found)).json["code"] == "invalid_credentials"
    assert exchange(service, platform.token(**wanted)).status_code == 200


@pytest.mark.filterwarnings("ignore:The HMAC key is")
def test_tokens_that_are_not_valid(service: Service, platform: Issuer, robot: dict[str, Any]) -> None:
    trust(service, platform, robot)
    now = int(time.time())
    claims = jwt.decode(platform.token(), options={"verify_signature": False})
    bad = {
        "expired": platform.token(exp=now - 120),
        "from the future": platform.token(nbf=now + 600),
        "another audience": platform.token(aud="other"),
        "no audience": platform.token(aud=None),
        "no subject": platform.token(sub=None),
        "no end": platform.token(exp=None),
        "another issuer": platform.token(iss="https://example.org"),
        "no issuer": platform.token(iss=None),
        "not signed": jwt.encode(claims, None, algorithm="none"),
        "signed with the public key": jwt.encode(claims, "x" * 64, algorithm="HS256", headers={"kid": "one"}),
        "another key": jwt.encode(claims, "x" * 64, algorithm="HS256", headers={"kid": "two"}),
        "no token": "x.y.z",
        "too long": "x" * 20_000,
        "cut": platform.token()[:-4],
    }
    assert exchange(service, platform.token()).status_code == 200, "the test signs rightly"
    for name, token in bad.items():
        answer = exchange(service, token)
        assert (answer.status_code, answer.json["code"]) == (400, "invalid_credentials"), (name, answer.json)
        assert "access_token" not in answer.json, name


def test_nothing_is_read_from_an_issuer_that_nobody_trusts(service: Service, platform: Issuer) -> None:
    assert exchange(service, platform.token()).status_code == 400
    assert platform.asked == []


def test_keys_are_read_once_and_again_if_they_change(
    service: Service, platform: Issuer, robot: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    trust(service, platform, robot)
    for _ in range(3):
        assert exchange(service, platform.token()).status_code == 200
    assert len(platform.asked) == 2
    platform.renew_key()
    assert exchange(service, platform.token()).status_code == 400, "an unknown key is not looked for each time"
    monkeypatch.setattr(identity_tokens, "_AGAIN_SECONDS", 0.0)
    assert exchange(service, platform.token()).status_code == 200


@pytest.mark.parametrize(
    ("path", "document"),
    [
        ("/.well-known/openid-configuration", {"issuer": "https://example.org", "jwks_uri": "https://example.org/x"}),
        ("/.well-known/openid-configuration", b"<html>"),
        ("/.well-known/openid-configuration", b"[1]"),
        ("/keys", {"keys": []}),
        ("/keys", {}),
        ("/keys", b"x" * (2**20 + 1)),
    ],
)
def test_an_issuer_that_answers_wrongly(
    service: Service, platform: Issuer, robot: dict[str, Any], path: str, document: Any
) -> None:
    trust(service, platform, robot)
    platform.documents[path] = document
    answer = exchange(service, platform.token())
    assert (answer.status_code, answer.json["code"]) == (502, "issuer_unavailable")


def test_several_robots(service: Service, platform: Issuer, robot: dict[str, Any]) -> None:
    other = made(service.post("/auth/robots", {"name": "other"}))
    trust(service, platform, robot)
    trust(service, platform, other, name="again")
    answer = exchange(service, platform.token())
    assert answer.status_code == 422 and answer.json["issues"][0]["path"] == "client_id"
    assert exchange(service, platform.token(), client_id=other["id"]).status_code == 200
    assert exchange(service, platform.token(), client_id=NOBODY).status_code == 400


def test_a_robot_that_may_not_sign_in(service: Service, platform: Issuer, robot: dict[str, Any]) -> None:
    trust(service, platform, robot)
    made(service.post(f"/auth/robots/{robot['id']}", {"active": False}), 202)
    assert exchange(service, platform.token()).status_code == 400
    service.delete(f"/auth/robots/{robot['id']}")
    assert service.get("/auth/trusted-publishers").json["data"] == []


@pytest.mark.parametrize(
    ("change", "path"),
    [
        ({"issuer": "ftp://example.org"}, "issuer"),
        ({"issuer": "https://10.0.0.1"}, "issuer"),
        ({"issuer": "https://example.org/?a=b"}, "issuer"),
        ({"robot_id": NOBODY}, "robot_id"),
        ({"subject": "*"}, "subject"),
        ({"subject": "a*b"}, "subject"),
        ({"subject": None}, "subject"),
        ({"claims": {"a": [1]}}, "claims.a"),
        ({"claims": {"a": "x" * 600}}, "claims.a"),
        ({"audience": "x"}, "audience"),
    ],
)
def test_invalid_fields_are_named(
    service: Service, platform: Issuer, robot: dict[str, Any], change: dict[str, Any], path: str
) -> None:
    body = {"name": "app", "robot_id": robot["id"], "issuer": platform.url, "subject": MAIN, **change}
    answer = service.post("/auth/trusted-publishers", body)
    assert answer.status_code == 422
    assert [issue["path"] for issue in answer.json["issues"]] == [path]


def test_it_can_be_changed(service: Service, platform: Issuer, robot: dict[str, Any]) -> None:
    publisher = trust(service, platform, robot)
    changed = made(service.post(f"/auth/trusted-publishers/{publisher['id']}", {"subject": "repo:me/other:*"}), 202)
    assert changed["subject"] == "repo:me/other:*" and changed["issuer"] == platform.url
    assert exchange(service, platform.token()).status_code == 400
    assert exchange(service, platform.token(sub="repo:me/other:x")).status_code == 200
    refused = service.post(f"/auth/trusted-publishers/{publisher['id']}", {"subject": None})
    assert refused.json["issues"][0]["code"] == "too_wide"


def test_realms_do_not_see_each_other(service: Service, platform: Issuer, robot: dict[str, Any]) -> None:
    publisher = trust(service, platform, robot)
    ann = make_user(service, "ann", make_realm(service, "ours"), role="realm_admin")
    assert ann.get("/auth/trusted-publishers").json["data"] == []
    assert ann.get(f"/auth/trusted-publishers/{publisher['id']}").status_code == 404
    body = {"name": "x", "robot_id": robot["id"], "issuer": platform.url, "subject": "x"}
    assert ann.post("/auth/trusted-publishers", body).json["issues"][0]["code"] == "unknown_robot"


def test_nobody_lets_pipelines_act_as_a_stronger_robot(service: Service, platform: Issuer) -> None:
    strong = made(service.post("/auth/robots", {"name": "strong", "roles": ["admin"]}))
    bob = make_user(service, "bob", role="realm_admin")
    body = {"name": "x", "robot_id": strong["id"], "issuer": platform.url, "subject": "x"}
    assert bob.post("/auth/trusted-publishers", body).status_code == 403


def test_without_an_audience_no_token_is_exchanged(make_service: MakeService, platform: Issuer) -> None:
    service = make_service(OIDC_ALLOWED_NETWORKS="127.0.0.0/8")
    robot = made(service.post("/auth/robots", {"name": "bot"}))
    trust(service, platform, robot)
    answer = exchange(service, platform.token())
    assert answer.status_code == 400 and "OIDC_AUDIENCE" in answer.json["hint"]


def test_private_networks_have_to_be_allowed(make_service: MakeService, platform: Issuer) -> None:
    service = make_service(OIDC_AUDIENCE="assembler")
    robot = made(service.post("/auth/robots", {"name": "bot"}))
    body = {"name": "app", "robot_id": robot["id"], "issuer": platform.url, "subject": MAIN}
    assert service.post("/auth/trusted-publishers", body).json["issues"][0]["code"] == "invalid_issuer"
    assert platform.asked == []
