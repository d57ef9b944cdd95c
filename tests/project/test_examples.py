"""The examples are what a person sends first: each one must come through; the documented ones stay as documented."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from examples.load import load_example
from tests.assembly.test_cases import CASES, assembled, bundled, given_bytes, read_folder, request_of

EXAMPLES = Path(__file__).parent.parent.parent / "examples"
FOLDERS = sorted(path.parent for path in EXAMPLES.glob("*/request.json"))
DOCUMENTED = {"static-hello": "static/hello", "docker-flask": "docker/flask", "gradio-greeter": "gradio/greeter"}
# The request as documented nests the same quotes, which the Python of its own Dockerfile does not have.
KNOWN = {"docker-flask": ["syntax_needs_newer_python"]}


def example_name(folder: Path) -> str:
    return folder.name


@pytest.mark.parametrize("folder", FOLDERS, ids=example_name)
def test_example_assembles_without_errors(folder: Path) -> None:
    assembly = assembled(load_example(folder))
    codes = [finding.code for finding in assembly.findings if finding.severity != "info"]
    assert codes == KNOWN.get(folder.name, [])
    given = {path: file.content for path, file in assembly.tree.items() if file.origin == "given"}
    assert given.keys() == read_folder(folder / "files").keys()


@pytest.mark.parametrize("folder", FOLDERS, ids=example_name)
def test_body_is_json_with_the_bytes_of_the_folder(folder: Path) -> None:
    body = json.loads(json.dumps(load_example(folder)))
    request = json.loads((folder / "request.json").read_bytes())
    assert {path: given_bytes(value) for path, value in body.pop("files").items()} == read_folder(folder / "files")
    assert body == request
    assert request["name"] == folder.name


def test_every_bundled_type_has_an_example() -> None:
    types = {load_example(folder)["space_type"] for folder in FOLDERS}
    assert types == {plugin.space_type for plugin in bundled().types()}
    assert [record.error for record in bundled().records if record.state != "loaded"] == []


@pytest.mark.parametrize(("example", "case"), DOCUMENTED.items())
def test_documented_example_is_the_documented_request(example: str, case: str) -> None:
    body = load_example(EXAMPLES / example)
    body.pop("name")
    assert body == request_of(CASES / case)


def test_text_is_sent_as_text_and_anything_else_as_base64(tmp_path: Path) -> None:
    (tmp_path / "request.json").write_text('{"space_type": "static"}')
    (tmp_path / "files" / "sub" / "__pycache__").mkdir(parents=True)
    (tmp_path / "files" / "sub" / "__pycache__" / "x.pyc").write_bytes(b"\0")
    (tmp_path / "files" / "sub" / "text.txt").write_bytes("ä\r\n".encode())
    (tmp_path / "files" / "bytes").write_bytes(b"\xff\xfe")
    files = {"sub/text.txt": "ä\r\n", "bytes": {"content": "//4=", "encoding": "base64"}}
    assert load_example(tmp_path) == {"space_type": "static", "files": files}


def test_command_prints_the_body() -> None:
    command = [sys.executable, EXAMPLES / "load.py", EXAMPLES / "static-parameters"]
    printed = subprocess.run(command, capture_output=True, check=True).stdout
    assert json.loads(printed) == load_example(EXAMPLES / "static-parameters")


def test_command_without_a_folder_tells_its_usage() -> None:
    run = subprocess.run([sys.executable, EXAMPLES / "load.py"], capture_output=True, check=False, text=True)
    assert run.returncode == 1
    assert run.stderr == "usage: python examples/load.py FOLDER\n"
