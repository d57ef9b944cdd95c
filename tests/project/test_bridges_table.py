"""Every line of the table "From where you work" in README.md is done as it stands there, from the outside."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from huggingface_hub import CommitOperationAdd, HfApi

from tests.client.conftest import Running
from tests.support.git_server import GitServer, WorkTree
from tests.support.services import PROJECT, Process

pytestmark = pytest.mark.slow

(TABLE,) = re.findall(r"^## From where you work\n\n(.*?)\n\n", (PROJECT / "README.md").read_text(), re.M | re.S)
ROWS = {row.split("|")[1].strip(): re.findall(r"`([^`]+)`", row.split("|")[2]) for row in TABLE.splitlines()[2:]}
CARD = b"---\ntitle: Page\nsdk: static\n---\n"


@dataclass
class Place:
    """A folder to work in, a service, and a Hub.

    Args:
        folder: the working directory, with the folder my-app.
        environ: the environment of commands.
        hub: URL of the Hub.
        git: URL of a git repository.
    """

    folder: Path
    environ: dict[str, str]
    hub: str
    git: str

    def run(self, command: str, **environ: str) -> str:
        done = subprocess.run(
            ["sh", "-euc", command],
            cwd=self.folder,
            env=self.environ | environ,
            capture_output=True,
            text=True,
            check=False,
            timeout=180,
        )
        assert done.returncode == 0, (command, done.stdout, done.stderr)
        return done.stdout + done.stderr

    def python(self, program: str) -> str:
        (self.folder / "program.py").write_text(program)
        return self.run(f"{sys.executable} -W ignore program.py")


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    folder = tmp_path_factory.mktemp("work")
    (folder / "my-app").mkdir()
    (folder / "my-app" / "index.html").write_text("<h1>Hello</h1>")
    with zipfile.ZipFile(folder / "site.zip", "w") as archive:
        archive.writestr("index.html", "<h1>Packed</h1>")
    WorkTree(folder / "served" / "app").commit({"index.html": "<h1>Committed</h1>"})
    program = "import sys; from assembler_client.cli import main; main()"
    assembler = folder / "bin" / "assembler"
    assembler.parent.mkdir()
    assembler.write_text(f"#!/bin/sh\nexec {sys.executable} -c '{program}' \"$@\"\n")
    assembler.chmod(0o755)
    with (
        GitServer(folder / "served") as server,
        Process("-m", "assembler_runner", "devhub", "--port", "0") as devhub,
    ):
        hub = devhub.wait_for_line(r"ready at (\S+)").group(1)
        settings = {"HF_ENDPOINT": hub, "HF_TOKEN": "hf_dev", "WEBHOOK_ALLOWED_NETWORKS": "127.0.0.0/8"}
        service = Running(folder / "instance", FOLLOW_SECONDS="0.1", **settings)
        service.start()
        service.wait()
        environ = {
            "PATH": f"{assembler.parent}:{os.environ['PATH']}",
            "PYTHONPATH": str(PROJECT / "client"),
            "HOME": str(folder),
            "LANG": "C.UTF-8",
            "ASSEMBLER_URL": service.url,
            "ASSEMBLER_TOKEN": service.token(),
        }
        try:
            yield Place(folder, environ, hub, f"{server.url}/app")
        finally:
            service.kill()


def on_hub(place: Place, repo: str, token: str = "hf_dev") -> None:
    """Makes a Space on the Hub by hand."""
    api = HfApi(endpoint=place.hub, token=token)
    api.create_repo(repo, repo_type="space", space_sdk="static", exist_ok=True)
    files = [CommitOperationAdd("index.html", b"<h1>By hand</h1>"), CommitOperationAdd("README.md", CARD)]
    api.create_commit(repo, files, commit_message="page", repo_type="space")


def a_folder(place: Place, command: str) -> None:
    assert f"{place.hub}/spaces/dev/my-app" in place.run(command)


def a_git_repository(place: Place, command: str) -> None:
    address = re.sub(r"https://github.com/\S+(@\S+)", rf"{place.git}\1", command)
    assert address != command
    assert "is running" in place.run(address)


def python(place: Place, command: str) -> None:
    (place.folder / "own").mkdir()
    (place.folder / "own" / "page.py").write_text(
        "class Blocks:\n    __module__ = 'gradio.blocks'\n\ndemo = Blocks()\n"
    )
    (place.folder / "own" / "app.py").write_text("import gradio\nwith gradio.Blocks() as demo: ...\ndemo.launch()\n")
    said = place.python(
        f"import sys\nsys.path.insert(0, 'own')\nfrom page import demo\n{command.replace('my-app', 'py')}"
    )
    assert said == ""
    assert "py" in place.run("assembler show py")


def a_notebook(place: Place, command: str, cell: str) -> None:
    # The real notebook is in test_bridges_python.py; here is the part of it that an extension sees.
    name = cell.removeprefix("%%assembler ").replace("my-app", "cell")
    said = place.python(
        "import assembler_client\n"
        "class Notebook:\n"
        "    def register_magic_function(self, function, kind, name):\n"
        "        self.magic = function\n"
        f"notebook = Notebook()\n{command.split()[1]}.load_ipython_extension(notebook)\n"
        f"print(repr(notebook.magic({name + ' -t static -f index.html'!r}, '<h1>Hello</h1>')))\n"
    )
    assert "cell is running" in said


def a_pipeline(place: Place, folder: str) -> None:
    script = PROJECT / folder / "scripts" / "publish.sh"
    # A pipeline has a new checkout.
    (place.folder / "my-app" / ".assembler.json").unlink(missing_ok=True)
    assert "pipeline" in place.run(f"{script} >&2", SPACE="pipeline", FOLDER="my-app", PATH=place.environ["PATH"])


def somebody_elses(place: Place, command: str) -> None:
    on_hub(place, "alice/page", "hf_alice")
    assert "is running" in place.run(command.replace("owner/name", "alice/page"))


def ones_own(place: Place, command: str) -> None:
    on_hub(place, "dev/by-hand")
    assert "is managed now" in place.run(command.replace("owner/name", "dev/by-hand"))


def no_account(place: Place, command: str) -> None:
    with Process("-m", "assembler_runner", *command.split()[1:], "--port", "0") as devhub:
        devhub.wait_for_line(r"ready at (\S+)")


def a_hub(place: Place, command: str) -> None:
    said = place.run(re.sub(r"https://\S+", place.hub, command), HF_TOKEN="hf_dev", APPS="off")
    assert "Spaces can be published there" in said


DO: dict[str, Callable[..., None]] = {
    "a folder with an app": a_folder,
    "a zip or tar file": lambda place, command: place.run(command),
    "a git repository": a_git_repository,
    "an app in Python: gradio, FastAPI, smolagents …": python,
    "a notebook": a_notebook,
    "a pipeline on GitHub or GitLab": a_pipeline,
    "files that you are about to commit": lambda place, command: place.run(command),
    "a Space of another person on the Hub": somebody_elses,
    "a Space of your own on the Hub": ones_own,
    "no account of a Hub": no_account,
    "a Hub of your own": a_hub,
}


def test_every_line_is_tried() -> None:
    assert list(DO) == list(ROWS)


@pytest.mark.parametrize("row", ROWS)
def test_a_line_of_the_table(row: str, place: Place) -> None:
    DO[row](place, *ROWS[row])
