"""Plugins from git repositories, fetched by the real git program from repositories on this machine."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from assembler_runner.assembly.git_source import PluginSourceError, parse
from assembler_runner.assembly.registry import Registry
from tests.assembly.test_plugins import plugin
from tests.conftest import MakeService

ALL = frozenset({"https", "ssh", "file"})


class Repository:
    """A repository with a plugin `note` in the folder `plugins`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir()
        self.git("init", "--quiet", "--initial-branch=main")
        self.commit("1.0")
        self.git("tag", "v1")
        self.git("branch", "stable")

    def git(self, *arguments: str) -> str:
        who = {
            "GIT_AUTHOR_NAME": "t",
            "GIT_AUTHOR_EMAIL": "t@localhost",
            "GIT_COMMITTER_NAME": "t",
            "GIT_COMMITTER_EMAIL": "t@localhost",
        }
        done = subprocess.run(
            ["git", *arguments], cwd=self.folder, env=os.environ | who, capture_output=True, text=True, check=True
        )
        return done.stdout.strip()

    def commit(self, version: str) -> str:
        package = self.folder / "plugins" / "note"
        package.mkdir(parents=True, exist_ok=True)
        (package / "__init__.py").write_text(plugin(name="note", version=f'"{version}"'))
        self.git("add", "--all")
        self.git("commit", "--quiet", "--message", version)
        return self.git("rev-parse", "HEAD")

    def line(self, ref: str = "", fragment: str = "#subdirectory=/plugins") -> str:
        return f"git+file://{self.folder}{'@' + ref if ref else ''}{fragment}"


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    return Repository(tmp_path / "repository")


def loaded(line: str, folder: Path) -> Registry:
    registry = Registry()
    registry.load_git([line], folder, ALL)
    return registry


def test_a_ref_that_moved_is_followed_and_a_fixed_one_is_not(repository: Repository, tmp_path: Path) -> None:
    first = repository.git("rev-parse", "HEAD")
    refs = ["", "main", "v1", "stable", first]
    for ref in refs:
        (record,) = loaded(repository.line(ref), tmp_path / "kept").records
        assert (record.name, record.version, record.state) == ("note", "1.0", "loaded"), record.error
        assert first in record.source
    second = repository.commit("2.0")
    versions = {ref: loaded(repository.line(ref), tmp_path / "kept").records[0] for ref in refs}
    assert [versions[ref].version for ref in refs] == ["2.0", "2.0", "1.0", "1.0", "1.0"]
    assert second in versions["main"].source


def test_the_tree_beside_a_plugin_is_importable_and_a_single_package_may_be_named(
    repository: Repository, tmp_path: Path
) -> None:
    (record,) = loaded(repository.line(fragment="#subdirectory=plugins/note"), tmp_path / "kept").records
    assert (record.name, record.state) == ("note", "loaded")


def test_a_failed_fetch_uses_the_last_commit_and_says_so(repository: Repository, tmp_path: Path) -> None:
    line = repository.line("main")
    good = loaded(line, tmp_path / "kept").records[0]
    repository.folder.rename(tmp_path / "away")
    (record,) = loaded(line, tmp_path / "kept").records
    assert (record.state, record.version, record.source) == ("loaded", "1.0", good.source)
    assert "last fetched commit" in str(record.note)


@pytest.mark.parametrize(
    ("ref", "fragment", "reason"),
    [
        ("nothing", "", "no branch, tag or commit nothing"),
        ("main", "#subdirectory=none", "no folder none"),
        ("main", "", "contains no package"),
    ],
)
def test_a_missing_ref_or_folder_is_named(
    repository: Repository, tmp_path: Path, ref: str, fragment: str, reason: str
) -> None:
    (record,) = loaded(repository.line(ref, fragment), tmp_path / "kept").records
    assert record.state == "broken"
    assert reason in str(record.error)


def test_a_missing_repository(tmp_path: Path) -> None:
    (record,) = loaded(f"git+file://{tmp_path}/nowhere", tmp_path / "kept").records
    assert record.state == "broken"
    assert "could not be fetched: " in str(record.error)
    assert "does not appear to be a git repository" in str(record.error)


def test_a_folder_that_cannot_be_used_is_named(repository: Repository, tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.touch()
    (record,) = loaded(repository.line("main"), file).records
    assert record.state == "broken"
    assert f"{file} cannot be used: Not a directory" in str(record.error)
    assert "GIT_PLUGIN_FOLDER" in str(record.error)


@pytest.mark.parametrize(
    ("line", "url", "ref", "subdirectory"),
    [
        ("git+https://host/a/b.git", "https://host/a/b.git", "", ""),
        ("git+https://host/a/b.git@v1.0", "https://host/a/b.git", "v1.0", ""),
        ("git+https://host/a/b.git@feature/x#subdirectory=/plugins", "https://host/a/b.git", "feature/x", "plugins"),
        ("git+https://user@host/a/b.git", "https://host/a/b.git", "", ""),
        ("git+ssh://git:pw@host/a/b.git", "ssh://git@host/a/b.git", "", ""),
        ("git+https://host:8443/a/b.git@v1", "https://host:8443/a/b.git", "v1", ""),
        ("git+https://[::1]:8443/a/b.git", "https://[::1]:8443/a/b.git", "", ""),
        ("git+ssh://git@host/a/b.git@main#subdirectory=p%20q&egg=x", "ssh://git@host/a/b.git", "main", "p q"),
        ("git+file:///srv/b", "file:///srv/b", "", ""),
    ],
)
def test_the_forms_of_pip(line: str, url: str, ref: str, subdirectory: str) -> None:
    source = parse(line, ALL)
    assert (source.url, source.ref, source.subdirectory) == (url, ref, subdirectory)


@pytest.mark.parametrize(
    "line",
    [
        "https://host/a",
        "git+http://host/a",
        "git+ext://sh -c x",
        "git+ext::sh",
        "git+https://host/a@--upload-pack=x",
        "git+https://host/a#subdirectory=../x",
        "git+https://-x/a",
        "git+ssh://-oProxyCommand=x/a",
        "--upload-pack=x",
    ],
)
def test_hostile_lines_are_refused(line: str) -> None:
    with pytest.raises(PluginSourceError):
        parse(line, ALL)


def test_only_https_by_default(make_service: MakeService, repository: Repository) -> None:
    service = make_service(GIT_PLUGINS=repository.line())
    (record,) = [record for record in service.get("/plugins").json["data"] if record["state"] == "broken"]
    assert "file is not allowed" in record["error"]


def test_hooks_and_submodules_are_not_run(repository: Repository, tmp_path: Path) -> None:
    touched = tmp_path / "touched"
    repository.git("-c", "protocol.file.allow=always", "submodule", "--quiet", "add", str(repository.folder), "sub")
    repository.git("commit", "--quiet", "--message", "submodule")
    template = tmp_path / "template" / "hooks"
    template.mkdir(parents=True)
    for hook in ("post-checkout", "post-merge", "reference-transaction"):
        (template / hook).write_text(f"#!/bin/sh\ntouch {touched}\n")
        (template / hook).chmod(0o755)
    os.environ["GIT_TEMPLATE_DIR"] = str(template.parent)
    try:
        (record,) = loaded(repository.line(), tmp_path / "kept").records
    finally:
        del os.environ["GIT_TEMPLATE_DIR"]
    assert record.state == "loaded"
    assert not touched.exists()
    assert not list((tmp_path / "kept").glob("*/*/sub/plugins"))


def test_a_service_with_a_plugin_from_git(make_service: MakeService, repository: Repository) -> None:
    service = make_service(GIT_PLUGINS=f"\n{repository.line('v1')}\n", GIT_PLUGIN_PROTOCOLS="https,file")
    request = service.publish(space_type="note", files={"a": "x"})
    assert (request["status"], request["plugin"]) == ("succeeded", {"name": "note", "version": "1.0"})
