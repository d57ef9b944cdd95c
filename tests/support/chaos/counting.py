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

STEP_FILE = "data/step.txt"
BY_HAND = "By hand"
RELEASES = ("create", "update", "rollback", "duplicate")
MARKER = re.compile(r"Assembler-Request: (\S+)")
KINDS = ("lost", "doubled", "stuck", "orphaned", "wrong", "untrue")
PASSING = {"target_unavailable", "rate_limited", "database_unavailable"}
"""Errors that are true of a Hub full of faults."""
BUILT_ON = {"base_failed", "conflict"}
"""Errors that are true of a change whose Space was never made, or that builds on one that failed."""
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


def count(
    sent: Collection[Sent],
    requests: Collection[Row],
    spaces: Collection[Row],
    hub: Mapping[str, Row],
    theirs: Mapping[str, str] | None = None,
) -> Counts:
    """Compares what callers were told with what there is.

    Args:
        sent: what was sent, with the ids that were answered.
        requests: all requests, as the API shows them.
        spaces: all Spaces, as the API shows them.
        hub: the Hub's Spaces by name (`alice/x`), as its control API shows them.
        theirs: Spaces of somebody else's with their newest commits.
    """
    tags = {space["id"]: space["labels"][0] for space in spaces}
    names = {space["id"]: space["name"] for space in spaces}
    sent_by_tag = {one.tag: one for one in sent}
    commits = _commits_by_request(hub)
    counts = Counts(accepted=len(requests))
    counts.problems += _never_stored(sent, requests, tags)
    counts.problems += _touched(theirs or {}, hub)
    ours = {name: repository for name, repository in hub.items() if name not in (theirs or {})}
    counts.problems += _commits_of_nobody(ours)
    owned, ids = set(), {}
    for space_id, rows in _by_space(requests).items():
        name, one = f"alice/{names[space_id]}", sent_by_tag[tags[space_id]]
        ids[name] = rows[0]["id"]
        history = History(name, rows, one, ours.get(name))
        for row in rows:
            counts.ended[row["status"]] = counts.ended.get(row["status"], 0) + 1
            made = commits.get(row["id"], [])
            if len(made) > 1:
                counts.problems.append(Problem("doubled", f"commits {made}", row["id"], name))
            counts.problems += _judge(row, history, made)
        counts.problems += history.problems()
        if rows[0]["status"] not in ("failed", "cancelled") and not history.deleted:
            owned.add(name)
    for name in sorted(set(ours) - owned):
        text = "the repository of a request that ended without one" if name in ids else "nobody's repository"
        counts.problems.append(Problem("orphaned", text, ids.get(name), name))
    return counts


def _by_space(requests: Collection[Row]) -> dict[str, list[Row]]:
    found: dict[str, list[Row]] = defaultdict(list)
    for row in sorted(requests, key=lambda row: int(row.get("number", 1))):
        found[row["space_id"]].append(row)
    return found


def _touched(theirs: Mapping[str, str], hub: Mapping[str, Row]) -> Iterable[Problem]:
    for name, oid in theirs.items():
        if name not in hub:
            yield Problem("lost", "somebody else's Space was deleted", None, name)
        elif hub[name]["head"] != oid:
            yield Problem("wrong", "somebody else's Space was changed", None, name)


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
            if not commit["initial"] and commit.get("title") != BY_HAND and not MARKER.search(commit["message"]):
                yield Problem("wrong", f"commit {commit['oid']} names no request", None, name)


def _never_stored(sent: Collection[Sent], requests: Collection[Row], tags: Mapping[str, str]) -> Iterable[Problem]:
    rows_of_tag: dict[str, set[str]] = defaultdict(set)
    for row in requests:
        if row.get("action", "create") == "create":
            rows_of_tag[tags[row["space_id"]]].add(row["id"])
    known = {row["id"] for row in requests}
    for one in sent:
        for id in sorted(one.changes - known):
            yield Problem("lost", f"an accepted change, but there is no row ({one.tag})", id)
        for id in sorted(one.accepted - rows_of_tag[one.tag]):
            yield Problem("lost", f"accepted, but there is no row ({one.tag})", id)
        if len(rows_of_tag[one.tag] | one.accepted) > 1:
            yield Problem("doubled", f"{one.tag} became {sorted(rows_of_tag[one.tag] | one.accepted)}")


def _judge(row: Row, history: History, made: list[tuple[str, str]]) -> Iterable[Problem]:
    id, status, name, sent = row["id"], row["status"], history.name, history.sent
    if status in ("queued", "running"):
        yield Problem("stuck", f"still {status}", id, name)
    elif status == "succeeded":
        if not history.deleted and row.get("action", "create") in RELEASES and not row.get("unchanged"):
            if not made or made[0][0] != name:
                yield Problem("lost", f"succeeded, but its commit is not there: {made}", id, name)
            elif row["commit"]["oid"] not in (oid for _, oid in made):
                yield Problem("untrue", f"it names commit {row['commit']['oid']}, the Hub has {made}", id, name)
    else:
        if made:
            yield Problem("untrue", f"{status}, but its commit is there: {made}", id, name)
        if status == "cancelled" and not (sent.cancel_sent or sent.delete_sent):
            yield Problem("untrue", "cancelled by nobody", id, name)
        if status == "failed" and row["error"]["code"] not in history.true_errors(row):
            yield Problem("untrue", f"failed with {row['error']}", id, name)


@dataclass(frozen=True)
class History:
    """All requests of one Space, in order, and what the Hub has of it."""

    name: str
    rows: list[Row]
    sent: Sent
    repository: Row | None

    @property
    def deleted(self) -> bool:
        """Whether it was deleted."""
        return any(row.get("action") == "delete" and row["status"] == "succeeded" for row in self.rows)

    def true_errors(self, row: Row) -> set[str]:
        """The codes with which a request of it may fail."""
        true = PASSING | (REFUSED if self.sent.doomed else set())
        if row.get("action", "create") != "create":
            true |= BUILT_ON | ({"foreign_commit"} if self.sent.foreign else set())
        return true

    def problems(self) -> Iterable[Problem]:
        """What is wrong with what the Hub has."""
        done = [row for row in self.rows if row["status"] == "succeeded"]
        releases = [row for row in done if row.get("action", "create") in RELEASES]
        if not releases or self.deleted or self.repository is None:
            return
        newest = releases[-1]
        numbers = {row["id"]: int(row.get("number", 1)) for row in self.rows}
        order = [
            numbers.get(marker[1], 0)
            for commit in self.repository["commits"]
            if (marker := MARKER.search(commit["message"]))
        ]
        if order != sorted(order):
            yield Problem("wrong", f"its changes were made in the order {order}", newest["id"], self.name)
        by_hand = [number for number, commit in enumerate(self.repository["commits"]) if commit.get("title") == BY_HAND]
        if by_hand:
            if by_hand[0] != len(self.repository["commits"]) - len(by_hand):
                yield Problem("wrong", "somebody else's commit was overwritten", newest["id"], self.name)
            return
        for text in differences(newest, self.repository, self._expected(releases)):
            yield Problem("wrong", text, newest["id"], self.name)

    def _step(self, row: Row) -> dict[str, Any] | None:
        """What was sent as a request, known by a file of it."""
        step = next((file["sha256"] for file in row["files"] if file["path"] == STEP_FILE), "")
        return self.sent.steps.get(step) if row.get("action") == "update" else None

    def _expected(self, releases: list[Row]) -> dict[str, Any]:
        """What the newest release was sent as, as far as it is known, with the settings of all before it."""
        body, variables = dict(self.sent.body), {}
        for row in releases:
            if change := self._step(row):
                variables |= change.get("variables", {})
        # One that was stopped on its way may have set them already; its events tell.
        stopped = [row for row in self.rows if row["status"] in ("failed", "cancelled")]
        for change in filter(None, (self._step(row) for row in stopped)):
            if self.repository and change.get("variables") == self.repository.get("variables"):
                variables = dict(change["variables"])
        return body | {"files": {} if len(releases) > 1 else body["files"], "variables": variables}


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
    variables = dict(body.get("variables", {}))
    if repository.get("variables", {}) != variables:
        found.append(f"its variables are {repository['variables']}, not {variables}")
    if repository["visibility"] != body.get("visibility", "public"):
        found.append(f"it is {repository['visibility']}")
    return found


def _digest(content: str | Mapping[str, str]) -> str:
    data = content.encode() if isinstance(content, str) else base64.b64decode(content["content"])
    return hashlib.sha256(data).hexdigest()
