"""What all actions share."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from assembler_runner.publishing.job import Job
from assembler_runner.targets import CommitInfo, Head, PublishedSpace, Target

HEAD_TRIES = 3


@dataclass(frozen=True)
class Done:
    """What an action came to.

    Args:
        space: columns of the Space to set.
        state: the state it has led to, from which on the app is followed; None where that did not change.
        request: columns of the request to set.
        event: type and message of an event to record before the end, or None.
        told: for the log.
    """

    space: Mapping[str, Any] = field(default_factory=dict)
    state: str | None = None
    request: Mapping[str, Any] = field(default_factory=dict)
    event: tuple[str, str] | None = None
    told: str = ""


def own_commit(job: Job, target: Target, space: PublishedSpace) -> CommitInfo | None:
    """Looks for the commit of a request.

    Returns:
        The commit; None if there is none.
    Raises:
        TargetNotFound: the Space is not there.
    """
    return next((commit for commit in target.commits(space) if job.marker in commit.message), None)


def is_own_commit(job: Job, target: Target, space: PublishedSpace, head: Head) -> bool:
    """Returns whether the Space that has the name is the one that was made, not one that others made later."""
    if job.made_at is not None and head.created_at is not None:
        return head.created_at == job.made_at
    known = (head.oid, *(commit.oid for commit in target.commits(space)))
    return job.published_oid is None or job.published_oid in known


def published(space: PublishedSpace, commit: CommitInfo) -> dict[str, Any]:
    """Returns the columns of a Space that has just got a commit."""
    return {"url": space.url, "published_oid": commit.oid, "foreign_oid": None}
