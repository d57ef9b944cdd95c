"""Updates: afterwards, the files on the target are exactly those that the request records."""

from __future__ import annotations

import base64
import io
import zipfile
from typing import Any

import pytest

from assembler_runner.core.database import db
from assembler_runner.devhub import StandInHub
from assembler_runner.runtime.models import AppWatch
from assembler_runner.targets.local.target import LocalTarget
from tests.conftest import Service
from tests.support.services import digest, expected_tree

APP = "import gradio as gr\nprint(PARAMS)\n"


def gradio(**more: Any) -> dict[str, Any]:
    files = {"app.py": APP, "data/a.txt": "a\n", "data/b.txt": "b\n"}
    return {"space_type": "gradio", "name": "greeter", "files": files, "parameters": {"user": "x"}, **more}


def live(hub: StandInHub, name: str = "alice/greeter") -> dict[str, str]:
    """The tree on the Hub without the Hub's own files: path → SHA-256."""
    return {path: digest(content) for path, content in hub.tree(name).items() if path != ".gitattributes"}


def assert_live(hub: StandInHub, request: dict[str, Any], name: str = "alice/greeter") -> None:
    assert request["status"] == "succeeded", request
    assert live(hub, name) == expected_tree(request)
    assert request["commit"]["oid"] == hub.space(name).head.oid


def test_a_full_tree_replaces_the_old_one(hub_service: Service, hub: StandInHub) -> None:
    space_id = hub_service.publish(**gradio())["space_id"]
    before = hub.space("alice/greeter").head.oid
    hub.clear_requests()
    request = hub_service.change(space_id, files={"app.py": "print(PARAMS, 2)\n", "data/c.txt": "c\n"})
    assert_live(hub, request)
    assert set(live(hub)) == {"README.md", "app.py", "requirements.txt", "data/c.txt"}
    assert (request["action"], request["number"], request["unchanged"]) == ("update", 2, False)
    assert hub.space("alice/greeter").head.parent == before
    assert len(hub.commits("alice/greeter")) == 2
    assert len(hub.requests) <= 3
    space = hub_service.get(f"/spaces/{space_id}")
    assert space.json["commit_oid"] == request["commit"]["oid"]
    assert space.headers["ETag"] == f'"{request["commit"]["oid"]}"'


def test_changed_files_only(hub_service: Service, hub: StandInHub) -> None:
    space_id = hub_service.publish(**gradio())["space_id"]
    request = hub_service.change(space_id, mode="merge", files={"data/a.txt": "new\n", "data/b.txt": None})
    assert_live(hub, request)
    tree = hub.tree("alice/greeter")
    assert set(tree) == {".gitattributes", "README.md", "app.py", "requirements.txt", "data/a.txt"}
    assert tree["data/a.txt"] == b"new\n"
    assert tree["app.py"].count(b"PARAMS = ") == 1


def test_parameters_start_from_what_was_given(hub_service: Service, hub: StandInHub) -> None:
    space_id = hub_service.publish(**gradio())["space_id"]
    for user in ("y", "z"):
        request = hub_service.change(space_id, parameters={"user": user})
        assert_live(hub, request)
        app = hub.tree("alice/greeter")["app.py"].decode()
        assert app.count("PARAMS = ") == 1
        assert f"{user!r}" in app
    assert hub_service.change(space_id, options={"title": "Better"})["parameters"] == {"user": "z"}
    assert b"title: Better" in hub.tree("alice/greeter")["README.md"]
    assert "'z'" in hub.tree("alice/greeter")["app.py"].decode()
    request = hub_service.change(space_id, parameters=None)
    assert "'z'" not in hub.tree("alice/greeter")["app.py"].decode()
    assert b"title: Better" in hub.tree("alice/greeter")["README.md"]


def test_an_unchanged_tree_makes_no_commit_and_says_so(hub_service: Service, hub: StandInHub) -> None:
    first = hub_service.publish(**gradio())
    request = hub_service.change(first["space_id"], files=gradio()["files"])
    assert (request["status"], request["unchanged"], request["commit"]) == ("succeeded", True, first["commit"])
    assert "unchanged" in [event["type"] for event in hub_service.events(request["id"])]
    assert len(hub.commits("alice/greeter")) == 1


def test_settings_cost_one_build(hub_service: Service, hub: StandInHub) -> None:
    body = gradio(variables={"OLD": "1", "KEPT": "1"}, secrets={"OLD_KEY": "1"})
    space_id = hub_service.publish(**body)["space_id"]
    hub.clear_requests()
    request = hub_service.change(
        space_id,
        files={"app.py": "print(2)\n"},
        variables={"MODE": "fast", "OLD": None, "KEPT": "1"},
        secrets={"API_KEY": "s3cret", "OLD_KEY": None},
        hardware="cpu-upgrade",
        sleep_time=3600,
        visibility="private",
    )
    assert_live(hub, request)
    repo = hub.space("alice/greeter")
    assert {key: entry.value for key, entry in repo.variables.items()} == {"MODE": "fast", "KEPT": "1"}
    assert {key: entry.value for key, entry in repo.secrets.items()} == {"API_KEY": "s3cret"}
    assert (repo.hardware, repo.sleep_time, repo.visibility) == ("cpu-upgrade", 3600, "private")
    changing = [record.line for record in hub.requests if record.method != "GET"]
    assert changing[-1].startswith("POST /api/spaces/alice/greeter/commit/")
    assert len([line for line in changing if "/variables" in line]) == 2
    assert hub_service.space(space_id)["visibility"] == "private"
    shown = hub_service.get(f"/requests/{request['id']}/events").text
    assert "s3cret" not in shown
    assert "API_KEY" in shown


def test_settings_alone_make_no_commit_and_start_the_app_once(hub_service: Service, hub: StandInHub) -> None:
    space_id = hub_service.publish(**gradio())["space_id"]
    request = hub_service.change(space_id, variables={"MODE": "slow"})
    assert (request["status"], request["unchanged"]) == ("succeeded", True)
    assert hub.space("alice/greeter").variables["MODE"].value == "slow"
    assert len(hub.commits("alice/greeter")) == 1
    # The Hub restarts the app automatically here.
    assert not any("/restart" in record.path for record in hub.requests)


def test_it_is_public_only_after_the_commit(hub_service: Service, hub: StandInHub) -> None:
    space_id = hub_service.publish(**gradio(visibility="private"))["space_id"]
    hub.clear_requests()
    request = hub_service.change(space_id, files={"app.py": "print(2)\n"}, visibility="public")
    assert_live(hub, request)
    lines = [record.line for record in hub.requests if record.method in ("PUT", "POST")]
    assert lines[-1] == "PUT /api/spaces/alice/greeter/settings"


def test_labels_and_expiry_are_changed_at_once(service: Service) -> None:
    first = service.publish()
    answer = service.post(f"/spaces/{first['space_id']}", {"labels": ["a"], "expires_at": "2100-01-01T00:00:00Z"})
    assert answer.status_code == 202
    assert answer.json["latest_request"]["id"] == first["id"]
    assert answer.json["labels"] == ["a"]
    assert answer.json["expires_at"].startswith("2100-01-01T00:00:00")
    assert service.post(f"/spaces/{first['space_id']}", {"expires_at": None}).json["expires_at"] is None
    past = service.post(f"/spaces/{first['space_id']}", {"expires_at": "2020-01-01T00:00:00Z"})
    assert (past.status_code, past.json["issues"][0]["path"]) == (422, "expires_at")


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({"files": {"index.html": None}}, "null_file"),
        ({"files": {"../x": "x"}, "mode": "merge"}, "path_traversal"),
        ({"space_type": "gradio", "files": {"app.py": "x = 1"}}, "sdk_changed"),
        ({"space_type": "nothing"}, "unknown_space_type"),
        ({"name": "other"}, "place_changed"),
        ({"secrets": {"KEY": "x"}}, "secrets_on_static"),
        ({"hardware": "cpu-basic"}, "machine_on_static"),
        ({"fiels": {}}, "unknown_field"),
        ({"mode": "append"}, "invalid_field"),
    ],
)
def test_invalid_updates_are_rejected(service: Service, body: dict[str, Any], code: str) -> None:
    space_id = service.publish()["space_id"]
    answer = service.post(f"/spaces/{space_id}", body)
    assert answer.status_code == 422, answer.json
    codes = [issue["code"] for issue in answer.json["issues"]]
    assert code in codes, codes
    assert service.space(space_id)["latest_request"]["number"] == 1


def test_if_match(hub_service: Service, hub: StandInHub) -> None:
    space_id = hub_service.publish(**gradio())["space_id"]
    path = f"/spaces/{space_id}"
    etag = hub_service.get(path).headers["ETag"]
    body = {"files": {"app.py": "print(2)\n"}}
    for header, status in (('"other"', 412), ('W/"weak"', 422), ('"", "?=^F/I"', 422), ("*", 202)):
        answer = hub_service.post(path, body, headers={"If-Match": header})
        assert answer.status_code == status, answer.json
    # A change is pending, so the next commit is not known.
    late = hub_service.post(path, body, headers={"If-Match": etag})
    assert (late.status_code, late.json["code"]) == (412, "precondition_failed")
    hub_service.work(answer.json["latest_request"]["id"])
    assert hub_service.post(path, body, headers={"If-Match": etag}).status_code == 412
    etag = hub_service.get(path).headers["ETag"]
    request = hub_service.ask(path, {"files": {"app.py": "print(3)\n"}}, headers={"If-Match": etag})
    assert_live(hub, hub_service.work(request["id"]))


def test_requests_of_one_space_are_done_in_order(hub_service: Service, hub: StandInHub) -> None:
    space = hub_service.submit(**gradio())
    asked = [
        hub_service.ask(f"/spaces/{space['id']}", {"mode": "merge", "files": {f"data/{number}.txt": f"{number}"}})
        for number in range(3)
    ]
    # No request is claimed before its turn.
    assert hub_service.work(asked[2]["id"])["status"] == "queued"
    assert hub_service.work(asked[0]["id"])["attempts"] == 0
    for request_id in (space["latest_request"]["id"], *(request["id"] for request in asked)):
        assert hub_service.work(request_id)["status"] == "succeeded"
    assert {"data/0.txt", "data/1.txt", "data/2.txt", "data/a.txt"} <= set(live(hub))
    assert_live(hub, hub_service.request(asked[2]["id"]))


def test_what_builds_on_a_failed_change_fails(hub_service: Service, hub: StandInHub) -> None:
    space = hub_service.publish(**gradio())
    path = f"/spaces/{space['space_id']}"
    first = hub_service.ask(path, {"mode": "merge", "files": {"data/1.txt": "1"}})
    second = hub_service.ask(path, {"mode": "merge", "files": {"data/2.txt": "2"}})
    full = hub_service.ask(path, {"files": {"app.py": "print(3)\n"}, "parameters": {}, "options": {}})
    answer = hub_service.post(f"/requests/{first['id']}/command", {"command": "cancel"})
    assert answer.json["status"] == "cancelled"
    assert hub_service.space(space["space_id"])["state"] == "building"
    failed = hub_service.work(second["id"])
    assert (failed["status"], failed["error"]["code"]) == ("failed", "base_failed")
    assert_live(hub, hub_service.work(full["id"]))
    # A retry now would undo the later change.
    assert hub_service.post(f"/requests/{second['id']}/command", {"command": "retry"}).status_code == 409


def test_preview_shows_the_difference(service: Service) -> None:
    first = service.publish(files={"index.html": "<h1>Hello</h1>\n", "old.txt": "old\n", "x.bin": "\0"})
    path = f"/spaces/{first['space_id']}"
    body = {"files": {"index.html": "<h1>Bye</h1>\n", "new.txt": "new", "x.bin": "\0\0"}}
    shown = service.post(f"{path}/preview", body).json
    (changed, binary) = shown["diff"]["changed"]
    assert changed == {
        "path": "index.html",
        "diff": "--- a/index.html\n+++ b/index.html\n@@ -1 +1 @@\n-<h1>Hello</h1>\n+<h1>Bye</h1>\n",
    }
    assert binary == {"path": "x.bin", "diff": None}
    assert [entry["path"] for entry in shown["diff"]["deleted"]] == ["old.txt"]
    assert shown["diff"]["added"][0]["diff"].endswith("+new\n\\ No newline at end of file\n")
    assert shown["base"] == {"request_id": first["id"], "commit_oid": first["commit"]["oid"]}
    request = service.change(first["space_id"], **body)
    assert request["tree_digest"] == shown["tree_digest"]
    again = service.post(f"{path}/preview", body).json
    assert again["diff"] == {"added": [], "changed": [], "deleted": []}


def test_a_local_space(service: Service) -> None:
    first = service.publish(name="site", files={"index.html": "<h1>1</h1>", "a/b.txt": "b"})
    request = service.change(first["space_id"], files={"index.html": "<h1>2</h1>", "a": "a file now"})
    assert request["status"] == "succeeded"
    target = service.services.targets.find(service.space(first["space_id"])["realm_id"], "local")
    assert isinstance(target, LocalTarget)
    stored = {file.path: target.read("admin", "site", file.path, None) for file in target.files("admin", "site", None)}
    assert {path: digest(content or b"") for path, content in stored.items()} == expected_tree(request)
    assert b"<h1>2</h1>" in service.client.get("/local/admin/site/live/").data


def test_the_same_key_makes_one_update(service: Service) -> None:
    first, other = service.publish(), service.publish()
    path, headers = f"/spaces/{first['space_id']}", {"Idempotency-Key": "once"}
    body = {"files": {"index.html": "2"}}
    assert len({service.ask(path, body, headers=headers)["id"] for _ in range(2)}) == 1
    assert service.post(f"/spaces/{other['space_id']}", body, headers=headers).status_code == 422
    # Even if the Space has changed since.
    etag = service.get(path).headers["ETag"]
    headers |= {"Idempotency-Key": "twice", "If-Match": etag}
    service.remove(other["space_id"])
    first_time = service.post(path, {"files": {"index.html": "3"}}, headers=headers)
    assert (first_time.status_code, first_time.json["code"]) == (412, "precondition_failed")
    service.work(service.space(first["space_id"])["latest_request"]["id"])
    headers["If-Match"] = service.get(path).headers["ETag"]
    request = service.ask(path, {"files": {"index.html": "3"}}, headers=headers)
    service.work(request["id"])
    assert service.ask(path, {"files": {"index.html": "3"}}, headers=headers)["id"] == request["id"]


def test_the_app_is_followed_again_after_each_change(hub_service: Service) -> None:
    space_id = hub_service.publish(**gradio())["space_id"]

    def followed() -> tuple[str | None, bool]:
        """Returns the commit of the watch and whether it is open; resets both."""
        with hub_service.app.app_context():
            row = db.session.get_one(AppWatch, space_id)
            found = (row.commit_oid, row.is_open)
            row.commit_oid, row.is_open = "none", False
            db.session.commit()
        return found

    followed()
    request = hub_service.change(space_id, files={"app.py": "print(2)\n"})
    assert followed() == (request["commit"]["oid"], True)
    assert hub_service.space(space_id)["state"] == "building"
    for act in (
        lambda: hub_service.command(space_id, "restart"),
        lambda: hub_service.change(space_id, variables={"A": "1"}),
        lambda: hub_service.command(space_id, "pause"),
    ):
        assert act()["status"] == "succeeded"
        assert followed() == (None, True)
    assert hub_service.space(space_id)["state"] == "paused"
    assert hub_service.change(space_id, labels=["a"])["status"] == "succeeded"
    assert hub_service.remove(space_id)["status"] == "succeeded"
    assert followed() == ("none", False)


@pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")  # the library's own, for large files
def test_files_of_any_kind(hub_service: Service, hub: StandInHub) -> None:
    """A form with a large file; an archive instead; and large files that are neither sent nor read again."""
    large = bytes(range(256)) * 400
    space_id = hub_service.publish(**gradio())["space_id"]
    form = {"body": '{"mode": "merge"}', "file": (io.BytesIO(large), "m/large.bin")}
    headers = hub_service.headers
    answer = hub_service.client.post(f"/spaces/{space_id}", data=form, headers=headers)
    assert answer.status_code == 202, answer.json
    request = hub_service.work(answer.json["latest_request"]["id"])
    assert_live(hub, request)
    assert hub.tree("alice/greeter")["m/large.bin"] == large
    larger = {"content": base64.b64encode(large * 20).decode(), "encoding": "base64"}
    assert_live(hub, hub_service.change(space_id, mode="merge", files={"m/larger.bin": larger}))
    assert hub.tree("alice/greeter")["m/larger.bin"] == large * 20
    hub.clear_requests()
    assert_live(hub, hub_service.change(space_id, parameters={"user": "z"}))
    assert not any("_large" in record.path or "info/lfs" in record.path for record in hub.requests)
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("top/app.py", "print(3)\n")
    packed.seek(0)
    shown = hub_service.client.post(f"/spaces/{space_id}/preview", data={"archive": (packed, "a.zip")}, headers=headers)
    assert shown.status_code == 200, shown.json
    assert {entry["path"] for entry in shown.json["diff"]["deleted"]} == {
        *("data/a.txt", "data/b.txt", "m/large.bin", "m/larger.bin")
    }
    assert {entry["path"]: entry["diff"] for entry in shown.json["diff"]["deleted"]}["m/large.bin"] is None


def test_templates_stay(service: Service) -> None:
    types = service.get("/space-types").json["data"]
    named = [(kind["name"], template["name"]) for kind in types for template in kind["templates"]]
    if not named:
        pytest.skip("no bundled type has a template")
    space_type, template = named[0]
    space = service.post("/spaces", {"space_type": space_type, "template": template}).json
    first = service.work(space["latest_request"]["id"])
    request = service.change(space["id"], mode="merge", files={"more.txt": "more"})
    assert expected_tree(request) == expected_tree(first) | {"more.txt": digest(b"more")}
