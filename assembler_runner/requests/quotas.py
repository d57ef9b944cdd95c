"""Quotas of realms and accounts: Spaces, requests per hour, bytes in files."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa

from assembler_runner.accounts.models import Realm, Robot, User
from assembler_runner.accounts.permissions import QUOTAS, Account
from assembler_runner.core.database import db, utcnow, without_index
from assembler_runner.core.errors import QuotaExceeded
from assembler_runner.core.recent import Recent
from assembler_runner.core.settings import Settings
from assembler_runner.files.models import BucketFile
from assembler_runner.spaces.models import RequestFile, Space, SpaceRequest

HOUR = 3600
_FEW, _OLD_SECONDS = 1000, 60.0
_old_totals: Recent[tuple[datetime, int]] = Recent(_OLD_SECONDS)


@dataclass(frozen=True)
class QuotaUsage:
    """The usage of an hourly quota.

    Args:
        scope: realm or account.
        most: allowed requests per hour.
        left: remaining requests.
        reset: seconds until one more request is allowed.
    """

    scope: str
    most: int
    left: int
    reset: int


def check(settings: Settings, account: Account, *, spaces: int, size: int) -> None:
    """Checks the quotas before a request is stored; the caller must store it in the same transaction.

    Args:
        settings: the default quotas.
        account: the caller.
        spaces: number of Spaces that the request creates.
        size: total size of its files in bytes.
    Raises:
        QuotaExceeded: names the exhausted quota.
    """
    limits = _check_totals(settings, account, spaces, size)
    for usage in _usage(limits):
        if usage.left == 0:
            message = f"The {usage.scope} has used its {usage.most} requests per hour."
            raise QuotaExceeded(message, retry_after=usage.reset)


def check_bytes(settings: Settings, account: Account, size: int) -> None:
    """Checks the quotas before files are stored without a request; the caller must store them in the same transaction.

    Args:
        settings: the default quotas.
        account: the caller.
        size: total size of the files in bytes.
    Raises:
        QuotaExceeded: names the exhausted quota.
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


def hourly_usage(settings: Settings, account: Account) -> list[QuotaUsage]:
    """Returns the usage of the hourly quotas that apply to an account."""
    return _usage(_limits(settings, account))


_Limits = list[tuple[str, dict[str, str], dict[str, int | None]]]


def _check_totals(settings: Settings, account: Account, spaces: int, size: int) -> _Limits:
    limits = _limits(settings, account)
    if all(most is None for _, _, mosts in limits for most in mosts.values()):
        return limits
    # The lock serializes concurrent requests of a realm, so that each one is counted.
    db.session.execute(sa.select(Realm.id).where(Realm.id == account.realm_id).with_for_update())
    for scope, owned, most in limits:
        _check_total(scope, "Spaces", _Spaces(owned), spaces, most["spaces"])
        _check_total(scope, "bytes in files", _Bytes(owned), size, most["bytes"])
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
    """Returns the quotas set for a realm or an account; usually they were loaded when the caller was authenticated."""
    if account.limits is not None and id in account.limits:
        return account.limits[id]
    row = db.session.get(model, id)
    return {name: getattr(row, f"max_{name}", None) for name in QUOTAS}


def _usage(limits: _Limits) -> list[QuotaUsage]:
    since = utcnow() - timedelta(seconds=HOUR)
    found = []
    for scope, owned, most in limits:
        hourly = most["requests_per_hour"]
        if hourly is not None:
            recent = _owned(SpaceRequest, owned, since)
            query = sa.select(sa.func.count(), sa.func.min(SpaceRequest.created_at)).where(recent)
            used, oldest = db.session.execute(query).one()
            reset = math.ceil((oldest - since).total_seconds()) if oldest else HOUR
            found.append(QuotaUsage(scope, hourly, max(0, hourly - used), max(1, reset)))
    return found


def _owned(
    model: type[Any], owned: dict[str, str], since: datetime | None = None, until: datetime | None = None
) -> sa.ColumnElement[bool]:
    """Returns the condition for rows of an owner, created at or after one time and before another one."""
    conditions = [getattr(model, name) == value for name, value in owned.items()]
    if since is not None:
        # The index on the time: of an owner's rows most are old.
        conditions = [without_index(getattr(model, name)) == value for name, value in owned.items()]
        conditions.append(model.created_at >= since)
    if until is not None:
        conditions.append(model.created_at < until)
    return sa.and_(*conditions)


class _Total:
    """What an owner uses. If that are many rows, those older than a minute are read once a minute.

    Args:
        owned: the owner: name of its column → id.
    """

    models: tuple[type[Any], ...]

    def __init__(self, owned: dict[str, str]) -> None:
        self._owned = owned

    def read(self) -> int:
        """Returns the total."""
        if all(self._few(model) for model in self.models):
            return self._sum()
        key = f"{db.engine.url} {type(self).__name__} {self._owned}"
        until, old = _old_totals.get(key, self._read_old)
        return old + self._sum(since=until)

    def of(self, model: type[Any]) -> dict[str, str]:
        """Returns the owner's column of a model, and its id."""
        named = model is BucketFile
        return {"actor_id" if named and name == "owner_id" else name: value for name, value in self._owned.items()}

    def query(self, since: datetime | None, until: datetime | None) -> sa.Select[Any]:
        """Returns the query of the total of rows created between two times."""
        raise NotImplementedError

    def _few(self, model: type[Any]) -> bool:
        some = sa.select(sa.literal(1)).select_from(model).where(_owned(model, self.of(model))).limit(_FEW + 1)
        return int(db.session.scalar(sa.select(sa.func.count()).select_from(some.subquery())) or 0) <= _FEW

    def _read_old(self) -> tuple[datetime, int]:
        # Younger rows may not be committed yet.
        until = utcnow() - timedelta(seconds=_OLD_SECONDS)
        return until, self._sum(until=until)

    def _sum(self, since: datetime | None = None, until: datetime | None = None) -> int:
        return int(db.session.scalar(self.query(since, until)) or 0)


class _Spaces(_Total):
    models = (Space,)

    def query(self, since: datetime | None, until: datetime | None) -> sa.Select[Any]:
        of_owner = _owned(Space, self.of(Space), since, until)
        return sa.select(sa.func.count()).select_from(Space).where(of_owner, Space.slot.is_not(None))


class _Bytes(_Total):
    models = (SpaceRequest, BucketFile)

    def query(self, since: datetime | None, until: datetime | None) -> sa.Select[Any]:
        # Those of deleted Spaces, too: they are kept until the retention removes them.
        files = sa.select(sa.func.sum(RequestFile.size)).join(SpaceRequest, SpaceRequest.id == RequestFile.request_id)
        of_requests = files.where(_owned(SpaceRequest, self.of(SpaceRequest), since, until))
        of_owner = _owned(BucketFile, self.of(BucketFile), since, until)
        of_buckets = sa.select(sa.func.sum(BucketFile.size)).where(of_owner)
        return sa.select(
            sa.func.coalesce(of_requests.scalar_subquery(), 0) + sa.func.coalesce(of_buckets.scalar_subquery(), 0)
        )


def _check_total(scope: str, what: str, used: _Total, more: int, most: int | None) -> None:
    if most is None or more == 0:
        return
    wanted = used.read() + more
    if wanted > most:
        message = f"The {scope} would have {wanted} {what}; its quota is {most}."
        hint = "Delete Spaces that are not needed, or ask an administrator for a higher quota."
        if what != "Spaces":
            hint += " The files of deleted Spaces count for a day."
        raise QuotaExceeded(message, hint=hint, retry_after=HOUR)
