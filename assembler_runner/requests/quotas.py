"""How much a realm and an account may use: Spaces, requests in an hour, bytes in files."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import sqlalchemy as sa

from assembler_runner.accounts.models import Realm, Robot, User
from assembler_runner.accounts.permissions import QUOTAS, Account
from assembler_runner.core.database import db, utcnow
from assembler_runner.core.errors import QuotaExceeded
from assembler_runner.core.settings import Settings
from assembler_runner.files.models import BucketFile
from assembler_runner.spaces.models import RequestFile, Space, SpaceRequest

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
    limits = _check_totals(settings, account, spaces, size)
    for standing in _standings(limits):
        if standing.left == 0:
            message = f"The {standing.scope} has used its {standing.most} requests of this hour."
            raise QuotaExceeded(message, retry_after=standing.reset)


def check_bytes(settings: Settings, account: Account, size: int) -> None:
    """Checks before files are stored without a request; the caller stores them in the same transaction.

    Args:
        settings: the defaults.
        account: who is calling.
        size: how many bytes the files have.
    Raises:
        QuotaExceeded: naming the quota that is used up.
    """
    _check_totals(settings, account, 0, size)


def check_return(settings: Settings, request: SpaceRequest) -> None:
    """Checks before a retry makes a Space hold its name again; the caller stores that in the same transaction.

    Args:
        settings: the defaults.
        request: the request that is retried; what it uses counts for its realm and its owner.
    Raises:
        QuotaExceeded: naming the quota that is used up.
    """
    robot = db.session.get(Robot, request.owner_id)
    owner = Account(request.owner_id, "", request.realm_id, "", "user" if robot is None else "robot")
    _check_totals(settings, owner, 1, 0)


def standings(settings: Settings, account: Account) -> list[Standing]:
    """Returns how much is used of the hourly quotas that hold for an account."""
    return _standings(_limits(settings, account))


_Limits = list[tuple[str, dict[str, str], dict[str, int | None]]]


def _check_totals(settings: Settings, account: Account, spaces: int, size: int) -> _Limits:
    limits = _limits(settings, account)
    if all(most is None for _, _, mosts in limits for most in mosts.values()):
        return limits
    # Two requests at the same moment wait for each other here, so that both are counted.
    db.session.execute(sa.select(Realm.id).where(Realm.id == account.realm_id).with_for_update())
    for scope, owned, most in limits:
        _check_total(scope, "Spaces", _spaces(owned), spaces, most["spaces"])
        _check_total(scope, "bytes in files", _bytes(owned), size, most["bytes"])
    return limits


def _limits(settings: Settings, account: Account) -> _Limits:
    found: _Limits = []
    own: type[Realm] | type[Robot] | type[User] = Robot if account.kind == "robot" else User
    for scope, owned, given in (
        ("realm", {"realm_id": account.realm_id}, _given(account, Realm, account.realm_id)),
        ("account", {"owner_id": account.id}, _given(account, own, account.id)),
    ):
        most: dict[str, int | None] = {}
        for name in QUOTAS:
            default = getattr(settings, f"{scope}_max_{name}".upper()) or None
            most[name] = default if given[name] is None else given[name]
        found.append((scope, owned, most))
    return found


def _given(account: Account, model: type[Realm] | type[Robot] | type[User], id: str) -> Mapping[str, int | None]:
    """Returns what is set for a realm or an account; mostly it was read when the caller was checked."""
    if account.limits is not None and id in account.limits:
        return account.limits[id]
    row = db.session.get(model, id)
    return {name: getattr(row, f"max_{name}", None) for name in QUOTAS}


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
    # Those of deleted Spaces, too: they are kept until the retention removes them.
    files = sa.select(sa.func.sum(RequestFile.size)).join(SpaceRequest, SpaceRequest.id == RequestFile.request_id)
    of_requests = files.where(_owned(SpaceRequest, owned)).scalar_subquery()
    kept = {"actor_id" if name == "owner_id" else name: value for name, value in owned.items()}
    of_buckets = sa.select(sa.func.sum(BucketFile.size)).where(_owned(BucketFile, kept)).scalar_subquery()
    return sa.select(sa.func.coalesce(of_requests, 0) + sa.func.coalesce(of_buckets, 0))


def _check_total(scope: str, what: str, used: sa.Select[Any], more: int, most: int | None) -> None:
    if most is None or more == 0:
        return
    wanted = int(db.session.scalar(used) or 0) + more
    if wanted > most:
        message = f"The {scope} would have {wanted} {what}; it may have {most}."
        hint = "Delete Spaces that are not needed, or ask an administrator for more."
        if what != "Spaces":
            hint += " The files of deleted Spaces count for a day."
        raise QuotaExceeded(message, hint=hint, retry_after=HOUR)
