"""People sign in at an issuer of OpenID Connect, over real HTTP."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest
import sqlalchemy as sa

from assembler_runner.accounts import single_sign_on
from assembler_runner.accounts.identities import Identity
from assembler_runner.accounts.models import AuditEntry, User
from assembler_runner.accounts.names import name_from
from assembler_runner.core.cookies import SECURE_SIGN_IN, SESSION, SIGN_IN
from assembler_runner.core.database import db
from tests.conftest import MakeService, Service
from tests.support.issuer import SECRET, Issuer, issuer
from tests.support.people import made, make_realm
from tests.support.signing_in import (
    CALLBACK,
    HTML,
    begin,
    refused,
    settings_of,
    sign_in,
    users,
)
from tests.ui.people import text_of


@pytest.fixture
def platform() -> Iterator[Issuer]:
    with issuer() as found:
        yield found


@pytest.fixture
def service(make_service: MakeService, platform: Issuer) -> Service:
    return make_service(**settings_of(platform))


def test_the_first_sign_in_makes_the_account(service: Service, platform: Issuer) -> None:
    client = service.app.test_client()
    answer = sign_in(client, "/ui/new?type=static")
    assert answer.status_code == 200 and "Location" not in answer.headers
    # A page that goes on by itself, not a redirect: after a redirect the browser would not send the strict cookie.
    assert 'content="0; url=/ui/new?type=static"' in answer.text
    cookies = answer.headers.getlist("Set-Cookie")
    assert any(each.startswith(f"{SESSION}=") and "SameSite=Strict" in each for each in cookies)
    assert any(each.startswith(f"{SIGN_IN}=;") for each in cookies)
    assert client.get("/ui/new", headers=HTML).status_code == 200
    with service.app.app_context():
        user = db.session.scalars(sa.select(User).where(User.name == "ann")).one()
        user_id = user.id
        assert (user.display_name, user.realm.name, user.password_hash) == ("Ann", "master", None)
        entries = list(db.session.scalars(sa.select(AuditEntry).order_by(AuditEntry.id)))[-2:]
        assert [(each.action, each.actor_name) for each in entries] == [("create", "ann"), ("log_in", "ann")]
        assert [each.details["issuer"] for each in entries] == [platform.url] * 2
    roles = service.get(f"/auth/user-roles?filter[user_id]={user_id}&include=role").json["data"]
    assert [each["role"]["name"] for each in roles] == ["member"]
    page = text_of(client.get("/ui/account", headers=HTML).text)
    assert "Signs in with Single sign-on" in page and "Current password" not in page
    assert "name and password" in text_of(service_page(service))


def service_page(service: Service) -> str:
    client = service.app.test_client()
    form = {"name": "admin", "password": "correct horse battery"}
    client.post("/ui/login", data=form, headers={"Sec-Fetch-Site": "same-origin"})
    return client.get("/ui/account", headers=HTML).text


def test_later_sign_ins_find_it_by_issuer_and_subject_alone(service: Service, platform: Issuer) -> None:
    sign_in(service.app.test_client())
    platform.behaviour.person = {"sub": "1", "preferred_username": "ann.married", "name": "Ann M."}
    assert sign_in(service.app.test_client()).status_code == 200
    assert users(service) == ["ann"]
    # Another person with the same name, even the same address, is another account.
    platform.behaviour.person = {"sub": "2", "preferred_username": "Ann", "email": "ann@example.org"}
    assert sign_in(service.app.test_client()).status_code == 200
    assert users(service) == ["ann", "Ann-2"]


def test_nobody_becomes_an_account_that_exists_by_its_name(service: Service, platform: Issuer) -> None:
    platform.behaviour.person = {"sub": "1", "preferred_username": "admin"}
    client = service.app.test_client()
    sign_in(client)
    assert users(service) == ["admin-2"]
    assert client.get("/ui/audit", headers=HTML).status_code == 403


def test_it_has_no_password(service: Service) -> None:
    sign_in(service.app.test_client())
    for password in ("None", "correct horse battery"):
        answer = service.client.post(
            "/auth/token", json={"grant_type": "password", "username": "ann", "password": password}
        )
        assert (answer.status_code, answer.json["code"]) == (400, "invalid_credentials")


def test_a_disabled_account(service: Service) -> None:
    sign_in(service.app.test_client())
    (ann,) = service.get("/auth/users?filter[name]=ann").json["data"]
    made(service.post(f"/auth/users/{ann['id']}", {"active": False}), 202)
    refused(sign_in(service.app.test_client()), 403, "disabled")
    assert service.delete(f"/auth/users/{ann['id']}").status_code == 202
    with service.app.app_context():
        assert db.session.scalar(sa.select(sa.func.count()).select_from(Identity)) == 0


def test_what_the_issuer_is_asked(service: Service, platform: Issuer) -> None:
    address = begin(service.app.test_client())
    asked = dict(parse_qsl(urlsplit(address).query))
    assert address.startswith(f"{platform.url}/authorization?")
    assert asked["redirect_uri"] == f"http://localhost{CALLBACK}" and asked["scope"] == "openid profile email"
    assert len(asked["state"]) >= 43 and len(asked["nonce"]) >= 43 and asked["state"] != asked["nonce"]


def test_the_address_behind_a_proxy(make_service: MakeService, platform: Issuer) -> None:
    service = make_service(**settings_of(platform, TRUSTED_PROXIES=1))
    headers = {"X-Forwarded-Proto": "https", "X-Forwarded-Host": "spaces.example.org", **HTML}
    answer = service.app.test_client().get("/ui/login/oidc", headers=headers)
    asked = dict(parse_qsl(urlsplit(answer.headers["Location"]).query))
    assert asked["redirect_uri"] == f"https://spaces.example.org{CALLBACK}"
    cookie = answer.headers["Set-Cookie"]
    assert cookie.startswith(f"{SECURE_SIGN_IN}=")
    assert {"Secure", "HttpOnly", "SameSite=Lax", "Path=/", "Max-Age=600"} <= set(cookie.split("; ")[1:])


@pytest.mark.parametrize(
    ("methods", "secret", "way"),
    [
        (None, SECRET, "basic"),
        (["client_secret_post"], SECRET, "post"),
        (["client_secret_post", "client_secret_basic"], SECRET, "basic"),
        (["none"], "", "none"),
    ],
)
def test_how_the_service_authenticates(
    make_service: MakeService, platform: Issuer, methods: list[str] | None, secret: str, way: str
) -> None:
    if methods is not None:
        platform.publish(token_endpoint_auth_methods_supported=methods)
    platform.behaviour.client_secret = secret
    service = make_service(**settings_of(platform, OIDC_CLIENT_SECRET=secret))
    assert sign_in(service.app.test_client()).status_code == 200
    assert platform.ways == [way]


def test_claims_that_are_only_at_the_userinfo_endpoint(make_service: MakeService, platform: Issuer) -> None:
    platform.publish(userinfo_endpoint=f"{platform.url}/userinfo")
    platform.behaviour.user_info = {"sub": "1", "preferred_username": "ann", "hd": "ours"}
    service = make_service(**settings_of(platform, OIDC_REALM="{hd}"))
    make_realm(service, "ours")
    assert sign_in(service.app.test_client()).status_code == 200
    assert sign_in(service.app.test_client()).status_code == 200
    assert users(service) == ["ann"] and platform.asked.count("/userinfo") == 1
    platform.behaviour.person = {"sub": "2"}
    refused(sign_in(service.app.test_client()), 400, "another person")


@pytest.mark.parametrize(
    ("person", "name"),
    [
        ({"sub": "1", "email": "jürgen@example.org"}, "jurgen"),
        ({"sub": "1", "preferred_username": "  Ann Lee!"}, "Ann-Lee"),
        ({"sub": "1", "preferred_username": "名前", "email": "x"}, "x"),
        ({"sub": "auth0|7"}, "auth0-7"),
        ({"sub": "3f0c8a52-6a55-4b0a-9a8e-0c9d4f7f5b11"}, "user"),
        ({"sub": "1", "preferred_username": ["ann"], "name": 5}, "1"),
        ({"sub": "1", "preferred_username": "a" * 200}, "a" * 64),
    ],
)
def test_the_name_of_the_account(service: Service, platform: Issuer, person: dict[str, Any], name: str) -> None:
    platform.behaviour.person = person
    assert sign_in(service.app.test_client()).status_code == 200
    assert users(service) == [name]


def test_a_long_name_gets_a_number_as_well(service: Service, platform: Issuer) -> None:
    for number in range(3):
        platform.behaviour.person = {"sub": str(number), "preferred_username": "a" * 64, "name": "x" * 500}
        assert sign_in(service.app.test_client()).status_code == 200
    assert users(service) == ["a" * 64, "a" * 62 + "-2", "a" * 62 + "-3"]
    assert name_from("-.@+") is None


def test_the_realm_of_a_claim(make_service: MakeService, platform: Issuer) -> None:
    service = make_service(**settings_of(platform, OIDC_REALM="team-{group}"))
    realm_id = make_realm(service, "team-blue")
    platform.behaviour.person = {"sub": "1", "preferred_username": "ann", "group": "blue"}
    assert sign_in(service.app.test_client()).status_code == 200
    assert service.get("/auth/users?filter[name]=ann").json["data"][0]["realm_id"] == realm_id
    for subject, group, message in [
        ("2", "red", "There is no realm 'team-red'"),
        ("3", "\0", "There is no realm"),
        ("4", None, "no claim 'group'"),
        ("5", ["blue"], "no claim 'group'"),
    ]:
        platform.behaviour.person = {"sub": subject, "preferred_username": "bob", "group": group}
        refused(sign_in(service.app.test_client()), 403, message)
    assert users(service) == ["ann"]


def test_a_claim_never_leads_to_master(make_service: MakeService, platform: Issuer) -> None:
    service = make_service(**settings_of(platform, OIDC_REALM="{hd}"))
    platform.behaviour.person = {"sub": "1", "hd": "master"}
    refused(sign_in(service.app.test_client()), 403, "There is no realm 'master'")


def test_a_realm_that_does_not_exist(make_service: MakeService, platform: Issuer) -> None:
    service = make_service(**settings_of(platform, OIDC_REALM="people"))
    refused(sign_in(service.app.test_client()), 403, "There is no realm 'people'")
    assert [each["name"] for each in service.get("/auth/realms").json["data"]] == ["master"]


def test_two_first_sign_ins_at_the_same_time_make_one_account(
    make_service: MakeService, platform: Issuer, monkeypatch: pytest.MonkeyPatch
) -> None:
    service = make_service(**settings_of(platform))
    both, real = threading.Barrier(2), single_sign_on.identities.make

    def make(*arguments: Any) -> str:
        both.wait(30)
        return real(*arguments)

    monkeypatch.setattr(single_sign_on.identities, "make", make)
    found: list[int] = []
    clients = [service.app.test_client() for _ in range(2)]
    threads = [threading.Thread(target=lambda each=each: found.append(sign_in(each).status_code)) for each in clients]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [200, 200] and users(service) == ["ann"]
