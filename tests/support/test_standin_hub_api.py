"""The stand-in Hub, tested with the real client."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from assembler_runner.devhub import Account, Stage, StandInHub
from tests.support import client_env

client_env.settle()

# isort: split
from huggingface_hub import (  # noqa: E402
    CommitInfo,
    CommitOperationAdd,
    CommitOperationDelete,
    HfApi,
    SpaceHardware,
    hf_hub_download,
    snapshot_download,
)
from huggingface_hub.errors import (  # noqa: E402
    HfHubHTTPError,
    RemoteEntryNotFoundError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)
from huggingface_hub.utils._http import get_session  # noqa: E402

SPACE = "alice/app"
README = b"---\ntitle: App\nsdk: gradio\napp_file: app.py\n---\n"
CREATE, COMMIT = "POST /api/repos/create", f"POST /api/spaces/{SPACE}/commit/main"
# The client's own LFS upload uses an argument which its HTTP library deprecates.
large_upload = pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")


@pytest.fixture
def hub() -> Iterator[StandInHub]:
    with StandInHub() as running:
        yield running
        assert running.bugs == []


@pytest.fixture
def api(hub: StandInHub) -> HfApi:
    return HfApi(endpoint=hub.url, token="hf_alice")


def create(api: HfApi, name: str = SPACE, sdk: str = "gradio", **options: Any) -> str:
    return api.create_repo(name, repo_type="space", space_sdk=sdk, **options).repo_id


def commit(api: HfApi, files: dict[str, bytes], name: str = SPACE, **options: Any) -> CommitInfo:
    operations = [CommitOperationAdd(path, data) for path, data in files.items()]
    options = {"commit_message": "Publish", **options}
    made: CommitInfo = api.create_commit(name, operations, repo_type="space", **options)
    return made


def status_of(call: Any, *args: Any, **options: Any) -> int:
    with pytest.raises(HfHubHTTPError) as caught:
        call(*args, **options)
    return caught.value.response.status_code


# --- publishing


def test_the_command_hf_publishes_a_folder(hub: StandInHub, tmp_path: Path) -> None:
    folder = tmp_path / "app"
    folder.mkdir()
    (folder / "README.md").write_bytes(README)
    (folder / "app.py").write_text("print()\n")
    command = [str(Path(sys.executable).with_name("hf")), "upload", SPACE, str(folder), ".", "--type", "space"]
    settings = {**client_env.SETTINGS, "NO_PROXY": client_env.LOOPBACK, "HF_HOME": str(tmp_path / "home")}
    settings |= {"HF_ENDPOINT": hub.url, "HF_TOKEN": "hf_alice", "PATH": os.environ["PATH"]}
    done = subprocess.run(command, env=settings, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    assert {"README.md", "app.py"} <= set(hub.tree(SPACE))
    assert [record.line for record in hub.requests if record.status >= 400] == []


@pytest.mark.parametrize(
    ("sdk", "files"),
    [
        ("gradio", {".gitattributes", "README.md"}),
        ("docker", {".gitattributes", "README.md"}),
        ("static", {".gitattributes", "README.md", "index.html", "style.css"}),
    ],
)
def test_a_new_space_holds_the_hubs_own_commit(hub: StandInHub, api: HfApi, sdk: str, files: set[str]) -> None:
    assert create(api, sdk=sdk) == SPACE
    assert set(hub.tree(SPACE)) == set(api.list_repo_files(SPACE, repo_type="space")) == files
    assert f"sdk: {sdk}".encode() in hub.tree(SPACE)["README.md"]
    assert hub.commits(SPACE) == []
    assert [item.title for item in api.list_repo_commits(SPACE, repo_type="space")] == ["initial commit"]


def test_create_and_one_commit_cost_five_requests(hub: StandInHub, api: HfApi) -> None:
    create(api, space_secrets=[{"key": "KEY", "value": "secret"}], space_variables=[{"key": "A", "value": "b"}])
    head = api.space_info(SPACE).sha
    files = {
        "README.md": README,
        "app.py": b"x = 1\n",
        "data/deep/notes.txt": b"",
        "café #1.txt": b"?",
    }
    done = commit(api, files, commit_description="request 42", parent_commit=head)
    assert [record.line for record in hub.requests] == [
        CREATE,
        f"GET /api/spaces/{SPACE}",
        "POST /api/validate-yaml",
        f"POST /api/spaces/{SPACE}/preupload/main",
        COMMIT,
    ]
    assert {record.status for record in hub.requests} == {200}
    assert {record.account for record in hub.requests} == {"alice"}
    tree = hub.tree(SPACE)
    assert files.items() <= tree.items()
    assert set(tree) == {*files, ".gitattributes"}
    (made,) = hub.commits(SPACE)
    assert (made.oid, made.title, made.message, made.author) == (done.oid, "Publish", "request 42", "alice")
    assert made.parent == head
    assert hub.space(SPACE).secrets["KEY"].value == "secret"
    assert api.get_space_variables(SPACE)["A"].value == "b"


def test_unchanged_files_make_no_commit(hub: StandInHub, api: HfApi) -> None:
    create(api)
    first = commit(api, {"app.py": b"x = 1\n"})
    again = commit(api, {"app.py": b"x = 1\n"})
    assert again.oid == first.oid
    assert len(hub.commits(SPACE)) == 1


@large_upload
@pytest.mark.parametrize("part_size", [None, 1000])
def test_binary_files_arrive_byte_for_byte(hub: StandInHub, api: HfApi, tmp_path: Path, part_size: int | None) -> None:
    hub.settings.lfs_part_size = part_size
    data = b"\0" + os.urandom(3500)
    create(api)
    commit(api, {"model.bin": data, "copy.bin": data, "app.py": b"x = 1\n"})
    assert hub.tree(SPACE)["model.bin"] == hub.tree(SPACE)["copy.bin"] == data
    (row,) = api.get_paths_info(SPACE, ["model.bin"], repo_type="space")
    assert row.lfs is not None and row.lfs.size == row.size == len(data)  # type: ignore[union-attr]
    local = hf_hub_download(
        SPACE, "model.bin", repo_type="space", endpoint=hub.url, token="hf_alice", cache_dir=tmp_path
    )
    assert Path(local).read_bytes() == data
    uploads = [record for record in hub.requests if record.method == "PUT"]
    assert len(uploads) == (8 if part_size else 2)
    hub.clear_requests()
    commit(api, {"model.bin": data, "third.bin": data})
    assert not [record for record in hub.requests if record.method == "PUT"]
    assert hub.tree(SPACE)["third.bin"] == data


def test_a_snapshot_is_the_tree(hub: StandInHub, api: HfApi, tmp_path: Path) -> None:
    create(api)
    commit(api, {"app.py": b"x = 1\n", "a/b/c.txt": b"deep"})
    folder = Path(
        snapshot_download(SPACE, repo_type="space", endpoint=hub.url, token="hf_alice", local_dir=tmp_path / "x")
    )
    found = {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and ".cache" not in path.parts
    }
    assert found == hub.tree(SPACE)


def test_deletions(hub: StandInHub, api: HfApi) -> None:
    create(api)
    commit(api, {"app.py": b"1", "old/a.txt": b"a", "old/b/c.txt": b"c", "gone.txt": b"x"})
    operations = [CommitOperationDelete("old/"), CommitOperationDelete("gone.txt")]
    api.create_commit(SPACE, operations, commit_message="Tidy", repo_type="space")
    assert set(hub.tree(SPACE)) == {".gitattributes", "README.md", "app.py"}
    with pytest.raises(RemoteEntryNotFoundError, match="A file with this name doesn't exist"):
        api.delete_file("gone.txt", SPACE, repo_type="space")
    assert len(hub.commits(SPACE)) == 2


def test_a_stale_parent_is_refused(hub: StandInHub, api: HfApi) -> None:
    create(api)
    seen = api.space_info(SPACE).sha
    commit(api, {"app.py": b"1"}, parent_commit=seen)
    with pytest.raises(HfHubHTTPError, match="The branch was updated since you opened this page") as caught:
        commit(api, {"app.py": b"2"}, parent_commit=seen)
    assert caught.value.response.status_code == 412
    assert hub.tree(SPACE)["app.py"] == b"1"


def test_bad_commits_change_nothing(hub: StandInHub, api: HfApi) -> None:
    create(api)
    assert status_of(commit, api, {"a\\b.txt": b"1"}) == 422
    assert status_of(commit, api, {"a": b"1", "a/b": b"2"}) == 422
    with pytest.raises(ValueError, match="colorFrom"):
        commit(api, {"README.md": b"---\nsdk: gradio\ncolorFrom: beige\n---\n"})
    with pytest.raises(RevisionNotFoundError):
        commit(api, {"a": b"1"}, revision="no/such")
    assert hub.commits(SPACE) == []
    with pytest.warns(UserWarning, match="empty or missing yaml metadata"):
        commit(api, {"README.md": b"plain"})
    assert api.get_space_runtime(SPACE).stage == "CONFIG_ERROR"


# --- reading


def test_lists_come_in_pages(hub: StandInHub, api: HfApi) -> None:
    hub.settings.tree_page = hub.settings.commits_page = 2
    create(api)
    for number in range(4):
        commit(api, {f"d/{number}.txt": b"%d" % number}, commit_message=f"Number {number}")
    titles = [item.title for item in api.list_repo_commits(SPACE, repo_type="space")]
    assert titles == ["Number 3", "Number 2", "Number 1", "Number 0", "initial commit"]
    assert set(api.list_repo_files(SPACE, repo_type="space")) == set(hub.tree(SPACE))
    top = [item.path for item in api.list_repo_tree(SPACE, repo_type="space")]
    assert top == [".gitattributes", "README.md", "d"]
    first = hub.commits(SPACE)[0].oid
    assert "d/1.txt" not in api.list_repo_files(SPACE, repo_type="space", revision=first)
    (main,) = api.list_repo_refs(SPACE, repo_type="space").branches
    assert main.target_commit == hub.commits(SPACE)[-1].oid


def test_info_lists_files(hub: StandInHub, api: HfApi) -> None:
    create(api, visibility="private")
    commit(api, {"app.py": b"x = 1\n"})
    info = api.space_info(SPACE, files_metadata=True)
    assert (info.author, info.sdk, info.private, info.sha) == (
        "alice",
        "gradio",
        True,
        hub.commits(SPACE)[0].oid,
    )
    assert {item.rfilename: item.size for item in info.siblings or []}["app.py"] == 6
    assert info.created_at and info.last_modified and info.created_at <= info.last_modified
    assert api.file_exists(SPACE, "app.py", repo_type="space")
    assert not api.file_exists(SPACE, "app.txt", repo_type="space")
    assert [space.id for space in api.list_spaces(author="alice")] == [SPACE]
    assert list(HfApi(endpoint=hub.url, token="hf_bob").list_spaces(author="alice")) == []


# --- permissions


def test_permissions_of_accounts(hub: StandInHub, api: HfApi) -> None:
    assert [org["name"] for org in api.whoami()["orgs"]] == ["acme"]
    bob, nobody = HfApi(endpoint=hub.url, token="hf_bob"), HfApi(endpoint=hub.url, token=False)
    stranger = HfApi(endpoint=hub.url, token="hf_unknown")
    assert create(api, "acme/app") == "acme/app"
    create(api, visibility="private")
    assert status_of(create, bob, "alice/other") == status_of(create, bob, "acme/other") == 403
    assert status_of(commit, bob, {"a": b"1"}, "acme/app") == 403
    assert bob.space_info("acme/app").id == "acme/app"
    for name in (SPACE, "bob/missing"):
        with pytest.raises(RepositoryNotFoundError):
            bob.space_info(name)
        assert status_of(nobody.space_info, name) == 401
    with pytest.raises(HfHubHTTPError, match="Invalid credentials in Authorization header"):
        stranger.space_info("acme/app")
    assert status_of(create, nobody) == status_of(create, stranger) == 401


def test_a_free_account_gets_payment_required(hub: StandInHub) -> None:
    hub.add_account("hf_free", Account("free", is_pro=False, can_pay=False))
    api = HfApi(endpoint=hub.url, token="hf_free")
    for sdk in ("gradio", "docker"):
        with pytest.raises(HfHubHTTPError, match="requires a PRO subscription") as caught:
            create(api, "free/app", sdk)
        assert caught.value.response.status_code == 402
    create(api, "free/page", "static")
    create(api, "free/zero", "gradio", space_hardware="zero-a10g")
    assert status_of(create, api, "free/gpu", space_hardware="t4-small") == 402
    assert hub.spaces() == ["free/page", "free/zero"]


def test_creations_the_hub_rejects(hub: StandInHub, api: HfApi) -> None:
    create(api)
    assert status_of(create, api) == 409
    assert create(api, exist_ok=True) == SPACE
    assert status_of(create, api, "alice/lit", "streamlit") == 400
    assert status_of(create, api, "alice/gpu", space_hardware="h100") == 400
    body = {"name": "a--b", "organization": None, "type": "space", "sdk": "static"}
    answer = get_session().post(f"{hub.url}/api/repos/create", json=body, headers={"authorization": "Bearer hf_alice"})
    assert (answer.status_code, answer.json()["error"]) == (400, answer.headers["X-Error-Message"])
    assert answer.headers["X-Request-Id"].startswith("Root=1-")
    assert hub.spaces() == [SPACE]


# --- the life of a Space


def test_moves_copies_and_deletion(hub: StandInHub, api: HfApi) -> None:
    create(api, space_secrets=[{"key": "S", "value": "s"}], space_variables=[{"key": "V", "value": "v"}])
    commit(api, {"app.py": b"1"})
    api.move_repo(SPACE, "acme/new", repo_type="space")
    assert api.space_info(SPACE).id == "acme/new"
    commit(api, {"app.py": b"2"})
    assert hub.tree("acme/new")["app.py"] == b"2"
    api.update_repo_settings("acme/new", private=True, repo_type="space")
    assert hub.space("acme/new").visibility == "private"
    api.duplicate_repo("acme/new", "alice/copy", repo_type="space")
    assert hub.tree("alice/copy") == hub.tree("acme/new")
    assert (set(hub.space("alice/copy").variables), set(hub.space("alice/copy").secrets)) == ({"V"}, set())
    create(api, "alice/third")
    assert status_of(api.move_repo, "alice/third", "alice/copy", repo_type="space") == 409
    api.delete_repo("alice/copy", repo_type="space")
    with pytest.raises(RepositoryNotFoundError):
        api.delete_repo("alice/copy", repo_type="space")
    assert hub.spaces() == ["acme/new", "alice/third"]


def test_secrets_and_variables(hub: StandInHub, api: HfApi) -> None:
    create(api)
    api.add_space_secret(SPACE, "KEY", "value", description="a key")
    assert api.get_space_secrets(SPACE)["KEY"].description == "a key"
    assert hub.space(SPACE).secrets["KEY"].value == "value"
    assert set(api.add_space_variable(SPACE, "A", "1")) == {"A"}
    assert api.delete_space_variable(SPACE, "A") == {}
    api.delete_space_secret(SPACE, "KEY")
    api.delete_space_secret(SPACE, "KEY")
    assert api.get_space_secrets(SPACE) == {}


def stages(api: HfApi, count: int) -> list[str]:
    return [str(api.get_space_runtime(SPACE).stage) for _ in range(count)]


def test_a_commit_builds_and_runs(hub: StandInHub, api: HfApi) -> None:
    create(api)
    assert stages(api, 2) == ["NO_APP_FILE", "NO_APP_FILE"]
    commit(api, {"app.py": b"1"})
    assert stages(api, 4) == ["BUILDING", "APP_STARTING", "RUNNING", "RUNNING"]
    assert api.pause_space(SPACE).stage == "PAUSED"
    assert api.restart_space(SPACE, factory_reboot=True).stage == "BUILDING"
    assert api.wait_for_space(SPACE, poll_interval=0.01).stage == "RUNNING"
    hub.set_stage(SPACE, "STOPPED")
    assert stages(api, 1) == ["STOPPED"]
    runtime = api.request_space_hardware(SPACE, SpaceHardware.T4_SMALL, sleep_time=600)
    assert (runtime.requested_hardware, runtime.sleep_time) == ("t4-small", 600)
    assert api.set_space_sleep_time(SPACE, 900).sleep_time == 900


def test_scripted_stages(hub: StandInHub, api: HfApi) -> None:
    broken = Stage("BUILD_ERROR", error="pip failed")
    hub.script("gradio", [Stage("RUNNING", polls=1, sha="previous"), ("BUILDING", 0.03), broken])
    create(api)
    before = api.space_info(SPACE).sha
    commit(api, {"app.py": b"1"})
    lie = api.get_space_runtime(SPACE)
    assert (lie.stage, lie.raw["sha"]) == ("RUNNING", before)
    assert stages(api, 1) == ["BUILDING"]
    final = api.wait_for_space(SPACE, poll_interval=0.01)
    assert (final.stage, final.raw["errorMessage"]) == ("BUILD_ERROR", "pip failed")
    hub.script(SPACE, [("APP_STARTING", 1), "RUNTIME_ERROR"], now=True)
    assert stages(api, 2) == ["APP_STARTING", "RUNTIME_ERROR"]
    hub.settings.runtime_sha = True
    assert api.get_space_runtime(SPACE).raw["sha"] == hub.commits(SPACE)[0].oid


def test_static_spaces_run_at_once(hub: StandInHub, api: HfApi) -> None:
    create(api, sdk="static")
    assert stages(api, 1) == ["RUNNING"]
    assert status_of(api.pause_space, SPACE) == status_of(api.restart_space, SPACE) == 400


def test_logs(hub: StandInHub, api: HfApi) -> None:
    create(api)
    hub.set_logs(SPACE, "build", ["Step 1", "pip failed\n"])
    assert list(api.fetch_space_logs(SPACE, build=True)) == ["Step 1\n", "pip failed\n"]
    assert list(api.fetch_space_logs(SPACE)) == []
