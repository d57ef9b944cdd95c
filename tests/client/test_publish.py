"""`publish(thing)`: what is published for which thing, and what is refused."""

from __future__ import annotations

import importlib.util
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import assembler_client
from assembler_client import Assembler, publish
from assembler_client.errors import InvalidRequest
from assembler_client.magic import Published
from assembler_client.publishing import sources_of
from tests.client.conftest import Running

Import = Callable[[str, str], ModuleType]


@pytest.fixture
def imported(tmp_path: Path) -> Iterator[Import]:
    """Writes a module into a folder of its own, and imports it."""
    made: list[str] = []

    def load(file: str, text: str) -> ModuleType:
        path = tmp_path / "project" / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(text))
        spec = importlib.util.spec_from_file_location(f"published_{path.stem}", path)
        assert spec is not None and spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        made.append(spec.name)
        sys.modules[spec.name] = module
        spec.loader.exec_module(module)
        return module

    yield load
    for name in made:
        del sys.modules[name]


def refused(thing: Any) -> tuple[str, str | None]:
    with pytest.raises(InvalidRequest) as raised:
        sources_of(thing)
    finding = raised.value.issues[0]
    assert finding.code == "not_publishable"
    return finding.message, finding.hint


def test_a_function_and_an_app_stand_for_the_folder_of_their_file(imported: Import, tmp_path: Path) -> None:
    module = imported("app.py", "def main():\n    return 1\n")
    assert sources_of(module.main)[:2] == (tmp_path / "project", {})
    # The class says which framework it is of; nothing of it is imported here.
    other = imported(
        "page.py",
        """
        class Flask:
            __module__ = "flask.app"
        app = Flask()
        """,
    )
    holder = imported("holder.py", "import sys\napp = sys.modules['published_page'].app\n")
    assert sources_of(holder.app)[:2] == (tmp_path / "project", {"app_file": "page.py"})
    assert other.app is holder.app


def test_a_file_inside_of_a_package_is_published_with_what_contains_the_package(
    imported: Import, tmp_path: Path
) -> None:
    (tmp_path / "project" / "web").mkdir(parents=True)
    (tmp_path / "project" / "web" / "__init__.py").write_text("")
    module = imported("web/serve.py", "def main(): ...\n")
    assert sources_of(module.main)[:2] == (tmp_path / "project", {"app_file": "web/serve.py"})


def test_what_is_no_app_is_refused_with_what_is_one(imported: Import) -> None:
    message, hint = refused(object())
    assert "builtins.object" in message
    assert "gradio" in str(hint)
    spaces: dict[str, Any] = {}
    exec("class Blocks:\n    __module__ = 'gradio.blocks'\nmade = Blocks()\ndef main(): ...", spaces)
    assert "%%assembler" in str(refused(spaces["made"])[1])
    assert "%%assembler" in str(refused(spaces["main"])[1])
    itself = imported("itself.py", "import assembler_client\ndef main(): ...\nif __name__ == '__main__': ...\n")
    assert "publish itself" in refused(itself.main)[0]
    inside = imported("inside.py", "def main(): ...\ndef send():\n    import assembler_client\n")
    assert sources_of(inside.main)[1] == {"app_file": "inside.py"}


def test_a_second_publish_updates_the_space_of_that_name(assembler: Assembler, tmp_path: Path) -> None:
    name = f"publish-{time.monotonic_ns()}"
    first = publish({"index.html": "<h1>One</h1>"}, name, assembler=assembler)
    folder = tmp_path / "site"
    folder.mkdir()
    (folder / "index.html").write_text("<h1>Two</h1>")
    second = publish(folder, name, assembler=assembler)
    assert (second.id, second.state) == (first.id, "running")
    assert second.commit_oid != first.commit_oid
    assembler.delete(second)
    assert publish(str(folder), name, assembler=assembler).id != first.id


class Notebook:
    """The part of IPython that an extension uses."""

    def __init__(self) -> None:
        self.magics: dict[str, Any] = {}

    def register_magic_function(self, function: Any, kind: str, name: str) -> None:
        self.magics[f"{kind} {name}"] = function


def test_a_cell_becomes_an_app(running: Running, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    notebook = Notebook()
    assembler_client.load_ipython_extension(notebook)
    magic = notebook.magics["cell assembler"]
    data = tmp_path / "data.csv"
    data.write_text("a,b\n")
    name = f"cell-{time.monotonic_ns()}"
    monkeypatch.setenv("ASSEMBLER_URL", running.url)
    monkeypatch.setenv("ASSEMBLER_TOKEN", running.token())
    cell = "import flask\napp = flask.Flask(__name__)\n"
    shown = magic(f"{name} --with {data} --target local", cell)
    assert isinstance(shown, Published)
    assert name in repr(shown)
    files = {file.path: file.origin for file in shown.space.latest_request.files}
    assert files.items() >= {"app.py": "given", "data.csv": "given"}.items()
    assert shown.space.space_type == "docker"
    with pytest.raises(Exception, match="NAME"):
        magic("", cell)
    with pytest.raises(Exception, match="quote"):
        magic("'x", cell)
