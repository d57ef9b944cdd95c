"""What follows from what a target says of an app: a pure function, so that every case can be tried.

A stage alone is no proof. Right after a commit a target may still tell of the build before it: it says RUNNING, and the
new build has not begun. So a stage in which an app rests counts at once only if the target names the commit, or if
another stage was seen since the commit; else it has to stay for a while.
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
    """What was known before.

    Args:
        is_open: whether the verdict on the last change is still open.
        commit_oid: the commit it is about; None if it is about a restart.
        first_stage: the first stage seen since then, or None.
        has_moved: whether another one was seen since then.
        age: seconds since the change.
        static: whether the app is only served, not built.
        state: the present state.
        is_first: whether nothing was built before, so that whatever the target says is about the newest commit.
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
    """What is known now.

    Args:
        state: the state.
        source: how it was learnt.
        is_open: whether it has to be followed on.
        has_moved: whether the target has begun with the change.
        code: why it is given up, where it is; `build_timeout`, `start_timeout` or `commit_not_built`.
        doubtful: the target has long told of another commit: it may be somebody else's, newer one.
    """

    state: str
    source: str = BY_TARGET
    is_open: bool = False
    has_moved: bool = True
    code: str | None = None
    doubtful: bool = False


def judge(known: Known, runtime: Runtime, settle: float, timeout: float) -> Evaluation:
    """Returns what follows.

    Args:
        known: what was known before.
        runtime: what the target says now.
        settle: seconds after which a stage counts without a proof.
        timeout: seconds after which a change is given up that comes to no end.
    """
    state = STATE_OF_STAGE.get(runtime.stage, UNKNOWN)
    passing = state in PASSING or state == UNKNOWN
    if not known.is_open:
        # A change that was not made here: it is followed like one that was.
        return Evaluation(state, is_open=passing, has_moved=passing)
    moved = known.has_moved or passing or known.first_stage not in (None, runtime.stage)
    if passing:
        return _given_up(state) if known.age > timeout else Evaluation(state, is_open=True, has_moved=moved)
    others = _of_another(runtime.commit, known.commit_oid)
    if others and state == RUNNING:
        if known.age > timeout:
            return Evaluation(UNKNOWN, BY_TIMEOUT, has_moved=moved, code="commit_not_built")
        return Evaluation(_still(known), is_open=True, has_moved=moved, doubtful=known.age > settle)
    certain = runtime.commit is not None and known.commit_oid is not None and not others
    # Nothing was built before the first release, so its failure or success is no older build's; an empty repository
    # has no app file either, though.
    is_own = known.is_first and state in (RUNNING, BUILD_ERROR, RUNTIME_ERROR)
    proven = certain or known.static or is_own or moved
    if proven:
        return Evaluation(state, has_moved=moved)
    if known.age > settle:
        return Evaluation(state, BY_ASSUMPTION, has_moved=moved)
    # Nobody is misled by these two; an error or a success of the build before would mislead.
    shown = state if state in (PAUSED, SLEEPING) else _still(known)
    return Evaluation(shown, BY_ASSUMPTION if shown == state else BY_TARGET, is_open=True, has_moved=moved)


def _of_another(told: str | None, wanted: str | None) -> bool:
    if told is None or wanted is None or len(told) < _SHORT_OID:
        return False
    return not (told.startswith(wanted) or wanted.startswith(told))


def _still(known: Known) -> str:
    """Returns what is shown while the target has not begun with the change."""
    return known.state if known.state in PASSING else BUILDING if known.commit_oid else STARTING


def _given_up(state: str) -> Evaluation:
    if state == BUILDING:
        return Evaluation(BUILD_ERROR, BY_TIMEOUT, code="build_timeout")
    if state == STARTING:
        return Evaluation(RUNTIME_ERROR, BY_TIMEOUT, code="start_timeout")
    return Evaluation(UNKNOWN, BY_TIMEOUT, code="build_timeout")


def needs_log(state: str) -> str | None:
    """Returns which log tells the cause of a state, None if none does."""
    if state not in ERRORS:
        return None
    return {BUILD_ERROR: "build", RUNTIME_ERROR: "run"}.get(state)
