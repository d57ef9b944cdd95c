"""Quotas, other origins, proxies, security headers."""

from __future__ import annotations

import base64
from datetime import timedelta
from typing import Any

import pytest
import sqlalchemy as sa

from assembler_runner.core.database import db, utcnow
from assembler_runner.core.errors import SettingsError
from assembler_runner.core.settings import load
from assembler_runner.ops.retention import remove_old
from assembler_runner.requests import quotas
from assembler_runner.spaces.models import Space, SpaceRequest
from tests.conftest import PASSWORD, MakeService, Service
from tests.support.people import WORD, Person, made, make_realm, make_user

STATIC: dict[str, Any] = {"space_type": "static", "files": {"index.html": "x" * 1000}}


def submit(person: Person, name: str | None = None) -> Any:
    return person.post("/spaces", STATIC | ({"name": name} if name else {}))


def refused(answer: Any, word: str) -> None:
    assert (answer.status_code, answer.json["code"]) == (429, "quota_exceeded"), answer.json
    assert word in answer.json["message"]
    assert int(answer.headers["Retry-After"]) >= 1


def test_requests_per_hour_by_realm_and_account(service: Service) -> None:
    realm_id = make_realm(service, "ours", max_requests_per_hour=3)
    ann, bob = make_user(service, "ann", realm_id), make_user(service, "bob", realm_id)
    made(service.post(f"/auth/users/{ann.id}", {"max_requests_per_hour": 2}), 202)
    first = submit(ann)
    assert first.status_code == 202
    assert first.headers["RateLimit-Policy"] == '"realm";q=3;w=3600, "account";q=2;w=3600'
    assert first.headers["RateLimit"].startswith('"realm";r=2;t=')
    assert submit(ann).status_code == 202
    answer = submit(ann)
    refused(answer, "account has used its 2")
    assert '"account";r=0;t=' in answer.headers["RateLimit"]
    assert submit(bob).status_code == 202
    refused(submit(bob), "realm has used its 3")
    refused(bob.post("/create-space", STATIC), "realm")
    assert ann.post("/spaces/preview", STATIC).status_code == 200
    assert "RateLimit" not in submit(Person(service, "", service.login())).headers


def test_spaces_and_bytes(make_service: MakeService) -> None:
    service = make_service(ACCOUNT_MAX_SPACES=2, REALM_MAX_BYTES=100_000)
    realm_id = make_realm(service, "ours", max_bytes=2500)
    ann = make_user(service, "ann", realm_id)
    space = made(submit(ann), 202)
    refused(submit(make_user(service, "bob", make_realm(service, "none", max_spaces=0))), "quota is 0")
    assert submit(ann).status_code in (202, 429)
    refused(submit(ann), "quota is")
    made(service.post(f"/auth/realms/{realm_id}", {"max_bytes": None}), 202)
    ann.post(f"/requests/{space['latest_request']['id']}/command", {"command": "cancel"})
    assert submit(ann).status_code == 202
    refused(submit(ann), "quota is 2")
    made(service.post(f"/auth/users/{ann.id}", {"max_spaces": 10}), 202)
    assert submit(ann).status_code == 202


def test_a_realm_does_not_raise_its_own_quota(service: Service) -> None:
    realm_id = make_realm(service, "ours", max_spaces=1)
    chief = make_user(service, "chief", realm_id, "realm_admin")
    assert chief.post(f"/auth/realms/{realm_id}", {"max_spaces": 100}).status_code == 403
    assert chief.post(f"/auth/realms/{realm_id}", {"description": "ours"}).status_code == 202


def test_other_origins_by_an_explicit_list(make_service: MakeService) -> None:
    service = make_service(CORS_ORIGINS="https://app.example.org, http://localhost:3000")
    headers = {"Origin": "https://app.example.org"}
    answer = service.get("/spaces", headers=headers)
    assert answer.headers["Access-Control-Allow-Origin"] == "https://app.example.org"
    assert "Access-Control-Allow-Credentials" not in answer.headers
    asked = {**headers, "Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "Authorization"}
    before = service.client.options("/spaces", headers=asked)
    assert before.status_code == 200
    assert before.headers["Access-Control-Allow-Headers"] == "Authorization"
    for origin in ("https://evil.example.org", "https://app.example.org.evil.example", "null"):
        answer = service.get("/spaces", headers={"Origin": origin})
        assert "Access-Control-Allow-Origin" not in answer.headers
    assert "Access-Control-Allow-Origin" not in make_service().get("/spaces", headers=headers).headers


@pytest.mark.parametrize("origins", ["*", "app.example.org", "https://app.example.org/path", "https://*.example.org"])
def test_origins_have_to_be_named(origins: str) -> None:
    with pytest.raises(SettingsError, match="CORS_ORIGINS"):
        load({"CORS_ORIGINS": origins})


@pytest.mark.parametrize(("proxies", "address"), [(0, "127.0.0.1"), (1, "192.0.2.7"), (2, "192.0.2.6")])
def test_only_trusted_proxies_say_where_a_call_comes_from(
    make_service: MakeService, proxies: int, address: str
) -> None:
    service = make_service(TRUSTED_PROXIES=proxies)
    headers = {"X-Forwarded-For": "192.0.2.5, 192.0.2.6, 192.0.2.7", "X-Forwarded-Proto": "https, https"}
    made(service.post("/auth/roles", {"name": "x"}, headers=headers))
    assert service.get("/auth/audit-log").json["data"][0]["address"] == address
    secure = service.get("/spaces", headers=headers).headers
    assert ("Strict-Transport-Security" in secure) == (proxies > 0)


@pytest.mark.parametrize("path", ["/", "/docs", "/redoc", "/swagger-ui", "/spaces", "/nothing", "/auth/token"])
def test_every_page_has_security_headers(service: Service, path: str) -> None:
    answer = service.client.get(path)
    headers = answer.headers
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["X-Frame-Options"] == "DENY"
    # Without a referrer browsers send forms with `Origin: null`, which pages could not tell from another site.
    assert headers["Referrer-Policy"] == ("same-origin" if answer.mimetype == "text/html" else "no-referrer")
    assert "frame-ancestors 'none'" in headers["Content-Security-Policy"]
    assert (headers.get("Cache-Control") == "no-store") == path.startswith("/auth/")


def basic(name: str, password: str) -> dict[str, str]:
    return {"Authorization": "Basic " + base64.b64encode(f"{name}:{password}".encode()).decode()}


def test_private_local_spaces_belong_to_their_realm(service: Service) -> None:
    ann = make_user(service, "ann", make_realm(service, "ours"), "member")
    make_user(service, "eve", make_realm(service, "theirs"), "realm_admin")
    nobody = make_user(service, "noone", ann.get("/auth/users/@me").json["realm_id"], None)
    space = made(ann.post("/spaces", {**STATIC, "name": "site", "visibility": "private"}), 202)
    done = service.work(space["latest_request"]["id"])
    assert done["status"] == "succeeded"
    for end in ("", "/live/", "/raw/main/index.html", "/info/refs?service=git-upload-pack"):
        page, missing = f"/local/ours/site{end}", f"/local/ours/none{end}"
        assert service.client.get(page).status_code == service.client.get(missing).status_code == 401
        for headers in (ann.headers, basic("ours/ann", WORD), service.headers, basic("admin", PASSWORD)):
            assert service.client.get(page, headers=headers).status_code == 200
            assert service.client.get(missing, headers=headers).status_code == 404
        for headers in (basic("theirs/eve", WORD), nobody.headers):
            answers = [service.client.get(where, headers=headers) for where in (page, missing)]
            assert [answer.status_code for answer in answers] == [404, 404]
            assert answers[0].json == answers[1].json
        assert service.client.get(page, headers=basic("ours/ann", "wrong")).status_code == 401
    # The owner's address is limited by its own failures alone, at five times the limit.
    for _ in range(50):
        answer = service.client.get(page, headers=basic("ours/ann", "wrong"))
    assert answer.status_code == 429


def cancel(person: Person, space: Any) -> str:
    request_id = str(space["latest_request"]["id"])
    made(person.post(f"/requests/{request_id}/command", {"command": "cancel"}), 202)
    return request_id


def test_a_retry_counts_as_a_space(make_service: MakeService) -> None:
    service = make_service(ACCOUNT_MAX_SPACES=2)
    ann = make_user(service, "ann", make_realm(service, "ours"))
    cancelled = [cancel(ann, made(submit(ann), 202)) for _ in range(4)]
    answers = [ann.post(f"/requests/{request_id}/command", {"command": "retry"}) for request_id in cancelled]
    assert [answer.status_code for answer in answers] == [202, 202, 429, 429]
    refused(answers[2], "its quota is 2")
    refused(submit(ann), "its quota is 2")
    # Who retries for another account uses that account's quota.
    refused(service.post(f"/requests/{cancelled[2]}/command", {"command": "retry"}), "its quota is 2")


def test_failed_requests_are_retried_within_the_quota(make_service: MakeService) -> None:
    service = make_service(ACCOUNT_MAX_SPACES=1)
    ann = make_user(service, "ann", make_realm(service, "ours"))
    ids = [cancel(ann, made(submit(ann), 202)) for _ in range(3)]
    with service.app.app_context():
        failed = {"status": "failed", "error": {"code": "x", "message": "x", "hint": None}}
        db.session.execute(sa.update(SpaceRequest).where(SpaceRequest.id.in_(ids)).values(**failed))
        db.session.commit()
    result = made(ann.post("/requests/failures/command", {"command": "retry"}), 202)
    assert (len(result["retried"]), {row["code"] for row in result["refused"]}) == (1, {"quota_exceeded"})


def test_files_of_deleted_spaces_count_while_they_are_kept(make_service: MakeService) -> None:
    service = make_service(REALM_MAX_BYTES=2500)
    ann = make_user(service, "ann", make_realm(service, "ours"))
    for _ in range(2):
        space = made(submit(ann), 202)
        service.work(space["latest_request"]["id"])
        service.work(made(ann.delete(f"/spaces/{space['id']}"), 202)["latest_request"]["id"])
    refused(submit(ann), "bytes in files")
    with service.app.app_context():
        removed = remove_old(service.services.settings, utcnow() + timedelta(days=2))
    assert removed["lists of files"] == 2
    assert submit(ann).status_code == 202


def test_quotas_hold_where_old_rows_are_read_once_a_minute(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(quotas, "_FEW", 1)
    realm_id = make_realm(service, "ours", max_spaces=4)
    ann = make_user(service, "ann", realm_id)
    for _ in range(2):
        made(submit(ann), 202)
    with service.app.app_context():
        for model in (Space, SpaceRequest):
            db.session.execute(sa.update(model).values(created_at=utcnow() - timedelta(hours=1)))
        db.session.commit()
    for _ in range(2):
        made(submit(ann), 202)
    refused(submit(ann), "would have 5 Spaces; its quota is 4")
    used = sum(file["size"] for row in ann.get("/requests").json["data"] for file in row["files"])
    made(service.post(f"/auth/realms/{realm_id}", {"max_spaces": None, "max_bytes": used + 100}), 202)
    refused(submit(ann), "bytes in files")
