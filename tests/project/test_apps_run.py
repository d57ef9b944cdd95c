"""The examples are really started: what is assembled must run with the real packages and show its parameters.

The apps run in an environment of their own, `.venv-apps`, made from `apps/requirements.lock` when it is first needed.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from assembler_runner.plugin import Tree
from examples.load import load_example
from tests.assembly.test_cases import CASES, ROOT, assembled, dockerfile_of, request_of, write_tree
from tests.support.environments import environment_of

pytestmark = pytest.mark.slow

ENVIRONMENT = ROOT / ".venv-apps"
LOCK = Path(__file__).parent / "apps" / "requirements.lock"
NEWEST_PYTHON = 14
START_SECONDS = 120

# Loaded by every Python of an app: it listens on a free port of this machine where it asks for 7860 of all addresses.
OTHER_PORT = """
import os, socket

bind = socket.socket.bind

def bind_elsewhere(self, address):
    if address[1:2] == (7860,):
        address = ("127.0.0.1", int(os.environ["PORT_FOR_7860"]))
    return bind(self, address)

socket.socket.bind = bind_elsewhere
"""

# Run in the environment of the apps: the app without a browser, twice, and what it shows.
LOOK_AT_STREAMLIT_APP = """
import json
from streamlit.testing.v1 import AppTest

app = AppTest.from_file("app.py", default_timeout=60).run()
before = {"title": app.title[0].value, "metric": app.metric[0].value, "caption": app.caption[0].value}
app.selectbox[0].select("February").run()
after = {"metric": app.metric[0].value}
print(json.dumps([before, after, [str(problem) for problem in app.exception]]))
"""


@dataclass(frozen=True)
class Apps:
    """The environment of the apps.

    Args:
        version: of its Python.
        variables: what a process in it gets as environment.
    """

    version: tuple[int, int]
    variables: Mapping[str, str]


@pytest.fixture(scope="session")
def apps(tmp_path_factory: pytest.TempPathFactory) -> Apps:
    python, version = newest_python()
    environment_of(LOCK, ENVIRONMENT, python)
    home = tmp_path_factory.mktemp("home")
    (home / "sitecustomize.py").write_text(OTHER_PORT)
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("PYTHON", "GRADIO", "STREAMLIT", "FLASK"))
    }
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


def newest_python() -> tuple[str, tuple[int, int]]:
    """The newest Python of this machine that the lock is made for; it must have venv and pip."""
    for minor in range(NEWEST_PYTHON, 11, -1):
        name = f"python3.{minor}"
        installed = sorted(Path.home().glob(f".pyenv/versions/3.{minor}.*/bin/{name}"))
        for python in [shutil.which(name), *map(str, installed)]:
            if python and subprocess.call([python, "-c", "import venv, ensurepip"], stderr=subprocess.DEVNULL) == 0:
                return python, (3, minor)
    return sys.executable, sys.version_info[:2]


def tree_for(body: dict[str, Any], apps: Apps) -> Tree:
    """The tree of a request; for Python 3.11 the nested quotes of the documented examples become older ones."""
    if apps.version < (3, 12):
        for name in ("user", "name"):
            body["files"]["app.py"] = body["files"]["app.py"].replace(f"PARAMS['{name}']", f'PARAMS["{name}"]')
    assembly = assembled(body)
    assert assembly.errors == []
    return assembly.tree


def build(tree: Tree, tmp_path: Path, apps: Apps) -> tuple[Path, list[str]]:
    """Does the steps of the Dockerfile, as far as they go without a container engine; gives its folder and its CMD."""
    context, app = write_tree(tree, tmp_path / "context"), tmp_path / "app"
    app.mkdir()
    command: list[str] = []
    for step, rest in dockerfile_of(tree):
        if step == "COPY":
            source, target = rest.split()[-2:]
            inside = app / (Path("/app") / target).relative_to("/app")  # WORKDIR is /app
            if source == ".":
                shutil.copytree(context, inside, dirs_exist_ok=True)
            else:
                shutil.copy(context / source, inside)
        elif step == "RUN" and rest.startswith("pip "):
            subprocess.run(rest.split(), cwd=app, env=apps.variables, check=True, capture_output=True)
        elif step == "CMD":
            command = json.loads(rest)
    return app, command


@contextmanager
def running(command: list[str], folder: Path, apps: Apps, ready: str = "/") -> Iterator[httpx.Client]:
    """Starts an app and gives a client once it answers; whatever it started is ended with it."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = str(probe.getsockname()[1])
    variables = {**apps.variables, "PORT_FOR_7860": port, "GRADIO_SERVER_PORT": port}
    log = folder / "app.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, cwd=folder, env=variables, stdout=output, stderr=subprocess.STDOUT, start_new_session=True
        )
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", trust_env=False, timeout=30) as client:
            wait_until_ready(client, ready, process, log)
            yield client
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def wait_until_ready(client: httpx.Client, path: str, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        assert process.poll() is None, log.read_text()
        try:
            if client.get(path).is_success:
                return
        except httpx.TransportError:
            pass
        time.sleep(0.1)
    pytest.fail(f"no answer in {START_SECONDS} seconds:\n{log.read_text()}")


def test_gradio_greeter_answers_with_its_parameter(apps: Apps, tmp_path: Path) -> None:
    folder = write_tree(tree_for(load_example(ROOT / "examples" / "gradio-greeter"), apps), tmp_path)
    with running(["python", "app.py"], folder, apps) as client:
        event = client.post("/gradio_api/call/greet", json={"data": []}).json()["event_id"]
        answer = client.get(f"/gradio_api/call/greet/{event}").text
    assert answer.split("\n")[:2] == ["event: complete", 'data: ["Hi, Gradio Fan"]']


def test_streamlit_dashboard_starts_as_its_dockerfile_says(apps: Apps, tmp_path: Path) -> None:
    tree = tree_for(load_example(ROOT / "examples" / "streamlit-dashboard"), apps)
    folder, command = build(tree, tmp_path, apps)
    with running(command, folder, apps, "/_stcore/health") as client:
        assert client.get("/_stcore/health").text == "ok"
        assert "<title>Streamlit</title>" in client.get("/").text


def test_streamlit_dashboard_shows_its_parameters(apps: Apps, tmp_path: Path) -> None:
    folder = write_tree(tree_for(load_example(ROOT / "examples" / "streamlit-dashboard"), apps), tmp_path)
    looked = subprocess.run(
        ["python", "-c", LOOK_AT_STREAMLIT_APP], cwd=folder, env=apps.variables, capture_output=True, check=True
    )
    before, after, exceptions = json.loads(looked.stdout.splitlines()[-1])
    assert exceptions == []
    assert before == {"title": "Rainfall", "metric": "61 mm", "caption": "164 mm in 3 months"}
    assert after == {"metric": "48 mm"}


@pytest.mark.parametrize(
    "request_folder", [ROOT / "examples" / "docker-flask", CASES / "docker" / "default-dockerfile"]
)
def test_flask_app_answers_with_its_parameter(apps: Apps, tmp_path: Path, request_folder: Path) -> None:
    is_example = (request_folder / "files").is_dir()
    tree = tree_for(load_example(request_folder) if is_example else request_of(request_folder), apps)
    folder, command = build(tree, tmp_path, apps)
    with running(command, folder, apps) as client:
        assert client.get("/").text == "Hello, Docker User"


def test_fastapi_service_answers_with_its_parameters(apps: Apps, tmp_path: Path) -> None:
    folder, command = build(tree_for(load_example(ROOT / "examples" / "docker-fastapi"), apps), tmp_path, apps)
    with running(command, folder, apps) as client:
        assert client.get("/").json() == {"greeting": "Welcome", "languages": ["en", "de"]}
        assert client.get("/greet/Ada").json() == {"text": "Welcome, Ada!"}
