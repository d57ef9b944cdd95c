"""Password guessing: limits, memory use, and that an attacker cannot lock out the owner of an account."""

from __future__ import annotations

import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

from tests.accounts.test_tokens import guess
from tests.conftest import PASSWORD, MakeService
from tests.ops.test_serve import READY
from tests.support.services import Process

OWNER, OTHER = "192.0.2.1", "198.51.100.7"


def test_parallel_guesses_do_not_exceed_the_limit(make_service: MakeService) -> None:
    service = make_service(MAX_LOGIN_FAILURES=5)
    with ThreadPoolExecutor(30) as pool:
        statuses = list(pool.map(lambda _: guess(service, "admin", OTHER).status_code, range(60)))
    assert set(statuses) <= {400, 429}
    assert statuses.count(400) <= 5


@pytest.mark.parametrize("wrong_name", [False, True])
def test_an_owner_signs_in_while_others_guess(make_service: MakeService, wrong_name: bool) -> None:
    service = make_service(MAX_LOGIN_FAILURES=2)
    assert guess(service, "admin", OWNER, PASSWORD).status_code == 200
    for number in range(60):
        guess(service, "somebody" if wrong_name else "admin", f"203.0.113.{number % 6}")
    assert guess(service, "admin", "203.0.113.1", PASSWORD).status_code in (200, 429)
    assert guess(service, "admin", OWNER, PASSWORD).status_code == 200


def test_a_known_address_is_limited_by_its_own_failures(make_service: MakeService) -> None:
    service = make_service(MAX_LOGIN_FAILURES=2)
    assert guess(service, "admin", OWNER, PASSWORD).status_code == 200
    assert [guess(service, "admin", OWNER).status_code for _ in range(12)] == [400] * 10 + [429] * 2


def test_an_account_under_attack_accepts_a_login_every_few_seconds(make_service: MakeService) -> None:
    service = make_service(MAX_LOGIN_FAILURES=2)
    for number in range(20):
        guess(service, "admin", f"203.0.113.{number}")
    refused = guess(service, "admin", OWNER, PASSWORD)
    assert refused.status_code == 429
    assert int(refused.headers["Retry-After"]) <= 10


def test_a_missing_setting_behind_a_proxy_is_named(make_service: MakeService, caplog: pytest.LogCaptureFixture) -> None:
    service = make_service(MAX_LOGIN_FAILURES=1)
    body = {"grant_type": "password", "username": "another", "password": "wrong"}
    headers = {"X-Forwarded-For": OTHER}
    answers = [service.app.test_client().post("/auth/token", json=body, headers=headers) for _ in range(2)]
    assert [answer.status_code for answer in answers] == [400, 429]
    assert any("TRUSTED_PROXIES" in message for message in caplog.messages)


@pytest.mark.slow
def test_concurrent_logins_take_little_memory(tmp_path: Path) -> None:
    command = ("-m", "assembler_runner", "serve", "--port", "0", "--instance", str(tmp_path))
    with Process(*command, ADMIN_PASSWORD=PASSWORD, MAX_LOGIN_FAILURES="1000") as process:
        url = process.wait_for_line(READY)[1]

        def sign_in(number: int) -> int:
            body = {"grant_type": "password", "username": f"user{number}", "password": "wrong"}
            return httpx.post(f"{url}/auth/token", json=body, timeout=60).status_code

        with ThreadPoolExecutor(60) as pool:
            statuses = set(pool.map(sign_in, range(120)))
        # 503: the database was busy; the client may try again.
        assert statuses <= {400, 429, 503}
        status = Path(f"/proc/{process.pid}/status").read_text()
        peak = re.search(r"VmHWM:\s+(\d+) kB", status)
        assert peak is not None
        assert int(peak[1]) < 600_000
