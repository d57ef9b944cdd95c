"""Login, refresh, logout, and misuse of tokens."""

from __future__ import annotations

import threading
from datetime import timedelta
from typing import Any

import jwt
import pytest
import sqlalchemy as sa

from assembler_runner.accounts import tokens as tokens_module
from assembler_runner.accounts.models import LoginSession, RefreshToken, User
from assembler_runner.api import event_stream
from assembler_runner.core.database import db, utcnow
from tests.conftest import PASSWORD, SECRETS, MakeService, Service
from tests.support.people import WORD, Person, login, made, make_realm, make_user


def renew(service: Service, token: str) -> Any:
    return login(service, grant_type="refresh_token", refresh_token=token)


def works(service: Service, access_token: str) -> bool:
    answer = service.client.get("/spaces", headers={"Authorization": f"Bearer {access_token}"})
    assert answer.status_code in (200, 401)
    return bool(answer.status_code == 200)


def let_grace_run_out(service: Service) -> None:
    with service.app.app_context():
        db.session.execute(
            sa.update(RefreshToken)
            .where(RefreshToken.replaced_at.is_not(None))
            .values(replaced_at=utcnow() - timedelta(seconds=61))
        )
        db.session.commit()


def claims_of(token: str) -> dict[str, Any]:
    return dict(jwt.decode(token, options={"verify_signature": False}))


def forged(claims: dict[str, Any], key: str = SECRETS["JWT_SECRET_KEY"], algorithm: str = "HS256") -> str:
    return jwt.encode(claims, key if algorithm != "none" else None, algorithm)


def test_the_four_grants(service: Service) -> None:
    robot = made(service.post("/auth/robots", {"name": "bot"}))
    grants: list[tuple[str, dict[str, str]]] = [
        ("user", {"grant_type": "password", "username": "admin", "password": PASSWORD}),
        ("robot", {"grant_type": "robot_credentials", "id": robot["id"], "secret": robot["secret"]}),
        ("client", {"grant_type": "client_credentials", "client_id": robot["id"], "client_secret": robot["secret"]}),
    ]
    for kind, grant in grants:
        answer = made(login(service, **grant), 200)
        claims = claims_of(answer["access_token"])
        assert set(claims) >= {"kind", "jti", "iss", "aud", "sub", "realm_id", "exp", "iat", "scope"}
        assert (claims["sub_kind"], claims["realm_name"], claims["kind"]) == (kind, "master", "access_token")
        assert works(service, answer["access_token"])
        assert ("refresh_token" in answer) == (kind == "user")
    assert made(renew(service, service.login()["refresh_token"]), 200)["expires_in"] == 3600


@pytest.mark.parametrize("grant", [
    {"grant_type": "robot_credentials", "id": "x", "secret": "wrong"},
    {"grant_type": "robot_credentials", "id": "\0", "secret": "wrong"},
    {"grant_type": "client_credentials", "client_id": "x", "client_secret": "wrong"},
    {"grant_type": "password", "username": "admin\0", "password": "\ud800"},
    {"grant_type": "password", "username": "admin", "password": "\ud800"},
    {"grant_type": "password", "username": "admin", "password": PASSWORD, "realm": "nowhere"},
])  # fmt: skip
def test_all_wrong_credentials_give_the_same_response(service: Service, grant: dict[str, str]) -> None:
    answer = login(service, **grant)
    assert (answer.status_code, answer.json["code"]) == (400, "invalid_credentials")
    assert answer.json == login(service, grant_type="password", username="nobody", password="wrong").json


def test_users_of_a_realm_log_in_with_its_name_or_id(service: Service) -> None:
    realm_id = make_realm(service, "ours")
    make_user(service, "ann", realm_id)
    for realm in ("ours", realm_id):
        grant = {"grant_type": "password", "username": "ann", "password": WORD, "realm": realm}
        assert login(service, **grant).status_code == 200
    assert login(service, grant_type="password", username="ann", password=WORD).status_code == 400


def test_a_refresh_token_works_once_and_a_little_longer(service: Service) -> None:
    first = service.login()
    second = made(renew(service, first["refresh_token"]), 200)
    assert second["refresh_token"] != first["refresh_token"]
    # Programs with several threads refresh at the same time.
    third = made(renew(service, first["refresh_token"]), 200)
    assert works(service, third["access_token"])
    let_grace_run_out(service)
    reused = renew(service, first["refresh_token"])
    assert (reused.status_code, reused.json["code"]) == (400, "inactive_token")
    # The whole token family is revoked: the thief's tokens and the owner's.
    for tokens in (first, second, third):
        assert not works(service, tokens["access_token"])
        assert renew(service, tokens["refresh_token"]).json["code"] == "invalid_token"
    assert works(service, service.login()["access_token"])


def test_many_threads_refresh_at_once(service: Service) -> None:
    token = service.login()["refresh_token"]
    answers: list[Any] = []

    def send() -> None:
        body = {"grant_type": "refresh_token", "refresh_token": token}
        answers.append(service.app.test_client().post("/auth/token", json=body))

    threads = [threading.Thread(target=send) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [answer.status_code for answer in answers] == [200] * 8
    assert all(works(service, answer.json["access_token"]) for answer in answers)


@pytest.mark.parametrize("which", ["access_token", "refresh_token"])
def test_logout_revokes_all_tokens_of_the_login(service: Service, which: str) -> None:
    gone, stays = service.login(), service.login()
    newer = made(renew(service, gone["refresh_token"]), 200)
    answer = service.client.post("/auth/token/revoke", data={"token": newer[which], "token_type_hint": which})
    assert (answer.status_code, answer.json) == (200, {})
    for tokens in (gone, newer):
        assert not works(service, tokens["access_token"])
        assert renew(service, tokens["refresh_token"]).status_code == 400
    assert works(service, stays["access_token"])
    assert service.client.post("/auth/token/revoke", json={"token": "unknown"}).json == {}
    assert service.client.post("/auth/token/revoke", json={}).status_code == 422


def test_logout_ends_open_event_streams(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(event_stream, "KEEP_ALIVE_SECONDS", 0.2)
    person = make_user(service, "ann")
    space = made(person.post("/spaces", {"space_type": "static", "files": {"index.html": "x"}}), 202)
    headers = {**person.headers, "Accept": "text/event-stream"}
    path = f"/requests/{space['latest_request']['id']}/events"
    answer = service.app.test_client().get(path, headers=headers)
    stream = iter(answer.response)
    assert "retry" in str(next(stream))
    assert "queued" in str(next(stream))
    service.client.post("/auth/token/revoke", json={"token": person.tokens["refresh_token"]})
    # The request is still queued, but the stream has ended.
    assert not any(b"event" in part for part in stream)


def test_a_new_password_revokes_older_tokens(service: Service) -> None:
    person = make_user(service, "ann")
    made(service.post(f"/auth/users/{person.id}", {"password": "quite another one"}), 202)
    assert not works(service, person.tokens["access_token"])
    assert renew(service, person.tokens["refresh_token"]).json["code"] == "invalid_token"
    assert login(service, grant_type="password", username="ann", password=WORD).status_code == 400
    assert login(service, grant_type="password", username="ann", password="quite another one").status_code == 200


def test_users_change_their_own_password(service: Service) -> None:
    person = make_user(service, "ann", role="viewer")
    wrong = person.post("/auth/users/@me", {"password": "quite another one", "current_password": "wrong"})
    assert (wrong.status_code, wrong.json["issues"][0]["path"]) == (422, "current_password")
    assert person.post("/auth/users/@me", {"password": "quite another one"}).status_code == 422
    for body in ({"active": False}, {"realm_id": person.id}, {"name": "root"}, {"permissions": ["realm_manage"]}):
        assert person.post("/auth/users/@me", body).status_code == 422
    done = person.post("/auth/users/@me", {"password": "quite another one", "current_password": WORD})
    assert done.status_code == 202
    assert not works(service, person.tokens["access_token"])


@pytest.mark.parametrize("end", ["disable", "delete"])
@pytest.mark.parametrize("kind", ["users", "robots"])
def test_a_deleted_or_disabled_account_loses_access_at_once(service: Service, kind: str, end: str) -> None:
    if kind == "users":
        person = make_user(service, "ann")
    else:
        robot = made(service.post("/auth/robots", {"name": "bot"}))
        grant = {"grant_type": "robot_credentials", "id": robot["id"], "secret": robot["secret"]}
        person = Person(service, robot["id"], made(login(service, **grant), 200))
    assert works(service, person.tokens["access_token"])
    path = f"/auth/{kind}/{person.id}"
    if end == "disable":
        made(service.post(path, {"active": False}), 202)
    else:
        made(service.client.delete(path, headers=service.headers), 202)
    assert not works(service, person.tokens["access_token"])
    if kind == "users":
        assert renew(service, person.tokens["refresh_token"]).status_code == 400


def test_a_new_secret_revokes_older_tokens_of_a_robot(service: Service) -> None:
    robot = made(service.post("/auth/robots", {"name": "bot"}))
    grant = {"grant_type": "robot_credentials", "id": robot["id"], "secret": robot["secret"]}
    token = made(login(service, **grant), 200)["access_token"]
    changed = made(service.post(f"/auth/robots/{robot['id']}", {"secret": None}), 202)
    assert changed["secret"] != robot["secret"]
    assert not works(service, token)
    assert login(service, **grant).status_code == 400
    assert login(service, **grant | {"secret": changed["secret"]}).status_code == 200


@pytest.mark.filterwarnings("ignore:The HMAC key is")
def test_forged_and_swapped_tokens(service: Service) -> None:
    tokens = service.login()
    ann = make_user(service, "ann", make_realm(service, "ours"))
    claims, hers = claims_of(tokens["access_token"]), claims_of(ann.tokens["access_token"])
    now = int(utcnow().timestamp())
    bad = {
        "another key": forged(claims, "another key that is long enough, 0123456789"),
        "no signature": forged(claims, algorithm="none"),
        "another algorithm": forged(claims, algorithm="HS512"),
        "another issuer": forged({**claims, "iss": "somebody"}),
        "another audience": forged({**claims, "aud": "somebody"}),
        "expired": forged({**claims, "exp": now - 1}),
        "not yet": forged({**claims, "nbf": now + 100}),
        "another kind": forged({**claims, "kind": "refresh_token"}),
        "another account": forged({**claims, "sub": hers["sub"]}),
        "another realm": forged({**claims, "realm_id": hers["realm_id"]}),
        "her session, my name": forged({**claims, "sid": hers["sid"]}),
        "no session": forged({name: value for name, value in claims.items() if name != "sid"}),
        "no such session": forged({**claims, "sid": "x"}),
        "a number as session": forged({**claims, "sid": 1}),
        "refresh as access": tokens["refresh_token"],
    }
    assert works(service, forged(claims)), "the test forges rightly"
    for name, token in bad.items():
        assert not works(service, token), name
        assert renew(service, token).status_code == (200 if name == "refresh as access" else 400), name
    assert renew(service, tokens["access_token"]).json["code"] == "invalid_token"


def test_a_token_expires_though_it_was_accepted_before(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    token = service.login()["access_token"]
    assert works(service, token)
    expires = claims_of(token)["exp"]
    monkeypatch.setattr(tokens_module.time, "time", lambda: expires - 1)
    assert works(service, token)
    monkeypatch.setattr(tokens_module.time, "time", lambda: expires)
    assert not works(service, token)


def test_an_expired_refresh_token(service: Service) -> None:
    token = service.login()["refresh_token"]
    with service.app.app_context():
        db.session.execute(sa.update(RefreshToken).values(expires_at=utcnow() - timedelta(seconds=1)))
        db.session.commit()
    assert renew(service, token).json["code"] == "invalid_token"


def test_neither_tokens_nor_secrets_are_stored_in_the_database(service: Service) -> None:
    robot = made(service.post("/auth/robots", {"name": "bot"}))
    chosen = made(service.post("/auth/robots", {"name": "other", "secret": "a secret of my own"}))
    assert "secret" not in chosen
    words = [service.login()["refresh_token"], robot["secret"], "a secret of my own", PASSWORD]
    with service.app.app_context():
        for table in db.metadata.sorted_tables:
            text = str(db.session.execute(sa.select(table)).all())
            assert not any(word in text for word in words), table.name
    for path in ("robots", "clients", "users"):
        shown = service.get(f"/auth/{path}").text
        assert not any(word in shown for word in (*words, "argon2", "sha256:", '_hash"')), path


def test_expired_sessions_are_deleted(service: Service) -> None:
    with service.app.app_context():
        db.session.execute(sa.update(LoginSession).values(expires_at=utcnow() - timedelta(seconds=1)))
        db.session.commit()
    assert service.get("/spaces").status_code == 401
    service.login()
    with service.app.app_context():
        assert db.session.scalar(sa.select(sa.func.count()).select_from(LoginSession)) == 1
        assert db.session.scalar(sa.select(sa.func.count()).select_from(RefreshToken)) == 1


def guess(service: Service, name: str, address: str = "192.0.2.1", password: str = "wrong") -> Any:
    body = {"grant_type": "password", "username": name, "password": password}
    return service.app.test_client().post("/auth/token", json=body, environ_base={"REMOTE_ADDR": address})


@pytest.mark.parametrize("name", ["admin", "nobody"])
def test_guessing_is_throttled_and_reveals_nothing(make_service: MakeService, name: str) -> None:
    service = make_service(MAX_LOGIN_FAILURES=3)
    assert [guess(service, name).status_code for _ in range(5)] == [400, 400, 400, 429, 429]
    slowed = guess(service, name, password=PASSWORD)
    assert (slowed.status_code, slowed.json["code"]) == (429, "too_many_requests")
    assert 1 <= int(slowed.headers["Retry-After"]) <= 300
    # The owner can still log in from another address.
    assert guess(service, name, "192.0.2.2").status_code == 400
    assert guess(service, "admin", "192.0.2.2", PASSWORD).status_code == 200


def test_guessing_one_account_from_many_addresses_and_many_accounts_from_one_address(make_service: MakeService) -> None:
    service = make_service(MAX_LOGIN_FAILURES=2)
    spread = [guess(service, "admin", f"192.0.2.{number}").status_code for number in range(12)]
    assert spread == [400] * 10 + [429] * 2
    service = make_service(MAX_LOGIN_FAILURES=2)
    many = [guess(service, f"user{number}").status_code for number in range(12)]
    assert many == [400] * 10 + [429] * 2


def test_counts_are_shared_through_redis(make_service: MakeService, redis_url: str) -> None:
    first, second = (make_service(MAX_LOGIN_FAILURES=2, BROKER_URL=redis_url) for _ in range(2))
    assert [guess(service, "nina").status_code for service in (first, second, first, second)] == [400, 400, 429, 429]


def test_login_works_while_redis_is_unreachable(make_service: MakeService) -> None:
    service = make_service(BROKER_URL="redis://127.0.0.1:1/0")
    assert guess(service, "admin", password=PASSWORD).status_code == 200
    with service.app.app_context():
        assert db.session.scalar(sa.select(sa.func.count()).select_from(User)) == 1
