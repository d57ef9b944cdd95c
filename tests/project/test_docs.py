"""The documentation is true: generated pages, links, samples, sessions and tables against the code."""

from __future__ import annotations

import importlib.util
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any
from urllib.parse import urlsplit

import marshmallow
import pytest
import yaml

import assembler_runner.assembly.requirements
import assembler_runner.ops.apps
import assembler_runner.ops.backups
import assembler_runner.publishing.pipeline  # noqa: F401 - so that every class of errors exists
from assembler_runner import __version__, plugin
from assembler_runner.assembly.assemble import assemble
from assembler_runner.assembly.registry import Registry
from assembler_runner.core.errors import AssemblerError
from assembler_runner.core.places import PROJECT
from assembler_runner.core.settings import SETTINGS
from assembler_runner.spaces.transitions import TRANSITIONS
from tests.conftest import MakeService, Service
from tests.project.pages import blocks, read

DOCS = PROJECT / "docs"
CLIENT_README = PROJECT / "client" / "README.md"
PAGES = [PROJECT / "README.md", CLIENT_README, PROJECT / "CHANGELOG.md", *sorted(DOCS.glob("*.md"))]
README = PAGES[0]

KINDS = {
    "sh session", "python plugin", "python fields", "python finding", "json notice", "json", "text", "bash",
    "python example", "python page", "python bridge", "typescript example",
    "yaml", "{toctree}", "{raw} html", "{eval-rst}",
}  # fmt: skip
"""All kinds of blocks, so that none is unchecked; only `bash` is not run here."""


def block(page: Path, kind: str) -> str:
    """The one block of a kind."""
    (found,) = [block.text for block in blocks(page) if block.kind == kind]
    return found


def rows(page: Path, head: str) -> list[list[str]]:
    """The cells of the table whose first column has that head."""
    table = re.search(rf"^\| {re.escape(head)} \|.*\n\|[ -|]+\n((?:\|.*\n)+)", read(page), re.MULTILINE)
    assert table, f"{page.name} has no table {head}"
    cells = (re.split(r"(?<!\\)\|", line)[1:-1] for line in table[1].splitlines())
    return [[cell.strip().replace("\\|", "|").replace("\\<", "<") for cell in line] for line in cells]


# Environment variables of the command line.
CLIENT_VARIABLES = {"ASSEMBLER_URL", "ASSEMBLER_TOKEN", "ASSEMBLER_PROFILE", "ASSEMBLER_PATIENCE"}


def name_of(page: Path) -> str:
    return str(page.relative_to(PROJECT))


@pytest.fixture(scope="module")
def generate() -> ModuleType:
    spec = importlib.util.spec_from_file_location("generate", DOCS / "generate.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_generated_pages_are_up_to_date() -> None:
    check = [sys.executable, str(DOCS / "generate.py"), "--check"]
    done = subprocess.run(check, capture_output=True, text=True, check=False, cwd=PROJECT)
    assert (done.returncode, done.stderr) == (0, "")


def test_a_page_out_of_date_is_told_and_rewritten(
    generate: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(generate, "DOCS", tmp_path)
    monkeypatch.setattr(generate, "PROJECT", tmp_path)
    (tmp_path / "errors.md").write_text("old")
    assert generate.main(["--check"]) == 1
    assert "errors.md is out of date" in capsys.readouterr().err
    assert generate.main([]) == 0
    assert generate.main(["--check"]) == 0


def test_every_setting_is_documented() -> None:
    shown = rows(DOCS / "settings.md", "Name")
    assert [row[0].strip("`") for row in shown] == [setting.name for setting in SETTINGS]
    for row, setting in zip(shown, SETTINGS, strict=True):
        assert row[3].startswith(setting.metadata["help"])
        assert not setting.metadata["secret"] or row[2] == ""
    assert str(PROJECT) not in read(DOCS / "settings.md")


def _all_errors(cls: type[AssemblerError] = AssemblerError) -> Iterator[type[AssemblerError]]:
    yield cls
    for child in cls.__subclasses__():
        yield from _all_errors(child)


def test_every_error_is_documented() -> None:
    shown = {row[0].lstrip("· "): row for row in rows(DOCS / "errors.md", "Error")}
    public = [cls for cls in _all_errors() if cls.__module__.startswith("assembler_runner.") and cls.__name__[0] != "_"]
    assert set(shown) == {cls.__name__ for cls in public}
    for cls in public:
        _, code, status, retryable, _, message, hint = shown[cls.__name__]
        assert (code, status, retryable == "yes") == (f"`{cls.code}`", str(cls.status), cls.retryable)
        assert (message, hint) == (cls.default_message, cls.default_hint or "")


def test_the_tree_in_errors_py_is_the_tree() -> None:
    text = read(PROJECT / "assembler_runner" / "core" / "errors.py")
    drawn = re.findall(r"^[ │├└─]*([A-Z]\w+) +(\d{3})  (\w+)", text, re.MULTILINE)
    own = [cls for cls in _all_errors() if cls.__module__ == AssemblerError.__module__]
    assert sorted(drawn) == sorted((cls.__name__, str(cls.status), cls.code) for cls in own)


def test_the_transitions_are_those_of_the_code() -> None:
    allowed = {(source, target) for source, targets in TRANSITIONS.items() for target in targets}
    table = {(row[0].strip("`"), row[1].strip("`")) for row in rows(DOCS / "durability.md", "From")}
    assert table == allowed
    drawn = set(re.findall(r'data-from="(\w+)" data-to="(\w+)"', read(DOCS / "images" / "states.svg")))
    assert drawn == allowed


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_links_lead_somewhere(page: Path) -> None:
    for link in re.findall(r"\]\(([^)\s]+)\)", read(page)):
        target, _, heading = link.partition("#")
        if urlsplit(link).scheme:
            assert urlsplit(link).scheme == "https", link
            continue
        path = (page.parent / target).resolve() if target else page
        assert path.exists(), link
        if heading:
            headings = [re.sub(r"[^\w -]", "", line).replace(" ", "-").lower() for line in _headings(path)]
            assert heading in headings, link


def _headings(page: Path) -> list[str]:
    return re.findall(r"^#+ (.*)$", read(page), re.MULTILINE)


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_block_is_of_a_kind_that_is_checked(page: Path) -> None:
    assert {block.kind for block in blocks(page)} <= KINDS
    for found in blocks(page):
        if found.kind.startswith("json"):
            json.loads(found.text)
        if found.kind == "yaml":
            yaml.safe_load(found.text)


# The hints of causes.md name variables of other programs.
@pytest.mark.parametrize("page", [page for page in PAGES if page.name != "causes.md"], ids=name_of)
def test_settings_that_are_named_exist(page: Path) -> None:
    names = {setting.name for setting in SETTINGS}
    text = read(page)
    named = set(re.findall(r"\b([A-Z][A-Z0-9]*_[A-Z0-9_]+)=", text)) | set(
        re.findall(r"`([A-Z][A-Z0-9]*_[A-Z0-9_]+)`", text)
    )
    # Variables of libraries, which are no settings of ours.
    of_libraries = {"PROMETHEUS_MULTIPROC_DIR", "FLASK_APP", "FLASK_DEBUG", "OTEL_EXPORTER_OTLP_ENDPOINT"}
    of_libraries |= {"HF_HUB_DISABLE_XET"}
    of_tests = {"TEST_POSTGRES_URL", "TEST_APPS_ENGINE"}
    # What an app finds in its environment.
    of_apps = {"SPACE_ID", "SPACE_HOST", "SPACE_AUTHOR_NAME", "SPACE_REPO_NAME", "SPACE_TITLE", "CPU_CORES", "HF_HOME"}
    of_apps |= {"HTTP_PROXY", "HTTPS_PROXY"}
    assert named <= names | CLIENT_VARIABLES | of_libraries | of_tests | of_apps


def test_the_readme_is_short_and_names_what_there_is(service: Service) -> None:
    text = read(README)
    assert len(text.splitlines()) <= 90
    shown = {row[0].strip("`"): row for row in rows(DOCS / "spaces.md", "`space_type`")}
    described = {each["name"]: each for each in service.get("/space-types").json["data"]}
    assert set(shown) == set(described)
    for name, row in shown.items():
        assert set(re.findall(r"`([^`]+)`", row[2])) == set(described[name]["default_files"])
        assert row[3].lower().startswith(described[name]["sdk"])
    targets = set(re.findall(r"^(\w+):", read(PROJECT / "Makefile"), re.MULTILINE))
    assert set(re.findall(r"(?:^|`|… )make (\w+)", text, re.MULTILINE)) <= targets
    assert "make demo" in text
    assert "make test" in text


def test_no_page_for_readers_is_long() -> None:
    generated = {"settings.md", "errors.md", "causes.md", "findings.md", "client.md", "performance.md"}
    counted = {page.name: len(read(page).splitlines()) for page in DOCS.glob("*.md") if page.name not in generated}
    assert {name: lines for name, lines in counted.items() if lines > 240} == {}


def test_the_changelog_has_the_version_of_service_and_client() -> None:
    text = read(PROJECT / "CHANGELOG.md")
    assert re.search(r"^## \[Unreleased\]$", text, re.MULTILINE)
    newest = re.search(r"^## \[(\d+\.\d+\.\d+)\] - \d{4}-\d\d-\d\d$", text, re.MULTILINE)
    assert newest
    client = read(PROJECT / "client" / "assembler_client" / "version.py")
    assert (newest[1], f'"{newest[1]}"' in client) == (__version__, True)
    assert set(re.findall(r"`make (\w+)`", text)) == {"demo", "test", "run", "check"}


# The plugin of the page


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A plugin folder with the plugin of the page."""
    package = tmp_path / "my-plugins" / "notice"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text(block(DOCS / "plugins.md", "python plugin"), encoding="utf-8")
    return package.parent


def test_the_smallest_plugin_is_small_and_works(folder: Path) -> None:
    assert len(block(DOCS / "plugins.md", "python plugin").splitlines()) <= 25
    registry = Registry()
    registry.load_folder(folder)
    assert [(record.name, record.state, record.error) for record in registry.records] == [("notice", "loaded", None)]
    notice = registry.get("notice")
    assert notice is not None
    body = json.loads(block(DOCS / "plugins.md", "json notice"))
    files = {path: text.encode() for path, text in body["files"].items()}
    made = assemble(notice, files, options=body["options"])
    assert made.findings == []
    assert [(file.path, file.origin) for file in made.tree.values()] == [
        ("README.md", "generated"),
        ("index.html", "default"),
        ("notice.txt", "given"),
    ]
    assert b"background: green" in made.tree["index.html"].content
    assert b"title: Notice" in made.tree["README.md"].content
    assert [finding.code for finding in assemble(notice, {"x.txt": b""}).errors] == ["no_notice"]
    assert [finding.path for finding in assemble(notice, files, options={"colour": "pale"}).errors] == [
        "options.colour"
    ]


def test_the_smallest_plugin_serves_requests(make_service: MakeService, folder: Path) -> None:
    service = make_service(PLUGIN_FOLDERS=str(folder))
    assert service.get("/space-types/notice").json["options"]["properties"]["colour"]["default"] == "yellow"
    request = service.publish(**json.loads(block(DOCS / "plugins.md", "json notice")))
    assert request["status"] == "succeeded", request["error"]


def test_the_pieces_of_plugins_work() -> None:
    names: dict[str, Any] = {name: getattr(plugin, name) for name in plugin.__all__} | {"ma": marshmallow}
    exec(block(DOCS / "plugins.md", "python fields"), names)
    found = eval(block(DOCS / "plugins.md", "python finding"), names)
    assert (found.severity, found.line) == ("warning", 3)

    class Tried(plugin.SpacePlugin):
        space_type, version, sdk = "tried", "1", "docker"
        Options = names["Options"]

    made = assemble(Tried(), {"a": b""}, options={"suggested": "cpu-upgrade", "audience": "x"})
    card = made.tree["README.md"].text()
    assert "app_port: 7860" in card
    assert "suggested_hardware: cpu-upgrade" in card
    assert "audience" not in card


def test_the_page_names_every_attribute_of_a_plugin() -> None:
    shown = {name for row in rows(DOCS / "plugins.md", "Name") for name in re.findall(r"`(\w+)", row[0])}
    own = {name for name in vars(plugin.SpacePlugin) if not name.startswith("_")} | {"space_type", "version", "sdk"}
    assert shown == own - {"options_schema", "folder"}
