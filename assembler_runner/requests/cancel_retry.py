"""Commands for requests: cancel, retry, and a summary of failures."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError

from assembler_runner.accounts import audit
from assembler_runner.accounts.permissions import Account
from assembler_runner.core.database import db
from assembler_runner.core.errors import AssemblerError, Conflict, NameTaken, QuotaExceeded
from assembler_runner.core.settings import current_settings
from assembler_runner.publishing.claims import successor
from assembler_runner.publishing.tasks import wakeups
from assembler_runner.requests import quotas
from assembler_runner.requests.queries import find_request
from assembler_runner.spaces.app_state import CREATING, set_state
from assembler_runner.spaces.events import record_event
from assembler_runner.spaces.models import CANCELLED, FAILED, MAKING, QUEUED, RELEASES, RUNNING, SUCCEEDED, SpaceRequest
from assembler_runner.spaces.names import slot_of
from assembler_runner.spaces.transitions import hold_space, move_to

RETRY_AT_ONCE = 1000
COUNTED_FAILURES = 1000


def cancel(account: Account, request_id: str) -> SpaceRequest:
    """Cancels a request: at once if no call was sent to the target, else as soon as the worker can stop cleanly.

    Args:
        account: the caller.
        request_id: the request.
    Returns:
        The request.
    Raises:
        NotFound: the request does not exist in the caller's realm.
        Conflict: the request has ended.
    """
    request = find_request(account, request_id)
    stop(request)
    _record(account, "cancel", request)
    db.session.commit()
    # Wake the next request of the Space; or this one, if it was started and has to stop cleanly.
    following = successor(request_id) if request.status == CANCELLED else request_id
    if following:
        wakeups.send(following)
    return request


def stop(request: SpaceRequest) -> None:
    """Cancels a request in the caller's transaction; see :func:`cancel`.

    Raises:
        Conflict: the request has ended.
    """
    request_id, space = request.id, request.space
    hold_space(db.session(), space.id)
    unsent = SpaceRequest.create_sent_at.is_(None) & SpaceRequest.sent_at.is_(None) & (SpaceRequest.status == QUEUED)
    if move_to(db.session(), request_id, CANCELLED, condition=unsent):
        if request.action in MAKING:
            set_state(db.session(), space.id, CANCELLED)
            space.slot = None
        return
    asked = sa.update(SpaceRequest).where(SpaceRequest.id == request_id, SpaceRequest.status.in_((QUEUED, RUNNING)))
    changed = db.session.execute(asked.values(cancel_requested=True), execution_options={"synchronize_session": False})
    if changed.rowcount != 1:  # type: ignore[attr-defined]  # an UPDATE always gives a CursorResult
        db.session.rollback()
        raise Conflict(
            f"The request has ended: it is {request.status}.", hint="Only queued and running requests can be cancelled."
        )
    # A request that waits for its next attempt becomes the first of the queue, to be cancelled.
    waiting = sa.update(SpaceRequest).where(SpaceRequest.id == request_id, SpaceRequest.status == QUEUED)
    db.session.execute(
        waiting.values(not_before=0.0, due_at=0.0, turn_at=0.0), execution_options={"synchronize_session": False}
    )
    db.session.expire_all()
    record_event(db.session(), "cancel_requested", space_id=space.id, request_id=request_id)


def retry(account: Account, request_id: str) -> SpaceRequest:
    """Returns a failed or cancelled request to the queue, with the same files and plugin version.

    Args:
        account: the caller.
        request_id: the request.
    Returns:
        The request.
    Raises:
        NotFound: the request does not exist in the caller's realm.
        Conflict: the request has not ended or has succeeded, its clean-up is running, or the Space was changed since.
        NameTaken: another Space has the name now.
        QuotaExceeded: the realm or the account has reached its quota of Spaces.
    """
    request = find_request(account, request_id)
    space = request.space
    hold_space(db.session(), space.id)
    _refuse_if_overtaken(request)
    slot = space.slot or slot_of(space)
    fresh: dict[str, Any] = {"errors": 0, "error": None, "cancel_requested": False, "finished_at": None}
    fresh |= {"cleanup_due_at": None, "due_at": 0.0, "not_before": 0.0}
    ended = (SpaceRequest.status != RUNNING) & SpaceRequest.cleanup_owner.is_(None)
    if not move_to(db.session(), request_id, QUEUED, condition=ended, **fresh):
        db.session.rollback()
        if request.cleanup_owner is not None:
            raise Conflict("The clean-up after this request is running.", hint="Try again shortly.", retry_after=5)
        raise Conflict(f"The request is {request.status}.", hint="Only failed and cancelled requests can be retried.")
    if request.action in MAKING:
        _check_quota(request)
        set_state(db.session(), space.id, CREATING)
        space.slot = slot
    try:
        _record(account, "retry", request)
        db.session.commit()
    except IntegrityError:
        db.session.rollback()
        raise NameTaken(
            f"Another Space is named {space.name} now.", hint="Send a new request with another name."
        ) from None
    wakeups.send(request_id)
    return request


def _check_quota(request: SpaceRequest) -> None:
    if request.space.slot is None:
        try:
            quotas.check_return(current_settings(), request)
        except QuotaExceeded:
            db.session.rollback()
            raise


def _refuse_if_overtaken(request: SpaceRequest) -> None:
    """Rejects the retry of a request that would undo a later change."""
    changed = (SpaceRequest.status == SUCCEEDED) & SpaceRequest.action.in_(RELEASES | {"delete", "move"})
    later = sa.select(SpaceRequest.id, SpaceRequest.action).where(
        SpaceRequest.space_id == request.space_id,
        SpaceRequest.number > request.number,
        changed | SpaceRequest.status.in_((QUEUED, RUNNING)),
    )
    found = db.session.execute(later.order_by(SpaceRequest.number).limit(1)).first()
    if found is not None and request.status in (FAILED, CANCELLED):
        db.session.rollback()
        raise Conflict(
            f"A later request of the Space ({found.action}, {found.id}) is pending or has succeeded.",
            hint="Send the change again as a new request.",
        )


def _record(account: Account, action: str, request: SpaceRequest) -> None:
    audit.record(account, action, "request", request.id, request.space.name, request.realm_id)


def failures(account: Account) -> list[dict[str, Any]]:
    """Returns the newest failed requests of the caller's realm, at most 1000, by error code, most frequent first.

    Returns:
        For each code: `code`, `count`, `newest` (time of the newest failure) and its `message` and `hint`.
    """
    failed = sa.select(SpaceRequest.error, SpaceRequest.finished_at).where(
        SpaceRequest.realm_id == account.realm_id, SpaceRequest.status == FAILED
    )
    newest = failed.order_by(SpaceRequest.finished_at.desc()).limit(COUNTED_FAILURES).subquery()
    latest = sa.func.max(newest.c.finished_at)
    query = sa.select(newest.c.error, sa.func.count(), latest).group_by(newest.c.error).order_by(latest)
    causes: dict[str, dict[str, Any]] = {}
    for error, count, finished_at in db.session.execute(query):
        cause = causes.setdefault(error["code"], {"code": error["code"], "count": 0})
        cause |= {
            "count": cause["count"] + count,
            "message": error["message"],
            "hint": error["hint"],
            "newest": finished_at,
        }
    return sorted(causes.values(), key=lambda cause: -cause["count"])


def retry_all(account: Account, code: str | None = None) -> dict[str, Any]:
    """Returns failed requests of the caller's realm to the queue, at most `RETRY_AT_ONCE`.

    Args:
        account: the caller.
        code: only requests that failed with this error code; None for all.
    Returns:
        `retried`: ids; `refused`: id, code and message of requests that cannot be retried.
    """
    query = sa.select(SpaceRequest.id, SpaceRequest.error).where(
        SpaceRequest.realm_id == account.realm_id, SpaceRequest.status == FAILED
    )
    rows = db.session.execute(query.order_by(SpaceRequest.created_at).limit(RETRY_AT_ONCE)).all()
    db.session.rollback()
    result: dict[str, Any] = {"retried": [], "refused": []}
    for request_id, error in rows:
        if code is not None and error["code"] != code:
            continue
        try:
            retry(account, request_id)
        except AssemblerError as problem:
            result["refused"].append({"id": request_id, "code": problem.code, "message": problem.message})
        else:
            result["retried"].append(request_id)
    return result
