"""The states of a Space, common to all targets, and the only function that changes the state."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from assembler_runner.core.database import utcnow
from assembler_runner.spaces.events import NewEvent, record_event
from assembler_runner.spaces.models import SPACES

CREATING, FAILED, CANCELLED = "creating", "failed", "cancelled"
BUILDING, STARTING, RUNNING, SLEEPING, PAUSED = "building", "starting", "running", "sleeping", "paused"
BUILD_ERROR, RUNTIME_ERROR, CONFIG_ERROR = "build_error", "runtime_error", "config_error"
NO_APP_FILE, UNKNOWN, DELETED, STORED = "no_app_file", "unknown", "deleted", "stored"

STATES: Mapping[str, str] = {
    CREATING: "the Space is being created",
    BUILDING: "the app is being built",
    STARTING: "the app is starting",
    RUNNING: "the app is running",
    SLEEPING: "the app is sleeping and wakes up on the next visit",
    PAUSED: "the app is paused",
    BUILD_ERROR: "the build failed",
    RUNTIME_ERROR: "the app exited or did not start",
    CONFIG_ERROR: "the configuration is not valid",
    NO_APP_FILE: "the app file is missing",
    UNKNOWN: "the state of the app is not known",
    STORED: "the files are stored; the target does not run the app",
    DELETED: "the Space has been deleted",
    FAILED: "the Space could not be published",
    CANCELLED: "publishing was cancelled",
}
"""State → description for people."""

PASSING = frozenset({BUILDING, STARTING})
ERRORS = frozenset({BUILD_ERROR, RUNTIME_ERROR, CONFIG_ERROR, NO_APP_FILE})

STATE_OF_STAGE: Mapping[str, str] = {
    "BUILDING": BUILDING,
    "RUNNING_BUILDING": BUILDING,
    "APP_STARTING": STARTING,
    "RUNNING_APP_STARTING": STARTING,
    "RUNNING": RUNNING,
    "SLEEPING": SLEEPING,
    "STOPPED": SLEEPING,
    "PAUSED": PAUSED,
    "BUILD_ERROR": BUILD_ERROR,
    "RUNTIME_ERROR": RUNTIME_ERROR,
    "CONFIG_ERROR": CONFIG_ERROR,
    "NO_APP_FILE": NO_APP_FILE,
    "STORED": STORED,
}
"""Stage of a target (huggingface_hub, SpaceStage) → state; other stages are `unknown`."""

BY_SERVICE, BY_TARGET, BY_ASSUMPTION, BY_TIMEOUT = "service", "target", "assumed", "timeout"


_STATE = sa.select(SPACES.c.state).where(SPACES.c.id == sa.bindparam("of", type_=sa.String)).with_for_update()


def set_state(
    session: Session,
    space_id: str,
    state: str,
    *,
    source: str = BY_SERVICE,
    stage: str | None = None,
    problem: Mapping[str, Any] | None = None,
) -> bool:
    """Changes the state of a Space and records an event if it changed. The caller commits soon: the row is locked.

    Args:
        session: the session.
        space_id: the Space.
        state: the new state; `state_since` changes only if the state changes.
        source: how the state was determined: BY_SERVICE, BY_TARGET, BY_ASSUMPTION or BY_TIMEOUT.
        stage: the stage reported by the target.
        problem: why the app does not run: code, message, hint, path, line, log_kind.
    Returns:
        Whether the state changed.
    """
    old = hold_state(session, space_id)
    values, event = change_of_state(old, state, source=source, stage=stage, problem=problem)
    if event is None:
        values["updated_at"] = SPACES.c.updated_at
    # A plain UPDATE, not the mapped object: the caller may have changes of the Space that are not flushed yet.
    session.execute(sa.update(SPACES).where(SPACES.c.id == space_id).values(**values))
    if event is None:
        return False
    record_event(session, event.type, space_id=space_id, message=event.message, data=dict(event.data or {}))
    return True


def hold_state(session: Session, space_id: str) -> str:
    """Returns the state of a Space, and locks its row until the transaction ends.

    Locked, so that each of two concurrent changes records the state it really replaced.
    """
    return str(session.connection().execute(_STATE, {"of": space_id}).scalar_one())


def change_of_state(
    old: str,
    state: str,
    *,
    source: str = BY_SERVICE,
    stage: str | None = None,
    problem: Mapping[str, Any] | None = None,
) -> tuple[dict[str, Any], NewEvent | None]:
    """Returns what a change of the state writes, for a caller that writes the row of the Space itself.

    Args:
        old: the state it replaces, see :func:`hold_state`.
        state: see :func:`set_state`, as the others.
        source: how the state was determined.
        stage: the stage reported by the target.
        problem: why the app does not run.
    Returns:
        The columns of the Space, and the event to append; None if the state stays the same.
    """
    now = utcnow()
    values: dict[str, Any] = {"state_source": source, "stage": stage, "problem": dict(problem) if problem else None}
    if source != BY_SERVICE:
        values["state_checked_at"] = now
    if state == old:
        return values, None
    values |= {"state": state, "state_since": now}
    cause = dict(problem) if problem else None
    message = f"{state.replace('_', ' ').capitalize()}: {cause['message'] if cause else STATES[state]}"
    data = {"old": old, "new": state, "stage": stage, "source": source, "cause": cause}
    return values, NewEvent("state", message=message, data=data)
