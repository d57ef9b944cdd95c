"""How much a realm and an account may use: Spaces, requests in an hour, bytes in files."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import sqlalchemy as sa

from assembler_runner.account_models import Realm, Robot, User
from assembler_runner.errors import QuotaExceeded
from assembler_runner.models import RequestFile, Space, SpaceRequest, db, utcnow
from assembler_runner.rights import Account
from assembler_runner.settings import Settings

HOUR = 3600


@dataclass(frozen=True)
class Standing:
    """How much of one hourly quota is used.

    Args:
        scope: realm or account.
        most: requests in an hour.
        left: how many are left.
        reset: seconds until one more is left.
    """

    scope: str
    most: int
    left: int
    reset: int


def check(settings: Settings, account: Account, *, spaces: int, size: int) -> None:
    """Checks before a request is stored; the caller stores it in the same transaction.

    Args:
        settings: the defaults.
        account: who is calling.
        spaces: how many Spaces it makes.
        size: how many bytes its files have.
    Raises:
        QuotaExceeded: naming the quota that is used up.
    """
    realm = db.session.get(Realm, account.realm_id)
    limits = _limits(settings, account, realm)
    if all(most is None for _, _, mosts in limits for most in mosts.values()):
        return
    # Two requests at the same moment wait for each other here, so that both are counted.
    db.session.execute(sa.select(Realm.id).where(Realm.id == account.realm_id).with_for_update())
    for scope, owned, most in limits:
        _check_total(scope, "Spaces", _spaces(owned), spaces, most["spaces"])
        _check_total(scope, "bytes in files", _bytes(owned), size, most["bytes"])
    for standing in _standings(limits):
        if standing.left == 0:
            message = f"The {standing.scope} has used its {standing.most} requests of this hour."
            raise QuotaExceeded(message, retry_after=standing.reset)


def standings(settings: Settings, account: Account) -> list[Standing]:
    """Returns how much is used of the hourly quotas that hold for an account."""
    return _standings(_limits(settings, account, db.session.get(Realm, account.realm_id)))


_Limits = list[tuple[str, dict[str, str], dict[str, int | None]]]


def _limits(settings: Settings, account: Account, realm: Realm | None) -> _Limits:
    row = db.session.get(Robot if account.kind == "robot" else User, account.id)
    found: _Limits = []
    for scope, owned, own in (
        ("realm", {"realm_id": account.realm_id}, realm),
        ("account", {"owner_id": account.id}, row),
    ):
        most: dict[str, int | None] = {}
        for name in ("spaces", "requests_per_hour", "bytes"):
            given = getattr(own, f"max_{name}", None)
            most[name] = getattr(settings, f"{scope}_max_{name}".upper()) or None if given is None else given
        found.append((scope, owned, most))
    return found


def _standings(limits: _Limits) -> list[Standing]:
    since = utcnow() - timedelta(seconds=HOUR)
    found = []
    for scope, owned, most in limits:
        hourly = most["requests_per_hour"]
        if hourly is not None:
            recent = sa.and_(_owned(SpaceRequest, owned), SpaceRequest.created_at > since)
            query = sa.select(sa.func.count(), sa.func.min(SpaceRequest.created_at)).where(recent)
            used, oldest = db.session.execute(query).one()
            reset = math.ceil((oldest - since).total_seconds()) if oldest else HOUR
            found.append(Standing(scope, hourly, max(0, hourly - used), max(1, reset)))
    return found


def _owned(model: type[Any], owned: dict[str, str]) -> sa.ColumnElement[bool]:
    return sa.and_(*(getattr(model, name) == value for name, value in owned.items()))


def _spaces(owned: dict[str, str]) -> sa.Select[Any]:
    return sa.select(sa.func.count()).select_from(Space).where(_owned(Space, owned), Space.slot.is_not(None))


def _bytes(owned: dict[str, str]) -> sa.Select[Any]:
    files = sa.select(sa.func.sum(RequestFile.size)).join(SpaceRequest, SpaceRequest.id == RequestFile.request_id)
    return files.where(_owned(SpaceRequest, owned))


def _check_total(scope: str, what: str, used: sa.Select[Any], more: int, most: int | None) -> None:
    if most is None or more == 0:
        return
    wanted = int(db.session.scalar(used) or 0) + more
    if wanted > most:
        message = f"The {scope} would have {wanted} {what}; it may have {most}."
        hint = "Delete Spaces that are not needed, or ask an administrator for more."
        raise QuotaExceeded(message, hint=hint, retry_after=HOUR)
