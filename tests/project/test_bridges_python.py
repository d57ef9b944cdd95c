"""Objects of the real packages are published, and what is published answers.

The packages are in the environment of `test_apps_run.py`. The apps that are published are started in it, as their
Dockerfile or the Hub would start them.
"""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from assembler_client import Assembler
from tests.client.conftest import Running
from tests.project.test_apps_run import ENVIRONMENT, LOCK, OTHER_PORT, ROOT, Apps, newest_python, running
from tests.support.environments import environment_of

pytestmark = pytest.mark.slow

GRADIO = """
import gradio

with gradio.Blocks() as demo:
    gradio.Markdown("made by gradio")

if __name__ == "__main__":
    demo.launch()
"""
FASTAPI = """
from fastapi import FastAPI

service = FastAPI()

@service.get("/")
def read():
    return {"made": "by fastapi"}
"""
FLASK = """
from flask import Flask
from texts import GREETING

app = Flask(__name__)

@app.get("/")
def read():
    return GREETING
"""
STREAMLIT = """
import streamlit

def main():
    streamlit.title("made by streamlit")

main()
"""
MARIMO = """
import marimo

app = marimo.App()

@app.cell
def _():
    "made by marimo"
    return

if __name__ == "__main__":
    app.run()
"""
AGENT = """
from smolagents import CodeAgent, InferenceClientModel, tool

@tool
def count_letters(word: str) -> int:
    '''Counts letters.

    Args:
        word: the word.
    '''
    return len(word)

agent = CodeAgent(tools=[count_letters], model=InferenceClientModel("org/model"))
"""
# Name → the file, its text, what is published of it, the address that answers, and what it says.
THINGS = {
    "gradio": ("app.py", GRADIO, "app.demo", "/config", "made by gradio"),
    "fastapi": ("service.py", FASTAPI, "service.service", "/", '{"made":"by fastapi"}'),
    "flask": ("app.py", FLASK, "app.app", "/", "made by flask"),
    "streamlit": ("page.py", STREAMLIT, "page.main", "/_stcore/health", "ok"),
    "marimo": ("notes.py", MARIMO, "notes.app", "/health", "healthy"),
    "agent": ("helper.py", AGENT, "helper.agent", "/config", "chat_interface"),
    "tool": ("helper.py", AGENT, "helper.count_letters", "/config", "count_letters"),
}


@pytest.fixture(scope="session")
def apps(tmp_path_factory: pytest.TempPathFactory) -> Apps:
    python, version = newest_python()
    try:
        environment_of(LOCK, ENVIRONMENT, python)
    except subprocess.CalledProcessError as problem:
        pytest.skip(f"the packages cannot be installed here: {problem}")
    home = tmp_path_factory.mktemp("home")
    (home / "sitecustomize.py").write_text(OTHER_PORT)
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "GRADIO", "STREAMLIT"))}
    own = {
        "PATH": f"{ENVIRONMENT / 'bin'}:{os.environ['PATH']}",
        "HOME": str(home),
        "PYTHONPATH": str(home),
        "PYTHONUNBUFFERED": "1",
        "NO_PROXY": "127.0.0.1,localhost",
        "GRADIO_ANALYTICS_ENABLED": "False",
        "HF_HUB_OFFLINE": "1",
    }
    return Apps(version, {**kept, **own})


@pytest.fixture(scope="session")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    service = Running(tmp_path_factory.mktemp("service"))
    service.start()
    service.wait()
    yield service
    service.kill()


def run(program: str, folder: Path, apps: Apps, service: Running) -> str:
    """Runs a program in the environment, with the client beside the packages, and returns what it writes."""
    environ = {**apps.variables, "ASSEMBLER_URL": service.url, "ASSEMBLER_TOKEN": service.token()}
    environ["PYTHONPATH"] = f"{ROOT / 'client'}:{folder}"
    command = ["python", "-W", "ignore", "-c", program]
    done = subprocess.run(command, cwd=folder.parent, env=environ, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()[-1]


def pulled(assembler: Assembler, space_id: str, folder: Path) -> list[str]:
    """Writes the published files into a folder, and returns the command that starts them."""
    space = assembler.get_space(space_id)
    assert space is not None and space.latest_request is not None
    for file in space.latest_request.files:
        place = folder / file.path
        place.parent.mkdir(parents=True, exist_ok=True)
        assembler.download_space_file(space, file, place)
    dockerfile = folder / "Dockerfile"
    if not dockerfile.exists():
        return ["python", "app.py"]
    (command,) = [line for line in dockerfile.read_text().splitlines() if line.startswith("CMD ")]
    return [str(word) for word in json.loads(command.removeprefix("CMD "))]


@pytest.mark.parametrize("kind", THINGS)
def test_an_object_is_published_and_answers(kind: str, apps: Apps, service: Running, tmp_path: Path) -> None:
    file, text, thing, path, said = THINGS[kind]
    folder = tmp_path / "project"
    folder.mkdir()
    (folder / file).write_text(text)
    (folder / "texts.py").write_text('GREETING = "made by flask"\n')
    module, _, attribute = thing.partition(".")
    name = f"{kind}-{time.monotonic_ns()}"
    program = (
        f"from {module} import {attribute} as thing\nfrom assembler_client import publish\n"
        f"print(publish(thing, {name!r}).id)"
    )
    space_id = run(program, folder, apps, service)
    with service.assembler() as assembler:
        command = pulled(assembler, space_id, tmp_path / "published")
    with running(command, tmp_path / "published", apps, path) as client:
        assert said in client.get(path).text


def test_a_cell_of_a_real_notebook_is_published(apps: Apps, service: Running, tmp_path: Path) -> None:
    name = f"cell-{time.monotonic_ns()}"
    program = f"""
from IPython.core.interactiveshell import InteractiveShell
shell = InteractiveShell.instance()
shell.run_line_magic("load_ext", "assembler_client")
shown = shell.run_cell_magic("assembler", "{name} -t static -f index.html", "<h1>made in a cell</h1>")
print(shown.space.id)
"""
    (tmp_path / "project").mkdir()
    space_id = run(program, tmp_path / "project", apps, service)
    with service.assembler() as assembler:
        pulled(assembler, space_id, tmp_path / "published")
    assert (tmp_path / "published" / "index.html").read_text() == "<h1>made in a cell</h1>"
