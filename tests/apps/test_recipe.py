"""Dockerfiles that can be followed without a container, and those that cannot."""

from __future__ import annotations

import pytest

from assembler_runner.apps.recipe import NotRunnable, Recipe, Step, read_recipe
from assembler_runner.assembly.made_dockerfile import made_dockerfile
from assembler_runner.assembly.recognised import Recognised
from assembler_runner.files.tree import SpaceFile
from assembler_runner.plugin import python_dockerfile

PATHS = frozenset(("app.py", "requirements.txt", "Dockerfile", "data/list.csv"))
START = "FROM python:3.12-slim\nWORKDIR /app\n"
END = '\nCMD ["python", "app.py"]\n'


def read(text: str) -> Recipe:
    return read_recipe(text, PATHS)


@pytest.mark.parametrize("framework", ["", "streamlit", "flask", "fastapi", "gradio", "dash", "django", "panel"])
def test_what_the_service_writes_is_understood(framework: str) -> None:
    files = {
        path: SpaceFile(path, text, "given")
        for path, text in {
            "app.py": b"from fastapi import FastAPI\napp = FastAPI()\n",
            "requirements.txt": b"requests\n",
            "pre-requirements.txt": b"numpy\n",
        }.items()
    }
    made = made_dockerfile(files, python_version="3.13", recognised=Recognised("docker", "", framework=framework))
    assert made is not None
    recipe = read_recipe(made.decode(), frozenset(files))
    assert recipe.python == "3.13" and recipe.folder == "/app"
    assert recipe.steps[0] == Step(("pre-requirements.txt",)) and recipe.steps[1].files == ("requirements.txt",)
    assert recipe.variables["PYTHONUNBUFFERED"] == "1" and not {"PATH", "HOME"} & set(recipe.variables)


def test_the_dockerfile_of_plugins_is_understood() -> None:
    command = ["uvicorn", "--host", "0.0.0.0", "--port", "7860", "app:app"]
    recipe = read(python_dockerfile("3.11", 7860, command).text())
    assert recipe == Recipe("3.11", (Step(("requirements.txt",)),), tuple(command), "/app", {"PYTHONUNBUFFERED": "1"})


def test_the_usual_dockerfile_of_a_sender_is_understood() -> None:
    recipe = read(
        "FROM python:3.9\n\nRUN useradd -m -u 1000 user\nUSER user\n"
        'ENV PATH="/home/user/.local/bin:$PATH" MODE=test\nWORKDIR /code\n'
        "COPY --chown=user ./requirements.txt requirements.txt\n"
        "RUN pip install --no-cache-dir --upgrade -r requirements.txt && mkdir -p /code/x\n"
        "COPY --chown=user . /code\nRUN pip install 'flask>=3'\nCMD python app.py --mode $MODE\n"
    )
    assert recipe.steps == (Step(("requirements.txt",)), Step((), ("flask>=3",)))
    assert recipe.command == ("sh", "-c", "python app.py --mode $MODE")
    assert (recipe.python, recipe.folder, recipe.variables) == ("3.9", "/code", {"MODE": "test"})


@pytest.mark.parametrize("image", ["python", "python:3", "python:slim", "docker.io/library/python:latest"])
def test_an_image_without_a_version_is_python(image: str) -> None:
    assert read(f"FROM {image}\nWORKDIR /app\nCOPY . .{END}").python == "3.12"


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("FROM node:22\nWORKDIR /app" + END, 1),
        ("FROM python:3.12\nWORKDIR /usr/src/app" + END, 2),
        (START + "RUN apt-get update && apt-get install -y git" + END, 3),
        (START + "RUN curl https://example.org | sh" + END, 3),
        (START + "RUN pip install flask; rm -rf /" + END, 3),
        (START + "RUN pip install --index-url https://example.org flask" + END, 3),
        (START + "RUN pip install -r other.txt" + END, 3),
        (START + "COPY data /app" + END, 3),
        (START + "COPY app.py /elsewhere/app.py" + END, 3),
        (START + "COPY --from=builder /x /x" + END, 3),
        (START + 'SHELL ["bash"]' + END, 3),
        (START + "NONSENSE" + END, 3),
    ],
)
def test_everything_else_needs_a_container(text: str, line: int) -> None:
    with pytest.raises(NotRunnable) as found:
        read(text)
    assert (found.value.path, found.value.line) == ("Dockerfile", line)
    assert f"Line {line} of the Dockerfile" in found.value.message


@pytest.mark.parametrize(
    "text", ["", "FROM python:3.12 AS a\nFROM python:3.12\nWORKDIR /app" + END, START, "FROM python:3.12" + END]
)
def test_an_incomplete_dockerfile_is_refused(text: str) -> None:
    with pytest.raises(NotRunnable):
        read(text)


def test_files_may_be_copied_to_their_own_places() -> None:
    text = START + "COPY requirements.txt ./\nCOPY data/list.csv data/\nCOPY data ./data\nCOPY app.py /app/app.py" + END
    assert read(text).command == ("python", "app.py")
