"""What callers are told when the database fails under a request."""

from __future__ import annotations

from typing import Any, NoReturn

import pytest
from sqlalchemy.exc import IntegrityError, InterfaceError, InternalError, OperationalError

from assembler_runner.models import db
from tests.conftest import Service

AWAY = [OperationalError, InterfaceError, InternalError]


@pytest.mark.parametrize("kind", AWAY)
@pytest.mark.parametrize("connection_is_gone", [False, True])
def test_a_database_that_is_away_is_503(
    service: Service, monkeypatch: pytest.MonkeyPatch, kind: type[Exception], connection_is_gone: bool
) -> None:
    def fail(*_: Any) -> NoReturn:
        raise kind("SELECT", {}, Exception("the server says something"))  # type: ignore[call-arg]

    with monkeypatch.context() as patch:
        patch.setattr("assembler_runner.spaces.find_space", fail)
        if connection_is_gone:
            patch.setattr(db.session, "rollback", fail)
        answer = service.get("/spaces/x")
    assert (answer.status_code, answer.json["code"]) == (503, "database_unavailable")
    assert answer.headers["Retry-After"] == "5"
    assert "server says" not in answer.text
    assert service.get("/spaces").status_code == 200


def test_another_failure_of_the_database_is_500(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any) -> NoReturn:
        raise IntegrityError("INSERT", {}, Exception("duplicate"))

    monkeypatch.setattr("assembler_runner.spaces.find_space", fail)
    answer = service.get("/spaces/x")
    assert (answer.status_code, answer.json["code"]) == (500, "internal_error")
