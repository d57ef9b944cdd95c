"""The counting: rows of the API against the state of the Hub, after everything has come to rest."""

from __future__ import annotations

import base64
import hashlib
import re
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .model import Sent

Row = Mapping[str, Any]

MARKER = re.compile(r"Assembler-Request: (\S+)")
KINDS = ("lost", "doubled", "stuck", "orphaned", "wrong", "untrue")
PASSING = {"target_unavailable", "rate_limited", "database_unavailable"}
"""Errors that are true of a Hub full of faults."""
REFUSED = {"target_forbidden"}
"""Errors that are true of a request whose commit the Hub refuses."""


@dataclass(frozen=True)
class Problem:
    """One thing that must not be. `kind` is one of KINDS."""

    kind: str
    text: str
    request_id: str | None = None
    repository: str | None = None


@dataclass
class Counts:
    """How many requests ended how, and everything that must not be.

    lost      accepted, but there is no row, or a succeeded one has nothing at the Hub
    doubled   two requests, two repositories or two commits for one accepted request
    stuck     still queued or running
    orphaned  a repository of a failed or cancelled request, or of nobody
    wrong     other content at the Hub than was sent
    untrue    an end that does not tell what happened
    """

    accepted: int = 0
    ended: dict[str, int] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)

    def of(self, kind: str) -> int:
        """How many problems of a kind there are."""
        return sum(problem.kind == kind for problem in self.problems)


def count(sent: Collection[Sent], requests: Collection[Row], spaces: Collection[Row], hub: Mapping[str, Row]) -> Counts:
    """Compares what callers were told with what there is.

    Args:
        sent: what was sent, with the ids that were answered.
        requests: all requests, as the API shows them.
        spaces: all Spaces, as the API shows them.
        hub: the Hub's Spaces by name (`alice/x`), as its control API shows them.
    """
    tags = {space["id"]: space["labels"][0] for space in spaces}
    names = {space["id"]: space["name"] for space in spaces}
    sent_by_tag = {one.tag: one for one in sent}
    commits = _commits_by_request(hub)
    counts = Counts(accepted=len(requests))
    counts.problems += _never_stored(sent, requests, tags)
    counts.problems += _commits_of_nobody(hub)
    owned, ids = set(), {}
    for row in requests:
        name = f"alice/{names[row['space_id']]}"
        ids[name] = row["id"]
        counts.ended[row["status"]] = counts.ended.get(row["status"], 0) + 1
        made = commits.get(row["id"], [])
        if len(made) > 1:
            counts.problems.append(Problem("doubled", f"commits {made}", row["id"], name))
        counts.problems += _judge(row, name, made, hub, sent_by_tag[tags[row["space_id"]]])
        if row["status"] not in ("failed", "cancelled"):
            owned.add(name)
    for name in sorted(set(hub) - owned):
        text = "the repository of a request that ended without one" if name in ids else "nobody's repository"
        counts.problems.append(Problem("orphaned", text, ids.get(name), name))
    return counts


def _commits_by_request(hub: Mapping[str, Row]) -> dict[str, list[tuple[str, str]]]:
    found: dict[str, list[tuple[str, str]]] = defaultdict(list)
    for name, repository in hub.items():
        for commit in repository["commits"]:
            if marker := MARKER.search(commit["message"]):
                found[marker[1]].append((name, commit["oid"]))
    return found


def _commits_of_nobody(hub: Mapping[str, Row]) -> Iterable[Problem]:
    for name, repository in hub.items():
        for commit in repository["commits"]:
            if not commit["initial"] and not MARKER.search(commit["message"]):
                yield Problem("wrong", f"commit {commit['oid']} names no request", None, name)


def _never_stored(sent: Collection[Sent], requests: Collection[Row], tags: Mapping[str, str]) -> Iterable[Problem]:
    rows_of_tag: dict[str, set[str]] = defaultdict(set)
    for row in requests:
        rows_of_tag[tags[row["space_id"]]].add(row["id"])
    for one in sent:
        for id in sorted(one.accepted - rows_of_tag[one.tag]):
            yield Problem("lost", f"accepted, but there is no row ({one.tag})", id)
        if len(rows_of_tag[one.tag] | one.accepted) > 1:
            yield Problem("doubled", f"{one.tag} became {sorted(rows_of_tag[one.tag] | one.accepted)}")


def _judge(row: Row, name: str, made: list[tuple[str, str]], hub: Mapping[str, Row], sent: Sent) -> Iterable[Problem]:
    id, status = row["id"], row["status"]
    if status in ("queued", "running"):
        yield Problem("stuck", f"still {status}", id, name)
    elif status == "succeeded":
        if not made or made[0][0] != name:
            yield Problem("lost", f"succeeded, but its commit is not there: {made}", id, name)
        elif row["commit"]["oid"] not in (oid for _, oid in made):
            yield Problem("untrue", f"it names commit {row['commit']['oid']}, the Hub has {made}", id, name)
        else:
            yield from (Problem("wrong", text, id, name) for text in differences(row, hub[name], sent.body))
    else:
        if made:
            yield Problem("untrue", f"{status}, but its commit is there: {made}", id, name)
        if status == "cancelled" and not sent.cancel_sent:
            yield Problem("untrue", "cancelled by nobody", id, name)
        if status == "failed" and row["error"]["code"] not in PASSING | (REFUSED if sent.doomed else set()):
            yield Problem("untrue", f"failed with {row['error']}", id, name)


def differences(row: Row, repository: Row, body: Mapping[str, Any]) -> list[str]:
    """What a repository has that was not sent, or lacks."""
    found = []
    tree = {path: sha256 for path, sha256 in repository["tree"].items() if path != ".gitattributes"}
    manifest = {file["path"]: file["sha256"] for file in row["files"]}
    if tree != manifest:
        found.append(f"its files are {tree}, not {manifest}")
    for path, content in body["files"].items():
        # What lies in this folder no plugin completes or changes.
        if path.startswith("data/") and tree.get(path) != _digest(content):
            found.append(f"{path} is not what was sent")
    secrets = {key: hashlib.sha256(value.encode()).hexdigest() for key, value in body.get("secrets", {}).items()}
    if repository["secrets"] != secrets:
        found.append(f"its secrets are {sorted(repository['secrets'])}, not {sorted(secrets)}")
    if repository["visibility"] != body.get("visibility", "public"):
        found.append(f"it is {repository['visibility']}")
    return found


def _digest(content: str | Mapping[str, str]) -> str:
    data = content.encode() if isinstance(content, str) else base64.b64decode(content["content"])
    return hashlib.sha256(data).hexdigest()
