"""Evaluates a probe: a pure function from the target's report to the state of an app, so that all cases are testable.

A stage alone is not proof. Right after a commit a target may still report the previous build: RUNNING, although the
new build has not started. So a final stage counts at once only if the target names the commit, or if another stage was
seen since the commit; otherwise it has to persist for a while.
"""

from __future__ import annotations

from dataclasses import dataclass

from assembler_runner.spaces.app_state import (
    BUILD_ERROR,
    BUILDING,
    BY_ASSUMPTION,
    BY_TARGET,
    BY_TIMEOUT,
    ERRORS,
    PASSING,
    PAUSED,
    RUNNING,
    RUNTIME_ERROR,
    SLEEPING,
    STARTING,
    STATE_OF_STAGE,
    UNKNOWN,
)
from assembler_runner.targets import Runtime

_SHORT_OID = 7


@dataclass(frozen=True)
class Known:
    """The knowledge before the probe.

    Args:
        is_open: whether the outcome of the last change is still open.
        commit_oid: the commit of that change; None for a restart.
        first_stage: the first stage seen since the change, or None.
        has_moved: whether another stage was seen since then.
        age: seconds since the change.
        static: whether the app is served without a build.
        state: the current state.
        is_first: whether nothing was built before, so that any success or failure is that of the latest commit.
    """

    is_open: bool
    commit_oid: str | None
    first_stage: str | None
    has_moved: bool
    age: float
    static: bool
    state: str
    is_first: bool = False


@dataclass(frozen=True)
class Evaluation:
    """The result of the evaluation.

    Args:
        state: the state.
        source: the source of the state; see `spaces.app_state`.
        is_open: whether the outcome of the change is still open.
        has_moved: whether the target has started to process the change.
        code: the code of a timeout: `build_timeout`, `start_timeout` or `commit_not_built`; else None.
        doubtful: the target has reported another commit for long, which may be a newer foreign commit.
    """

    state: str
    source: str = BY_TARGET
    is_open: bool = False
    has_moved: bool = True
    code: str | None = None
    doubtful: bool = False


def judge(known: Known, runtime: Runtime, settle: float, timeout: float) -> Evaluation:
    """Evaluates the report of a target.

    Args:
        known: the knowledge before the probe.
        runtime: the report of the target.
        settle: seconds after which a stage counts without proof.
        timeout: seconds after which an unfinished change counts as failed.
    """
    state = STATE_OF_STAGE.get(runtime.stage, UNKNOWN)
    passing = state in PASSING or state == UNKNOWN
    if not known.is_open:
        # A change from outside this service is watched like one of its own.
        return Evaluation(state, is_open=passing, has_moved=passing)
    moved = known.has_moved or passing or known.first_stage not in (None, runtime.stage)
    if passing:
        return _timed_out(state) if known.age > timeout else Evaluation(state, is_open=True, has_moved=moved)
    others = _of_another(runtime.commit, known.commit_oid)
    if others and state == RUNNING:
        if known.age > timeout:
            return Evaluation(UNKNOWN, BY_TIMEOUT, has_moved=moved, code="commit_not_built")
        return Evaluation(_pending_state(known), is_open=True, has_moved=moved, doubtful=known.age > settle)
    certain = runtime.commit is not None and known.commit_oid is not None and not others
    # Before the first release nothing was built, so a success or failure is its own. An empty repository has no app
    # file either, so that stage proves nothing.
    is_own = known.is_first and state in (RUNNING, BUILD_ERROR, RUNTIME_ERROR)
    proven = certain or known.static or is_own or moved
    if proven:
        return Evaluation(state, has_moved=moved)
    if known.age > settle:
        return Evaluation(state, BY_ASSUMPTION, has_moved=moved)
    # These two states are harmless to show; an error or a success of the previous build would mislead.
    shown = state if state in (PAUSED, SLEEPING) else _pending_state(known)
    return Evaluation(shown, BY_ASSUMPTION if shown == state else BY_TARGET, is_open=True, has_moved=moved)


def _of_another(reported: str | None, wanted: str | None) -> bool:
    if reported is None or wanted is None or len(reported) < _SHORT_OID:
        return False
    return not (reported.startswith(wanted) or wanted.startswith(reported))


def _pending_state(known: Known) -> str:
    """Returns the state to show until the target starts to process the change."""
    return known.state if known.state in PASSING else BUILDING if known.commit_oid else STARTING


def _timed_out(state: str) -> Evaluation:
    if state == BUILDING:
        return Evaluation(BUILD_ERROR, BY_TIMEOUT, code="build_timeout")
    if state == STARTING:
        return Evaluation(RUNTIME_ERROR, BY_TIMEOUT, code="start_timeout")
    return Evaluation(UNKNOWN, BY_TIMEOUT, code="build_timeout")


def needs_log(state: str) -> str | None:
    """Returns the kind of log that contains the cause of a state: `build` or `run`; None if no log does."""
    if state not in ERRORS:
        return None
    return {BUILD_ERROR: "build", RUNTIME_ERROR: "run"}.get(state)
