"""Computes what a commit has to write, given the live files, also after foreign commits."""

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
    """The content of a commit.

    Args:
        space: the Space under its current name.
        parent: the parent commit.
        write: the files to write, by path.
        delete: the paths to delete.
    """

    space: PublishedSpace
    parent: str | None
    write: Mapping[str, RequestFile]
    delete: Collection[str]


@dataclass(frozen=True)
class Drift:
    """The paths that foreign commits have added, changed and deleted since the last published commit."""

    added: set[str]
    changed: set[str]
    deleted: set[str]

    def to_json(self) -> dict[str, Any]:
        """Returns the form of the API, with at most `SHOWN_PATHS` paths each."""
        found = {"added": self.added, "changed": self.changed, "deleted": self.deleted}
        shown: dict[str, Any] = {name: sorted(paths)[:SHOWN_PATHS] for name, paths in found.items()}
        return shown | {"total": sum(map(len, found.values()))}


def plan(job: Job, target: Target, space: PublishedSpace, live: Mapping[str, RequestFile]) -> Planned:
    """Computes the content of the commit.

    Args:
        job: the request.
        target: the target.
        space: the Space.
        live: the files of the newest release, by path.
    Returns:
        The content of the commit on top of the current head.
    Raises:
        ForeignCommit: the head is a foreign commit, and the caller has neither named it nor forced the change.
        LeaseLost: the claim was lost.
        NameTaken: the Space was renamed on its target, and another Space holds that name.
    """
    head = target.head(space)
    space = _record_rename(job, head.space) if head.space else space
    wanted = manifests.manifest(job.request_id)
    if head.oid == job.published_oid and job.published_oid is not None:
        _check_expected(job, head)
        if job.made_at is None and head.created_at is not None:
            checkpoints.write(job, {}, space={"made_at": head.created_at})
        write = {path: row for path, row in wanted.items() if not _same(row, live.get(path))}
        return Planned(space, head.oid, write, _surplus(target, head, wanted, live))
    if _is_own_head(job, target, space, head):
        _check_expected(job, head)
        # A late commit of this service: its files are not those of the newest release.
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
    """Compares a foreign commit with the last published one.

    Args:
        target: the target.
        space: the Space.
        known: the last published commit; if the target no longer has it, every path counts as changed.
        oid: the foreign commit.
        live: the files of the newest release, by path.
    """
    foreign = target.files_at(space, oid) if oid else {}
    try:
        published = target.files_at(space, known) if known else {}
    except TargetNotFound:
        published = {path: LiveFile("", row.size) for path, row in live.items()}
    both = foreign.keys() & published.keys()
    return Drift(
        added=set(foreign) - set(published),
        changed={path for path in both if foreign[path].content_id != published[path].content_id},
        deleted=set(published) - set(foreign),
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
    """Merges foreign changes to paths that the request does not change, and stores the result as the request's tree."""
    assert head.oid is not None
    touched = {path for path in wanted.keys() | live.keys() if not _same(wanted.get(path), live.get(path))}
    touched |= set(job.change.touched)
    tree = {path: row for path, row in wanted.items() if path not in drift.deleted - touched}
    foreign = (drift.added | drift.changed) - touched - target.own_files
    sizes = target.files_at(space, head.oid) if foreign else {}
    host, contents = job.services, []
    with Spool(host.instance / "incoming", host.settings.MAX_FILE_BYTES) as spool:
        for path in sorted(foreign):
            if sizes[path].size > host.settings.MAX_FILE_BYTES:
                raise TooLarge(f"{path}, added by a foreign commit, is too large to be adopted.")
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
    unknown = head.paths - wanted.keys() - target.own_files
    return frozenset(unknown | (head.paths & live.keys()) - wanted.keys())


def _same(one: RequestFile | None, other: RequestFile | None) -> bool:
    return one is other or (one is not None and other is not None and one.sha256 == other.sha256)


def _check_expected(job: Job, head: Head) -> None:
    expected = job.change.if_match
    if expected and head.oid not in expected:
        raise ForeignCommit(
            "The Space is no longer at the commit named in If-Match; nothing was overwritten.",
            details={
                "commit_oid": head.oid,
                "known_oid": job.published_oid,
                "diff": Drift(set(), set(), set()).to_json(),
            },
        )


def _record_rename(job: Job, space: PublishedSpace) -> PublishedSpace:
    """Records the new name of a Space that was renamed on its target."""
    names = {"namespace": space.namespace, "name": space.name, "url": space.url}
    known = db.session.get_one(Space, job.space_id)
    slot = slot_beside(known, space.namespace, space.name)
    db.session.rollback()
    message = f"The Space was renamed on its target to {space.namespace}/{space.name}."
    try:
        checkpoints.write(job, {}, space={**names, "slot": slot}, event=("moved", message))
    except IntegrityError:
        db.session.rollback()
        raise NameTaken(f"{message} Another Space of this service has that name.") from None
    return space


def _is_own_head(job: Job, target: Target, space: PublishedSpace, head: Head) -> bool:
    newest = next(iter(target.commits(space)), None)
    if newest is None or newest.oid != head.oid:
        return head.oid is None
    own = sa.select(SpaceRequest.id).where(SpaceRequest.space_id == job.space_id)
    ids = list(db.session.scalars(own))
    db.session.rollback()
    return any(MARKER.format(request_id) in newest.message for request_id in ids)
