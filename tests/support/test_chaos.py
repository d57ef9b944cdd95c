"""A short run of the fault tests, and tests that their checks can fail; the long run is `invoke chaos`."""

from __future__ import annotations

import copy
import hashlib
from typing import Any

import pytest

from tests.support.chaos import Counts, Sent, count, run_chaos

KILLS = 5


@pytest.mark.slow
@pytest.mark.parametrize(
    ("database", "broker"), [("sqlite", "memory"), ("postgresql", "redis"), ("mariadb", "rabbitmq")]
)
def test_nothing_is_lost_doubled_stuck_orphaned_or_wrong(database: str, broker: str) -> None:
    result = run_chaos(database, broker, KILLS, seed=1, pause=0.8)
    assert result.counts.problems == [], result.report
    assert result.bad_answers == []
    assert result.kills >= KILLS
    assert result.stops >= 1
    assert result.hub_faults > 0
    assert result.flushes > 0 or broker == "memory"
    assert result.counts.ended["succeeded"] > 0


def digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


BODY = {"files": {"data/x": "content", "app.py": "print()"}, "secrets": {"KEY": "value"}}


class World:
    """One request that succeeded and one that failed, as API and Hub show them; a test makes something of it wrong."""

    def __init__(self) -> None:
        self.sent = [Sent("good", BODY, accepted={"r1"}), Sent("bad", BODY, accepted={"r2"})]
        files = [{"path": "data/x", "sha256": digest("content")}, {"path": "app.py", "sha256": digest("changed")}]
        row = {"files": files, "error": None, "commit": None}
        self.good: dict[str, Any] = {
            **row,
            "id": "r1",
            "space_id": "s1",
            "status": "succeeded",
            "commit": {"oid": "c1"},
        }
        self.bad: dict[str, Any] = {**row, "id": "r2", "space_id": "s2", "status": "failed"}
        self.bad["error"] = {"code": "target_unavailable"}
        self.requests = [self.good, self.bad]
        self.spaces = [
            {"id": "s1", "name": "good", "labels": ["good"]},
            {"id": "s2", "name": "bad", "labels": ["bad"]},
        ]
        commits = [
            {"oid": "c0", "message": "", "initial": True},
            {"oid": "c1", "message": "Assembler-Request: r1", "initial": False},
        ]
        tree = {file["path"]: file["sha256"] for file in files}
        self.repository: dict[str, Any] = {
            "commits": commits,
            "tree": {**tree, ".gitattributes": "anything"},
            "secrets": {"KEY": digest("value")},
            "visibility": "public",
        }
        self.hub = {"alice/good": self.repository}

    def count(self) -> Counts:
        return count(self.sent, self.requests, self.spaces, self.hub)


@pytest.fixture
def world() -> World:
    return World()


def kinds(world: World) -> list[str]:
    return [problem.kind for problem in world.count().problems]


def test_a_correct_world_has_no_problems(world: World) -> None:
    counts = world.count()
    assert counts.problems == []
    assert (counts.accepted, counts.ended) == (2, {"succeeded": 1, "failed": 1})


def test_a_second_commit_is_doubled(world: World) -> None:
    world.repository["commits"].append({"oid": "c2", "message": "Assembler-Request: r1", "initial": False})
    counts = world.count()
    assert [(problem.kind, problem.request_id) for problem in counts.problems] == [("doubled", "r1")]
    assert (counts.of("doubled"), counts.of("lost")) == (1, 0)


def test_a_second_repository_is_doubled_and_orphaned(world: World) -> None:
    world.hub["alice/good-2"] = copy.deepcopy(world.repository)
    assert sorted(kinds(world)) == ["doubled", "orphaned"]


def test_two_requests_for_one_key_are_doubled(world: World) -> None:
    world.sent[0].accepted.add("r3")
    assert kinds(world) == ["lost", "doubled"]


def test_an_accepted_request_without_a_row_is_lost(world: World) -> None:
    world.requests.remove(world.bad)
    assert kinds(world) == ["lost"]


def test_a_succeeded_request_without_a_repository_is_lost(world: World) -> None:
    world.hub.clear()
    assert kinds(world) == ["lost"]


@pytest.mark.parametrize("status", ["queued", "running"])
def test_an_unfinished_request_is_stuck(world: World, status: str) -> None:
    world.bad["status"] = status
    assert kinds(world) == ["stuck"]


def test_a_repository_of_a_failed_request_is_orphaned(world: World) -> None:
    world.hub["alice/bad"] = {**world.repository, "commits": world.repository["commits"][:1]}
    assert kinds(world) == ["orphaned"]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("tree", {}),
        ("tree", {"data/x": digest("other"), "app.py": digest("changed")}),
        ("secrets", {}),
        ("secrets", {"KEY": digest("other")}),
        ("visibility", "private"),
    ],
)
def test_other_content_is_wrong(world: World, field: str, value: Any) -> None:
    world.repository[field] = value
    assert set(kinds(world)) == {"wrong"}


def test_content_that_only_the_manifest_has_right_is_wrong(world: World) -> None:
    world.good["files"][0]["sha256"] = world.repository["tree"]["data/x"] = digest("other")
    assert kinds(world) == ["wrong"]


def test_a_commit_that_names_no_request_is_wrong(world: World) -> None:
    world.repository["commits"].append({"oid": "c2", "message": "by hand", "initial": False})
    assert kinds(world) == ["wrong"]


@pytest.mark.parametrize(
    "change",
    [
        {"status": "failed", "error": {"code": "name_taken"}},
        {"status": "failed", "error": {"code": "internal_error"}},
        {"status": "failed", "error": {"code": "target_forbidden"}},
        {"status": "cancelled"},
    ],
)
def test_an_end_that_contradicts_the_hub_is_untrue(world: World, change: dict[str, Any]) -> None:
    world.bad.update(change)
    assert kinds(world) == ["untrue"]


def test_a_failure_whose_commit_exists_is_untrue(world: World) -> None:
    world.good.update(status="failed", error={"code": "target_unavailable"})
    assert sorted(kinds(world)) == ["orphaned", "untrue"]


def add_change(world: World, action: str = "update", **more: Any) -> dict[str, Any]:
    """A second request of the first Space that succeeded, with its commit."""
    tree = {"data/x": digest("content"), "app.py": digest("changed"), "data/step.txt": digest("step")}
    row = {**world.good, "id": "r3", "number": 2, "action": action, "commit": {"oid": "c2"}, **more}
    row["files"] = [{"path": path, "sha256": sha256} for path, sha256 in tree.items()]
    world.requests.append(row)
    world.repository["commits"].append({"oid": "c2", "message": "Assembler-Request: r3", "initial": False})
    world.repository["tree"] = {**tree, ".gitattributes": "anything"}
    world.repository["head"] = "c2"
    world.sent[0].changes.add("r3")
    world.sent[0].steps[digest("step")] = {"variables": {"STEP": "step"}}
    world.repository["variables"] = {"STEP": "step"}
    return row


def test_a_correct_change_has_no_problems(world: World) -> None:
    add_change(world)
    assert kinds(world) == []


@pytest.mark.parametrize(
    ("field", "value"), [("tree", {"data/x": digest("content")}), ("variables", {}), ("variables", {"STEP": "other"})]
)
def test_another_tree_or_variable_after_a_change_is_wrong(world: World, field: str, value: Any) -> None:
    add_change(world)
    world.repository[field] = value
    assert kinds(world) == ["wrong"]


def test_a_change_that_was_committed_twice_is_doubled(world: World) -> None:
    add_change(world)
    world.repository["commits"].append({"oid": "c3", "message": "Assembler-Request: r3", "initial": False})
    assert kinds(world) == ["doubled"]


def test_a_change_without_a_row_or_a_commit_is_lost(world: World) -> None:
    row = add_change(world)
    world.repository["commits"].pop()
    assert kinds(world) == ["lost"]
    world.requests.remove(row)
    assert "lost" in kinds(world)


def test_changes_in_another_order_are_wrong(world: World) -> None:
    add_change(world)
    world.repository["commits"][1:] = reversed(world.repository["commits"][1:])
    assert kinds(world) == ["wrong"]


def test_a_deleted_space_that_still_exists_is_orphaned_and_a_removed_one_is_correct(world: World) -> None:
    deletion = add_change(world, "delete", files=[], commit=None)
    deletion["files"] = []
    world.repository["commits"].pop()
    assert kinds(world) == ["orphaned"]
    world.hub.clear()
    assert kinds(world) == []


def test_a_foreign_commit_on_top_is_correct_and_one_below_ours_is_wrong(world: World) -> None:
    add_change(world)
    by_hand = {"oid": "c9", "message": "", "title": "By hand", "initial": False}
    world.repository["commits"].append(by_hand)
    world.repository["tree"]["theirs.txt"] = "x"
    assert kinds(world) == []
    world.repository["commits"].insert(2, world.repository["commits"].pop())
    assert kinds(world) == ["wrong"]


def test_foreign_spaces_must_stay_unchanged(world: World) -> None:
    theirs = {"alice/theirs": "t1"}
    world.hub["alice/theirs"] = {"head": "t1", "commits": []}

    def found() -> list[str]:
        counts = count(world.sent, world.requests, world.spaces, world.hub, theirs)
        return [problem.kind for problem in counts.problems]

    assert found() == []
    world.hub["alice/theirs"]["head"] = "t2"
    assert found() == ["wrong"]
    del world.hub["alice/theirs"]
    assert found() == ["lost"]


@pytest.mark.parametrize(
    ("code", "foreign", "right"), [("foreign_commit", True, True), ("foreign_commit", False, False)]
)
def test_a_foreign_commit_is_only_true_where_there_was_one(world: World, code: str, foreign: bool, right: bool) -> None:
    add_change(world, status="failed", error={"code": code}, commit=None)
    world.sent[0].foreign = foreign
    world.repository["commits"].pop()
    world.repository["variables"] = {}
    world.repository["tree"] = {file["path"]: file["sha256"] for file in world.good["files"]}
    assert kinds(world) == ([] if foreign else ["untrue"])
