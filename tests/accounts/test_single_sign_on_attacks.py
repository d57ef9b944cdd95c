"""What attackers try at the sign-in at an issuer, and issuers that answer wrongly."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from html import unescape
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

import jwt
import pytest

from assembler_runner.accounts import single_sign_on
from assembler_runner.core.cookies import SIGN_IN
from tests.conftest import MakeService, Service
from tests.support.issuer import CLIENT, CONFIGURATION, SECRET, Issuer, issuer
from tests.support.signing_in import (
    BACK,
    CALLBACK,
    HTML,
    at_issuer,
    begin,
    changed,
    refused,
    settings_of,
    sign_in,
    users,
)


@pytest.fixture
def platform() -> Iterator[Issuer]:
    with issuer() as found:
        yield found


@pytest.fixture
def service(make_service: MakeService, platform: Issuer) -> Service:
    return make_service(**settings_of(platform))


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
