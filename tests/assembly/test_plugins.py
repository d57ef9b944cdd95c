"""Third-party plugins: from folders, git and packages; broken ones; versions; requirements; access to secrets."""

from __future__ import annotations

import logging
import textwrap
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from assembler_runner.assembly import requirements
from assembler_runner.assembly.registry import Registry
from assembler_runner.ops.cli.main import cli
from assembler_runner.plugin import SpacePlugin
from tests.conftest import MakeService
from tests.support.services import run_flask

SMALLEST = '''
from assembler_runner.plugin import SpaceFile, SpacePlugin


class NotePlugin(SpacePlugin):
    """A page that shows a note."""

    space_type = "note"
    version = "1.0"
    sdk = "static"
    description = "A page that shows a note."

    def defaults(self, options):
        return [SpaceFile("index.html", b"<p>A note</p>")]
'''


def write(folder: Path, name: str, code: str) -> Path:
    (folder / name).mkdir(parents=True)
    (folder / name / "__init__.py").write_text(textwrap.dedent(code))
    return folder


def plugin(body: str = "", name: str = "x", version: str = '"1.0"', sdk: str = '"static"', before: str = "") -> str:
    head = "import marshmallow as ma\nfrom assembler_runner.plugin import *\n"
    lines = [
        f'    space_type = "{name}"',
        f"    version = {version}",
        f"    sdk = {sdk}",
        textwrap.indent(textwrap.dedent(body), "    "),
    ]
    return "\n".join([head, textwrap.dedent(before), "class P(SpacePlugin):", *lines])


BROKEN: dict[str, tuple[str, str]] = {
    "syntax": ("def (:", "SyntaxError"),
    "indentation": ("if 1:\nx", "IndentationError"),
    "import_error": ("import does_not_exist", "does_not_exist"),
    "name_error": ("oops", "NameError"),
    "leaves": ("raise SystemExit(3)", "SystemExit"),
    "empty": ("", "no subclass of SpacePlugin"),
    "only_base": ("from assembler_runner.plugin import SpacePlugin", "no subclass of SpacePlugin"),
    "no_version": (
        "from assembler_runner.plugin import *\nclass P(SpacePlugin):\n    space_type='a'\n    sdk='static'",
        "must set version",
    ),
    "bad_name": (plugin(name="A b"), "space_type must be"),
    "bad_version": (plugin(version='"one"'), "PEP 440"),
    "number_version": (plugin(version="1.0"), "PEP 440"),
    "bad_sdk": (plugin(sdk='"streamlit"'), "sdk must be one of"),
    "bad_options": (plugin("Options = dict"), "marshmallow Schema"),
    "bad_schema": (
        plugin("class Options(ma.Schema):\n    a = ma.fields.Nested('Nowhere', load_default=dict)"),
        "Options",
    ),
    "constructor": (plugin("def __init__(self):\n    raise RuntimeError('no')"), "RuntimeError"),
    "defaults_raise": (plugin("def defaults(self, options):\n    return 1 / 0"), "defaults() raised ZeroDivisionError"),
    "defaults_leave": (plugin("def defaults(self, options):\n    raise SystemExit"), "defaults() raised SystemExit"),
    "defaults_none": (plugin("def defaults(self, options):\n    return None"), "must return a list of SpaceFile"),
    "defaults_text": (
        plugin("def defaults(self, options):\n    return [SpaceFile('a', 'text')]"),
        "str paths and bytes",
    ),
    "hostile_path": (
        plugin("def defaults(self, options):\n    return [SpaceFile('../../x', b'')]"),
        "invalid path",
    ),
    "random": (
        plugin("def defaults(self, options):\n    return [SpaceFile('a', os.urandom(8))]", before="import os"),
        "the same files each time",
    ),
    "card_list": (plugin("def card(self, options):\n    return []"), "card() must return a dict"),
    "card_object": (plugin("def card(self, options):\n    return {'a': object()}"), "card() must contain only"),
    "templates_text": (plugin("def templates(self):\n    return ['x']"), "must return a list of Template"),
    "template_empty": (plugin("def templates(self):\n    return [self.template('x', 'y')]"), "has no files"),
    "requirements_list": (plugin("def get_requirements(self):\n    return ['x']"), "must return text"),
}


def test_broken_plugins_load_beside_the_bundled_ones(
    make_service: MakeService, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for name, (code, _) in BROKEN.items():
        write(tmp_path / "strange", name, code)
    caplog.clear()
    with caplog.at_level(logging.ERROR):
        service = make_service(PLUGIN_FOLDERS=str(tmp_path / "strange"))
    answer = service.get("/plugins")
    assert answer.status_code == 200
    records = answer.json["data"]
    assert {record["name"] for record in records if record["state"] == "loaded"} == {
        "docker",
        "gradio",
        "static",
        "streamlit",
    }
    broken = {Path(record["source"]).name: record for record in records if record["state"] == "broken"}
    assert set(broken) == set(BROKEN)
    for name, (_, reason) in BROKEN.items():
        assert reason in broken[name]["error"], (name, broken[name]["error"])
    told = [record.getMessage() for record in caplog.records if "is broken" in record.getMessage()]
    assert len(told) == len(BROKEN)
    assert service.publish()["status"] == "succeeded"


def test_a_hook_that_fails_later_is_reported_and_stops_nothing(make_service: MakeService, tmp_path: Path) -> None:
    code = plugin("def check(self, tree, options):\n    raise RuntimeError('with a secret text')", name="late")
    service = make_service(PLUGIN_FOLDERS=str(write(tmp_path / "strange", "late", code)))
    answer = service.post("/spaces", {"space_type": "late", "files": {"a": "x"}})
    assert (answer.status_code, answer.json["code"]) == (500, "plugin_error")
    assert "check() raised RuntimeError" in answer.json["message"]
    assert "secret text" not in answer.text
    assert service.publish()["status"] == "succeeded"


def test_versions_side_by_side(make_service: MakeService, tmp_path: Path) -> None:
    for version in ("0.9", "0.10", "0.11rc1"):
        body = f"def defaults(self, options):\n    return [SpaceFile('version.txt', b'{version}')]"
        write(tmp_path / "more", f"note_{version.replace('.', '_')}", plugin(body, name="note", version=f'"{version}"'))
    service = make_service(PLUGIN_FOLDERS=str(tmp_path / "more"))
    shown = service.get("/space-types/note").json
    assert (shown["version"], shown["versions"]) == ("0.10", ["0.11rc1", "0.10", "0.9"])

    def used(space_type: str) -> tuple[str, str]:
        request = service.publish(space_type=space_type, files={"a": "x"})
        version = next(file for file in request["files"] if file["path"] == "version.txt")
        return request["plugin"]["version"], str(version["size"])

    assert used("note") == ("0.10", "4")
    assert used("note@0.9") == ("0.9", "3")
    assert used("note@0.11rc1") == ("0.11rc1", "7")
    refused = service.post("/spaces", {"space_type": "note@0.8", "files": {"a": "x"}})
    assert (refused.status_code, refused.json["issues"][0]["code"]) == (422, "unknown_space_type")


def test_a_retry_uses_the_same_version_and_tree(make_service: MakeService, tmp_path: Path) -> None:
    first = write(
        tmp_path / "old", "note", plugin("def defaults(self, o):\n    return [SpaceFile('v', b'1')]", name="note")
    )
    service = make_service(PLUGIN_FOLDERS=str(first))
    request = service.submit(space_type="note", files={"a": "x"})["latest_request"]
    service.post(f"/requests/{request['id']}/command", {"command": "cancel"})
    # The plugin is gone from the service that goes on with the same database.
    later = make_service(
        PLUGIN_FOLDERS=str(write(tmp_path / "new", "note", plugin(name="note", version='"2.0"'))),
        SQLALCHEMY_DATABASE_URI=f"sqlite:///{service.services.instance / 'assembler.db'}",
    )
    assert later.post(f"/requests/{request['id']}/command", {"command": "retry"}).status_code == 202
    done = later.work(request["id"])
    assert (done["status"], done["plugin"], done["tree_digest"]) == (
        "succeeded",
        request["plugin"],
        request["tree_digest"],
    )


def test_one_name_and_version_twice_is_refused_naming_both(tmp_path: Path) -> None:
    registry = Registry()
    registry.load_folder(write(tmp_path / "a", "one", plugin(name="note", version='"1.0"')))
    registry.load_folder(write(tmp_path / "b", "two", plugin(name="note", version='"1.0.0"')))
    (broken,) = [record for record in registry.records if record.state == "broken"]
    assert str(tmp_path / "a" / "one") in str(broken.error)
    assert broken.source == str(tmp_path / "b" / "two")


def test_a_distribution_offers_a_plugin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "note_dist.py").write_text(SMALLEST)
    info = tmp_path / "note_dist-3.2.1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: note-dist\nVersion: 3.2.1\n")
    (info / "entry_points.txt").write_text(
        "[assembler_runner.plugins]\nnote = note_dist:NotePlugin\nbad = note_dist:Nothing\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    registry = Registry()
    registry.load_entry_points()
    found = {record.state: record for record in registry.records if "note-dist" in record.source}
    assert found["loaded"].source == "installed package note-dist 3.2.1, entry point note"
    assert "AttributeError" in str(found["broken"].error)
    assert registry.get("note") is not None


def test_a_plugin_receives_no_secret(make_service: MakeService, tmp_path: Path) -> None:
    """The plugin records everything that it can reach through its arguments."""
    spy = """
    def defaults(self, options):
        import gc
        return [SpaceFile("seen.txt", repr((options, vars(self))).encode())]

    def check(self, tree, options):
        seen = repr((options, [(path, file.text()) for path, file in tree.items()], vars(self)))
        return [Finding("seen", seen, "info")]
    """
    write(tmp_path / "more", "spy", plugin(spy, name="spy", sdk='"docker"'))
    token = "hf_" + "t" * 30
    service = make_service(PLUGIN_FOLDERS=str(tmp_path / "more"), HF_TOKEN=token, HF_ENDPOINT="http://127.0.0.1:9")
    body = {
        "space_type": "spy",
        "files": {"Dockerfile": "FROM x"},
        "secrets": {"KEY": "s3cret-value"},
        "target": "local",
    }
    preview = service.post("/spaces/preview?content=true", body)
    assert preview.status_code == 200
    assert "Dockerfile" in preview.text
    for secret in ("s3cret-value", token, service.services.settings.SECRET_KEY):
        assert secret not in preview.text


ENDPOINTS = '''
    def get_blueprint(self):
        from flask_smorest import Blueprint
        blueprint = Blueprint("note", __name__, description="Notes.")

        @blueprint.get("/hello")
        @blueprint.response(200)
        def hello():
            """Say hello"""
            return {"hello": "note"}

        return blueprint
'''


def test_endpoints_of_a_plugin(make_service: MakeService, tmp_path: Path) -> None:
    for version in ("1.0", "2.0"):
        write(tmp_path / "more", f"note{version[0]}", plugin(ENDPOINTS, name="note", version=f'"{version}"'))
    write(tmp_path / "more", "bad", plugin("def get_blueprint(self):\n    return 3", name="bad"))
    service = make_service(PLUGIN_FOLDERS=str(tmp_path / "more"))
    assert service.get("/plugins/note@1.0/hello").json == {"hello": "note"}
    assert service.get("/plugins/note@2.0/hello").json == {"hello": "note"}
    assert service.client.get("/plugins/note@1.0/hello").status_code == 401
    spec = service.client.get("/api-spec.json").json
    assert "title" in spec["components"]["schemas"]["NoteOptions"]["properties"]
    assert spec["paths"]["/plugins/note@1.0/hello"]["get"]["summary"] == "Say hello"
    (bad,) = [record for record in service.get("/plugins").json["data"] if record["name"] == "bad"]
    assert "endpoints could not be added" in bad["note"]


def with_requirements(name: str, lines: str) -> SpacePlugin:
    found = type(f"{name}Plugin", (SpacePlugin,), {
        "space_type": name, "version": "1.0", "sdk": "static", "get_requirements": lambda self: lines,
    })  # fmt: skip
    return found()


def test_conflicting_requirements_are_named_before_anything_is_installed() -> None:
    plugins = [
        with_requirements("a", "numpy>=2\n# a comment\npillow  # why\nflask<2"),
        with_requirements("b", "NumPy<2\n--index-url x"),
        with_requirements("c", "numpy>=2.1; python_version < '3'"),
    ]
    wanted = requirements.collect(plugins)
    assert wanted["a@1.0"] == ["numpy>=2", "pillow", "flask<2"]
    with pytest.raises(requirements.RequirementsConflict) as caught:
        requirements.check(wanted, ["flask", "celery[redis]"])
    messages = [finding.message for finding in caught.value.issues]
    assert len(messages) == 3
    assert "b@1.0: '--index-url x' is not a valid requirement." in messages
    assert any("b@1.0 requires NumPy<2, but a@1.0 requires numpy>=2" in message for message in messages)
    assert any("a@1.0 requires flask<2, but the service runs with flask 3" in message for message in messages)


def test_flask_install(make_service: MakeService, tmp_path: Path) -> None:
    def run(requirement: str, *arguments: str) -> Any:
        folder = tmp_path / f"p{len(list(tmp_path.iterdir()))}"
        write(folder, "need", plugin(f"def get_requirements(self):\n    return {requirement!r}", name="need"))
        service = make_service(PLUGIN_FOLDERS=str(folder))
        return run_flask(service.app, "install", *arguments)

    dry = run("packaging>=20", "--dry-run", "--skip-runner-requirements")
    assert (dry.exit_code, dry.output) == (0, "packaging>=20\n")
    whole = run("packaging>=20", "--dry-run")
    assert "flask\n" in whole.output
    conflict = run("flask<1", "--skip-runner-requirements")
    assert conflict.exit_code == 1
    assert "need@1.0 requires flask<1, but the service runs with flask" in conflict.output
    failing = run("assembler-no-such-package-x @ file:///nowhere/at/all.whl", "--skip-runner-requirements")
    assert failing.exit_code == 1
    assert "pip could not install" in failing.output


def test_the_skeleton_passes_and_broken_changes_are_named(tmp_path: Path) -> None:
    run = CliRunner().invoke
    made = run(cli, ["plugin", "new", "my-type", "--folder", str(tmp_path)])
    assert made.exit_code == 0, made.output
    package = tmp_path / "my_type"
    good = run(cli, ["plugin", "check", str(package)])
    assert (good.exit_code, good.output) == (0, "Everything is fine.\n")
    (package / "examples" / "hello" / "files" / "app.py").rename(package / "examples" / "hello" / "files" / "main.py")
    wrong = run(cli, ["plugin", "check", str(package)])
    assert wrong.exit_code == 3
    assert "example hello" in wrong.output
    assert "app.py" in wrong.output


@pytest.mark.parametrize("name", ["gradio", "static", "docker", "streamlit"])
def test_bundled_plugins_pass_the_plugin_check(name: str) -> None:
    package = Path(__file__).parent.parent.parent / "plugins" / name
    assert CliRunner().invoke(cli, ["plugin", "check", str(package)]).output == "Everything is fine.\n"


def test_plugin_folders_add_to_the_bundled_types(make_service: MakeService, tmp_path: Path) -> None:
    write(tmp_path, "note", plugin(name="note"))
    write(tmp_path, ".hidden", "raise RuntimeError")
    service = make_service(PLUGIN_FOLDERS=str(tmp_path))
    assert {record["name"]: record["state"] for record in service.get("/plugins").json["data"]} == dict.fromkeys(
        ("docker", "gradio", "note", "static", "streamlit"), "loaded"
    )


def test_the_bundled_types_can_be_left_out(make_service: MakeService, tmp_path: Path) -> None:
    service = make_service(PLUGIN_FOLDERS=str(write(tmp_path, "note", plugin(name="note"))), BUNDLED_PLUGINS="")
    assert [record["name"] for record in service.get("/plugins").json["data"]] == ["note"]
