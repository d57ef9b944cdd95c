"""The commands for the life of a Space: deploy, releases, copies, environment, files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.client.test_cli import Run, logged_in, name, run, site
from tests.support.git_server import GitServer, WorkTree

__all__ = ["logged_in", "name", "run", "site"]


def shown(run: Run, space: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(run("show", space, "--json").stdout)
    return found


def test_deploy_creates_a_space_and_then_updates_it(logged_in: Run, site: Path, name: str) -> None:
    first = json.loads(logged_in("deploy", "site", "--name", name, "--json").stdout)
    assert (first["name"], first["state"]) == (name, "running")
    remembered = json.loads((site / ".assembler.json").read_text())
    assert list(remembered["spaces"].values()) == [first["id"]]
    assert ".assembler.json" not in {file["path"] for file in first["latest_request"]["files"]}
    (site / "index.html").write_text("<h1>Changed</h1>\n")
    second = json.loads(logged_in("deploy", "site", "--json").stdout)
    assert second["id"] == first["id"]
    assert second["commit_oid"] != first["commit_oid"]
    assert "Nothing changed" in logged_in("deploy", "site").stderr
    # A Space that is deleted is created again.
    logged_in("delete", name, "--yes")
    third = json.loads(logged_in("deploy", "site", "--name", f"{name}-2", "--json").stdout)
    assert third["id"] != first["id"]


def test_releases_and_a_rollback_to_one_of_them(logged_in: Run, site: Path, name: str) -> None:
    logged_in("deploy", "site", "--name", name)
    (site / "index.html").write_text("<h1>Second</h1>\n")
    logged_in("deploy", "site")
    rows = [line.split("\t") for line in logged_in("releases", name).stdout.splitlines()]
    assert [(row[2], row[5]) for row in rows] == [("update", "live"), ("create", "")]
    logged_in("rollback", name, "--to", rows[1][0])
    newest = json.loads(logged_in("releases", name, "--json").stdout)[0]
    assert newest["action"] == "rollback"


def test_a_copy_and_a_new_name(logged_in: Run, site: Path, name: str) -> None:
    logged_in("create", "site", "--name", name)
    copy = json.loads(logged_in("duplicate", name, "--name", f"{name}-copy", "--json").stdout)
    assert (copy["name"], copy["state"]) == (f"{name}-copy", "running")
    moved = json.loads(logged_in("move", f"{name}-copy", "--name", f"{name}-moved", "--json").stdout)
    assert (moved["name"], moved["id"]) == (f"{name}-moved", copy["id"])
    assert "--name or --namespace" in logged_in("move", name, code=2).stderr


def test_variables_and_names_of_secrets(logged_in: Run, site: Path, name: str) -> None:
    (site / "app.py").write_text("import gradio\ngradio.Blocks().launch()\n")
    (site / "index.html").unlink()
    logged_in("create", "site", "--name", name, "--type", "gradio", "--target", "local", "--no-wait")
    logged_in("wait", name)
    logged_in("variables", "set", name, "MODE=test", "LEVEL=3")
    logged_in("variables", "unset", name, "LEVEL")
    assert logged_in("variables", "list", name).stdout == "MODE\ttest\n"
    assert json.loads(logged_in("variables", "list", name, "--json").stdout) == {"MODE": "test"}
    assert logged_in("secrets", "list", name).stdout == ""
    refused = logged_in("secrets", "set", name, "KEY", code=2)
    assert "KEY is not set; use KEY=VALUE" in refused.stderr


def test_commands_of_the_service_stay_beside_those_of_the_client(run: Run) -> None:
    listed = run("secrets", "--help").stdout
    assert "rotate" in listed and "unset" in listed


def test_cancel_and_retry_name_what_is_not_possible(logged_in: Run, site: Path, name: str) -> None:
    logged_in("create", "site", "--name", name)
    for command in ("cancel", "retry"):
        refused = logged_in(command, name, code=4)
        assert "succeeded" in refused.stderr, refused.stderr


def test_open_prints_the_address(logged_in: Run, site: Path, name: str) -> None:
    logged_in("create", "site", "--name", name)
    assert logged_in("open", name, "--print").stdout.strip().endswith(f"/local/admin/{name}/live/")
    assert logged_in("open", name, "--page", "--print").stdout.strip() == shown(logged_in, name)["url"]


def test_pull_writes_the_files_of_a_space(logged_in: Run, site: Path, name: str, tmp_path: Path) -> None:
    (site / "logo.png").write_bytes(b"\x89PNG\r\n\x1a\n\0\xff")
    logged_in("create", "site", "--name", name, "-p", "title=Hello")
    logged_in("pull", name, "copy")
    copy = tmp_path / "work" / "copy"
    assert (copy / "index.html").read_text() == "<h1>Hello</h1>\n"
    assert (copy / "logo.png").read_bytes() == b"\x89PNG\r\n\x1a\n\0\xff"
    assert json.loads((copy / "params.json").read_text()) == {"title": "Hello"}
    assert "--overwrite" in logged_in("pull", name, "copy", code=2).stderr
    (copy / "index.html").write_text("<h1>Edited</h1>\n")
    changed = json.loads(logged_in("deploy", "copy", "--json").stdout)
    assert changed["id"] == shown(logged_in, name)["id"]
    logged_in("pull", name, "copy", "--overwrite")
    assert (copy / "index.html").read_text() == "<h1>Edited</h1>\n"


@pytest.mark.parametrize("command", ["restart", "pause", "wake"])
def test_commands_that_a_stored_app_does_not_have_are_rejected(
    logged_in: Run, site: Path, name: str, command: str
) -> None:
    logged_in("create", "site", "--name", name)
    refused = logged_in(command, name, code=4)
    assert f"so {command} is not possible" in refused.stderr and "assembler try" in refused.stderr


def test_a_space_of_a_git_repository_and_its_newest_commit(logged_in: Run, name: str, tmp_path: Path) -> None:
    tree = WorkTree(tmp_path / "served" / "site")
    first = tree.commit({"docs/index.html": "<h1>One</h1>"})
    with GitServer(tree.folder.parent) as server:
        address = f"{server.url}/site@main#docs"
        assert f"commit {first[:12]}" in logged_in("preview", "--git", address).stderr
        made = json.loads(logged_in("create", "--git", address, "--name", name, "--json").stdout)
        assert made["latest_request"]["git"]["commit"] == first
        second = tree.commit({"docs/index.html": "<h1>Two</h1>"})
        assert f"commit {first[:12]}" in logged_in("show", name).stdout
        made = json.loads(logged_in("update", name, "--git", "latest", "--json").stdout)
        assert made["latest_request"]["git"]["commit"] == second
        assert "credentials" in logged_in("preview", "--git", f"{server.url}/gone", code=3).stderr
    assert "no git address" in logged_in("create", "--git", "git@host:me/app", code=3).stderr


def test_git_credentials_are_set_listed_and_removed(logged_in: Run) -> None:
    logged_in("git-credential", "set", "git.example.org", "-u", "robot", "--password-stdin", stdin="tok\n")
    listed = logged_in("git-credential", "list")
    assert "git.example.org\trobot" in listed.stdout
    assert "tok" not in listed.stdout
    logged_in("git-credential", "remove", "git.example.org")
    assert "git.example.org" not in logged_in("git-credential", "list").stdout
