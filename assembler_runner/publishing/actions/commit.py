"""Update a Space: settings first, then all files in one commit, so that the app is built once.

A commit is only ever made on top of the head that was read. If that is a foreign commit, the request fails with the
differences, unless the caller has named that commit or forces the change.
"""

from __future__ import annotations

from collections.abc import Mapping

import sqlalchemy as sa

from assembler_runner.core.database import db
from assembler_runner.core.errors import BaseFailed, HeadMoved
from assembler_runner.files.tree import Tree
from assembler_runner.publishing import checkpoints, manifests
from assembler_runner.publishing.actions import variables
from assembler_runner.publishing.actions.base import HEAD_TRIES, Done, own_commit, published
from assembler_runner.publishing.actions.drift import Planned, plan
from assembler_runner.publishing.job import Job
from assembler_runner.spaces.app_state import STARTING
from assembler_runner.spaces.models import RELEASES, SUCCEEDED, RequestFile, SpaceRequest
from assembler_runner.targets import CommitInfo, PublishedSpace, Target

TITLES = {"update": "Update with Assembler", "rollback": "Roll back with Assembler"}


def publish(job: Job) -> Done:
    """Applies the requested settings and files to the Space."""
    _check_base(job)
    target, space = job.usable_target(), job.published()
    commit = own_commit(job, target, space) if job.sent_at else None
    unchanged = False
    if commit is None:
        job, space, commit = _change(job, target, space)
        unchanged = commit is None
    job = variables.apply_last(job, target, space, built=not unchanged)
    if commit is None:
        return _unchanged(job, target, space)
    return Done(
        space=published(space, commit) | _kind(job),
        state=target.state_after_commit(job.spec.sdk),
        request={"commit_oid": commit.oid, "commit_url": commit.url, "encrypted_secrets": None},
        summary=f"committed to {space.namespace}/{space.name}",
    )


def took_effect(job: Job, target: Target) -> bool:
    """Returns whether the commit of the request exists."""
    return job.space is not None and own_commit(job, target, job.space) is not None


def _change(job: Job, target: Target, space: PublishedSpace) -> tuple[Job, PublishedSpace, CommitInfo | None]:
    """Applies the settings, then commits; the commit is None if no file differs."""
    if not job.change.tree and not job.change.if_match:
        return variables.apply_first(job, target, space), space, None
    live = live_manifest(job)
    for _ in range(HEAD_TRIES):
        checkpoints.check_cancelled(job)
        planned = plan(job, target, space, live)
        space = planned.space
        job = variables.apply_first(job, target, space)
        if not planned.write and not planned.delete:
            return job, space, None
        checkpoints.check_cancelled(job)
        try:
            return job, space, _commit(job, target, planned)
        except HeadMoved:
            # The head is this request's own commit whose response was lost, or a foreign commit.
            if done := own_commit(job, target, space):
                return job, space, done
    raise HeadMoved


def _commit(job: Job, target: Target, planned: Planned) -> CommitInfo:
    tree: Tree = manifests.read_files(job, planned.write)
    job = checkpoints.mark_sent(job)
    return target.commit(planned.space, tree, frozenset(planned.delete), TITLES[job.action], job.marker, planned.parent)


def _unchanged(job: Job, target: Target, space: PublishedSpace) -> Done:
    oid, url = db.session.execute(
        sa.select(SpaceRequest.commit_oid, SpaceRequest.commit_url)
        .where(SpaceRequest.space_id == job.space_id, SpaceRequest.commit_oid == job.published_oid)
        .limit(1)
    ).one_or_none() or (job.published_oid, None)
    db.session.rollback()
    return Done(
        space={"url": space.url, **_kind(job)},
        state=STARTING if variables.restarts(job, target) else None,
        request={"commit_oid": oid, "commit_url": url, "encrypted_secrets": None, "unchanged": True},
        event=("unchanged", "Nothing changed; no commit was made."),
        summary=f"found nothing to commit to {space.namespace}/{space.name}",
    )


def _kind(job: Job) -> dict[str, str]:
    space_type = job.change.space_type
    return {"space_type": space_type} if space_type else {}


def live_manifest(job: Job) -> Mapping[str, RequestFile]:
    """Returns the files of the newest succeeded release of the Space, by path."""
    release = sa.select(SpaceRequest.id).where(
        SpaceRequest.space_id == job.space_id,
        SpaceRequest.status == SUCCEEDED,
        SpaceRequest.action.in_(RELEASES),
        SpaceRequest.id != job.request_id,
    )
    request_id = db.session.scalar(release.order_by(SpaceRequest.number.desc()).limit(1))
    return manifests.manifest(request_id) if request_id else {}


def _check_base(job: Job) -> None:
    base = job.change.base
    status = db.session.scalar(sa.select(SpaceRequest.status).where(SpaceRequest.id == base)) if base else SUCCEEDED
    db.session.rollback()
    if status != SUCCEEDED:
        raise BaseFailed(f"The change that this one builds on is {status} (request {base}); nothing was changed.")
