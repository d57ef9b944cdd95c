"""Responses when the database fails during a request."""

from __future__ import annotations

from typing import Any, NoReturn

import pytest
import sqlalchemy as sa
from flask import Response
from sqlalchemy.exc import IntegrityError, InterfaceError, InternalError, OperationalError

from assembler_runner.core.database import db
from tests.conftest import MakeService, Service
from tests.support.services import postgres_database

AWAY = [OperationalError, InterfaceError, InternalError]


@pytest.mark.parametrize("kind", AWAY)
@pytest.mark.parametrize("connection_is_gone", [False, True])
def test_an_unreachable_database_is_503(
    service: Service, monkeypatch: pytest.MonkeyPatch, kind: type[Exception], connection_is_gone: bool
) -> None:
    def fail(*_: Any) -> NoReturn:
        raise kind("SELECT", {}, Exception("the server says something"))  # type: ignore[call-arg]

    with monkeypatch.context() as patch:
        patch.setattr("assembler_runner.requests.queries.find_space", fail)
        if connection_is_gone:
            patch.setattr(db.session, "rollback", fail)
        answer = service.get("/spaces/x")
    assert (answer.status_code, answer.json["code"]) == (503, "database_unavailable")
    assert answer.headers["Retry-After"] == "5"
    assert "server says" not in answer.text
    assert service.get("/spaces").status_code == 200


def test_another_database_error_is_500(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any) -> NoReturn:
        raise IntegrityError("INSERT", {}, Exception("duplicate"))

    monkeypatch.setattr("assembler_runner.requests.queries.find_space", fail)
    answer = service.get("/spaces/x")
    assert (answer.status_code, answer.json["code"]) == (500, "internal_error")


def test_an_accepted_request_is_returned_even_if_the_quotas_cannot_be_read(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any) -> NoReturn:
        raise OperationalError("SELECT", {}, Exception("gone"))

    monkeypatch.setattr("assembler_runner.api.http.middleware.quotas.hourly_usage", fail)
    space = service.submit()
    assert service.work(space["latest_request"]["id"])["status"] == "succeeded"


def test_a_connection_lost_after_the_response_was_built_does_not_affect_it(make_service: MakeService) -> None:
    with postgres_database() as uri:
        service = make_service(SQLALCHEMY_DATABASE_URI=uri)

        def end_connection(response: Response) -> Response:
            own = db.session.scalar(sa.select(sa.func.pg_backend_pid()))
            with db.engine.connect() as other:
                assert other.scalar(sa.select(sa.func.pg_terminate_backend(own, 5000)))
            return response

        service.app._got_first_request = False
        service.app.after_request(end_connection)
        assert service.get("/spaces").status_code == 200
        service.app.after_request_funcs[None].remove(end_connection)
        assert service.get("/spaces").status_code == 200
        with service.app.app_context():
            db.engine.dispose()
