"""Which paths are accepted, and that an accepted one cannot leave the folder it is joined to."""

from __future__ import annotations

import unicodedata
from pathlib import PurePosixPath, PureWindowsPath

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from assembler_runner.files import paths as paths_module
from assembler_runner.files.paths import MAX_PART_BYTES, MAX_PATH_BYTES, check_collisions, check_path

HOSTILE = {
    "": "empty_path",
    "..": "path_traversal",
    "../app.py": "path_traversal",
    "a/../../b": "path_traversal",
    "a/..": "path_traversal",
    ".": "path_traversal",
    "./app.py": "path_traversal",
    "a/./b": "path_traversal",
    "/etc/passwd": "absolute_path",
    "C:": "absolute_path",
    "C:/x": "absolute_path",
    "c:x": "absolute_path",
    "a:b": "absolute_path",
    "a//b": "empty_part",
    "a/": "empty_part",
    "a\\b": "backslash",
    "\\\\server\\share": "backslash",
    "a\x00.py": "control_character",
    "a\n.py": "control_character",
    "a\tb": "control_character",
    "a\x7f": "control_character",
    "a\x85b": "control_character",
    "\ud800.py": "invalid_path",
    "a/\udcff": "invalid_path",
    "x" * (MAX_PART_BYTES + 1): "path_too_long",
    "a/" + "ä" * (MAX_PART_BYTES // 2 + 1): "path_too_long",
    "/".join(["x" * 99] * 11): "path_too_long",
    ".git": "reserved_path",
    ".git/config": "reserved_path",
    "a/.git/hooks/pre-commit": "reserved_path",
    ".GIT/config": "reserved_path",
    ".Git": "reserved_path",
    ".git./config": "reserved_path",
    ".git /config": "reserved_path",
    ".g\u200cit/config": "reserved_path",
    "GIT~1/config": "reserved_path",
    ".cache/x": "reserved_path",
    ".cache": "reserved_path",
}

GOOD = [
    "app.py",
    "a/b/c.txt",
    "...",
    "a/..b/c..",
    ".gitignore",
    ".gitattributes",
    ".github/workflows/x.yml",
    "a/.cache/b",
    "git/config",
    "größe 🚀.txt",
    "a b/c d",
    "-rf",
    "~/x",
    "$HOME",
    "ab:c",
    "x" * MAX_PART_BYTES,
    "/".join(["x" * 99] * 10),
    "ä" * (MAX_PART_BYTES // 2),
]

likely = st.sampled_from([".", "..", "/", "\\", ":", ".git", ".cache", "C", "a", "~", "\x00", "\n", "\u200c", " ", "é"])
paths = st.lists(likely | st.text(max_size=3), max_size=8).map("".join) | st.text(max_size=30)


@pytest.mark.parametrize(("path", "code"), HOSTILE.items())
def test_hostile_path_is_rejected(path: str, code: str) -> None:
    findings = check_path(path)
    assert code in {finding.code for finding in findings}
    for finding in findings:
        assert finding.severity == "error"
        assert finding.path is not None
        assert finding.path.startswith('files["')
        assert finding.hint
        assert str(finding.to_json()).encode("utf-8")


@pytest.mark.parametrize("path", GOOD)
def test_good_path_is_accepted(path: str) -> None:
    assert check_path(path) == []


@given(st.text("aZ0_-./~ :", max_size=12) | st.from_regex(r"[.a~1git:/ -]{1,9}", fullmatch=True))
def test_the_short_way_for_plain_paths_overlooks_nothing(path: str) -> None:
    assert check_path(path) == paths_module._problems(path)


def test_all_problems_of_a_path_are_reported_at_once() -> None:
    codes = {finding.code for finding in check_path("/a\\b\x00/../.git//")}
    assert codes == {
        "absolute_path",
        "backslash",
        "control_character",
        "empty_part",
        "path_traversal",
        "reserved_path",
    }


def test_longest_path() -> None:
    longest = "/".join(["x" * 199] * 5) + "x"
    assert len(longest) == MAX_PATH_BYTES
    assert check_path(longest) == []
    assert [finding.code for finding in check_path(longest + "x")] == ["path_too_long"]


@settings(deadline=None)
@given(paths)
def test_accepted_path_stays_inside_its_folder(path: str) -> None:
    assume(not check_path(path))
    parts = path.split("/")
    assert not {"", ".", ".."} & set(parts)
    assert not any(unicodedata.category(char) in ("Cc", "Cs") for char in path)
    assert "\\" not in path
    assert ".git" not in [part.casefold() for part in parts]
    posix = PurePosixPath("/top/space") / path
    assert posix.parts == ("/", "top", "space", *parts)
    windows = PureWindowsPath("D:/top/space") / path
    assert windows.is_relative_to("D:/top/space")
    assert ".." not in windows.parts


@settings(deadline=None)
@given(paths)
def test_findings_can_be_sent(path: str) -> None:
    for finding in check_path(path):
        assert (finding.message + str(finding.path)).encode("utf-8")


def codes_of(paths: list[str]) -> list[str]:
    return [finding.code for finding in check_collisions(paths)]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("caf\u00e9", "cafe\u0301"),
        ("CAF\u00c9", "CAFE\u0301"),
        ("\u212b", "\u00c5"),
    ],
)
def test_paths_that_are_one_file_elsewhere(one: str, other: str) -> None:
    assert codes_of([one, other]) == codes_of([other, one]) == ["duplicate_path"]


@pytest.mark.parametrize(
    ("one", "other"), [("app.py", "App.py"), ("a/b.txt", "A/b.txt"), ("straße", "STRASSE"), ("ﬁle", "file")]
)
def test_paths_that_differ_in_case_are_two_files(one: str, other: str) -> None:
    assert codes_of([one, other]) == []


@pytest.mark.parametrize(
    ("file", "inside"),
    [("data", "data/x"), ("data", "data/a/b/c"), ("a/b", "a/b/c"), ("caf\u00e9", "cafe\u0301/x")],
)
def test_file_that_is_a_folder_too(file: str, inside: str) -> None:
    assert codes_of([file, inside]) == codes_of([inside, file]) == ["file_and_folder"]


def test_every_collision_is_reported_with_both_names() -> None:
    findings = check_collisions(["\u00e9", "e\u0301", "b", "b/c", "d"])
    assert {(finding.code, finding.path) for finding in findings} == {
        ("duplicate_path", 'files["\u00e9"]'),
        ("file_and_folder", 'files["b"]'),
    }
    assert all(finding.severity == "error" and finding.hint for finding in findings)


def test_different_paths_do_not_collide() -> None:
    assert check_collisions(["a", "ab", "a.b", "b/a", "b/ab", "c/a", "data.txt", "data/x"]) == []


@settings(deadline=None)
@given(
    st.lists(st.text("aAéÉ\u0301e/ßs", min_size=1, max_size=4).filter(lambda path: not check_path(path)), unique=True)
)
def test_paths_without_collisions_are_separate_files_on_a_normalizing_disk(given_paths: list[str]) -> None:
    assume(not check_collisions(given_paths))
    folded = [unicodedata.normalize("NFD", path) for path in given_paths]
    assert len(set(folded)) == len(folded)
    assert not any(other.startswith(path + "/") for path in folded for other in folded)


@settings(deadline=None)
@given(st.lists(paths.filter(lambda path: not check_path(path)), unique=True, max_size=6))
def test_order_of_the_paths_does_not_matter(given_paths: list[str]) -> None:
    assert check_collisions(given_paths) == check_collisions(list(reversed(given_paths)))


@pytest.mark.parametrize(
    "path",
    [
        *(".git::$INDEX_ALLOCATION/config", ".git:x", "a/.GIT::$DATA", "git~1:x/y", ".git ./config", ".g\u200dit::$X"),
        *(" ", "a/ /b", "  ", "\u3000", "a/.. /b", "a/. ./b", ".. ", "a/.. ."),
    ],
)
def test_forms_that_other_systems_take_for_something_else(path: str) -> None:
    assert check_path(path) != []


@pytest.mark.parametrize(
    "path", ["CON", "aux.py", "a.", "a ", "ab:c", "..a", "...", "a..", ". a", ".github/x", "x.git"]
)
def test_names_that_other_systems_only_cannot_hold_are_left_to_the_preflight(path: str) -> None:
    assert check_path(path) == []
