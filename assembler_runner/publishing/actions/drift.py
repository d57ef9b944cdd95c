"""What a commit has to write, given what is live: also where somebody else has committed in between."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError

from assembler_runner.core.database import db
from assembler_runner.core.errors import ForeignCommit, NameTaken, TargetNotFound, TooLarge
from assembler_runner.files.content import Spool, pieces_of
from assembler_runner.publishing import checkpoints, manifests
from assembler_runner.publishing.job import MARKER, Job
from assembler_runner.spaces.models import RequestFile, Space, SpaceRequest
from assembler_runner.spaces.names import slot_beside
from assembler_runner.targets import Head, LiveFile, PublishedSpace, Target

SHOWN_PATHS = 1000


@dataclass(frozen=True)
class Planned:
    """What a commit writes.

    Args:
        space: where, under the name that the Space has now.
        parent: the commit it is made on.
        write: the files to write, by path.
        delete: the paths to delete.
    """

    space: PublishedSpace
    parent: str | None
    write: Mapping[str, RequestFile]
    delete: Collection[str]


@dataclass(frozen=True)
class Drift:
    """What somebody else has changed since our newest commit, as sets of paths."""

    added: set[str]
    changed: set[str]
    deleted: set[str]

    def to_json(self) -> dict[str, Any]:
        """Returns it as the API shows it, within bounds."""
        found = {"added": self.added, "changed": self.changed, "deleted": self.deleted}
        shown: dict[str, Any] = {name: sorted(paths)[:SHOWN_PATHS] for name, paths in found.items()}
        return shown | {"total": sum(map(len, found.values()))}


def plan(job: Job, target: Target, space: PublishedSpace, live: Mapping[str, RequestFile]) -> Planned:
    """Decides what to write.

    Args:
        job: the request.
        target: the target.
        space: the Space.
        live: the files of the newest release, by path.
    Returns:
        What the commit writes on top of the head that was seen.
    Raises:
        ForeignCommit: the head is somebody else's, and the caller has not said that it knows.
    """
    head = target.head(space)
    space = _follow(job, head.space) if head.space else space
    wanted = manifests.manifest(job.request_id)
    if head.oid == job.published_oid and job.published_oid is not None:
        _check_expected(job, head)
        if job.made_at is None and head.created_at is not None:
            checkpoints.write(job, {}, space={"made_at": head.created_at})
        write = {path: row for path, row in wanted.items() if not _same(row, live.get(path))}
        return Planned(space, head.oid, write, _surplus(target, head, wanted, live))
    if _of_this_space(job, target, space, head):
        _check_expected(job, head)
        # A commit of ours that came late: what it holds is not what the newest release says.
        return Planned(space, head.oid, wanted, _surplus(target, head, wanted, live))
    drift = compare(target, space, job.published_oid, head.oid, live)
    if not (job.change.force or head.oid in (job.change.if_match or ())):
        checkpoints.write(job, {}, space={"foreign_oid": head.oid})
        details = {"commit_oid": head.oid, "known_oid": job.published_oid, "diff": drift.to_json()}
        raise ForeignCommit(details=details)
    if job.change.mode == "merge":
        wanted = _adopt(job, target, space, head, drift, wanted, live)
    return Planned(space, head.oid, wanted, _surplus(target, head, wanted, live))


def compare(
    target: Target, space: PublishedSpace, known: str | None, oid: str | None, live: Mapping[str, RequestFile]
) -> Drift:
    """Compares a commit of somebody else's with our newest one.

    Args:
        target: the target.
        space: the Space.
        known: our newest commit; where the target does not have it any more, every path counts as changed.
        oid: their commit.
        live: the files of our newest release.
    """
    theirs = target.files_at(space, oid) if oid else {}
    try:
        ours = target.files_at(space, known) if known else {}
    except TargetNotFound:
        ours = {path: LiveFile("", row.size) for path, row in live.items()}
    both = theirs.keys() & ours.keys()
    return Drift(
        added=set(theirs) - set(ours),
        changed={path for path in both if theirs[path].content_id != ours[path].content_id},
        deleted=set(ours) - set(theirs),
    )


def _adopt(
    job: Job,
    target: Target,
    space: PublishedSpace,
    head: Head,
    drift: Drift,
    wanted: Mapping[str, RequestFile],
    live: Mapping[str, RequestFile],
) -> dict[str, RequestFile]:
    """Keeps what they changed and the request does not, and writes that down as the request's tree."""
    assert head.oid is not None
    touched = {path for path in wanted.keys() | live.keys() if not _same(wanted.get(path), live.get(path))}
    touched |= set(job.change.touched)
    tree = {path: row for path, row in wanted.items() if path not in drift.deleted - touched}
    theirs = (drift.added | drift.changed) - touched - target.own_files
    sizes = target.files_at(space, head.oid) if theirs else {}
    host, contents = job.services, []
    with Spool(host.instance / "incoming", host.settings.MAX_FILE_BYTES) as spool:
        for path in sorted(theirs):
            if sizes[path].size > host.settings.MAX_FILE_BYTES:
                raise TooLarge(f"{path}, which somebody else has put there, is too large to be kept.")
            with target.open_file(space, path, head.oid) as file:
                content = spool.add(pieces_of(file), path)
            contents.append(content)
            tree[path] = RequestFile(path=path, size=content.size, sha256=content.sha256, origin="adopted")
        host.files.stage(contents)
        manifests.record_tree(job, tree, contents)
    return tree


def _surplus(
    target: Target, head: Head, wanted: Mapping[str, RequestFile], live: Mapping[str, RequestFile]
) -> frozenset[str]:
    strange = head.paths - wanted.keys() - target.own_files
    return frozenset(strange | (head.paths & live.keys()) - wanted.keys())


def _same(one: RequestFile | None, other: RequestFile | None) -> bool:
    return one is other or (one is not None and other is not None and one.sha256 == other.sha256)


def _check_expected(job: Job, head: Head) -> None:
    expected = job.change.if_match
    if expected and head.oid not in expected:
        raise ForeignCommit(
            "The Space is not at the commit named in If-Match any more; nothing was overwritten.",
            details={
                "commit_oid": head.oid,
                "known_oid": job.published_oid,
                "diff": Drift(set(), set(), set()).to_json(),
            },
        )


def _follow(job: Job, space: PublishedSpace) -> PublishedSpace:
    """Writes down the name that somebody has given the Space on its target."""
    names = {"namespace": space.namespace, "name": space.name, "url": space.url}
    known = db.session.get_one(Space, job.space_id)
    slot = slot_beside(known, space.namespace, space.name)
    db.session.rollback()
    told = f"Somebody has renamed the Space on its target to {space.namespace}/{space.name}."
    try:
        checkpoints.write(job, {}, space={**names, "slot": slot}, event=("moved", told))
    except IntegrityError:
        db.session.rollback()
        raise NameTaken(f"{told} Another Space holds that name here.") from None
    return space


def _of_this_space(job: Job, target: Target, space: PublishedSpace, head: Head) -> bool:
    newest = next(iter(target.commits(space)), None)
    if newest is None or newest.oid != head.oid:
        return head.oid is None
    own = sa.select(SpaceRequest.id).where(SpaceRequest.space_id == job.space_id)
    ids = list(db.session.scalars(own))
    db.session.rollback()
    return any(MARKER.format(request_id) in newest.message for request_id in ids)
