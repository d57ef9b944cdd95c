"""The Dockerfiles that can be followed without a container: Python, pip and one command.

Those that the service writes itself are of this form. Everything else needs a container.
"""

from __future__ import annotations

import posixpath
import re
import shlex
from collections.abc import Mapping, Set
from dataclasses import dataclass, field

from assembler_runner.assembly.preflight.dockerfile import (
    Dockerfile,
    Instruction,
    Stage,
    assignments,
    expand,
    parse_dockerfile,
)
from assembler_runner.assembly.preflight.quoting import quote
from assembler_runner.core.errors import AssemblerError

NEWEST_PYTHON = "3.12"
_PYTHON = re.compile(r"(?:docker\.io/)?(?:library/)?python(?::(?:(3)(?:\.(\d{1,2}))?(?:\.\d+)?)?-?[a-z0-9.-]*)?")
_IGNORED = frozenset(("USER", "EXPOSE", "LABEL", "MAINTAINER", "HEALTHCHECK", "STOPSIGNAL", "VOLUME", "ARG"))
_HARMLESS = frozenset(("useradd", "adduser", "groupadd", "addgroup", "chown", "chmod", "mkdir"))
_PIP = (
    ["pip", "install"],
    ["pip3", "install"],
    ["python", "-m", "pip", "install"],
    ["python3", "-m", "pip", "install"],
)
_PIP_FLAGS = frozenset(
    ["--no-cache-dir", "--upgrade", "-U", "-q", "--quiet", "--user", "--no-input", "--disable-pip-version-check"]
)
_FOLDERS = re.compile(r"/(?:app|code|src|srv|workspace|opt/\w+|home/user(?:/\w+)?)")
_OWN_VARIABLES = frozenset(("HOME", "PATH"))


class NotRunnable(AssemblerError):
    """The app cannot be run on this machine without a container.

    Args:
        message: why.
        path: the file that says so, or None.
        line: the line in it, or None.
        hint: what to do.
    """

    status = 422
    code = "needs_container"
    default_hint = "Use the type gradio or streamlit, or a Dockerfile that only installs with pip and starts Python."

    def __init__(
        self, message: str, *, path: str | None = None, line: int | None = None, hint: str | None = None
    ) -> None:
        super().__init__(message, hint=hint)
        self.path, self.line = path, line


@dataclass(frozen=True)
class Step:
    """One call of pip.

    Args:
        files: requirement files of the Space.
        packages: requirements beside them.
    """

    files: tuple[str, ...] = ()
    packages: tuple[str, ...] = ()


@dataclass(frozen=True)
class Recipe:
    """What a Dockerfile says.

    Args:
        python: version of Python, such as `3.12`.
        steps: what is installed, in order.
        command: what starts the app.
        folder: absolute path of the app's files.
        variables: environment variables.
    """

    python: str
    steps: tuple[Step, ...]
    command: tuple[str, ...]
    folder: str = "/app"
    variables: Mapping[str, str] = field(default_factory=dict)


def read_recipe(text: str, paths: Set[str]) -> Recipe:
    """Reads a Dockerfile.

    Args:
        text: the Dockerfile.
        paths: paths of all files of the Space.
    Raises:
        NotRunnable: the Dockerfile needs a container; names the line.
    """
    parsed = parse_dockerfile(text)
    if parsed.unknown:
        raise _refused(parsed.unknown[0], "it is no instruction")
    if len(parsed.stages) != 1:
        raise NotRunnable("The Dockerfile does not have exactly one stage.", path="Dockerfile")
    stage = parsed.stages[0]
    first = stage.instructions[0]
    image = _PYTHON.fullmatch(stage.image)
    if image is None:
        raise _refused(first, f"the image {quote(stage.image)} is not one of Python")
    python = f"3.{image[2]}" if image[2] else NEWEST_PYTHON
    folder = _folder(stage)
    steps: list[Step] = []
    for instruction in stage.instructions[1:]:
        if instruction.name == "RUN":
            steps += _run(instruction, stage, paths)
        elif instruction.name in ("COPY", "ADD"):
            _check_copy(instruction, folder, paths)
        elif instruction.name not in _IGNORED | {"WORKDIR", "ENV", "CMD", "ENTRYPOINT"}:
            raise _refused(instruction, "it is not known without a container")
    variables = {
        name: expand(value, stage.variables)
        for instruction in stage.all("ENV")
        for name, value in assignments(instruction)
        if name not in _OWN_VARIABLES
    }
    return Recipe(python, tuple(steps), _command(parsed, stage), folder, variables)


def _folder(stage: Stage) -> str:
    folder = "/"
    for instruction in stage.all("WORKDIR"):
        folder = posixpath.normpath(posixpath.join(folder, expand(instruction.rest.strip(), stage.variables)))
        if not _FOLDERS.fullmatch(folder):
            raise _refused(instruction, f"the folder {quote(folder)} is not available")
    if folder == "/":
        raise NotRunnable("The Dockerfile has no WORKDIR.", path="Dockerfile", hint="Add WORKDIR /app.")
    return folder


def _command(parsed: Dockerfile, stage: Stage) -> tuple[str, ...]:
    found = parsed.command
    if found is None:
        raise NotRunnable("The Dockerfile starts nothing.", path="Dockerfile", hint='Add CMD ["python", "app.py"].')
    if found.words is None and not stage.all("ENTRYPOINT"):
        return ("sh", "-c", found.rest)
    return tuple(parsed.command_words)


def _run(instruction: Instruction, stage: Stage, paths: Set[str]) -> list[Step]:
    if instruction.words is not None:
        commands = [instruction.words]
    else:
        try:
            words = shlex.split(expand(instruction.rest, stage.variables))
        except ValueError:
            raise _refused(instruction, "its quotes do not match") from None
        commands = [[]]
        for word in words:
            if word == "&&":
                commands.append([])
            else:
                commands[-1].append(word)
    steps = []
    for command in commands:
        if not command or command[0] in _HARMLESS:
            continue
        start = next((start for start in _PIP if command[: len(start)] == start), None)
        if start is None:
            raise _refused(instruction, f"{quote(command[0])} runs only inside a container")
        steps.append(_pip(instruction, command[len(start) :], paths))
    return steps


def _pip(instruction: Instruction, words: list[str], paths: Set[str]) -> Step:
    files: list[str] = []
    packages: list[str] = []
    rest = iter(words)
    for word in rest:
        if word in _PIP_FLAGS:
            continue
        if word in ("-r", "--requirement"):
            name = next(rest, "")
            path = name if name in paths else posixpath.basename(name)
            if posixpath.normpath(path) not in paths:
                raise _refused(instruction, f"there is no file {quote(name)}")
            files.append(posixpath.normpath(path))
        elif word.startswith("-") or "/" in word.partition("@")[0] or any(sign in word for sign in "|;$`&"):
            raise _refused(instruction, f"{quote(word)} runs only inside a container")
        else:
            packages.append(word)
    return Step(tuple(files), tuple(packages))


def _check_copy(instruction: Instruction, folder: str, paths: Set[str]) -> None:
    """Lets through what leaves every file at its place, since all files of the Space are in the app's folder."""
    words = instruction.words if instruction.words is not None else instruction.rest.split()
    if instruction.flags.get("from") is not None or len(words) < 2:
        raise _refused(instruction, "it copies from another image")
    *sources, target = words
    place = posixpath.normpath(posixpath.join(folder, target))
    for source in map(posixpath.normpath, sources):
        same = posixpath.normpath(posixpath.join(folder, source))
        # A file may be copied into its folder; of a folder that copies what it contains.
        if place != same and not (source in paths and place == posixpath.dirname(same)):
            raise _refused(instruction, "it moves files to another place")


def _refused(instruction: Instruction, reason: str) -> NotRunnable:
    message = f"Line {instruction.line} of the Dockerfile needs a container: {reason}."
    return NotRunnable(message, path="Dockerfile", line=instruction.line)
