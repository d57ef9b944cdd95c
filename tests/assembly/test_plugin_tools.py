"""What authors of plugins work with: the exception and its line, a run of an example, hot reload."""

from __future__ import annotations

import sys
from pathlib import Path

import httpx
import pytest
from click.testing import CliRunner

from assembler_runner.app import create_app
from assembler_runner.core.settings import load
from assembler_runner.ops.cli.main import cli
from assembler_runner.services import EXTENSION
from tests.conftest import SECRETS
from tests.support.services import PASSWORD, Client, Process, free_port

CODE = """
from assembler_runner.plugin import SpacePlugin


class Note(SpacePlugin):
    space_type = "note"
    version = "1.0"
    sdk = "static"
    description = "{description}"

    def check(self, tree, options):
        {body}
"""


def write(folder: Path, description: str = "A note.", body: str = "return []") -> Path:
    package = folder / "note"
    (package / "examples" / "hello" / "files").mkdir(parents=True, exist_ok=True)
    (package / "examples" / "hello" / "request.json").write_text("{}")
    (package / "examples" / "hello" / "files" / "index.html").write_text("x")
    (package / "__init__.py").write_text(CODE.format(description=description, body=body))
    return package


def test_check_shows_the_exception_and_its_line(tmp_path: Path) -> None:
    package = write(tmp_path, body='return tree["missing.txt"].text()')
    done = CliRunner().invoke(cli, ["plugin", "check", str(package)])
    assert done.exit_code == 3
    assert "error: __init__.py:12: note, example hello: " in done.output
    assert "KeyError: 'missing.txt'" in done.output
    assert 'The line is: return tree["missing.txt"].text()' in done.output


def test_check_shows_where_a_plugin_cannot_be_loaded(tmp_path: Path) -> None:
    package = write(tmp_path)
    (package / "__init__.py").write_text("x = 1\nraise ValueError('because of this')\n")
    done = CliRunner().invoke(cli, ["plugin", "check", str(package)])
    assert done.exit_code == 3
    assert "ValueError: because of this (__init__.py, line 2)" in done.output


def test_the_skeleton_is_recognized_and_has_a_template(tmp_path: Path) -> None:
    assert CliRunner().invoke(cli, ["plugin", "new", "my-type", "--folder", str(tmp_path)]).exit_code == 0
    app = create_app(load({}, **SECRETS, PLUGIN_FOLDERS=str(tmp_path)), tmp_path / "instance")
    registry = app.extensions[EXTENSION].registry
    made = registry.get("my-type")
    assert [template.name for template in made.templates()] == ["hello"]
    assert made.recognition.imports == ("my_type",)


def test_a_changed_plugin_is_used_at_once_in_debug_mode(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FLASK_DEBUG", "1")
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    folder = tmp_path / "plugins"
    write(folder)
    app = create_app(load({}, **SECRETS, PLUGIN_FOLDERS=str(folder)), tmp_path / "instance")
    client, registry = app.test_client(), app.extensions[EXTENSION].registry
    client.get("/health/live")
    assert registry.get("note").description == "A note."
    write(folder, description="A changed note.")
    client.get("/health/live")
    assert registry.get("note").description == "A changed note."
    write(folder, body="return [")
    client.get("/health/live")
    assert registry.get("note") is None
    assert registry.get("static") is not None


@pytest.mark.slow
def test_try_runs_the_example_of_the_skeleton(tmp_path: Path) -> None:
    assert CliRunner().invoke(cli, ["plugin", "new", "my-type", "--folder", str(tmp_path)]).exit_code == 0
    package, port = str(tmp_path / "my_type"), str(free_port())
    command = ("-m", "assembler_runner", "plugin", "try", package, "--port", port)
    with Process(*command, XDG_CACHE_HOME=str(tmp_path / "cache")) as process:
        url = process.wait_for_line(r"The app runs at (\S+);", timeout=300)[1]
        assert httpx.get(url).status_code == 200
        assert "Hello x" in process.log


@pytest.mark.slow
def test_serve_in_debug_mode_uses_changed_plugins(tmp_path: Path) -> None:
    folder = tmp_path / "plugins"
    write(folder)
    command = ("-m", "assembler_runner", "serve", "--debug", "--port", "0", "--instance", str(tmp_path / "instance"))
    settings = {"ADMIN_PASSWORD": PASSWORD, "PLUGIN_FOLDERS": str(folder), "PYTHONDONTWRITEBYTECODE": "1"}
    with Process(*command, **settings) as process:
        url = process.wait_for_line(r"ready at (\S+)")[1]
        with Client(url) as client:
            assert client.get("/space-types/note")["description"] == "A note."
            write(folder, description="A changed note.")
            assert client.get("/space-types/note")["description"] == "A changed note."
    refused = CliRunner().invoke(cli, ["serve", "--debug", "--host", "0.0.0.0", "--instance", str(tmp_path / "other")])
    assert refused.exit_code == 2
    assert "this machine only" in refused.output
