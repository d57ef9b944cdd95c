"""Bulk commands that change labels and expiry, or restore the release before."""

from __future__ import annotations

from typing import Any

import pytest

from tests.conftest import Service


def bulk(service: Service, command: str, label: str, **more: Any) -> Any:
    return service.post("/spaces/command", {"command": command, "filter": {"label": label}, **more})


def test_labels_and_expiry_of_many(service: Service) -> None:
    for name, labels in (("a", ["x", "old"]), ("b", ["x"]), ("c", ["y"])):
        service.publish(name=name, labels=labels)
    changes = {"add_labels": ["course-2026", "x"], "remove_labels": ["old"], "expires_at": "2099-01-01T00:00:00Z"}
    shown = bulk(service, "update", "x", dry_run=True, **changes).json
    assert [item["name"] for item in shown["accepted"]] == ["a", "b"]
    assert service.get("/spaces?filter[label]=course-2026").json["meta"]["total"] == 0
    done = bulk(service, "update", "x", **changes).json
    assert [(item["name"], item["request_id"]) for item in done["accepted"]] == [("a", None), ("b", None)]
    spaces = service.get("/spaces?filter[label]=course-2026&sort=name").json["data"]
    assert [(space["name"], space["labels"]) for space in spaces] == [
        ("a", ["x", "course-2026"]),
        ("b", ["x", "course-2026"]),
    ]
    assert {space["expires_at"][:10] for space in spaces} == {"2099-01-01"}
    assert bulk(service, "update", "x", expires_at=None).status_code == 202
    assert {space["expires_at"] for space in service.get("/spaces?filter[label]=x").json["data"]} == {None}
    entries = service.get("/auth/audit-log?filter[action]=update").json["data"]
    assert sorted(entry["object_name"] for entry in entries) == ["a", "a", "b", "b"]


def test_too_many_labels_are_refused_for_the_space_that_has_them(service: Service) -> None:
    service.publish(name="full", labels=["x", *(f"label-{number}" for number in range(49))])
    service.publish(name="free", labels=["x"])
    done = bulk(service, "update", "x", add_labels=["one-more"]).json
    assert [item["name"] for item in done["accepted"]] == ["free"]
    assert [(item["name"], item["code"]) for item in done["refused"]] == [("full", "conflict")]


def test_the_release_before_is_restored(service: Service) -> None:
    ids = {}
    for name in ("a", "b"):
        ids[name] = service.publish(name=name, labels=["x"], files={"index.html": f"first {name}"})["space_id"]
    service.change(ids["a"], files={"index.html": "second"})
    for dry_run in (True, False):
        done = bulk(service, "rollback", "x", dry_run=dry_run).json
        assert [item["name"] for item in done["accepted"]] == ["a"]
        assert [item["message"] for item in done["refused"]] == ["b has no earlier release."]
    # A second command, sent before the first is done, does not go back further.
    assert "about to change" in bulk(service, "rollback", "x").json["refused"][0]["message"]
    service.work(done["accepted"][0]["request_id"])
    preview = service.post(f"/spaces/{ids['a']}/preview?content=true", {"mode": "merge", "files": {}}).json
    assert "first a" in {file["content"] for file in preview["files"]}


@pytest.mark.parametrize(
    ("command", "more", "field"),
    [
        ("update", {}, "add_labels"),
        ("restart", {"add_labels": ["x"]}, "add_labels"),
        ("delete", {"expires_at": None}, "expires_at"),
        ("update", {"expires_at": "2001-01-01T00:00:00Z"}, "expires_at"),
        ("update", {"add_labels": [""]}, "add_labels[0]"),
    ],
)
def test_a_wrong_field_is_named(service: Service, command: str, more: dict[str, Any], field: str) -> None:
    answer = bulk(service, command, "x", **more)
    assert answer.status_code == 422
    assert [issue["path"].replace(".0", "[0]") for issue in answer.json["issues"]] == [field]
