"""How images of apps are built: what the Dockerfile of a gradio Space says, and what a given one asks for."""

from __future__ import annotations

import pytest

from assembler_runner.apps.engine import _frames
from assembler_runner.apps.image_build import build_arguments, image_key
from assembler_runner.apps.image_plan import debian_packages, plan_image
from assembler_runner.apps.recipe import NotRunnable
from assembler_runner.assembly.preflight.dockerfile import parse_dockerfile
from assembler_runner.files.tree import SpaceFile

GRADIO = "---\nsdk: gradio\nsdk_version: 5.1.0\napp_file: main.py\npython_version: '3.11'\n---\n"


def tree(**files: str) -> dict[str, SpaceFile]:
    named = {name.replace("__", "."): text for name, text in files.items()}
    return {path: SpaceFile(path, text.encode(), "given") for path, text in named.items()}


def test_a_gradio_space() -> None:
    files = tree(README__md=GRADIO, main__py="", requirements__txt="numpy\n", packages__txt="ffmpeg\n-o evil\n$(x)\n")
    plan = plan_image(files, 60)
    found = parse_dockerfile(plan.dockerfile)
    assert found.image == "python:3.11-slim-bookworm" and found.command_words == ["python", "main.py"]
    runs = [instruction.value for instruction in found.instructions if instruction.name == "RUN"]
    assert "--no-install-recommends ffmpeg evil &&" in runs[1]
    assert runs[2] == '["pip", "install", "--no-cache-dir", "-r", "requirements.txt", "gradio==5.1.0"]'
    assert not found.unknown and (plan.port, plan.start_seconds, plan.mounts_secrets) == (7860, 60, False)


def test_values_of_strangers_are_words_of_one_instruction() -> None:
    card = '---\nsdk: gradio\nsdk_version: "5\\nRUN evil"\napp_file: "a b.py"\npython_version: "3.12\\nRUN evil"\n---\n'
    found = parse_dockerfile(plan_image(tree(README__md=card, **{"a b__py": ""}), 60).dockerfile)
    assert found.command_words == ["python", "a b.py"] and found.image == "python:3.12-slim-bookworm"
    assert not any(instruction.value.startswith("evil") for instruction in found.instructions)


def test_requirements_that_name_files_are_installed_beside_all_files() -> None:
    plan = plan_image(tree(README__md=GRADIO, main__py="", requirements__txt="./package\n"), 60)
    lines = plan.dockerfile.splitlines()
    assert lines.index("COPY --chown=1000:1000 . .") < next(n for n, line in enumerate(lines) if "pip" in line)


def test_what_a_dockerfile_asks_for() -> None:
    text = "FROM debian:12\nARG MODE\nRUN --mount=type=secret,id=KEY cat /run/secrets/KEY\nCMD streamlit run app.py\n"
    files = tree(README__md="---\nsdk: docker\napp_port: 8000\nstartup_duration_timeout: 2m\n---\n", Dockerfile=text)
    plan = plan_image(files, 60)
    assert (plan.port, plan.start_seconds, plan.mounts_secrets) == (8000, 120, True)
    assert plan.dockerfile == text and plan.keeps_prefix
    arguments = build_arguments(plan, {"MODE": "x", "DOCKER_HOST": "unix:///evil"})
    assert arguments == {"MODE": "x"}
    keys = {image_key(plan, files, arguments, secrets) for secrets in ({"KEY": "a"}, {"KEY": "b"})} | {
        image_key(plan, {**files, **tree(x="")}, arguments, {"KEY": "a"})
    }
    assert len(keys) == 3


@pytest.mark.parametrize("card", ["---\nsdk: static\n---\n", "---\nsdk: docker\n---\n", "---\nsdk: gradio\n---\n"])
def test_what_cannot_be_run(card: str) -> None:
    with pytest.raises(NotRunnable):
        plan_image(tree(README__md=card), 60)


def test_packages() -> None:
    assert debian_packages("ffmpeg libgl1 # x\n# no\n--yes\na;b\nA\n") == ["ffmpeg", "libgl1"]


def test_frames_of_a_log_are_put_together() -> None:
    data = b"".join(bytes([1, 0, 0, 0]) + len(text).to_bytes(4, "big") + text for text in (b"one\n", b"", b"two"))
    for size in (1, 3, 100):
        pieces = iter([data[start : start + size] for start in range(0, len(data), size)])
        assert b"".join(_frames(pieces)) == b"one\ntwo"
