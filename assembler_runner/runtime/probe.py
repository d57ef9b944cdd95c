"""One probe of a Space: queries the target, evaluates the state, and diagnoses the cause of an error."""

from __future__ import annotations

import logging
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

import sqlalchemy as sa

from assembler_runner.accounts.hub_tokens import SignInAgain
from assembler_runner.accounts.identity_tokens import IssuerUnavailable
from assembler_runner.core.database import database_now, db, utcnow
from assembler_runner.core.errors import AssemblerError, Conflict, RateLimited, TargetNotFound, TargetUnavailable
from assembler_runner.core.redaction import Redactor, redactor
from assembler_runner.core.vault import UnreadableSecret
from assembler_runner.runtime import watches
from assembler_runner.runtime.app_context import answer_digest, read_context, same_answer
from assembler_runner.runtime.causes import Problem, diagnose_logs
from assembler_runner.runtime.evaluate import Evaluation, Known, judge, needs_log
from assembler_runner.runtime.models import AppWatch, KeptLog
from assembler_runner.services import Services
from assembler_runner.spaces.app_state import BY_TARGET, DELETED, ERRORS, RUNNING, UNKNOWN, set_state
from assembler_runner.spaces.models import SUCCEEDED, Space, SpaceRequest
from assembler_runner.targets import LogLine, PublishedSpace, Runtime, Target
from assembler_runner.targets.realm_targets import HUB

log = logging.getLogger(__name__)

KEPT_LINES, KEPT_BYTES, LINE_LENGTH = 200, 64_000, 1000
"""Limits for the stored end of the log of a failed app: lines, characters in total, characters per line."""

LOG_TRIES = 3
FRESH_SECONDS = 1.0
"""A state younger than this is not queried again, in seconds."""

GONE_TRIES = 2
"""Consecutive probes that must not find a Space before it counts as deleted."""

GIVEN_UP = {
    "build_timeout": (
        "The build has not finished within {minutes} minutes.",
        "Read the build log; restart the Space with a factory rebuild, or install fewer packages.",
    ),
    "start_timeout": (
        "The app has not started within {minutes} minutes.",
        "Make the app listen on host 0.0.0.0 and port 7860, and read the run log.",
    ),
    "commit_not_built": (
        "The target still runs an older commit {minutes} minutes after the newest one was published.",
        "Restart the Space with a factory rebuild.",
    ),
}


@dataclass(frozen=True)
class Probe:
    """A claimed Space, read once; no transaction stays open while the target is queried."""

    services: Services
    space_id: str
    owner: str
    realm_id: str
    space: PublishedSpace | None
    target: Target | None
    account: str
    known: Known
    errors: int
    has_problem: bool
    encrypted_fingerprints: str | None
    answer_digest: str | None
    publisher_id: str | None


@dataclass(frozen=True)
class Found:
    """The findings of a probe: the evaluation, the problem and the log lines to store."""

    verdict: Evaluation
    stage: str | None = None
    problem: dict[str, Any] | None = None
    lines: tuple[str, list[LogLine]] | None = None
    answer_digest: str | None = None


@dataclass(frozen=True)
class ProbeResult:
    """The outcome of a probe.

    Args:
        problem: why the target did not report a state, or None.
        gap: seconds until the next Space of the account may be probed.
    """

    problem: AssemblerError | None = None
    gap: float = 0.0


def look(services: Services, space_id: str, owner: str, *, anew: bool = False) -> ProbeResult:
    """Probes a claimed Space, stores the result and releases the claim.

    Args:
        services: the services of this process.
        space_id: the Space.
        owner: the id of the claim.
        anew: diagnose an error again, even if the answer of the target is unchanged.
    Returns:
        The outcome; a failed probe is reported there, not raised.
    """
    this = _read(services, space_id, owner)
    if this.space is None:
        watches.release(space_id, owner, None, is_open=False)
        db.session.commit()
        return ProbeResult()
    try:
        if this.target is None and this.publisher_id is not None:
            raise SignInAgain
        if this.target is None:
            raise Conflict(
                "The realm no longer has access to the Space's target.", hint="Set a Hub token for the realm."
            )
        if (pause := this.target.allowance().wait) > 0:
            watches.postpone(this.account, pause)
            raise RateLimited("The rest of the target's rate limit is reserved for publishing.", retry_after=pause)
        found = _ask(this, this.target, this.space, anew=anew)
    except AssemblerError as problem:
        _write_failure(this, problem)
        return ProbeResult(problem, _gap_of(this))
    _write(this, found)
    return ProbeResult(gap=_gap_of(this))


def refresh(services: Services, space_id: str) -> None:
    """Probes a Space now at a caller's request, unless a probe is running or the state is fresh.

    Args:
        services: the services of this process.
        space_id: the Space.
    Raises:
        TargetError: the target does not respond.
    """
    checked_at = db.session.scalar(sa.select(Space.state_checked_at).where(Space.id == space_id))
    db.session.rollback()
    if checked_at is not None and utcnow() - checked_at < timedelta(seconds=FRESH_SECONDS):
        return
    owner = watches.claim(space_id, services.leases.seconds)
    if owner is None:
        return
    if problem := look(services, space_id, owner, anew=True).problem:
        raise problem


def place_of(space: Space) -> PublishedSpace | None:
    """Returns a Space by its names on the target; None if it does not exist there, as far as is known."""
    if space.created_on_target and space.namespace is not None and space.url is not None:
        return PublishedSpace(space.namespace, space.name, space.url)
    return None


def redactor_of(
    services: Services, realm_id: str, publisher_id: str | None, encrypted_fingerprints: str | None
) -> Redactor:
    """Returns a redactor that removes all known secrets from the logs of a Space.

    Args:
        services: the services of this process.
        realm_id: the realm of the Space.
        publisher_id: the person whose own Hub token publishes it, or None.
        encrypted_fingerprints: the fingerprints of the Space's own secrets, encrypted; None for none.
    Raises:
        UnreadableSecret: a secret cannot be decrypted any more, so the log must not be shown.
    """
    settings = services.settings
    own = [
        *settings.secret_keys,
        settings.JWT_SECRET_KEY,
        settings.ADMIN_PASSWORD,
        settings.HF_TOKEN,
        settings.FLAME_PASSWORD,
    ]
    tokens = services.targets.tokens(realm_id, publisher_id)
    return redactor(services.vault, encrypted_fingerprints, [secret for secret in (*own, *tokens) if secret])


def _gap_of(this: Probe) -> float:
    return this.target.allowance().gap if this.target else 0.0


def _read(services: Services, space_id: str, owner: str) -> Probe:
    row, space, age = db.session.execute(
        sa.select(AppWatch, Space, database_now() - AppWatch.since)
        .join(Space, Space.id == AppWatch.space_id)
        .where(AppWatch.space_id == space_id)
    ).one()
    target = None
    if space.publisher_id is None:
        with suppress(UnreadableSecret):
            target = services.targets.find(space.realm_id, space.target)
    release = sa.select(SpaceRequest.sdk).where(SpaceRequest.space_id == space_id, SpaceRequest.status == SUCCEEDED)
    done = db.session.scalars(release.order_by(SpaceRequest.finished_at.desc()).limit(2)).all()
    sdk = done[0] if done else None
    known = Known(
        is_open=row.is_open,
        commit_oid=row.commit_oid,
        first_stage=row.first_stage,
        has_moved=row.has_moved,
        age=age,
        static=(sdk or space.space_type) == "static",
        is_first=len(done) == 1,
        state=space.state,
    )
    found = Probe(
        services,
        space_id,
        owner,
        space.realm_id,
        place_of(space),
        target,
        (target.account if target else None) or row.account,
        known,
        row.errors,
        space.problem is not None,
        row.encrypted_fingerprints,
        row.answer_digest,
        space.publisher_id,
    )
    is_public = space.visibility == "public"
    db.session.rollback()
    return found if found.publisher_id is None else _as_person(found, found.publisher_id, is_public)


def _as_person(found: Probe, publisher_id: str, is_public: bool) -> Probe:
    """Returns the probe of a Space that a person publishes, with the token of that person."""
    targets = found.services.targets
    try:
        target = targets.find(found.realm_id, HUB, publisher_id)
    except (UnreadableSecret, SignInAgain, IssuerUnavailable):
        # Everybody may read the state of a public Space.
        return replace(found, target=targets.hub("")) if is_public else found
    return replace(found, target=target, account=(target and target.account) or found.account)


def _ask(this: Probe, target: Target, space: PublishedSpace, *, anew: bool) -> Found:
    settings = this.services.settings
    try:
        runtime = target.runtime(space)
    except TargetNotFound:
        if this.errors + 1 < GONE_TRIES or target.find(space.namespace, space.name) is not None:
            raise TargetUnavailable("The target does not find the Space.") from None
        return Found(Evaluation(DELETED))
    settle = watches.SETTLE * settings.FOLLOW_SECONDS
    verdict = judge(this.known, runtime, settle, settings.BUILD_TIMEOUT)
    if verdict.doubtful and target.head(space).oid == runtime.commit:
        # The app runs a foreign commit that is newer than the published one.
        verdict = replace(verdict, state=RUNNING, is_open=False)
    if verdict.code:
        message, hint = GIVEN_UP[verdict.code]
        given_up = Problem(verdict.code, message.format(minutes=round(this.known.age / 60)), hint)
        return Found(verdict, runtime.stage, _as_read(given_up, "timeout"))
    if verdict.state not in ERRORS:
        return Found(verdict, runtime.stage)
    return _diagnosed(this, target, space, verdict, runtime, anew=anew)


def _diagnosed(
    this: Probe, target: Target, space: PublishedSpace, verdict: Evaluation, runtime: Runtime, *, anew: bool
) -> Found:
    """Finds the cause of an error; keeps the known one if neither the target's report nor the log has changed."""
    kind = needs_log(verdict.state)
    lines: list[LogLine] | None = None
    try:
        redact = redactor_of(this.services, this.realm_id, this.publisher_id, this.encrypted_fingerprints).redact
        if kind:
            read = _last_lines(this, target, space, kind)
            lines = None if read is None else [replace(line, text=redact(line.text)) for line in read]
        said = redact(runtime.message) if runtime.message else None
    except UnreadableSecret:
        # Without the fingerprints of its secrets, no output of the app may be stored or shown.
        kind, said = None, None
    digest = answer_digest(runtime, None if lines is None else [line.text for line in lines])
    is_same = verdict.state == this.known.state and same_answer(this.answer_digest, digest)
    if is_same and this.has_problem and not this.known.is_open and not anew:
        problem = db.session.scalar(sa.select(Space.problem).where(Space.id == this.space_id))
        db.session.rollback()
        return Found(verdict, runtime.stage, problem, None, this.answer_digest)
    app = read_context(this.services, this.space_id)
    logs = {kind: [line.text for line in lines or ()]} if kind else {}
    cause = diagnose_logs(
        logs, space_type=app.space_type, files=app.files, card=app.card, stage=runtime.stage, said=said
    )
    source = f"{cause.log_kind}_log" if cause.log_kind else "target"
    kept = (kind, lines) if kind and lines is not None else None
    return Found(verdict, runtime.stage, _as_read(cause, source), kept, digest)


def _as_read(problem: Problem, source: str) -> dict[str, Any]:
    """Returns a problem as it is stored: with where and when it was read."""
    return {**problem.to_json(), "source": source, "read_at": utcnow().isoformat()}


def _last_lines(this: Probe, target: Target, space: PublishedSpace, kind: str) -> list[LogLine] | None:
    """Reads the end of a log; after several failures the diagnosis proceeds without it (None)."""
    watches.renew(this.space_id, this.owner, this.services.leases.seconds)
    lines: list[LogLine] = []
    try:
        with target.read_log(space, kind, KEPT_LINES) as reader:
            while not reader.ended:
                if line := reader.read(5.0):
                    lines.append(replace(line, text=line.text[:LINE_LENGTH]))
    except AssemblerError as problem:
        if problem.retryable and this.errors + 1 < LOG_TRIES:
            raise
        log.info("the %s log of Space %s cannot be read: %s", kind, this.space_id, problem.code)
        if not lines:
            return None
    kept: list[LogLine] = []
    room = KEPT_BYTES
    for line in reversed(lines[-KEPT_LINES:]):
        room -= len(line.text) + 1
        if room < 0:
            break
        kept.insert(0, line)
    return kept


def _write(this: Probe, found: Found) -> None:
    verdict = found.verdict
    values: dict[str, Any] = {"errors": 0, "is_open": verdict.is_open, "account": this.account}
    values |= {"has_moved": verdict.has_moved, "first_stage": this.known.first_stage or found.stage}
    values["answer_digest"] = found.answer_digest
    if verdict.is_open and not this.known.is_open:
        # A change from outside this service starts now.
        values |= {"since": database_now(), "commit_oid": None, "first_stage": found.stage}
    age = this.known.age if this.known.is_open else 0.0
    seconds = watches.seconds_until_next_probe(this.services, this.account, verdict.is_open, age, _gap_of(this))
    if not _hold(this, seconds, values):
        return
    if found.lines:
        kind, lines = found.lines
        rows = [line.to_json() for line in lines]
        db.session.merge(KeptLog(space_id=this.space_id, kind=kind, lines=rows, taken_at=utcnow()))
    changed = set_state(
        db.session(), this.space_id, verdict.state, source=verdict.source, stage=found.stage, problem=found.problem
    )
    db.session.commit()
    if changed:
        log.info("Space %s is %s (%s)", this.space_id, verdict.state, found.stage)


def _write_failure(this: Probe, problem: AssemblerError) -> None:
    """Schedules the next probe; sets the state to unknown if retrying cannot help or has not helped for long."""
    known, settings = this.known, this.services.settings
    hopeless = not problem.retryable or (known.is_open and known.age > settings.BUILD_TIMEOUT)
    delay = problem.retry_after or watches.back_off(this.services, this.errors)
    if hopeless:
        delay = settings.WATCH_SECONDS or watches.LONGEST_GAP * settings.FOLLOW_SECONDS
    errors = this.errors if isinstance(problem, RateLimited) else this.errors + 1
    values: dict[str, Any] = {"errors": errors, "account": this.account}
    if hopeless:
        values["is_open"] = False
    if not _hold(this, delay, values):
        return
    if hopeless:
        read = Problem(problem.code, problem.message, problem.hint or "Check the Space's page on its target.")
        set_state(db.session(), this.space_id, UNKNOWN, source=BY_TARGET, problem=_as_read(read, "target"))
    db.session.commit()
    log.info("Space %s could not be probed: %s", this.space_id, problem.code)


def _hold(this: Probe, seconds: float | None, values: dict[str, Any]) -> bool:
    """Releases the claim in the transaction that stores the result; returns False if the claim was lost."""
    # Lock the Space first, as in all other transactions that write both.
    db.session.execute(sa.select(Space.id).where(Space.id == this.space_id).with_for_update())
    if watches.release(this.space_id, this.owner, seconds, **values):
        return True
    db.session.rollback()
    return False
