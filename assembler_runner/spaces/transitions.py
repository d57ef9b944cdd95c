"""The table of allowed transitions of a request, and the only function that changes its status."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from assembler_runner.core.commit_signals import endings, notify_after_commit
from assembler_runner.core.database import utcnow
from assembler_runner.spaces.events import record_event
from assembler_runner.spaces.models import (
    CANCELLED,
    FAILED,
    FINISHED,
    QUEUED,
    REQUEST_ID,
    REQUESTS,
    RUNNING,
    SPACE_ID,
    SPACES,
    SUCCEEDED,
)

TRANSITIONS: dict[str, frozenset[str]] = {
    QUEUED: frozenset({RUNNING, CANCELLED}),
    RUNNING: frozenset({RUNNING, QUEUED, SUCCEEDED, FAILED, CANCELLED}),
    SUCCEEDED: frozenset(),
    FAILED: frozenset({QUEUED}),
    CANCELLED: frozenset({QUEUED}),
}
"""Status of a request → allowed next statuses. running → running is the take-over after an expired lease."""


def move_to(
    session: Session,
    request_id: str,
    status: str,
    *,
    space_id: str | None = None,
    owner: str | None = None,
    condition: Any = None,
    counted: bool = False,
    **values: Any,
) -> bool:
    """Changes the status of a request if the current status allows it; the only place that does so.

    The change is one conditional UPDATE, so that of two concurrent attempts only one succeeds; the event is written in
    the same transaction. The row of the Space is always locked before that of the request, which avoids deadlocks.

    Args:
        session: the session; the caller commits.
        request_id: the request.
        status: the new status.
        space_id: its Space, if the caller has already locked that row; None: it is locked here.
        owner: the claim that must still own the request (fence), for changes made by a worker.
        condition: further condition on the row.
        counted: True if the caller has already counted the event in the row of the Space.
        values: other columns to set.
    Returns:
        Whether the status was changed.
    """
    space_id = space_id or hold_space_of(session, request_id)
    if space_id is None:
        return False
    changed = transition(status, fenced=owner is not None)
    if condition is not None:
        changed = changed.where(condition)
    if not change_status(session, request_id, status, changed, owner=owner, **values):
        return False
    data = status_data(values)
    record_event(session, status, space_id=space_id, request_id=request_id, data=data, counted=counted)
    return True


@cache
def transition(status: str, *, fenced: bool = False) -> sa.Update:
    """Returns the statement that changes the status of a request if the current status allows it.

    Args:
        status: the new status.
        fenced: whether the claim must still own the request.
    """
    sources = (REQUESTS.c.status == source for source, targets in TRANSITIONS.items() if status in targets)
    changed = sa.update(REQUESTS).where(REQUESTS.c.id == sa.bindparam("of", type_=sa.String), sa.or_(*sources))
    return changed.where(REQUESTS.c.lease_owner == sa.bindparam("claim", type_=sa.String)) if fenced else changed


def change_status(
    session: Session, request_id: str, status: str, changed: sa.Update, *, owner: str | None = None, **values: Any
) -> bool:
    """Executes a statement of :func:`transition`; the caller has locked the row of the Space, and records the event.

    Args:
        session: the session; the caller commits.
        request_id: the request.
        status: the new status.
        changed: the statement, with further conditions and expressions.
        owner: the claim that must still own the request, if the statement is fenced.
        values: other columns to set, and parameters of the statement.
    Returns:
        Whether the status was changed.
    """
    if status in FINISHED:
        values.setdefault("finished_at", utcnow())
        notify_after_commit(session, endings)
    expressions = {name: value for name, value in values.items() if isinstance(value, sa.ClauseElement)}
    if expressions:
        changed = changed.values(expressions)
    fence = {} if owner is None else {"claim": owner}
    plain = {name: value for name, value in values.items() if name not in expressions}
    done = session.connection().execute(changed, {"of": request_id, "status": status, **fence, **plain})
    session.expire_all()
    return done.rowcount == 1


def adopt_as_done(session: Session, request_id: str, *, space_id: str, commit_oid: str | None) -> None:
    """Marks the request of an adopted Space, which no worker has seen, as succeeded; the caller commits.

    Args:
        session: the session of the transaction that has added the request.
        request_id: the request.
        space_id: its Space.
        commit_oid: the commit that it stands for.
    """
    values = {"status": SUCCEEDED, "finished_at": utcnow(), "commit_oid": commit_oid}
    session.execute(sa.update(REQUESTS).where(REQUESTS.c.id == request_id).values(**values))
    session.expire_all()
    record_event(session, SUCCEEDED, space_id=space_id, request_id=request_id, data=status_data(values))


def hold_space(session: Session, space_id: str) -> None:
    """Locks the row of a Space until the transaction ends, which serializes decisions about the Space."""
    session.connection().execute(_HELD, {"space_id": space_id})


def hold_space_of(session: Session, request_id: str) -> str | None:
    """Locks the Space of a request, see :func:`hold_space`; returns its id, or None if the request does not exist."""
    return session.connection().scalar(_HELD_OF, {"request_id": request_id})


def status_data(values: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the details of the event of a new status, from the columns that were set with it."""
    data: dict[str, Any] = {}
    if values.get("error"):
        data["error"] = values["error"]
    if values.get("commit_oid"):
        data["commit"] = {"oid": values["commit_oid"], "url": values.get("commit_url")}
    return data


# Prebuilt: constructing these statements costs more than executing them.
_HELD = sa.select(SPACES.c.id).where(SPACES.c.id == SPACE_ID).with_for_update()
_HELD_OF = (
    sa.select(SPACES.c.id)
    .where(SPACES.c.id == sa.select(REQUESTS.c.space_id).where(REQUESTS.c.id == REQUEST_ID).scalar_subquery())
    .with_for_update()
)
