"""Change a Space: settings first, then all files in one commit, so that it is built once.

A commit is only ever made on top of the one that was looked at. If that is somebody else's, the request fails with the
difference, unless the caller has said that it knows.
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
    """Brings settings and files of the Space to what the request asks for."""
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
        told=f"committed to {space.namespace}/{space.name}",
    )


def happened(job: Job, target: Target) -> bool:
    """Returns whether the commit is there after all."""
    return job.space is not None and own_commit(job, target, job.space) is not None


def _change(job: Job, target: Target, space: PublishedSpace) -> tuple[Job, PublishedSpace, CommitInfo | None]:
    """Settings, then the commit; None where all files are so already."""
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
            # Our own commit whose answer was lost, or somebody else's.
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
        event=("unchanged", "All files are so already; no commit was made."),
        told=f"left the files of {space.namespace}/{space.name} as they are",
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
