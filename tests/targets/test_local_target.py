"""The target that stores Spaces as git repositories in a folder."""

from __future__ import annotations

import errno
import json
import multiprocessing
import os
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from assembler_runner.core.errors import (
    HeadMoved,
    NameTaken,
    TargetError,
    TargetNotFound,
    TargetRefused,
    TargetUnavailable,
)
from assembler_runner.plugin import SpaceFile, Tree
from assembler_runner.targets.base import PublishedSpace, SpaceSpec
from assembler_runner.targets.local.target import LocalTarget

NOTHING: frozenset[str] = frozenset()


def tree_of(**files: str | bytes) -> Tree:
    return tree(dict(files))


def tree(files: dict[str, str | bytes]) -> Tree:
    return Tree(
        {
            path: SpaceFile(path, content.encode() if isinstance(content, str) else content)
            for path, content in files.items()
        }
    )


def contents(target: LocalTarget, space: PublishedSpace, oid: str | None = None) -> dict[str, bytes | None]:
    names = [path for path, _, _ in target.files(space.namespace, space.name, oid)]
    return {path: target.read(space.namespace, space.name, path, oid) for path in names}


def git(folder: Path, *arguments: str) -> str:
    done = subprocess.run(["git", "-C", str(folder), *arguments], check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture
def target(tmp_path: Path) -> LocalTarget:
    return LocalTarget(tmp_path / "spaces")


@pytest.fixture
def space(target: LocalTarget) -> PublishedSpace:
    return target.create(SpaceSpec("org", "greeter", "static"))


def test_a_new_space_is_an_empty_repository(target: LocalTarget, tmp_path: Path) -> None:
    space = target.create(SpaceSpec(None, "greeter", "gradio", "private"))
    assert space == PublishedSpace("local", "greeter", "/local/local/greeter")
    assert target.find(None, "greeter") == space
    assert target.find("local", "other") is None
    head = target.head(space)
    assert (head.oid, head.paths) == (None, frozenset())
    assert head.created_at is not None
    assert head.created_at.tzinfo is not None
    assert target.commits(space) == []
    assert target.files("local", "greeter", None) == []
    assert target.read("local", "greeter", "app.py", None) is None
    assert (target.sdk("local", "greeter"), target.visibility("local", "greeter")) == ("gradio", "private")
    assert git(tmp_path / "spaces/local/greeter.git", "symbolic-ref", "HEAD").strip() == "refs/heads/main"


def test_secrets_are_not_stored(target: LocalTarget, tmp_path: Path) -> None:
    target.create(SpaceSpec("org", "x", "docker", secrets={"API_KEY": "hush"}, variables={"MODE": "fast"}))
    stored = b"".join(file.read_bytes() for file in (tmp_path / "spaces").rglob("*") if file.is_file())
    assert b"API_KEY" not in stored
    assert b"hush" not in stored
    details = json.loads((tmp_path / "spaces/org/x.git/assembler.json").read_text())
    assert details["variables"] == {"MODE": "fast"}


def test_commits_form_a_history_that_git_accepts(target: LocalTarget, space: PublishedSpace, tmp_path: Path) -> None:
    first = target.commit(
        space, tree({"app.py": "1", "data/a b.txt": "é", "data/x": b"\0\xff"}), NOTHING, "One", "why\nand how", None
    )
    assert contents(target, space) == {"app.py": b"1", "data/a b.txt": "é".encode(), "data/x": b"\0\xff"}
    second = target.commit(space, tree({"app.py": "2", "new/deep/er": ""}), frozenset({"data/x"}), "Two", "", first.oid)
    now = {"app.py": b"2", "data/a b.txt": "é".encode(), "new/deep/er": b""}
    assert contents(target, space) == now
    assert contents(target, space, first.oid)["app.py"] == b"1"
    head = target.head(space)
    assert (head.oid, head.paths) == (second.oid, frozenset(now))
    assert target.commits(space) == [second, first]
    assert first.message == "One\n\nwhy\nand how"
    assert second.url == f"/local/org/greeter/tree/{second.oid}"
    repository = tmp_path / "spaces/org/greeter.git"
    git(repository, "fsck", "--strict", "--full")
    assert git(repository, "log", "--format=%an <%ae> %s").splitlines() == [
        "Assembler <assembler@localhost> Two",
        "Assembler <assembler@localhost> One",
    ]
    assert git(repository, "rev-parse", "main").strip() == second.oid


def test_a_lock_left_by_a_killed_process_blocks_no_writer(
    target: LocalTarget, space: PublishedSpace, tmp_path: Path
) -> None:
    files = tree_of(README="hello")
    target.commit(space, files, frozenset(), "First", "", None)
    other = target.create(SpaceSpec("org", "other", "static"))
    packs = tmp_path / "spaces/org/other.git/objects/pack"
    for pack in (tmp_path / "spaces/org/greeter.git/objects/pack").glob("*.idx"):
        # The name of a pack derives from its content.
        (packs / f"{pack.name}.lock").touch()
    assert list(packs.iterdir())
    target.commit(other, files, frozenset(), "First", "", None)
    assert contents(target, other) == {"README": b"hello"}


def test_sizes_and_ids_of_files_are_those_of_git(target: LocalTarget, space: PublishedSpace, tmp_path: Path) -> None:
    target.commit(space, tree_of(a="hello\n"), NOTHING, "t", "", None)
    (path, size, blob_id) = target.files("org", "greeter", None)[0]
    assert (path, size) == ("a", 6)
    assert git(tmp_path / "spaces/org/greeter.git", "cat-file", "-p", blob_id) == "hello\n"


def test_git_may_repack_a_repository_between_commits(
    target: LocalTarget, space: PublishedSpace, tmp_path: Path
) -> None:
    first = target.commit(space, tree_of(a="1"), NOTHING, "t", "", None)
    git(tmp_path / "spaces/org/greeter.git", "gc", "-q")
    second = target.commit(space, tree_of(b="2"), NOTHING, "t", "", first.oid)
    git(tmp_path / "spaces/org/greeter.git", "gc", "-q")
    assert contents(target, space) == {"a": b"1", "b": b"2"}
    assert [commit.oid for commit in target.commits(space)] == [second.oid, first.oid]


def test_a_file_replaces_a_folder_and_a_folder_a_file(
    target: LocalTarget, space: PublishedSpace, tmp_path: Path
) -> None:
    first = target.commit(space, tree({"a/b": "1", "c": "1", "keep": "1"}), NOTHING, "t", "", None)
    target.commit(space, tree({"a": "2", "c/d": "2"}), NOTHING, "t", "", first.oid)
    assert contents(target, space) == {"a": b"2", "c/d": b"2", "keep": b"1"}
    git(tmp_path / "spaces/org/greeter.git", "fsck", "--strict")


def test_an_unchanged_tree_makes_no_commit(target: LocalTarget, space: PublishedSpace) -> None:
    first = target.commit(space, tree_of(a="1"), NOTHING, "t", "", None)
    assert target.commit(space, tree_of(a="1"), frozenset({"gone"}), "again", "", first.oid) == first
    assert target.commits(space) == [first]


def test_a_tree_nested_as_deep_as_paths_allow(target: LocalTarget, space: PublishedSpace) -> None:
    path = "/".join("d" * 499)
    target.commit(space, tree({path: "x"}), NOTHING, "t", "", None)
    assert contents(target, space) == {path: b"x"}


@pytest.mark.parametrize("parent", [None, "0" * 40, "no oid"])
def test_another_parent_than_the_head_is_refused(
    target: LocalTarget, space: PublishedSpace, parent: str | None
) -> None:
    first = target.commit(space, tree_of(a="1"), NOTHING, "t", "", None)
    with pytest.raises(HeadMoved):
        target.commit(space, tree_of(a="2"), NOTHING, "t", "", parent)
    assert target.head(space).oid == first.oid


@pytest.mark.parametrize("has_parent", [False, True])
def test_of_parallel_commits_exactly_one_wins(
    target: LocalTarget, space: PublishedSpace, has_parent: bool, tmp_path: Path
) -> None:
    parent = target.commit(space, tree_of(a="0"), NOTHING, "t", "", None).oid if has_parent else None
    won, lost = in_threads(8, lambda number: target.commit(space, tree_of(a=f"n{number}"), NOTHING, "t", "", parent))
    assert len(won) == 1
    assert [type(problem) for problem in lost] == [HeadMoved] * 7
    assert target.head(space).oid == won[0].oid
    git(tmp_path / "spaces/org/greeter.git", "fsck", "--strict")


def test_of_parallel_creations_exactly_one_wins(target: LocalTarget, tmp_path: Path) -> None:
    names = ["same", "Same", "SAME", "sAme"]
    won, lost = in_threads(8, lambda number: target.create(SpaceSpec("org", names[number % 4], "static")))
    assert len(won) == 1
    assert [type(problem) for problem in lost] == [NameTaken] * 7
    assert len(list((tmp_path / "spaces/org").iterdir())) == 1
    assert list((tmp_path / "spaces/.work").iterdir()) == []


def in_threads(count: int, work: object) -> tuple[list, list[TargetError | NameTaken]]:  # type: ignore[type-arg]
    together = threading.Barrier(count)
    won, lost = [], []

    def run(number: int) -> None:
        together.wait()
        try:
            won.append(work(number))  # type: ignore[operator]
        except (TargetError, NameTaken) as problem:
            lost.append(problem)

    threads = [threading.Thread(target=run, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return won, lost


def create_in_process(folder: Path, start: object, answers: object) -> None:
    start.wait()  # type: ignore[attr-defined]
    try:
        answers.put(LocalTarget(folder).create(SpaceSpec("org", "same", "static")).name)  # type: ignore[attr-defined]
    except NameTaken:
        answers.put("taken")  # type: ignore[attr-defined]


def test_two_processes_cannot_create_one_name(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    start, answers = context.Barrier(2), context.Queue()
    workers = [context.Process(target=create_in_process, args=(tmp_path, start, answers)) for _ in range(2)]
    for worker in workers:
        worker.start()
    assert sorted(answers.get(timeout=60) for _ in workers) == ["same", "taken"]
    for worker in workers:
        worker.join()


def test_names_that_differ_in_case_are_one_space(target: LocalTarget, space: PublishedSpace) -> None:
    for namespace, name in [("org", "Greeter"), ("ORG", "greeter"), ("Org", "GREETER")]:
        with pytest.raises(NameTaken):
            target.create(SpaceSpec(namespace, name, "static"))
        assert target.find(namespace, name) == space
    other = target.create(SpaceSpec("ORG", "other", "static"))
    assert target.find("org", "OTHER") == other


@pytest.mark.parametrize(
    "bad", ["", ".", "..", "a/b", "/a", ".x", ".work", "a\0b", "a\\b", "a b", "a\n", "x.git", "X.GIT", "é", "a" * 97]
)
def test_hostile_names_are_refused(target: LocalTarget, space: PublishedSpace, bad: str, tmp_path: Path) -> None:
    before = sorted(tmp_path.rglob("*"))
    for namespace, name in [("org", bad), (bad or "..", "greeter")]:
        with pytest.raises(TargetRefused):
            target.create(SpaceSpec(namespace, name, "static"))
        assert target.find(namespace, name) is None
        with pytest.raises(TargetNotFound):
            target.head(PublishedSpace(namespace, name, ""))
        target.delete(PublishedSpace(namespace, name, ""))
    assert [path for path in sorted(tmp_path.rglob("*")) if path.parent.name != ".locks"] == [
        path for path in before if path.parent.name != ".locks"
    ]


@pytest.mark.parametrize("path", ["../x", "/x", ".git/config", "a/.GIT/hooks/x", "a//b", "a\0b", "git~1"])
def test_hostile_paths_are_refused(target: LocalTarget, space: PublishedSpace, path: str) -> None:
    with pytest.raises(TargetRefused) as refused:
        target.commit(space, tree({path: "x"}), NOTHING, "t", "", None)
    assert refused.value.issues
    assert target.head(space).oid is None


@pytest.mark.parametrize("oid", ["", "main", "0" * 40, "../../x", "é", "\0"])
def test_unknown_commits_are_not_found(target: LocalTarget, space: PublishedSpace, oid: str) -> None:
    target.commit(space, tree_of(a="1"), NOTHING, "t", "", None)
    blob_id = target.files("org", "greeter", None)[0].blob_id
    for unknown in (oid, blob_id):
        with pytest.raises(TargetNotFound):
            target.files("org", "greeter", unknown)
        with pytest.raises(TargetNotFound):
            target.read("org", "greeter", "a", unknown)


def test_a_deleted_space_is_gone_and_its_name_free(target: LocalTarget, space: PublishedSpace, tmp_path: Path) -> None:
    target.commit(space, tree_of(a="1"), NOTHING, "t", "", None)
    target.delete(space)
    target.delete(space)
    assert target.find("org", "greeter") is None
    for read in (target.head, target.commits):
        with pytest.raises(TargetNotFound):
            read(space)
    with pytest.raises(TargetNotFound):
        target.commit(space, tree_of(a="1"), NOTHING, "t", "", None)
    assert list((tmp_path / "spaces/.work").iterdir()) == []
    assert target.head(target.create(SpaceSpec("org", "greeter", "static"))).oid is None


def test_remains_of_a_dead_process_do_no_harm(target: LocalTarget, space: PublishedSpace, tmp_path: Path) -> None:
    left_over = tmp_path / "spaces/.work/dead"
    (left_over / "objects").mkdir(parents=True)
    os.utime(left_over, (0, 0))
    (tmp_path / "spaces/org/greeter.git/refs/heads/main.lock").touch()
    first = target.commit(space, tree_of(a="1"), NOTHING, "t", "", None)
    (tmp_path / "spaces/org/greeter.git/refs/heads/main.lock").touch()
    target.commit(space, tree_of(a="2"), NOTHING, "t", "", first.oid)
    target.create(SpaceSpec("org", "other", "static"))
    assert not left_over.exists()


@contextmanager
def small_files_only(size: int) -> Iterator[None]:
    """Makes writes fail like on a full disk."""
    import resource
    import signal

    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, handler)


def test_a_full_disk_leaves_the_space_as_it_was(target: LocalTarget, space: PublishedSpace, tmp_path: Path) -> None:
    first = target.commit(space, tree_of(a="1"), NOTHING, "t", "", None)
    big = tree_of(a=os.urandom(300_000))
    with small_files_only(100_000), pytest.raises(TargetUnavailable) as refused:
        target.commit(space, big, NOTHING, "t", "", first.oid)
    assert os.strerror(errno.EFBIG) not in str(refused.value)
    assert target.head(space).oid == first.oid
    assert target.commit(space, big, NOTHING, "t", "", first.oid) == target.commits(space)[0]
    git(tmp_path / "spaces/org/greeter.git", "fsck", "--strict")
    with small_files_only(1000), pytest.raises(TargetUnavailable):
        target.create(SpaceSpec("org", "other", "static", variables={"LONG": "x" * 1000}))
    assert target.find("org", "other") is None
    assert list((tmp_path / "spaces/.work").iterdir()) == []


def test_a_damaged_repository_is_reported(target: LocalTarget, space: PublishedSpace, tmp_path: Path) -> None:
    (tmp_path / "spaces/org/greeter.git/assembler.json").write_text("{")
    with pytest.raises(TargetError) as refused:
        target.sdk("org", "greeter")
    assert "damaged" in refused.value.message


def test_only_static_spaces_run(target: LocalTarget) -> None:
    assert [target.state_after_commit(sdk) for sdk in ("static", "gradio", "docker")] == ["running", "stored", "stored"]
