"""Files of Spaces from git repositories: fetched by the real git program over smart HTTP."""

from __future__ import annotations

import os
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from assembler_runner.accounts.models import AuditEntry, GitCredential
from assembler_runner.core.database import db
from assembler_runner.core.vault import Vault
from assembler_runner.ops import key_rotation
from tests.conftest import SECRETS, MakeService, Service
from tests.support.git_server import GitServer, WorkTree
from tests.support.people import made, make_realm, make_user
from tests.support.services import wait_until

LOOPBACK = {"WEBHOOK_ALLOWED_NETWORKS": "127.0.0.0/8"}
PASSWORD = "tok" + "en-4711"


@pytest.fixture
def tree(tmp_path: Path) -> WorkTree:
    tree = WorkTree(tmp_path / "served" / "site")
    tree.commit({"index.html": "<h1>One</h1>", "app/index.html": "<h1>In a folder</h1>", "run.sh": "echo\n"})
    (tree.folder / "run.sh").chmod(0o755)
    tree.commit()
    return tree


@pytest.fixture
def server(tree: WorkTree) -> Iterator[GitServer]:
    with GitServer(tree.folder.parent) as server:
        yield server


@pytest.fixture
def near(make_service: MakeService) -> Service:
    """A service that may reach this machine."""
    return make_service(**LOOPBACK)


def body(server: GitServer, **git: str) -> dict[str, Any]:
    return {"space_type": "static", "git": {"url": f"{server.url}/site", **git}}


def refused(answer: Any, status: int = 422) -> tuple[str, str]:
    assert answer.status_code == status, answer.json
    issue = answer.json["issues"][0]
    return issue["code"], issue["path"]


def test_a_space_is_made_of_a_repository_and_its_commit_is_recorded(
    near: Service, server: GitServer, tree: WorkTree
) -> None:
    head = tree.git("rev-parse", "HEAD")
    preview = near.post("/spaces/preview?content=true", body(server)).json
    contents = {file["path"]: file["content"] for file in preview["files"]}
    assert contents["index.html"] == "<h1>One</h1>"
    assert {"app/index.html", "run.sh", "README.md"} <= set(contents)
    assert preview["git"] == {"url": f"{server.url}/site", "ref": "", "subdirectory": "", "commit": head}
    done = near.work(made(near.post("/spaces", body(server, ref="main")), 202)["latest_request"]["id"])
    assert (done["status"], done["tree_digest"]) == ("succeeded", preview["tree_digest"])
    assert (done["git"]["commit"], done["git"]["ref"]) == (head, "main")
    # One commit without its history, and nothing of the repository itself.
    assert not any(path.startswith(".git") and path != ".gitattributes" for path in contents)
    assert list((near.services.instance / "incoming").iterdir()) == []


def test_refs_of_all_kinds_and_folders(near: Service, server: GitServer, tree: WorkTree) -> None:
    first = tree.git("rev-parse", "HEAD")
    tree.git("tag", "--annotate", "v1", "--message", "v1")
    tree.git("update-ref", "refs/pull/7/head", first)
    tree.git("checkout", "--quiet", "-b", "feature/x")
    second = tree.commit({"app/index.html": "<h1>Two</h1>"})
    for ref, commit in {"v1": first, first: first, "refs/pull/7/head": first, "feature/x": second, "": second}.items():
        shown = near.post("/spaces/preview", body(server, **({"ref": ref} if ref else {})))
        assert made(shown, 200)["git"]["commit"] == commit, ref
    shown = near.post("/spaces/preview?content=true", body(server, subdirectory="app", ref="feature/x")).json
    given = {file["path"]: file["content"] for file in shown["files"] if file["origin"] == "given"}
    assert given == {"index.html": "<h1>Two</h1>"}
    # What is sent beside it replaces its files.
    more = {**body(server, subdirectory="app"), "files": {"index.html": "mine", "new.txt": "x"}}
    shown = near.post("/spaces/preview?content=true", more).json
    assert {"index.html": "mine", "new.txt": "x"}.items() <= {
        file["path"]: file["content"] for file in shown["files"]
    }.items()


def test_an_update_follows_the_ref_only_when_asked(near: Service, server: GitServer, tree: WorkTree) -> None:
    space = made(near.post("/spaces", body(server, ref="main")), 202)
    first = near.work(space["latest_request"]["id"])["git"]
    second = tree.commit({"index.html": "<h1>Two</h1>", "page.js": "//"})
    changed = near.change(space["id"], parameters={"user": "x"})
    assert changed["git"] == first
    followed = near.change(space["id"], git={})
    assert followed["git"] == {**first, "commit": second}
    assert "page.js" in {file["path"] for file in followed["files"]}
    # A rollback is of that commit again; files that are sent are of none.
    assert near.command(space["id"], "rollback", request_id=changed["id"])["git"] == first
    assert near.change(space["id"], files={"index.html": "by hand"})["git"] is None
    tree.git("tag", "v2")
    assert near.change(space["id"], git={"ref": "v2"})["git"]["commit"] == second
    plain = near.submit(name="plain")
    near.work(plain["latest_request"]["id"])
    assert refused(near.post(f"/spaces/{plain['id']}", {"git": {}})) == ("required", "git.url")


@pytest.mark.parametrize(
    ("git", "path"),
    [
        ({"url": "--upload-pack=touch /tmp/x"}, "git.url"),
        ({"url": "ssh://git@host/r"}, "git.url"),
        ({"url": "file:///etc"}, "git.url"),
        ({"url": "ext::sh -c true"}, "git.url"),
        ({"url": "https://user:pass@host/r"}, "git.url"),
        ({"url": "https://-host/r"}, "git.url"),
        ({"url": "https://host"}, "git.url"),
        ({"url": "https://host/r?token=x"}, "git.url"),
        ({"url": "https://host/r", "ref": "--upload-pack=x"}, "git.ref"),
        ({"url": "https://host/r", "ref": "a..b"}, "git.ref"),
        ({"url": "https://host/r", "ref": "a:refs/heads/b"}, "git.ref"),
        ({"url": "https://host/r", "ref": "+main"}, None),
        ({"url": "https://host/r", "ref": "main\nx"}, "git.ref"),
        ({"url": "https://host/r", "ref": "0123abc"}, "git.ref"),
        ({"url": "https://host/r", "subdirectory": "../x"}, "git.subdirectory"),
        ({"url": "https://host/r", "subdirectory": "-x"}, "git.subdirectory"),
        ({"url": "https://host/r", "submodules": True}, "git.submodules"),
        ({}, "git.url"),
    ],
)
def test_nothing_is_taken_for_an_option_or_another_protocol(
    service: Service, git: dict[str, Any], path: str | None
) -> None:
    answer = service.post("/spaces/preview", {"space_type": "static", "git": git})
    assert answer.status_code == 422, answer.json
    assert path in {None, *(issue["path"] for issue in answer.json["issues"])}


@pytest.mark.parametrize("address", ["127.0.0.1:1", "10.0.0.1", "[::1]:1", "169.254.169.254", "localhost:1"])
def test_private_addresses_are_not_reached(service: Service, address: str) -> None:
    answer = service.post("/spaces/preview", {"space_type": "static", "git": {"url": f"http://{address}/r"}})
    assert refused(answer) == ("git_address", "git.url")


def test_a_redirect_is_not_followed(near: Service, server: GitServer, tree: WorkTree) -> None:
    with GitServer(tree.folder.parent) as other:
        server.redirect = other.url
        assert refused(near.post("/spaces/preview", body(server)))[0] == "git_redirect"
        assert other.calls == []


def test_links_are_refused_and_submodules_are_left_out(near: Service, server: GitServer, tree: WorkTree) -> None:
    head = tree.git("rev-parse", "HEAD")
    tree.git("update-index", "--add", "--cacheinfo", f"160000,{head},lib")
    tree.git("commit", "--quiet", "--message", "submodule")
    pointer = f"version https://git-lfs.github.com/spec/v1\noid sha256:{'0' * 64}\nsize 12345\n"
    (tree.folder / "model.bin").write_text(pointer)
    tree.git("add", "model.bin")
    tree.git("commit", "--quiet", "--message", "pointer")
    shown = made(near.post("/spaces/preview", body(server)), 200)
    found = {finding["code"]: finding for finding in shown["findings"]}
    assert (found["submodule_left_out"]["severity"], found["submodule_left_out"]["path"]) == ("warning", 'git["lib"]')
    assert "lfs_pointer" in found
    (tree.folder / "link").symlink_to("/etc/passwd")
    tree.git("add", "link")
    tree.git("commit", "--quiet", "--message", "link")
    assert refused(near.post("/spaces/preview", body(server))) == ("link_in_repository", 'git["link"]')


def test_what_is_not_there(near: Service, server: GitServer) -> None:
    assert refused(near.post("/spaces/preview", body(server, ref="gone"))) == ("git_ref", "git.ref")
    assert refused(near.post("/spaces/preview", body(server, ref="0" * 40)))[0] == "git_ref"
    assert refused(near.post("/spaces/preview", body(server, subdirectory="gone"))) == (
        "git_subdirectory",
        "git.subdirectory",
    )
    other = {"space_type": "static", "git": {"url": f"{server.url}/other"}}
    assert refused(near.post("/spaces/preview", other)) == ("git_not_found", "git.url")


def test_budgets_of_size_number_and_time(make_service: MakeService, server: GitServer, tree: WorkTree) -> None:
    def answer(**settings: Any) -> Any:
        return make_service(**LOOPBACK, **settings).post("/spaces/preview", body(server))

    tree.commit({"noise.bin": os.urandom(300_000), "long.txt": "x" * 2_000_000})
    assert "MAX_GIT_BYTES" in answer(MAX_GIT_BYTES=100_000).json["hint"]
    assert "MAX_FILE_BYTES" in answer(MAX_FILE_BYTES=1_000_000).json["hint"]
    assert "MAX_SPACE_BYTES" in answer(MAX_SPACE_BYTES=1_000_000).json["hint"]
    assert "MAX_FILES" in answer(MAX_FILES=2).json["hint"]
    server.hold = threading.Event()
    late = answer(MAX_GIT_SECONDS=1.0)
    assert (late.status_code, late.json["code"]) == (502, "git_unavailable")
    server.hold.set()
    server.hold = None


def test_a_tree_that_contains_itself_many_times_ends_at_the_limit(
    near: Service, server: GitServer, tree: WorkTree
) -> None:
    blob = tree.git("hash-object", "-w", "index.html")
    oid, kind = blob, "100644 blob"
    for _ in range(9):
        listing = "".join(f"{kind} {oid}\tf{number}\n" for number in range(10))
        (tree.folder.parent / "listing").write_text(listing)
        with (tree.folder.parent / "listing").open() as stdin:
            done = subprocess.run(["git", "mktree"], cwd=tree.folder, stdin=stdin, capture_output=True, check=True)
        oid, kind = done.stdout.decode().strip(), "040000 tree"
    bomb = tree.git("commit-tree", oid, "-m", "x")
    tree.git("branch", "bomb", bomb)
    answer = near.post("/spaces/preview", body(server, ref="bomb"))
    assert (answer.status_code, answer.json["code"]) == (413, "too_large")


def test_one_realm_cannot_take_all_places_and_no_transaction_is_held(
    make_service: MakeService, server: GitServer
) -> None:
    service = make_service(**LOOPBACK, MAX_GIT_FETCHES=2)
    server.hold = threading.Event()
    answers: list[Any] = []

    def ask() -> None:
        client = service.app.test_client()
        answers.append(client.post("/spaces/preview", json=body(server), headers=service.headers))

    waiting = threading.Thread(target=ask)
    waiting.start()
    wait_until(lambda: server.calls, "the repository is being read")
    # A writer is not held up: the database of the tests is SQLite, where a reader's transaction would block it.
    assert service.submit(name="meanwhile")["name"] == "meanwhile"
    second = threading.Thread(target=ask)
    second.start()
    wait_until(lambda: len(server.calls) > 1, "a second one is being read")
    full = service.post("/spaces/preview", body(server))
    assert (full.status_code, full.json["code"]) == (429, "too_many_requests")
    server.hold.set()
    for thread in (waiting, second):
        thread.join()
    assert [answer.status_code for answer in answers] == [200, 200]


def test_the_same_key_gives_the_first_answer_though_the_repository_is_gone(
    near: Service, server: GitServer, tree: WorkTree
) -> None:
    headers = {"Idempotency-Key": "once"}
    first = near.post("/spaces", body(server), headers=headers)
    calls = len(server.calls)
    again = near.post("/spaces", body(server), headers=headers)
    assert (first.json, len(server.calls)) == (again.json, calls)


def test_credentials_of_a_realm_are_used_and_never_shown(make_service: MakeService, tree: WorkTree) -> None:
    service = make_service(**LOOPBACK)
    ann = make_user(service, "ann", make_realm(service, "ours"), "realm_admin")
    bob = make_user(service, "bob", ann.get("/auth/users/@me").json["realm_id"], "member")
    realm = f"/auth/realms/{ann.get('/auth/users/@me').json['realm_id']}/git-credentials"
    with GitServer(tree.folder.parent, ("robot", PASSWORD)) as server:
        wanted = body(server)
        assert refused(bob.post("/spaces/preview", wanted)) == ("git_login", "git.url")
        assert bob.open("PUT", f"{realm}/{server.host}", {"password": PASSWORD}).status_code == 403
        shown = made(ann.open("PUT", f"{realm}/{server.host}", {"username": "robot", "password": PASSWORD}), 200)
        assert (shown["host"], shown["username"]) == (server.host, "robot")
        assert made(bob.post("/spaces/preview", wanted), 200)["git"]["commit"]
        listed = ann.get(realm).json
        assert [row["host"] for row in listed["data"]] == [server.host]
        # Another realm has none.
        assert refused(service.post("/spaces/preview", wanted))[0] == "git_login"
        assert service.get("/auth/realms/00000000-0000-4000-8000-000000000000/git-credentials").status_code == 404
        with service.app.app_context():
            row = db.session.scalars(sa.select(GitCredential)).one()
            audited = [repr(entry.details) for entry in db.session.scalars(sa.select(AuditEntry))]
            stored = row.encrypted_password
            assert key_rotation.rotate(Vault("the new key of the tests, 0123456789 abc", SECRETS["SECRET_KEY"])) == 1
            assert row.encrypted_password != stored
        assert PASSWORD not in f"{shown}{listed}{audited}{stored}"
        made(ann.delete(f"{realm}/{server.host}"), 202)
        assert refused(bob.post("/spaces/preview", wanted))[0] == "git_login"
