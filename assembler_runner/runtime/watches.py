"""The rows of what is followed: who looks at which Space when, over all workers.

A worker claims a Space, asks its target outside of any transaction, and writes the answer only while the claim holds. A
claim that runs out is taken up by another worker; a change that is made meanwhile ends it.
"""

from __future__ import annotations

import random
from collections.abc import Mapping
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from assembler_runner.core.database import database_now, db, new_id
from assembler_runner.core.redaction import add_fingerprints
from assembler_runner.core.upsert import insert_rows
from assembler_runner.core.vault import UnreadableSecret
from assembler_runner.runtime.models import AppWatch
from assembler_runner.services import Services
from assembler_runner.spaces.app_state import set_state
from assembler_runner.targets import Target
from assembler_runner.targets.realm_targets import LOCAL

LONGEST_GAP, SETTLE = 30, 30
"""In units of FOLLOW_SECONDS: between two looks at most, and until a stage counts without a proof."""

AT_ONCE = 20

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
    """Follows a Space from now on, because a commit or a restart was just made. The caller commits.

    Call it in the transaction that ends the request.

    Args:
        services: the services of this process.
        session: the session.
        space_id: the Space.
        commit_oid: the new commit; None for a restart, and for whatever else made the app start anew.
        target: where it is published.
        state: the state the change has led to, as in `Target.state_after_commit`.
        secrets: secrets the Space got with it, to be known in its logs.
    """
    set_state(session, space_id, state)
    insert_rows(
        session, AppWatch, [{"space_id": space_id, "since": 0.0, "is_open": False, "has_moved": False, "errors": 0}]
    )
    followed = target.name != LOCAL
    values: dict[str, Any] = {"since": database_now(), "commit_oid": commit_oid, "first_stage": None, "owner": None}
    values |= {"is_open": followed, "has_moved": False, "errors": 0}
    values |= {"due_at": database_now() + services.settings.FOLLOW_SECONDS if followed else None}
    values |= {"account": target.account or ""}
    if secrets:
        sealed = session.scalar(sa.select(_ROW.encrypted_fingerprints).where(_ROW.space_id == space_id))
        values["encrypted_fingerprints"] = _fingerprints(services, sealed, secrets)
    _update(session, _ROW.space_id == space_id, **values)


def stop(session: Session, space_id: str) -> None:
    """Follows a Space no more, because it is deleted. The caller commits."""
    _update(session, _ROW.space_id == space_id, due_at=None, owner=None, is_open=False)


def due_accounts() -> list[str]:
    """Returns the accounts with something to look at now."""
    query = sa.select(_ROW.account).where(_ROW.due_at <= database_now()).group_by(_ROW.account)
    accounts = list(db.session.scalars(query.order_by(sa.func.min(_ROW.due_at))))
    db.session.rollback()
    return accounts


def seconds_to_next(limit: float) -> float:
    """Returns the seconds until something is due, at most `limit`."""
    due = db.session.scalar(sa.select(sa.func.min(_ROW.due_at) - database_now()))
    db.session.rollback()
    return limit if due is None else max(0.0, min(limit, due))


def claim_next(account: str, seconds: float) -> tuple[str, str] | None:
    """Claims the Space of an account that has waited longest.

    Args:
        account: the account.
        seconds: how long the claim holds.
    Returns:
        The Space and the claim, or None if nothing is due.
    """
    due = sa.select(_ROW.space_id).where(_ROW.account == account, _ROW.due_at <= database_now())
    for space_id in db.session.scalars(due.order_by(_ROW.due_at).limit(AT_ONCE)).all():
        if owner := _claim(space_id, _ROW.due_at <= database_now(), seconds):
            return space_id, owner
    db.session.rollback()
    return None


def claim(space_id: str, seconds: float) -> str | None:
    """Claims one Space now, due or not, unless somebody is just looking at it; returns the claim."""
    free = sa.or_(_ROW.owner.is_(None), _ROW.due_at <= database_now())
    return _claim(space_id, free, seconds)


def renew(space_id: str, owner: str, seconds: float) -> bool:
    """Makes a claim hold on; returns whether it still did."""
    held = _update(db.session(), _held(space_id, owner), due_at=database_now() + seconds)
    db.session.commit()
    return held


def release(space_id: str, owner: str, seconds: float | None, **values: Any) -> bool:
    """Ends a claim in the present transaction, which the caller commits.

    Args:
        space_id: the Space.
        owner: the claim.
        seconds: when it is looked at next; None: only when somebody asks.
        values: other columns to set.
    Returns:
        Whether the claim still held; if not, what was learnt is out of date and has to be rolled back.
    """
    due = None if seconds is None else database_now() + seconds
    return _update(db.session(), _held(space_id, owner), due_at=due, owner=None, **values)


def postpone(account: str, seconds: float) -> None:
    """Looks at nothing of an account for a while, because its rate limit is nearly used up."""
    later = database_now() + seconds
    waiting = (_ROW.account == account) & (_ROW.due_at < later) & _ROW.owner.is_(None)
    _update(db.session(), waiting, due_at=later)
    db.session.commit()


def release_claims() -> int:
    """Ends all claims at the start of a process that knows that no other lives; returns how many."""
    held = sa.update(_TABLE).where(_ROW.owner.is_not(None)).values(owner=None, due_at=database_now())
    ended = db.session.execute(held)
    db.session.commit()
    return int(ended.rowcount)  # type: ignore[attr-defined]  # an UPDATE always gives a CursorResult


def seconds_until_next_probe(services: Services, account: str, is_open: bool, age: float, gap: float) -> float | None:
    """Returns when a Space is looked at next, spread a little; None: only when somebody asks.

    Args:
        services: the services of this process.
        account: whose rate limit it is counted against.
        is_open: whether the verdict is still open.
        age: seconds since the change.
        gap: seconds that the target wants between two looks of the account.
    """
    shortest = services.settings.FOLLOW_SECONDS
    if is_open:
        wanted = min(LONGEST_GAP * shortest, max(shortest, age / 10))
    elif services.settings.WATCH_SECONDS > 0:
        wanted = services.settings.WATCH_SECONDS
    else:
        return None
    many = sa.select(sa.func.count()).where(_ROW.account == account)
    many = many.where(_ROW.is_open) if is_open else many.where(_ROW.due_at.is_not(None))
    in_turn = gap * (db.session.scalar(many) or 0)
    spread = random.uniform(0.9, 1.1)  # noqa: S311 - spreads load, guards nothing
    return max(wanted, in_turn) * spread


def back_off(services: Services, errors: int) -> float:
    """Returns the seconds to wait after so many failures in a row."""
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


def _fingerprints(services: Services, sealed: str | None, secrets: Mapping[str, str]) -> str | None:
    try:
        return add_fingerprints(services.vault, sealed, secrets)
    except UnreadableSecret:
        # The key of the old marks is gone; the new ones are known at least.
        return add_fingerprints(services.vault, None, secrets)
