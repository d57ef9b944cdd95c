"""Every folder below `cases/` is a request and the complete expected tree; see `cases/README.md`."""

from __future__ import annotations

import base64
import difflib
import functools
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from assembler_runner.assembly.assemble import Assembly, assemble
from assembler_runner.assembly.registry import Registry
from assembler_runner.plugin import Tree

ROOT = Path(__file__).parent.parent.parent
CASES = Path(__file__).parent / "cases"
FOLDERS = sorted(path.parent for path in CASES.glob("*/*/request.json"))
PUBLISHED = [folder for folder in FOLDERS if folder.parent.name != "refused"]
REFUSED = [folder for folder in FOLDERS if folder.parent.name == "refused"]


@functools.cache
def bundled() -> Registry:
    """The plugins that come with the service, loaded as the service loads them."""
    registry = Registry()
    registry.load_folder(ROOT / "plugins")
    return registry


def assembled(body: Mapping[str, Any]) -> Assembly:
    """Assembles the body of a `POST /spaces`."""
    plugin = bundled().get(body.get("space_type", "gradio"))
    assert plugin is not None, body["space_type"]
    return assemble(
        plugin,
        {path: given_bytes(value) for path, value in body["files"].items()},
        options=body.get("options"),
        parameters=body.get("parameters"),
        name=body.get("name"),
    )


def given_bytes(value: str | dict[str, str]) -> bytes:
    if isinstance(value, str):
        return value.encode("utf-8")
    assert value["encoding"] == "base64"
    return base64.b64decode(value["content"], validate=True)


def write_tree(tree: Tree, folder: Path) -> Path:
    """Writes a tree to a folder; only for trusted trees."""
    for path, file in tree.items():
        target = folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(file.content)
    return folder


def read_folder(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def difference(expected: Mapping[str, bytes], made: Mapping[str, bytes]) -> str:
    """Returns a diff that shows every byte; empty without differences."""
    lines: list[str] = []
    for path in sorted({*expected, *made}):
        if path not in made:
            lines.append(f"missing: {path}")
        elif path not in expected:
            lines.append(f"not expected: {path}")
        if expected.get(path) != made.get(path):
            before, after = visible(expected.get(path, b"")), visible(made.get(path, b""))
            lines += difflib.unified_diff(before, after, f"expected/{path}", f"made/{path}", lineterm="")
    return "\n".join(lines)


def visible(content: bytes) -> list[str]:
    return [ascii(line.decode("utf-8", "surrogateescape"))[1:-1] for line in content.splitlines(keepends=True)]


def request_of(folder: Path) -> dict[str, Any]:
    body: dict[str, Any] = json.loads((folder / "request.json").read_bytes())
    return body


def expected_findings(folder: Path) -> list[dict[str, Any]]:
    path = folder / "findings.json"
    found: list[dict[str, Any]] = json.loads(path.read_bytes()) if path.exists() else []
    return sorted(found, key=json.dumps)


def findings_of(assembly: Assembly) -> list[dict[str, Any]]:
    found = [{"code": one.code, "severity": one.severity, "path": one.path} for one in assembly.findings]
    return sorted(found, key=json.dumps)


def case_name(folder: Path) -> str:
    return folder.relative_to(CASES).as_posix()


@pytest.mark.parametrize("folder", PUBLISHED, ids=case_name)
def test_request_becomes_the_expected_tree(folder: Path, tmp_path: Path) -> None:
    assembly = assembled(request_of(folder))
    made = {path: file.content for path, file in assembly.tree.items()}
    problem = difference(read_folder(folder / "expected"), made)
    if problem:
        where = write_tree(assembly.tree, tmp_path / "made")
        pytest.fail(f"{problem}\nthe tree that was made is in {where}", pytrace=False)
    assert findings_of(assembly) == expected_findings(folder)
    assert not assembly.errors


@pytest.mark.parametrize("folder", REFUSED, ids=case_name)
def test_request_is_refused(folder: Path) -> None:
    assembly = assembled(request_of(folder))
    assert findings_of(assembly) == expected_findings(folder)
    assert assembly.errors
    assert not (folder / "expected").exists()
    for finding in assembly.findings:
        assert finding.message
        assert finding.path


@pytest.mark.parametrize("folder", PUBLISHED, ids=case_name)
def test_same_request_gives_the_same_digest(folder: Path) -> None:
    body = request_of(folder)
    again = {**body, "files": dict(reversed(body["files"].items()))}
    assert assembled(body).tree.digest == assembled(body).tree.digest == assembled(again).tree.digest


def test_digests_of_different_trees_differ() -> None:
    digests = [assembled(request_of(folder)).tree.digest for folder in PUBLISHED]
    assert len(set(digests)) == len(PUBLISHED)


def test_every_folder_is_a_whole_case() -> None:
    assert len(PUBLISHED) > 20
    for folder in CASES.glob("*/*"):
        assert (folder / "request.json").is_file(), folder
        assert (folder / "expected").is_dir() or (folder / "findings.json").is_file(), folder


def test_origin_of_every_file_is_reported() -> None:
    tree = assembled(request_of(CASES / "docker" / "node-app")).tree
    assert {path: file.origin for path, file in tree.items()} == {
        "Dockerfile": "given",
        "README.md": "generated",
        "package.json": "given",
        "params.json": "generated",
        "server.js": "given",
    }


def dockerfile_of(tree: Tree) -> list[tuple[str, str]]:
    """The steps of the Dockerfile: instruction and the rest of its line."""
    lines = tree["Dockerfile"].text().splitlines()
    return [(instruction, rest) for instruction, _, rest in (line.partition(" ") for line in lines)]


@pytest.mark.parametrize(
    ("case", "port", "program"),
    [
        ("docker/default-dockerfile", 7860, ["flask", "--app"]),
        ("docker/options", 8080, ["python", "src/main.py"]),
        ("streamlit/parameters", 7860, ["streamlit", "run", "app.py"]),
        ("streamlit/options", 7860, ["streamlit", "run", "pages/start.py"]),
    ],
)
def test_default_dockerfile_is_what_the_hub_asks_for(case: str, port: int, program: list[str]) -> None:
    tree = assembled(request_of(CASES / case)).tree
    steps = dockerfile_of(tree)
    assert tree["Dockerfile"].origin == "default"
    assert re.fullmatch(r"python:3\.1[2-9]-slim-bookworm", dict(steps)["FROM"])
    assert [rest for step, rest in steps if step == "EXPOSE"] == [str(port)]
    assert steps[-1][0] == "CMD"
    assert json.loads(steps[-1][1])[: len(program)] == program
    # The user is made as root with the number the Hub uses, and runs the app; root does nothing after that.
    assert ("RUN", "useradd --create-home --uid 1000 user") in steps
    assert [step for step, _ in steps[steps.index(("USER", "user")) :]] == ["USER", "ENV", "EXPOSE", "CMD"]
    # The requirements are installed before the rest is copied: another text in app.py does not install them again.
    copies = [rest.split()[1:] for step, rest in steps if step == "COPY"]
    assert copies == [["./requirements.txt", "requirements.txt"], [".", "/app"]]
    install = next(number for number, step in enumerate(steps) if step[1].startswith("pip install --no-cache-dir -r "))
    assert steps[install - 1][1].endswith("requirements.txt")
    assert install < steps.index(("COPY", "--chown=user . /app"))
    assert "requirements.txt" in tree


def test_difference_shows_line_ends_and_absent_files() -> None:
    shown = difference({"a": b"x\r\n", "gone": b"1"}, {"a": b"x\n", "new": b"2"})
    assert "-x\\r\\n" in shown
    assert "+x\\n" in shown
    assert "missing: gone" in shown
    assert "not expected: new" in shown
    assert difference({"a": b"\xff"}, {"a": b"\xff"}) == ""


def test_cases_keep_their_bytes_in_git() -> None:
    assert "tests/assembly/cases/** -text" in (ROOT / ".gitattributes").read_text().splitlines()
