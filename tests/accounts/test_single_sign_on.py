"""People sign in at an issuer of OpenID Connect, over real HTTP; and what attackers try."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Iterator
from html import unescape
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

import httpx
import jwt
import pytest
import sqlalchemy as sa
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from assembler_runner.accounts import single_sign_on
from assembler_runner.accounts.identities import Identity
from assembler_runner.accounts.models import AuditEntry, User
from assembler_runner.accounts.names import name_from
from assembler_runner.core.cookies import SECURE_SIGN_IN, SESSION, SIGN_IN
from assembler_runner.core.database import db
from tests.conftest import MakeService, Service
from tests.support.issuer import CLIENT, CONFIGURATION, SECRET, Issuer, issuer
from tests.support.people import made, make_realm
from tests.ui.people import assert_well_formed, text_of

HTML = {"Accept": "text/html"}
BACK = {"Sec-Fetch-Site": "cross-site", **HTML}
CALLBACK = "/ui/login/oidc/callback"


@pytest.fixture
def platform() -> Iterator[Issuer]:
    with issuer() as found:
        yield found


def settings_of(platform: Issuer, **more: Any) -> dict[str, Any]:
    known = {"OIDC_ISSUER": platform.url, "OIDC_CLIENT_ID": CLIENT, "OIDC_CLIENT_SECRET": SECRET}
    return {**known, "OIDC_ALLOWED_NETWORKS": "127.0.0.0/8", "OIDC_DEFAULT_ROLE": "member", **more}


@pytest.fixture
def service(make_service: MakeService, platform: Issuer) -> Service:
    return make_service(**settings_of(platform))


def begin(client: FlaskClient, wanted: str = "/ui/new") -> str:
    """Begins a sign-in; returns the address at the issuer."""
    answer = client.get(f"/ui/login/oidc?{urlencode({'next': wanted})}", headers=HTML)
    assert answer.status_code == 303, text_of(answer.text)
    return str(answer.headers["Location"])


def at_issuer(address: str) -> str:
    """Signs in at the issuer; returns the address that leads back, without the host."""
    parts = urlsplit(httpx.get(address).headers["Location"])
    return f"{parts.path}?{parts.query}"


def sign_in(client: FlaskClient, wanted: str = "/ui/new") -> TestResponse:
    return client.get(at_issuer(begin(client, wanted)), headers=BACK)


def refused(answer: TestResponse, status: int, text: str) -> None:
    """Asserts that a sign-in failed: the sign-in page says why, and nobody is signed in."""
    assert (answer.status_code, answer.mimetype) == (status, "text/html"), text_of(answer.text)
    assert text in text_of(answer.text), text_of(answer.text)
    assert 'name="password"' in answer.text and "/ui/login/oidc" in answer.text
    assert_well_formed(answer.text)
    assert SESSION not in " ".join(answer.headers.getlist("Set-Cookie"))


def users(service: Service) -> list[str]:
    with service.app.app_context():
        return list(db.session.scalars(sa.select(User.name).where(User.name != "admin").order_by(User.created_at)))


def changed(address: str, **more: str) -> str:
    parts = urlsplit(address)
    return parts._replace(query=urlencode({**dict(parse_qsl(parts.query)), **more})).geturl()


def test_the_first_sign_in_makes_the_account(service: Service, platform: Issuer) -> None:
    client = service.app.test_client()
    answer = sign_in(client, "/ui/new?type=static")
    assert answer.status_code == 200 and "Location" not in answer.headers
    # The page goes on by itself: only then the browser sends the strict cookie.
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


def test_another_state(service: Service) -> None:
    client = service.app.test_client()
    back = at_issuer(begin(client))
    refused(client.get(changed(back, state="x"), headers=BACK), 400, "not begun in this browser")
    # The attempt has ended the sign-in.
    refused(client.get(back, headers=BACK), 400, "not begun in this browser")


@pytest.mark.parametrize("missing", ["state", "code"])
def test_a_missing_parameter(service: Service, missing: str) -> None:
    client = service.app.test_client()
    parts = urlsplit(at_issuer(begin(client)))
    query = {name: value for name, value in parse_qsl(parts.query) if name != missing}
    answer = client.get(f"{CALLBACK}?{urlencode(query)}", headers=BACK)
    refused(answer, 400, "")


def test_an_answer_is_good_once(service: Service, platform: Issuer) -> None:
    client = service.app.test_client()
    back = at_issuer(begin(client))
    cookie = client.get_cookie(SIGN_IN)
    assert cookie is not None
    assert client.get(back, headers=BACK).status_code == 200
    refused(client.get(back, headers=BACK), 400, "finished already")
    # With a copy of the cookie, too: a code works once.
    thief = service.app.test_client()
    thief.set_cookie(SIGN_IN, cookie.value)
    refused(thief.get(back, headers=BACK), 400, "invalid_grant")


def test_the_answer_for_another_browser(service: Service) -> None:
    victim, attacker = service.app.test_client(), service.app.test_client()
    back = at_issuer(begin(attacker))
    refused(victim.get(back, headers=BACK), 400, "not begun in this browser")
    begin(victim)
    refused(victim.get(back, headers=BACK), 400, "not begun in this browser")
    # PKCE: the attacker's code in the victim's own sign-in.
    state = dict(parse_qsl(urlsplit(begin(victim)).query))["state"]
    refused(victim.get(changed(back, state=state), headers=BACK), 400, "invalid_grant")


@pytest.mark.parametrize("change", ["", "x", "."])
def test_a_forged_cookie(service: Service, change: str) -> None:
    client = service.app.test_client()
    back = at_issuer(begin(client))
    cookie = client.get_cookie(SIGN_IN)
    assert cookie is not None
    client.set_cookie(SIGN_IN, change and change + cookie.value)
    refused(client.get(back, headers=BACK), 400, "not begun in this browser")


def test_a_sign_in_that_took_too_long(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    client = service.app.test_client()
    back = at_issuer(begin(client))
    monkeypatch.setattr(single_sign_on, "SECONDS", -1)
    refused(client.get(back, headers=BACK), 400, "more than ten minutes")


@pytest.mark.filterwarnings("ignore:The HMAC key is")
def test_id_tokens_that_are_not_valid(service: Service, platform: Issuer) -> None:
    now = int(time.time())
    claims = {"iss": platform.url, "aud": CLIENT, "sub": "1", "iat": now, "exp": now + 300}
    unsigned = jwt.encode(claims, None, algorithm="none", headers={"kid": "one"})
    shared = jwt.encode(claims, SECRET, algorithm="HS256", headers={"kid": "one"})
    for change, message in [
        ({"nonce": "x"}, "belongs to another sign-in"),
        ({"nonce": None}, "belongs to another sign-in"),
        ({"aud": "another"}, "audience"),
        ({"aud": [CLIENT, "another"], "azp": "another"}, "another client"),
        ({"azp": "another"}, "another client"),
        ({"exp": now - 120}, "expired"),
        ({"nbf": now + 600}, "not signed by its issuer"),
        ({"iss": "https://example.org"}, "not signed by its issuer"),
        ({"sub": None}, "not signed by its issuer"),
        ({"sub": ""}, "subject"),
        ({"sub": "x" * 256}, "subject"),
        ({"sub": "a\nb"}, "subject"),
        (unsigned, "not signed by its issuer"),
        (shared, "not signed by its issuer"),
        ("x.y.z", "not signed by its issuer"),
        ("x" * 20_000, "no ID token"),
    ]:
        platform.behaviour.id_token = change if isinstance(change, dict) else {}
        platform.behaviour.whole_token = change if isinstance(change, str) else None
        refused(sign_in(service.app.test_client()), 400, message)
    assert users(service) == []
    platform.behaviour.whole_token, platform.behaviour.id_token = None, {"aud": [CLIENT, "another"], "azp": CLIENT}
    assert sign_in(service.app.test_client()).status_code == 200


def test_the_code_of_another_client(service: Service, platform: Issuer) -> None:
    platform.behaviour.client_id = "another"
    client = service.app.test_client()
    back = at_issuer(changed(begin(client), client_id="another"))
    refused(client.get(back, headers=BACK), 400, "invalid_client")


def test_the_issuer_that_answers(service: Service, platform: Issuer, make_service: MakeService) -> None:
    platform.behaviour.answer = {"iss": "https://example.org"}
    refused(sign_in(service.app.test_client()), 400, "not from the issuer")
    platform.behaviour.answer = {"iss": platform.url}
    assert sign_in(service.app.test_client()).status_code == 200
    platform.publish(authorization_response_iss_parameter_supported=True)
    single_sign_on._CONFIGURATIONS = single_sign_on.Recent(600.0)
    assert sign_in(service.app.test_client()).status_code == 200
    platform.behaviour.answer = {}
    refused(sign_in(service.app.test_client()), 400, "not from the issuer")


def test_a_sign_in_begun_at_another_issuer(make_service: MakeService, platform: Issuer) -> None:
    with issuer() as other:
        first, second = make_service(**settings_of(platform)), make_service(**settings_of(other))
        client, back = second.app.test_client(), first.app.test_client()
        address = at_issuer(begin(back))
        cookie = back.get_cookie(SIGN_IN)
        assert cookie is not None
        client.set_cookie(SIGN_IN, cookie.value)
        refused(client.get(address, headers=BACK), 400, "not begun in this browser")
        assert "/token" not in other.asked


def test_the_issuer_refuses(service: Service, platform: Issuer) -> None:
    text = "<b>No</b>\x1b\u202e" + "x" * 500
    platform.behaviour.error = {"error": "access_denied", "error_description": text}
    answer = sign_in(service.app.test_client())
    refused(answer, 400, "The issuer refused the sign-in. “access_denied: <b>No</b>\\x1b\\u202e")
    assert "<b>No" not in answer.text and "x" * 300 not in answer.text
    # Without a sign-in of this browser nothing of the answer is shown.
    answer = service.app.test_client().get(f"{CALLBACK}?error=access_denied&state=x", headers=BACK)
    refused(answer, 400, "not begun in this browser")
    assert "access_denied" not in answer.text


@pytest.mark.parametrize(
    "wanted",
    [
        "https://evil.example",
        "//evil.example",
        "/\\evil.example",
        "/spaces",
        "/ui/login/oidc",
        "/ui/\\x",
        "javascript:x",
    ],
)
def test_it_leads_to_own_pages_only(service: Service, wanted: str) -> None:
    answer = sign_in(service.app.test_client(), wanted)
    assert re.findall('url=([^"]*)"', answer.text) == ["/ui/spaces"]


def test_another_site_does_not_begin_a_sign_in(service: Service) -> None:
    answer = service.app.test_client().get("/ui/login/oidc?next=/ui/new", headers=BACK)
    assert answer.status_code == 200 and SIGN_IN not in str(answer.headers)
    (link,) = re.findall('href="(/ui/login/oidc[^"]*)"', answer.text)
    assert unescape(link) == "/ui/login/oidc?next=%2Fui%2Fnew"


def test_who_is_signed_in_stays(service: Service) -> None:
    client = service.app.test_client()
    sign_in(client)
    answer = client.get("/ui/login/oidc?next=/ui/account", headers=HTML)
    assert (answer.status_code, answer.headers["Location"]) == (303, "/ui/account")


@pytest.mark.parametrize(
    ("path", "document"),
    [
        (CONFIGURATION, b"<html>"),
        (CONFIGURATION, {"issuer": "https://example.org"}),
        (CONFIGURATION, None),
        ("authorization_endpoint", "javascript:alert(1)"),
        ("authorization_endpoint", "http://10.0.0.1/"),
        ("token_endpoint", "http://10.0.0.1/"),
        ("token_endpoint", ""),
    ],
)
def test_an_issuer_with_a_bad_configuration(service: Service, platform: Issuer, path: str, document: Any) -> None:
    if path == CONFIGURATION:
        platform.documents[path] = document
    else:
        platform.publish(**{path: document})
    client = service.app.test_client()
    answer = client.get("/ui/login/oidc", headers=HTML)
    if answer.status_code == 303:
        answer = client.get(at_issuer(str(answer.headers["Location"])), headers=BACK)
    refused(answer, 502, "issuer")


@pytest.mark.parametrize("answer", [b"<html>", b"[]", b"x" * 300_000])
def test_an_issuer_with_a_bad_answer(service: Service, platform: Issuer, answer: bytes) -> None:
    platform.behaviour.token_answer = answer
    refused(sign_in(service.app.test_client()), 502, "issuer")
    platform.behaviour.token_answer = b"{}"
    refused(sign_in(service.app.test_client()), 400, "no ID token")


def test_an_issuer_that_does_not_answer(make_service: MakeService) -> None:
    with issuer() as gone:
        service = make_service(**settings_of(gone))
    refused(service.app.test_client().get("/ui/login/oidc", headers=HTML), 502, "connection refused")


def test_without_an_issuer_there_is_no_such_sign_in(make_service: MakeService) -> None:
    client = make_service().app.test_client()
    assert "/ui/login/oidc" not in client.get("/ui/login").text
    for path in ("/ui/login/oidc", CALLBACK):
        assert client.get(path).status_code == 404
