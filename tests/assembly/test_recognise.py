"""Recognition of the kind of an app from its files, and the Dockerfile generated for it."""

# ruff: noqa: E501 - whole files as texts on one line each

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from assembler_runner.assembly.made_dockerfile import made_dockerfile, made_requirements
from assembler_runner.assembly.preflight.context import Context
from assembler_runner.assembly.preflight.docker_ports import listener_of
from assembler_runner.assembly.preflight.dockerfile import parse_dockerfile
from assembler_runner.assembly.recognise import recognise
from assembler_runner.assembly.recognised import Hint
from assembler_runner.files.tree import SpaceFile

TYPES = ("gradio", "streamlit", "docker", "static")
GRADIO = "import gradio as gr\ngr.Interface(str, 'text', 'text').launch()\n"
STREAMLIT = "import streamlit as st\nst.title('x')\n"


def files_of(texts: dict[str, str]) -> dict[str, SpaceFile]:
    return {path: SpaceFile(path, text.encode(), "given") for path, text in texts.items()}


@pytest.mark.parametrize(
    ("texts", "space_type", "options", "framework"),
    [
        ({"app.py": GRADIO}, "gradio", {}, "gradio"),
        ({"main.py": GRADIO}, "gradio", {"app_file": "main.py"}, "gradio"),
        ({"run.py": GRADIO, "utils.py": "import gradio\n"}, "gradio", {"app_file": "run.py"}, "gradio"),
        ({"src/app.py": GRADIO, "requirements.txt": "gradio\n"}, "gradio", {"app_file": "src/app.py"}, "gradio"),
        ({"app.py": "print(1)\n"}, "gradio", {}, ""),
        ({"app.py": "# streamlit and flask\n" + GRADIO}, "gradio", {}, "gradio"),
        ({"app.py": STREAMLIT}, "streamlit", {}, "streamlit"),
        ({"streamlit_app.py": STREAMLIT, "requirements.txt": "streamlit\n"}, "streamlit", {"app_file": "streamlit_app.py"}, "streamlit"),
        ({"🏠_Home.py": STREAMLIT, "pages/1_Plot.py": STREAMLIT}, "streamlit", {"app_file": "🏠_Home.py"}, "streamlit"),
        ({"app.py": "from flask import Flask\napp = Flask(__name__)\napp.run(host='0.0.0.0', port=7860)\n"}, "docker", {}, "flask"),
        ({"app.py": "from flask import Flask\napp = Flask(__name__)\napp.run(host='0.0.0.0', port=5000)\n"}, "docker", {"app_port": 5000}, "flask"),
        ({"main.py": "from fastapi import FastAPI\napp = FastAPI()\n"}, "docker", {"app_file": "main.py"}, "fastapi"),
        ({"manage.py": "import sys\n", "site1/settings.py": "DEBUG = True\n", "requirements.txt": "django\n"}, "docker", {"app_file": "manage.py"}, "django"),
        ({"notebook.py": "import marimo\napp = marimo.App()\n"}, "docker", {"app_file": "notebook.py"}, "marimo"),
        ({"app.py": "import panel as pn\npn.Row('x').servable()\n"}, "docker", {}, "panel"),
        ({"app.py": "from dash import Dash\napp = Dash()\n"}, "docker", {}, "dash"),
        ({"app.py": "from shiny import App, ui\napp = App(ui.page_fluid(), None)\n"}, "docker", {}, "shiny"),
        ({"package.json": '{"scripts": {"start": "node server.js"}}', "server.js": "http.listen(3000)\n"}, "docker", {"app_port": 3000}, "node"),
        ({"package.json": '{"dependencies": {"express": "4"}}', "index.js": "x.listen(process.env.PORT)\n"}, "docker", {}, "node"),
        ({"app.R": "library(shiny)\n"}, "docker", {}, "r"),
        ({"go.mod": "module x\n", "main.go": "package main\n"}, "docker", {}, "go"),
        ({"Dockerfile": "FROM nginx\nEXPOSE 7860\n", "app.py": GRADIO}, "docker", {}, ""),
        ({"Dockerfile": "FROM python:3.12\nEXPOSE 8000\n"}, "docker", {"app_port": 8000}, ""),
        ({"Dockerfile": "FROM python:3.12\nCMD uvicorn a:b --host 0.0.0.0 --port 9000\n"}, "docker", {"app_port": 9000}, ""),
        ({"index.html": "<h1>x</h1>"}, "static", {}, ""),
        ({"dist/index.html": "x", "package.json": "{}"}, "static", {"app_file": "dist/index.html"}, ""),
        ({"page.html": "<h1>x</h1>"}, "static", {"app_file": "page.html"}, ""),
        (
            {"index.html": "x", "package.json": '{"scripts": {"build": "vite build"}, "devDependencies": {"vite": "6"}}'},
            "static",
            {"app_build_command": "npm run build", "app_file": "dist/index.html"},
            "node",
        ),
        ({"README.md": "---\nsdk: gradio # the UI\n---\n", "app.py": STREAMLIT}, "gradio", {}, "gradio"),
        ({"README.md": "---\nsdk: Gradio\n---\n", "main.py": GRADIO}, "gradio", {"app_file": "main.py"}, "gradio"),
        ({"README.md": "---\nsdk: streamlit\napp_file: main.py\n---\n", "main.py": STREAMLIT}, "streamlit", {"app_file": "main.py"}, "streamlit"),
        ({"README.md": '---\nsdk: docker\npython_version: "3.10"\n---\n', "app.py": STREAMLIT}, "streamlit", {}, "streamlit"),
        ({"readme.md": "---\nsdk: static\n---\n", "app.py": GRADIO}, "static", {}, ""),
        ({"README.md": "---\nsdk: nonsense\n---\n", "app.py": GRADIO}, "gradio", {}, "gradio"),
    ],
)  # fmt: skip
def test_an_app_is_recognised(texts: dict[str, str], space_type: str, options: dict[str, Any], framework: str) -> None:
    found = recognise(files_of(texts), TYPES)
    assert (found.space_type, dict(found.options), found.framework) == (space_type, options, framework), found
    assert found.reason.endswith(".")


@pytest.mark.parametrize(
    ("texts", "said"),
    [
        ({"docker-compose.yml": "services: {}\n"}, "docker-compose.yml is not run"),
        ({"demo.ipynb": "{}"}, "notebook"),
        ({"docker/Dockerfile": "FROM x\n"}, "not at the top"),
        ({"notes.txt": "x"}, "no app.py"),
    ],
)
def test_what_is_no_app_is_not_guessed(texts: dict[str, str], said: str) -> None:
    found = recognise(files_of(texts), TYPES)
    assert found.space_type is None
    assert said in found.reason


@pytest.mark.parametrize(
    "texts", [{"app.R": "x"}, {"main.go": "x"}, {"Cargo.toml": "x"}, {"pom.xml": "x"}, {"index.php": "x"}]
)
def test_other_languages_need_a_dockerfile(texts: dict[str, str]) -> None:
    found = recognise(files_of(texts), TYPES)
    assert found.needs_dockerfile
    assert "docker" in found.reason and "Dockerfile" in found.reason
    assert made_dockerfile(files_of(texts), recognised=found) is None


@pytest.mark.parametrize(
    ("hint", "texts"),
    [
        (Hint("slides", files=("slides.md",)), {"slides.md": "# x", "app.py": GRADIO}),
        (Hint("slides", files=("*.qmd",)), {"talk.qmd": "# x"}),
        (Hint("slides", imports=("slidekit",)), {"app.py": "import slidekit\n"}),
        (Hint("slides", packages=("reveal.js",)), {"package.json": '{"dependencies": {"reveal.js": "5"}}'}),
    ],
)
def test_a_plugin_says_how_its_type_is_recognised(hint: Hint, texts: dict[str, str]) -> None:
    assert recognise(files_of(texts), (*TYPES, "slides"), [hint]).space_type == "slides"
    assert recognise(files_of(texts), TYPES, [hint]).space_type != "slides"


def made(texts: dict[str, str], **given_too: Any) -> str:
    files = files_of(texts)
    found = recognise(files, TYPES)
    options = {"app_file": found.options.get("app_file", "app.py"), "port": found.options.get("app_port", 7860)}
    content = made_dockerfile(files, recognised=found, **{**options, **given_too})
    assert content is not None
    text = content.decode()
    parsed = parse_dockerfile(text)
    assert parsed.unknown == [] and parsed.command is not None and parsed.command.words
    assert parsed.exposed[0][0] == options["port"]
    listener = listener_of(parsed)
    assert listener is not None and not listener.local and listener.port == options["port"]
    return text


@pytest.mark.parametrize(
    ("texts", "lines"),
    [
        ({"app.py": STREAMLIT, "requirements.txt": "streamlit\n"}, ["COPY --chown=user ./requirements.txt requirements.txt", "RUN chown user /app"]),
        ({"app.py": STREAMLIT, "requirements.txt": "pandas\n"}, ["RUN pip install --no-cache-dir -r requirements.txt streamlit"]),
        ({"app.py": STREAMLIT, "requirements.txt": "streamlit\n", "packages.txt": "ffmpeg # for audio\nlibgl1\n; rm -rf /\n"}, ["apt-get install -y --no-install-recommends ffmpeg libgl1 rm "]),
        ({"app.py": STREAMLIT, "requirements.txt": "-r a/b.txt\n-c c.txt\n", "a/b.txt": "streamlit\n", "c.txt": "numpy<3\n"},
         ["COPY --chown=user ./a/b.txt a/b.txt", "COPY --chown=user ./c.txt c.txt"]),
        ({"app.py": STREAMLIT, "requirements.txt": "streamlit\n./wheels/x-1-py3-none-any.whl\n", "wheels/x-1-py3-none-any.whl": "x"},
         ["COPY --chown=user ./wheels/x-1-py3-none-any.whl wheels/x-1-py3-none-any.whl"]),
        ({"app.py": STREAMLIT, "requirements.txt": "streamlit\n-e .\n", "pyproject.toml": "[project]\nname = 'x'\n"}, ["COPY --chown=user . /app\nRUN pip install"]),
        ({"app.py": STREAMLIT, "requirements.txt": "streamlit\ngit+https://github.com/owner/tool\n"}, ["--no-install-recommends git "]),
        ({"app.py": STREAMLIT, "requirements.txt": "streamlit\n", "pre-requirements.txt": "torch\n"},
         ["RUN pip install --no-cache-dir -r pre-requirements.txt\nRUN pip install --no-cache-dir -r requirements.txt"]),
        ({"main.py": "from fastapi import FastAPI\napi = FastAPI()\n", "requirements.txt": "fastapi\n"}, ['"uvicorn", "main:api"', "-r requirements.txt uvicorn"]),
        ({"app.py": "from flask import Flask\nsite = Flask(__name__)\n", "requirements.txt": "flask\n"}, ['"flask", "--app", "app.py", "run"']),
        ({"manage.py": "import django\n", "requirements.txt": "django\n"}, ["manage.py migrate"]),
        ({"package.json": '{"scripts": {"start": "node server.js", "build": "x"}}', "package-lock.json": "{}", "server.js": "1"},
         ["RUN npm ci", "RUN npm run build", 'CMD ["npm", "start"]', "USER node"]),
    ],
)  # fmt: skip
def test_the_made_dockerfile_installs_what_the_app_brings(texts: dict[str, str], lines: list[str]) -> None:
    text = made(texts)
    assert [line for line in lines if line not in text] == []
    assert "USER user" in text or "USER node" in text


def test_the_base_image_is_pinned_and_follows_the_version() -> None:
    assert made({"app.py": STREAMLIT}, python_version="3.10").startswith("FROM python:3.10-slim")


def test_the_version_of_streamlit_in_the_card_counts() -> None:
    assert "streamlit==1.39.0" in made({"app.py": STREAMLIT, "requirements.txt": "pandas\n"}, sdk_version="1.39.0")


def test_requirements_are_made_of_pyproject() -> None:
    texts = {
        "app.py": STREAMLIT,
        "pyproject.toml": "[project]\nname = 'a'\ndependencies = ['httpx>=0.27', 'streamlit==1.40']\n",
    }
    assert made_requirements(files_of(texts), ["streamlit"]) == ["httpx>=0.27", "streamlit==1.40"]
    poetry = "[tool.poetry.dependencies]\npython = '^3.11'\nhttpx = '^0.27'\npandas = {version = '~2.1', extras = ['excel']}\n"
    assert made_requirements(files_of({"pyproject.toml": poetry}), ["gradio"]) == [
        "httpx>=0.27,<0.28",
        "pandas[excel]>=2.1,<2.2",
        "gradio",
    ]
    assert made_requirements(files_of({"requirements.txt": ""}), ["gradio"]) is None


@settings(max_examples=60, deadline=None)
@given(
    st.dictionaries(
        st.sampled_from(
            [
                "app.py",
                "main.py",
                "README.md",
                "Dockerfile",
                "package.json",
                "requirements.txt",
                "pyproject.toml",
                "packages.txt",
                "index.html",
            ]
        ),
        st.text(max_size=200),
        max_size=5,
    )
)
def test_nothing_that_is_sent_raises(texts: dict[str, str]) -> None:
    files = {path: SpaceFile(path, text.encode("utf-8", "replace"), "given") for path, text in texts.items()}
    found = recognise(files, TYPES)
    made_dockerfile(files, recognised=found)
    made_requirements(files, ["gradio"], found)
    assert Context(files).app_file
