"""Functions shared by all actions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from assembler_runner.publishing.job import Job
from assembler_runner.targets import CommitInfo, Head, PublishedSpace, Target

HEAD_TRIES = 3


@dataclass(frozen=True)
class Done:
    """The result of an action.

    Args:
        space: columns of the Space to set.
        state: the new state of the app, from which the watch starts; None if the state did not change.
        request: columns of the request to set.
        event: type and message of an event to record before the final one, or None.
        summary: what was done, for the log.
    """

    space: Mapping[str, Any] = field(default_factory=dict)
    state: str | None = None
    request: Mapping[str, Any] = field(default_factory=dict)
    event: tuple[str, str] | None = None
    summary: str = ""


def own_commit(job: Job, target: Target, space: PublishedSpace) -> CommitInfo | None:
    """Finds the commit of a request in its Space.

    Args:
        job: the claimed request.
        target: its target.
        space: the Space.
    Returns:
        The commit, or None.
    Raises:
        TargetNotFound: the Space does not exist.
    """
    return next((commit for commit in target.commits(space) if job.marker in commit.message), None)


def is_own_commit(job: Job, target: Target, space: PublishedSpace, head: Head) -> bool:
    """Returns whether the Space with this name is the published one, not another one created later."""
    if job.made_at is not None and head.created_at is not None:
        return head.created_at == job.made_at
    known = (head.oid, *(commit.oid for commit in target.commits(space)))
    return job.published_oid is None or job.published_oid in known


def published(space: PublishedSpace, commit: CommitInfo) -> dict[str, Any]:
    """Returns the columns of a Space to set after a commit."""
    return {"url": space.url, "published_oid": commit.oid, "foreign_oid": None}
