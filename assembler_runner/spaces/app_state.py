"""The states of a Space: what is known of its app, in one word for all targets, and the one place that changes it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from assembler_runner.core.database import utcnow
from assembler_runner.spaces.events import record_event
from assembler_runner.spaces.models import SPACES

CREATING, FAILED, CANCELLED = "creating", "failed", "cancelled"
BUILDING, STARTING, RUNNING, SLEEPING, PAUSED = "building", "starting", "running", "sleeping", "paused"
BUILD_ERROR, RUNTIME_ERROR, CONFIG_ERROR = "build_error", "runtime_error", "config_error"
NO_APP_FILE, UNKNOWN, DELETED, STORED = "no_app_file", "unknown", "deleted", "stored"

STATES: Mapping[str, str] = {
    CREATING: "it is being made",
    BUILDING: "its app is being built",
    STARTING: "its app is starting",
    RUNNING: "its app runs",
    SLEEPING: "its app sleeps and wakes up when somebody visits it",
    PAUSED: "its app was paused",
    BUILD_ERROR: "its app could not be built",
    RUNTIME_ERROR: "its app ended or did not start",
    CONFIG_ERROR: "its configuration is not valid",
    NO_APP_FILE: "the file to start is not there",
    UNKNOWN: "what became of its app is not known",
    STORED: "its files are kept; its target does not run it",
    DELETED: "it is not there any more",
    FAILED: "it could not be published",
    CANCELLED: "publishing was cancelled",
}
"""State → the same for people."""

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
"""Stage of a target (huggingface_hub, SpaceStage) → state; a stage that is not here is `unknown`."""

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
    """Changes the state of a Space; a change is an event of it. The caller commits, soon.

    Args:
        session: the session.
        space_id: the Space.
        state: the new state; nothing happens to `state_since` if it is the present one.
        source: how it was learnt.
        stage: the same in the target's own word.
        problem: why the app does not run: code, message, hint, path, line, log_kind.
    Returns:
        Whether the state changed.
    """
    # Held until the commit, so that of two who change it each tells the state it really came from.
    old = session.execute(_STATE, {"of": space_id}).scalar_one()
    values: dict[str, Any] = {"state_source": source, "stage": stage, "problem": dict(problem) if problem else None}
    values |= {"state": state, "state_since": utcnow()} if state != old else {"updated_at": SPACES.c.updated_at}
    if source != BY_SERVICE:
        values["state_checked_at"] = utcnow()
    # Only what is written here is read anew: the caller may hold changes of the Space that are not flushed yet.
    session.execute(sa.update(SPACES).where(SPACES.c.id == space_id).values(**values))
    if state == old:
        return False
    told = dict(problem) if problem else None
    message = f"{state.replace('_', ' ').capitalize()}: {told['message'] if told else STATES[state]}"
    data = {"old": old, "new": state, "stage": stage, "source": source, "cause": told}
    record_event(session, "state", space_id=space_id, message=message, data=data)
    return True
