"""The cookie of the web pages: what it is, what it may, and when it ends."""

from __future__ import annotations

from datetime import timedelta

import pytest
import sqlalchemy as sa
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from assembler_runner.accounts import browser_sessions, login_throttle
from assembler_runner.accounts.models import AuditEntry, BrowserSession, LoginSession, User
from assembler_runner.core.cookies import SECURE_SESSION as SECURE_COOKIE
from assembler_runner.core.cookies import SESSION as COOKIE
from assembler_runner.core.database import db, utcnow
from tests.conftest import PASSWORD, MakeService, Service

OWN = {"Sec-Fetch-Site": "same-origin"}
FOREIGN = [
    {"Sec-Fetch-Site": "cross-site"},
    {"Sec-Fetch-Site": "same-site"},
    {"Origin": "https://evil.example"},
    {"Origin": "null"},
    {"Origin": "http://localhost:1"},
]


def sign_in(client: FlaskClient, name: str = "admin", password: str = PASSWORD, **more: str) -> TestResponse:
    return client.post("/ui/login", data={"name": name, "password": password, **more}, headers=OWN)


@pytest.fixture
def browser(service: Service) -> FlaskClient:
    """A browser that is signed in as admin."""
    client = service.app.test_client()
    assert sign_in(client).status_code == 303
    return client


def test_the_cookie_is_unreadable_for_scripts_and_stays_on_this_site(service: Service) -> None:
    cookie = sign_in(service.app.test_client()).headers["Set-Cookie"]
    assert cookie.startswith(f"{COOKIE}=")
    assert {"HttpOnly", "SameSite=Strict", "Path=/"} <= set(cookie.split("; ")[1:])
    assert "Secure" not in cookie
    assert "Domain" not in cookie


def test_on_https_the_cookie_is_bound_to_the_host(service: Service) -> None:
    answer = service.app.test_client().post(
        "/ui/login", data={"name": "admin", "password": PASSWORD}, headers=OWN, base_url="https://localhost"
    )
    cookie = answer.headers["Set-Cookie"]
    assert cookie.startswith(f"{SECURE_COOKIE}=")
    assert {"Secure", "HttpOnly", "SameSite=Strict", "Path=/"} <= set(cookie.split("; ")[1:])


def test_only_a_hash_of_the_cookie_is_stored(service: Service, browser: FlaskClient) -> None:
    value = browser.get_cookie(COOKIE).value  # type: ignore[union-attr]
    assert len(value) >= 43
    with service.app.app_context():
        (row,) = db.session.scalars(sa.select(BrowserSession))
        assert value not in (row.token_hash, row.session_id)
        assert len(row.token_hash) == 64


def test_pages_need_a_session(service: Service) -> None:
    answer = service.app.test_client().get("/ui/spaces?q=x", headers={"Accept": "text/html"})
    assert (answer.status_code, answer.headers["Location"]) == (303, "/ui/login?next=/ui/spaces%3Fq%3Dx")
    answer = service.app.test_client().get("/ui/spaces")
    assert (answer.status_code, answer.json["code"]) == (401, "unauthorized")


def test_wrong_passwords_are_refused_and_counted(make_service: MakeService) -> None:
    service = make_service(MAX_LOGIN_FAILURES=2)
    client = service.app.test_client()
    # The login of the fixture made the address known, which raises its limit.
    for _ in range(2 * login_throttle.EVERYWHERE):
        answer = sign_in(client, password="wrong")
        assert answer.status_code == 400
        assert "Set-Cookie" not in answer.headers
    answer = sign_in(client)
    assert answer.status_code == 429
    assert int(answer.headers["Retry-After"]) > 0


@pytest.mark.parametrize("headers", [{"Sec-Fetch-Site": "same-origin"}, {"Origin": "http://localhost"}])
def test_modules_of_pages_may_call_the_api(browser: FlaskClient, headers: dict[str, str]) -> None:
    assert browser.get("/spaces", headers=headers).status_code == 200
    body = {"space_type": "static", "files": {"index.html": "<h1>Hello</h1>"}}
    assert browser.post("/spaces/preview", json=body, headers=headers).status_code == 200


@pytest.mark.parametrize("headers", [{}, {"Sec-Fetch-Site": "none"}, *FOREIGN])
def test_the_cookie_is_no_token_of_the_api(browser: FlaskClient, headers: dict[str, str]) -> None:
    assert browser.get("/spaces", headers=headers).status_code == 401


@pytest.mark.parametrize("headers", FOREIGN)
@pytest.mark.parametrize("path", ["/spaces", "/ui/new", "/ui/logout", "/ui/login", "/ui/account/look", "/auth/users"])
def test_changes_from_another_origin_are_refused(browser: FlaskClient, path: str, headers: dict[str, str]) -> None:
    answer = browser.post(path, json={}, headers=headers)
    assert (answer.status_code, answer.json["code"]) == (403, "forbidden")


def test_a_bearer_token_works_from_other_origins(service: Service) -> None:
    headers = {"Sec-Fetch-Site": "cross-site", "Origin": "https://tool.example"}
    assert service.post("/spaces/preview", {"files": {"index.html": "x"}}, headers=headers).status_code == 200


def test_a_token_counts_more_than_the_cookie(browser: FlaskClient) -> None:
    assert browser.get("/spaces", headers={**OWN, "Authorization": "Bearer wrong"}).status_code == 401


def test_a_page_of_another_site_gets_nothing_by_the_cookie(browser: FlaskClient) -> None:
    assert browser.get("/ui/spaces", headers={"Sec-Fetch-Site": "cross-site"}).status_code == 401


def test_a_link_from_another_site_is_followed_once_more_from_here(browser: FlaskClient) -> None:
    answer = browser.get("/ui/spaces", headers={"Sec-Fetch-Site": "cross-site", "Accept": "text/html"})
    assert answer.status_code == 200
    assert 'http-equiv="refresh" content="0; url=/ui/spaces?"' in answer.text


def test_signing_out_ends_the_session(service: Service, browser: FlaskClient) -> None:
    value = browser.get_cookie(COOKIE).value  # type: ignore[union-attr]
    answer = browser.post("/ui/logout", headers=OWN)
    assert answer.headers["Location"] == "/ui/login?done=signed_out"
    assert answer.headers["Clear-Site-Data"] == '"storage"'
    again = service.app.test_client()
    again.set_cookie(COOKIE, value)
    assert again.get("/ui/spaces").status_code == 401
    with service.app.app_context():
        actions = list(db.session.scalars(sa.select(AuditEntry.action).order_by(AuditEntry.id)))
        assert actions[-2:] == ["log_in", "log_out"]


def test_signing_out_everywhere_ends_browsers_and_programs(service: Service, browser: FlaskClient) -> None:
    other = service.app.test_client()
    sign_in(other)
    assert browser.post("/ui/account/sign-out-everywhere", headers=OWN).status_code == 303
    assert other.get("/ui/spaces").status_code == 401
    assert service.get("/spaces").status_code == 401


def test_a_new_password_ends_the_session(service: Service, browser: FlaskClient) -> None:
    body = {"password": "another horse battery", "current_password": PASSWORD}
    assert service.post("/auth/users/@me", body).status_code == 202
    assert browser.get("/ui/spaces").status_code == 401


def test_a_disabled_account_has_no_session(service: Service) -> None:
    made = service.post("/auth/users", {"name": "ann", "password": "horse battery staple"}).json
    client = service.app.test_client()
    assert sign_in(client, "ann", "horse battery staple").status_code == 303
    assert client.get("/ui/spaces").status_code == 200
    assert service.post(f"/auth/users/{made['id']}", {"active": False}).status_code == 202
    assert client.get("/ui/spaces").status_code == 401
    assert sign_in(service.app.test_client(), "ann", "horse battery staple").status_code == 400


def test_a_session_in_use_lasts_and_an_idle_one_ends(service: Service, browser: FlaskClient) -> None:
    def set_times(seen: timedelta, left: timedelta) -> None:
        with service.app.app_context():
            of_browser = sa.select(BrowserSession.session_id)
            db.session.execute(sa.update(BrowserSession).values(seen_at=utcnow() - seen))
            ends = sa.update(LoginSession).where(LoginSession.id.in_(of_browser)).values(expires_at=utcnow() + left)
            db.session.execute(ends, execution_options={"synchronize_session": False})
            db.session.commit()

    set_times(timedelta(hours=1), timedelta(minutes=1))
    assert browser.get("/ui/spaces").status_code == 200
    with service.app.app_context():
        (row,) = db.session.scalars(sa.select(BrowserSession))
        assert row.session.expires_at > utcnow() + timedelta(hours=11)
        assert row.seen_at > utcnow() - timedelta(minutes=1)
    set_times(timedelta(hours=13), timedelta(seconds=-1))
    assert browser.get("/ui/spaces").status_code == 401


def test_the_sessions_of_a_user_are_those_that_go_on(service: Service, browser: FlaskClient) -> None:
    other = service.app.test_client()
    sign_in(other)
    with service.app.app_context():
        admin_id = db.session.scalar(sa.select(User.id))
        assert admin_id is not None
        assert len(browser_sessions.sessions_of(admin_id)) == 2
    other.post("/ui/logout", headers=OWN)
    with service.app.app_context():
        assert len(browser_sessions.sessions_of(admin_id)) == 1


@pytest.mark.parametrize(
    "wanted", ["https://evil.example", "//evil.example", "/\\evil.example", "/spaces", "/ui\\x", ""]
)
def test_the_sign_in_leads_to_own_pages_only(service: Service, wanted: str) -> None:
    answer = sign_in(service.app.test_client(), next=wanted)
    assert answer.headers["Location"] == "/ui/spaces"


def test_the_sign_in_leads_to_the_page_that_was_asked_for(service: Service) -> None:
    answer = sign_in(service.app.test_client(), next="/ui/queue?x=1")
    assert answer.headers["Location"] == "/ui/queue?x=1"


def test_a_realm_may_be_named(service: Service) -> None:
    realm = service.post("/auth/realms", {"name": "school"}).json
    service.post("/auth/users", {"name": "ann", "password": "horse battery staple", "realm_id": realm["id"]})
    assert sign_in(service.app.test_client(), "ann", "horse battery staple").status_code == 400
    assert sign_in(service.app.test_client(), "ann", "horse battery staple", realm="school").status_code == 303


def test_a_private_local_space_is_shown_to_who_is_signed_in(service: Service, browser: FlaskClient) -> None:
    done = service.publish(name="secret-page", visibility="private")
    path = service.space(done["space_id"])["url"].removeprefix("http://localhost")
    assert browser.get(path).status_code == 200
    assert service.app.test_client().get(path).status_code == 401
    answer = service.app.test_client().get(path, headers={"Accept": "text/html"})
    assert answer.headers["Location"] == f"/ui/login?next={path}"
