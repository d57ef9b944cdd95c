"""Shares of places that realms and accounts use together."""

from __future__ import annotations

from contextlib import ExitStack

from hypothesis import given
from hypothesis import strategies as st

from assembler_runner.core.shares import Shares
from tests.conftest import MakeService, Service
from tests.support.people import make_realm, make_user

STREAM = {"Accept": "text/event-stream"}


@given(st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from("xyz")), max_size=60), st.integers(1, 20))
def test_what_is_held_never_passes_the_limit_and_is_given_back(holders: list[tuple[str, str]], most: int) -> None:
    shares = Shares()
    with ExitStack() as stack:
        taken = sum(stack.enter_context(shares.take(most, realm + account, realm)) for account, realm in holders)
        assert shares.open == taken <= most
        # A realm that holds nothing has a place while one is free.
        assert stack.enter_context(shares.take(most, "new", "new")) is (taken < most)
    assert shares.open == 0
    with shares.take(1, "a", "x") as again:
        assert again


def test_one_account_does_not_take_all_event_streams(make_service: MakeService) -> None:
    service = make_service(MAX_EVENT_READERS=8)
    _check_shares(service, "events", ("too_many_readers", 6))


def test_one_account_does_not_take_all_log_streams(make_service: MakeService) -> None:
    service = make_service(MAX_LOG_STREAMS=8)
    _check_shares(service, "logs", ("too_many_readers", 6))


def _check_shares(service: Service, what: str, expected: tuple[str, int]) -> None:
    person = make_user(service, "ann", make_realm(service, "other"))
    mine, theirs = service.submit()["id"], person.post("/spaces", BODY).json["id"]
    with ExitStack() as stack:
        opened = []
        for _ in range(8):
            answer = service.get(f"/spaces/{mine}/{what}", headers=STREAM, buffered=False)
            stack.callback(answer.close)
            opened.append(answer.status_code)
        assert opened == [200] * expected[1] + [503] * (8 - expected[1])
        answer = service.client.get(f"/spaces/{theirs}/{what}", headers=person.headers | STREAM, buffered=False)
        stack.callback(answer.close)
        assert answer.status_code == 200


BODY = {"space_type": "static", "files": {"index.html": "x"}}
