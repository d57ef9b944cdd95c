"""Files that the service generates for apps in a container: Dockerfile and requirements.txt."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from assembler_runner.assembly.made_dockerfile import made_dockerfile, made_requirements
from assembler_runner.assembly.preflight.context import DEFAULT_PORT
from assembler_runner.assembly.recognised import Recognised
from assembler_runner.files.tree import SpaceFile
from assembler_runner.plugin import SpacePlugin

DOCKERFILE, REQUIREMENTS = "Dockerfile", "requirements.txt"


def container_files(
    plugin: SpacePlugin,
    files: Mapping[str, SpaceFile],
    defaults: Mapping[str, SpaceFile],
    options: Mapping[str, Any],
    recognised: Recognised,
) -> dict[str, SpaceFile]:
    """Generates the missing files of a container app.

    Args:
        plugin: a type whose Dockerfile the service generates.
        files: path → file, as given.
        defaults: path → default file of the type.
        options: the validated options.
        recognised: the kind of app recognized from the files.
    Returns:
        Path → file; empty with a given Dockerfile, or for an app that needs one.
    """
    if DOCKERFILE in files:
        return {}
    made: dict[str, SpaceFile] = {}
    default = defaults[REQUIREMENTS].text().splitlines() if REQUIREMENTS in defaults else []
    lines = None if recognised.framework == "node" else made_requirements(files, default, recognised)
    if lines is not None:
        lines = _pinned(lines, options.get("sdk_version"))
        text = "".join(f"{line}\n" for line in lines)
        origin = "default" if lines == default else "generated"
        made[REQUIREMENTS] = SpaceFile(REQUIREMENTS, text.encode(), origin)  # type: ignore[arg-type]  # an Origin
    dockerfile = made_dockerfile(
        {**files, **made},
        python_version=options.get("python_version", "3.12"),
        port=options.get("app_port", DEFAULT_PORT),
        app_file=options.get("app_file", "app.py"),
        recognised=recognised,
        sdk_version=options.get("sdk_version"),
    )
    if dockerfile is not None:
        made[DOCKERFILE] = SpaceFile(DOCKERFILE, dockerfile, "default")
    return made


def _pinned(lines: list[str], sdk_version: str | None) -> list[str]:
    """Writes the version of Streamlit that README.md asks for into generated requirements."""
    return [f"{line}=={sdk_version}" if line == "streamlit" and sdk_version else line for line in lines]


def uses_requirements(files: Mapping[str, SpaceFile]) -> bool:
    """Returns whether a given Dockerfile mentions requirements.txt.

    Args:
        files: path → file, as given.
    """
    return DOCKERFILE not in files or b"requirements.txt" in files[DOCKERFILE].content
