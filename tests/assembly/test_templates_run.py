"""Every starter app that can run here is really started, as its Dockerfile or the Hub would do it."""

from __future__ import annotations

import io
import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from assembler_runner.plugin import Tree
from tests.assembly.test_cases import write_tree
from tests.assembly.test_templates import assembled
from tests.project.test_apps_run import Apps, apps, build, running

__all__ = ["apps"]
pytestmark = pytest.mark.slow

LOOK_AT_DASHBOARD = """
import json
from streamlit.testing.v1 import AppTest

app = AppTest.from_file("app.py", default_timeout=60).run()
print(json.dumps([app.title[0].value, app.metric[0].value, [str(problem) for problem in app.exception]]))
"""


def tree_of(space_type: str, template: str, parameters: dict[str, Any]) -> Tree:
    assembly = assembled(space_type, template, parameters)
    assert assembly.errors == []
    tree: Tree = assembly.tree
    return tree


def call(client: Any, name: str, data: list[Any]) -> list[Any]:
    """Calls an endpoint of a Gradio app and returns what it gives."""
    event = client.post(f"/gradio_api/call/{name}", json={"data": data}).json()["event_id"]
    answer = client.get(f"/gradio_api/call/{name}/{event}").text.split("\n")
    assert answer[0] == "event: complete", answer
    return list(json.loads(answer[1].removeprefix("data: ")))


def test_gradio_text(apps: Apps, tmp_path: Path) -> None:
    folder = write_tree(tree_of("gradio", "text", {"title": "Counter"}), tmp_path)
    with running(["python", "app.py"], folder, apps) as client:
        assert call(client, "answer", ["one two three"]) == ["3 words, 13 characters"]
        assert client.get("/config").json()["title"] == "Counter"


def test_gradio_image(apps: Apps, tmp_path: Path) -> None:
    folder = write_tree(tree_of("gradio", "image", {"angle": 90, "grey": True}), tmp_path)
    picture = subprocess.run(
        [
            "python",
            "-c",
            "import sys; from PIL import Image; Image.new('RGB', (4, 2), 'red').save(sys.stdout.buffer, 'PNG')",
        ],
        env=apps.variables,
        capture_output=True,
        check=True,
    ).stdout
    with running(["python", "app.py"], folder, apps) as client:
        (path,) = client.post("/gradio_api/upload", files={"files": ("a.png", io.BytesIO(picture), "image/png")}).json()
        (made,) = call(client, "change", [{"path": path, "meta": {"_type": "gradio.FileData"}}])
        content = client.get(f"/gradio_api/file={made['path']}").content
    look = [
        "import io, json, sys",
        "from PIL import Image",
        "picture = Image.open(io.BytesIO(sys.stdin.buffer.read())).convert('RGB')",
        "print(json.dumps([picture.size, picture.getpixel((0, 0))]))",
    ]
    seen = subprocess.run(
        ["python", "-c", "\n".join(look)], input=content, env=apps.variables, capture_output=True, check=True
    )
    size, (red, green, blue) = json.loads(seen.stdout)
    assert size == [2, 4]
    assert red == green == blue


def test_gradio_chat(apps: Apps, tmp_path: Path) -> None:
    folder = write_tree(tree_of("gradio", "chat", {"answers": {"price": "It is free."}}), tmp_path)
    with running(["python", "app.py"], folder, apps) as client:
        assert call(client, "reply", ["What is the PRICE?"])[0] == "It is free."
        assert call(client, "reply", ["Well?"])[0] == "Tell me more."


def test_streamlit_dashboard(apps: Apps, tmp_path: Path) -> None:
    tree = tree_of("streamlit", "dashboard", {"title": "Figures", "unit": "kg", "rows": {"a": 1.5, "b": 2}})
    folder, command = build(tree, tmp_path, apps)
    with running(command, folder, apps, "/_stcore/health") as client:
        assert client.get("/_stcore/health").text == "ok"
    looked = subprocess.run(
        ["python", "-c", LOOK_AT_DASHBOARD], cwd=folder, env=apps.variables, capture_output=True, check=True
    )
    assert json.loads(looked.stdout.splitlines()[-1]) == ["Figures", "1.5 kg", []]


def test_docker_flask(apps: Apps, tmp_path: Path) -> None:
    folder, command = build(tree_of("docker", "flask", {"greeting": "Hi"}), tmp_path, apps)
    assert command[0] == "gunicorn"
    with running(command, folder, apps, "/health") as client:
        assert client.get("/").text == "<h1>Hi</h1>"


def test_docker_fastapi(apps: Apps, tmp_path: Path) -> None:
    folder, command = build(tree_of("docker", "fastapi", {"greeting": "Hi"}), tmp_path, apps)
    assert command[0] == "uvicorn"
    with running(command, folder, apps, "/health") as client:
        assert client.get("/").json() == {"message": "Hi"}


@pytest.mark.skipif(shutil.which("node") is None, reason="Node.js is not installed")
def test_docker_node(apps: Apps, tmp_path: Path) -> None:
    folder = write_tree(tree_of("docker", "node", {"greeting": "Hi"}), tmp_path)
    start = "process.env.PORT = process.env.PORT_FOR_7860; require('./server.js')"
    with running([str(shutil.which("node")), "-e", start], folder, apps, "/health") as client:
        assert client.get("/").text == "Hi\n"
