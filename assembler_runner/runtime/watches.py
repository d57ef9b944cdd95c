"""Watches: the schedule of probes, shared by all workers.

A worker claims a Space, queries its target outside of any transaction, and stores the result only if the claim still
holds. When a lease expires, another worker may claim the Space; a new change of the Space ends the claim.
"""

from __future__ import annotations

import random
from collections.abc import Mapping
from functools import cache
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from assembler_runner.core.database import database_now, db, new_id
from assembler_runner.core.paging import total_of
from assembler_runner.core.redaction import add_fingerprints
from assembler_runner.core.upsert import upsert
from assembler_runner.core.vault import UnreadableSecret
from assembler_runner.runtime.models import AppWatch
from assembler_runner.services import Services
from assembler_runner.spaces.app_state import set_state
from assembler_runner.targets import Target
from assembler_runner.targets.realm_targets import LOCAL

LONGEST_GAP, SETTLE = 30, 30
"""In units of FOLLOW_SECONDS: the longest time between two probes, and the time until a stage counts without proof."""

AT_ONCE = 20
LOCAL_SECONDS = 5.0
"""Longest time between two probes of an app on this machine."""

_TABLE: Any = AppWatch.__table__
_ROW = _TABLE.c


def start(
    services: Services,
    session: Session,
    space_id: str,
    commit_oid: str | None,
    *,
    target: Target,
    state: str,
    secrets: Mapping[str, str] | None = None,
) -> None:
    """Starts the watch of a Space after a commit or a restart. The caller commits.

    Call this in the transaction that ends the request.

    Args:
        services: the services of this process.
        session: the session.
        space_id: the Space.
        commit_oid: the new commit; None for a restart, and for any other change that restarts the app.
        target: the target of the Space.
        state: the state after the change, see :meth:`Target.state_after_commit`.
        secrets: new secrets of the Space, for redaction in its logs.
    """
    set_state(session, space_id, state)
    schedule(services, session, space_id, commit_oid, target=target, state=state, secrets=secrets)


def schedule(
    services: Services,
    session: Session,
    space_id: str,
    commit_oid: str | None,
    *,
    target: Target,
    state: str,
    secrets: Mapping[str, str] | None = None,
) -> None:
    """Starts the watch of a Space whose new state is written already, see :func:`start`. The caller commits."""
    # A static local Space is served as it is, and others are only stored where no apps run.
    is_watched = target.name != LOCAL or state not in ("running", "stored")
    values: dict[str, Any] = {"space_id": space_id, "commit_oid": commit_oid, "first_stage": None, "owner": None}
    values |= {"is_open": is_watched, "has_moved": False, "errors": 0, "account": target.account or ""}
    if is_watched:
        values["gap"] = services.settings.FOLLOW_SECONDS
    if secrets:
        encrypted = session.scalar(sa.select(_ROW.encrypted_fingerprints).where(_ROW.space_id == space_id))
        values["encrypted_fingerprints"] = _fingerprints(services, encrypted, secrets)
    statement = _start(session.get_bind().dialect.name, is_watched=is_watched, has_secrets=bool(secrets))
    session.connection().execute(statement, values)


@cache
def _start(dialect: str, *, is_watched: bool, has_secrets: bool) -> Any:
    due_at = database_now() + sa.bindparam("gap", type_=sa.Double) if is_watched else None
    set_ = ["commit_oid", "first_stage", "owner", "is_open", "has_moved", "errors", "account", "since", "due_at"]
    if has_secrets:
        set_.append("encrypted_fingerprints")
    return upsert(AppWatch, dialect, set_).values(since=database_now(), due_at=due_at)


def stop(session: Session, space_id: str) -> None:
    """Stops the watch of a deleted Space. The caller commits."""
    _update(session, _ROW.space_id == space_id, due_at=None, owner=None, is_open=False)


def due_accounts() -> list[str]:
    """Returns the accounts with due probes, longest overdue first."""
    query = sa.select(_ROW.account).where(_ROW.due_at <= database_now()).group_by(_ROW.account)
    accounts = list(db.session.scalars(query.order_by(sa.func.min(_ROW.due_at))))
    db.session.rollback()
    return accounts


def seconds_to_next(limit: float) -> float:
    """Returns the seconds until the next probe is due, at most `limit`."""
    due = db.session.scalar(sa.select(sa.func.min(_ROW.due_at) - database_now()))
    db.session.rollback()
    return limit if due is None else max(0.0, min(limit, due))


def claim_next(account: str, seconds: float) -> tuple[str, str] | None:
    """Claims the Space of an account whose probe is longest overdue.

    Args:
        account: the account.
        seconds: duration of the lease.
    Returns:
        The ids of the Space and of the claim; None if no probe is due.
    """
    due = sa.select(_ROW.space_id).where(_ROW.account == account, _ROW.due_at <= database_now())
    for space_id in db.session.scalars(due.order_by(_ROW.due_at).limit(AT_ONCE)).all():
        if owner := _claim(space_id, _ROW.due_at <= database_now(), seconds):
            return space_id, owner
    db.session.rollback()
    return None


def claim(space_id: str, seconds: float) -> str | None:
    """Claims a Space, due or not, unless a probe is running.

    Args:
        space_id: the Space.
        seconds: duration of the lease.
    Returns:
        The id of the claim; None if a probe is running.
    """
    free = sa.or_(_ROW.owner.is_(None), _ROW.due_at <= database_now())
    return _claim(space_id, free, seconds)


def renew(space_id: str, owner: str, seconds: float) -> bool:
    """Renews the lease of a claim.

    Args:
        space_id: the Space.
        owner: the id of the claim.
        seconds: duration of the new lease.
    Returns:
        False if the claim was lost.
    """
    held = _update(db.session(), _held(space_id, owner), due_at=database_now() + seconds)
    db.session.commit()
    return held


def release(space_id: str, owner: str, seconds: float | None, **values: Any) -> bool:
    """Releases a claim in the current transaction; the caller commits.

    Args:
        space_id: the Space.
        owner: the id of the claim.
        seconds: seconds until the next probe; None for probes on request only.
        values: other columns to set.
    Returns:
        False if the claim was lost; then the result of the probe is outdated, and the caller must roll back.
    """
    due = None if seconds is None else database_now() + seconds
    return _update(db.session(), _held(space_id, owner), due_at=due, owner=None, **values)


def postpone(account: str, seconds: float) -> None:
    """Delays all probes of an account, because its rate limit is nearly exhausted.

    Args:
        account: the account.
        seconds: minimum delay from now.
    """
    later = database_now() + seconds
    waiting = (_ROW.account == account) & (_ROW.due_at < later) & _ROW.owner.is_(None)
    _update(db.session(), waiting, due_at=later)
    db.session.commit()


def release_claims() -> int:
    """Releases all claims, when the only process of an instance starts; returns their number."""
    held = sa.update(_TABLE).where(_ROW.owner.is_not(None)).values(owner=None, due_at=database_now())
    ended = db.session.execute(held)
    db.session.commit()
    return int(ended.rowcount)  # type: ignore[attr-defined]  # an UPDATE always gives a CursorResult


def seconds_until_next_probe(services: Services, account: str, is_open: bool, age: float, gap: float) -> float | None:
    """Returns the seconds until the next probe of a Space, with some jitter; None for probes on request only.

    Args:
        services: the services of this process.
        account: the account whose rate limit the probe counts against.
        is_open: whether the outcome of the last change is still open.
        age: seconds since that change.
        gap: minimum seconds between two probes of the account.
    """
    shortest = services.settings.FOLLOW_SECONDS
    if is_open:
        wanted = min(LONGEST_GAP * shortest, max(shortest, age / 10))
    elif services.settings.WATCH_SECONDS > 0:
        # To probe an app on this machine is to read a row.
        wanted = services.settings.WATCH_SECONDS if account else min(services.settings.WATCH_SECONDS, LOCAL_SECONDS)
    else:
        return None
    many = sa.select(_ROW.space_id).where(_ROW.account == account)
    many = many.where(_ROW.is_open) if is_open else many.where(_ROW.due_at.is_not(None))
    in_turn = gap * total_of(db.session(), many)
    spread = random.uniform(0.9, 1.1)  # noqa: S311 - spreads load, guards nothing
    return max(wanted, in_turn) * spread


def back_off(services: Services, errors: int) -> float:
    """Returns the seconds to wait after a number of consecutive failures."""
    return float(min(LONGEST_GAP * services.settings.FOLLOW_SECONDS, services.settings.FOLLOW_SECONDS * 2**errors))


def _claim(space_id: str, condition: Any, seconds: float) -> str | None:
    owner = new_id()
    values = {"owner": owner, "due_at": database_now() + seconds}
    claimed = _update(db.session(), (_ROW.space_id == space_id) & condition, **values)
    db.session.commit()
    return owner if claimed else None


def _held(space_id: str, owner: str) -> Any:
    return (_ROW.space_id == space_id) & (_ROW.owner == owner)


def _update(session: Session, condition: Any, **values: Any) -> bool:
    changed = session.execute(sa.update(_TABLE).where(condition).values(**values))
    return bool(changed.rowcount == 1)  # type: ignore[attr-defined]  # an UPDATE always gives a CursorResult


def _fingerprints(services: Services, encrypted: str | None, secrets: Mapping[str, str]) -> str | None:
    try:
        return add_fingerprints(services.vault, encrypted, secrets)
    except UnreadableSecret:
        # The old fingerprints were encrypted with a lost key; keep at least the new ones.
        return add_fingerprints(services.vault, None, secrets)
