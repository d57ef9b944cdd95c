"""Answers about Spaces: their state, why their app does not run, and the call that makes sense next."""

from __future__ import annotations

import time
import uuid
from collections.abc import Mapping
from typing import Any

import sqlalchemy as sa

from assembler_runner.accounts.permissions import Account
from assembler_runner.core.addresses import absolute_url
from assembler_runner.core.database import db
from assembler_runner.core.errors import Conflict, Finding, InvalidRequest, NotFound
from assembler_runner.mcp.answers import Answer, Call
from assembler_runner.requests import queries
from assembler_runner.services import Services
from assembler_runner.spaces.app_state import BUILD_ERROR, CREATING, DELETED, ERRORS, FAILED, PASSING
from assembler_runner.spaces.event_feed import TooManyReaders
from assembler_runner.spaces.models import FAILED as REQUEST_FAILED
from assembler_runner.spaces.models import FINISHED, Event, Space

PUBLISHING, DELETING = "publishing", "deleting"
NEWEST = 10


def find(account: Account, named: str) -> Space:
    """Returns a Space by its id, its name, or namespace/name.

    Raises:
        NotFound: the Space does not exist for the account.
        InvalidRequest: several Spaces have the name.
    """
    if _is_id(named):
        return queries.find_space(account, named)
    namespace, _, name = named.rpartition("/")
    query = sa.select(Space).where(
        account.visible(Space.realm_id), Space.alive, sa.func.lower(Space.name) == name.lower()
    )
    if namespace:
        query = query.where(sa.func.lower(Space.namespace) == namespace.lower())
    found = list(db.session.scalars(query.order_by(Space.created_at.desc()).limit(6)))
    # The own realm first: an operator sees all realms.
    found = [space for space in found if space.realm_id == account.realm_id] or found
    if not found:
        raise NotFound("There is no Space of this name.", hint="get_space without arguments lists the newest ones.")
    if len(found) > 1:
        hint = f"Use an id: {', '.join(space.id for space in found)}."
        raise InvalidRequest(issues=[Finding("ambiguous", "Several Spaces have this name.", path="space", hint=hint)])
    return found[0]


def _is_id(text: str) -> bool:
    try:
        return str(uuid.UUID(text)) == text.lower()
    except ValueError:
        return False


def wait(services: Services, account: Account, space_id: str, seconds: float) -> None:
    """Returns when the newest change of a Space has ended and its app runs or has failed, or when the time is over."""
    end = time.monotonic() + seconds
    db.session.rollback()
    if is_settled(space_id) or seconds <= 0:
        return
    try:
        with services.feed.subscribe(space_id, account.id, account.realm_id) as subscription:
            while not subscription.closed:
                newest = db.session.scalar(sa.select(sa.func.max(Event.id)).where(Event.space_id == space_id)) or 0
                settled, left = is_settled(space_id), end - time.monotonic()
                if settled or left <= 0:
                    return
                subscription.read(newest, left)
    except TooManyReaders:
        # The answer says what the state is, and to wait again.
        return


def wait_for_event(services: Services, account: Account, space_id: str, seconds: float) -> bool:
    """Waits for the next event of a Space; returns whether one came in time."""
    newest = db.session.scalar(sa.select(sa.func.max(Event.id)).where(Event.space_id == space_id)) or 0
    db.session.rollback()
    with services.feed.subscribe(space_id, account.id, account.realm_id) as subscription:
        events = subscription.read(newest, seconds)
    # None: events have come before the subscription began.
    return events is None or bool(events)


def is_settled(space_id: str) -> bool:
    """Returns whether nothing is going on in a Space; ends the transaction."""
    space = db.session.get(Space, space_id, populate_existing=True)
    assert space is not None, "a Space remains as a record"
    settled = space.latest_request.status in FINISHED and space.state not in (CREATING, *PASSING)
    db.session.rollback()
    return settled


def about(space: Space, *, findings: bool = False) -> Answer:
    """Returns the answer about a Space.

    Args:
        space: the Space.
        findings: whether to include the findings of the newest request.
    """
    request = space.latest_request
    state = _state(space)
    answer = Answer(state, space.id, absolute_url(space.url), space.commit_oid)
    if request.status == REQUEST_FAILED and request.error:
        answer.add_failure(request.error)
    elif space.problem and state in (*ERRORS, "unknown"):
        answer.add_problem(space.problem)
    if findings:
        answer.add_findings(request.findings or ())
    answer.next = _next(space, state)
    return answer


def summary(space: Space) -> dict[str, Any]:
    """Returns a Space as a row of a list."""
    return {"space": space.id, "name": space.name, "state": _state(space)}


def page_of(space: Space, part: str = "") -> str:
    """Returns the address of the page where a person manages a Space."""
    return str(absolute_url(f"/ui/spaces/{space.id}{part}"))


def _state(space: Space) -> str:
    request = space.latest_request
    if space.state == DELETED:
        return DELETED
    if request.status not in FINISHED:
        return DELETING if request.action == "delete" else PUBLISHING
    return FAILED if request.status == REQUEST_FAILED else space.state


def _next(space: Space, state: str) -> Call | None:
    named: Mapping[str, Any] = {"space": space.id}
    if state in (PUBLISHING, DELETING, *PASSING):
        return Call("wait_for_space", named)
    if state in ERRORS:
        if (space.problem or {}).get("fix"):
            return Call("publish_space", {**named, "fix": True})
        return Call("read_log", {**named, "kind": "build"} if state == BUILD_ERROR else named)
    return None


def previous_release(space: Space) -> str:
    """Returns the id of the release before the published one.

    Raises:
        Conflict: there is none.
    """
    from assembler_runner.spaces.models import RELEASES, SUCCEEDED, SpaceRequest

    query = sa.select(SpaceRequest.id, SpaceRequest.tree_digest).where(
        SpaceRequest.space_id == space.id,
        SpaceRequest.status == SUCCEEDED,
        SpaceRequest.action.in_(RELEASES),
        SpaceRequest.unchanged.is_(False),
    )
    rows = db.session.execute(query.order_by(SpaceRequest.number.desc()).limit(200)).all()
    for row in rows[1:]:
        if row.tree_digest != rows[0].tree_digest:
            return str(row.id)
    raise Conflict("The Space has no earlier release.", hint="Publish other files instead.")
