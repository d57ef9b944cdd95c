"""What `assembler doctor` says of versions with known holes, proxies and open files."""

from __future__ import annotations

from importlib import metadata

import pytest
import sqlalchemy as sa

from assembler_runner.accounts.models import AuditEntry
from assembler_runner.core.database import db, utcnow
from assembler_runner.core.settings import load
from assembler_runner.ops import doctor_security
from assembler_runner.ops.doctor import examine
from tests.conftest import SECRETS, MakeService, Service


def found(service: Service) -> dict[str, str]:
    with service.app.app_context():
        return {entry.part: entry.message for entry in examine(service.services, db.engine) if entry.outcome != "ok"}


@pytest.mark.parametrize(
    ("version", "warned"),
    [((3, 11, 7), True), ((3, 11, 10), False), ((3, 12, 5), True), ((3, 12, 6), False), ((3, 13, 0), False)],
)
def test_an_interpreter_with_a_known_hole(version: tuple[int, int, int], warned: bool) -> None:
    assert bool(list(doctor_security._python(version))) is warned


def test_a_library_with_a_known_hole(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "libraries" not in found(service), "the locked ones have none"
    monkeypatch.setattr(metadata, "version", lambda name: "2.1.0" if name == "waitress" else "99")
    assert "waitress 2.1.0" in found(service)["libraries"]


def test_missing_trusted_proxies(make_service: MakeService) -> None:
    assert "TRUSTED_PROXIES" in found(make_service(SERVER_NAME="assembler.example"))["proxies"]
    assert "proxies" not in found(make_service(SERVER_NAME="assembler.example", TRUSTED_PROXIES=1))


@pytest.mark.parametrize(
    ("addresses", "warned"),
    [(["172.18.0.2"], True), (["127.0.0.1"], False), (["172.18.0.2", "172.18.0.3"], False), (["8.8.8.8"], False)],
)
def test_all_callers_have_the_address_of_a_proxy(service: Service, addresses: list[str], warned: bool) -> None:
    with service.app.app_context():
        db.session.execute(sa.delete(AuditEntry))
        for number in range(doctor_security.RECENT):
            address = addresses[number % len(addresses)]
            db.session.add(AuditEntry(action="x", created_at=utcnow(), address=address, **_columns()))
        db.session.commit()
    assert ("proxies" in found(service)) is warned


def _columns() -> dict[str, str]:
    """What an entry must have beside."""
    needed = (
        column.key
        for column in AuditEntry.__table__.columns
        if not column.nullable and column.default is None and column.key not in ("id", "action", "created_at")
    )
    return dict.fromkeys(needed, "x")


def test_too_few_open_files() -> None:
    settings = load({}, **SECRETS)
    assert list(doctor_security._open_files(settings, 256))
    assert not list(doctor_security._open_files(settings, 65536))
