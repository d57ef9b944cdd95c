"""Dockerfiles: what their build does not find (Dockerfile reference, Docker documentation)."""

from __future__ import annotations

import fnmatch
import posixpath
from collections.abc import Iterator

from assembler_runner.assembly.preflight.context import Context, fold
from assembler_runner.assembly.preflight.declaration import Found, rule
from assembler_runner.assembly.preflight.docker_fixes import DOCKERFILE, at_instruction
from assembler_runner.assembly.preflight.dockerfile import expand, split_words
from assembler_runner.assembly.preflight.quoting import clean, quote
from assembler_runner.core.fixes import Edit, Fix

COMPOSE = ("docker-compose.yml", "docker-compose.yaml", "compose.yml", "compose.yaml")


@rule(
    "dockerfile_name",
    "error",
    "docker",
    explanation="Only a file named Dockerfile at the top of the Space is built, written exactly so.",
    example="dockerfile",
    has_fix=True,
)
def dockerfile_name(context: Context) -> Iterator[Found]:
    """Finds a Dockerfile whose name differs in case or has an ending."""
    if context.sdk != "docker" or context.given(DOCKERFILE):
        return
    for path in context.files:
        if (
            "/" not in path
            and path.lower() in ("dockerfile", "dockerfile.txt", "docker-file", "containerfile")
            and context.given(path)
        ):
            text = context.text(path)
            fix = None
            if text is not None:
                fix = Fix(
                    "Rename it to Dockerfile", True, (Edit(DOCKERFILE, "write", None, None, text), Edit(path, "delete"))
                )
            yield Found(
                f"{quote(path)} is not built; only Dockerfile is.",
                path,
                None,
                "rename it to Dockerfile",
                {"path": clean(path)},
                fix,
            )
            return


@rule(
    "dockerfile_in_folder",
    "warning",
    "docker",
    explanation="Only a Dockerfile at the top of the Space is built.",
    example="docker/Dockerfile, and none at the top",
    has_fix=True,
)
def dockerfile_in_folder(context: Context) -> Iterator[Found]:
    """Finds Dockerfiles in folders where the top has none."""
    if (
        context.given(DOCKERFILE)
        or context.space_type == "static"
        or any(path.lower() == "dockerfile" for path in context.files)
    ):
        return
    inside = [path for path in context.files if path.rpartition("/")[2] == DOCKERFILE and path.count("/") < 3]
    if inside:
        text = context.text(inside[0])
        fix = None
        if text is not None and len(inside) == 1:
            fix = Fix("Copy it to the top", False, (Edit(DOCKERFILE, "write", None, None, text),))
        yield Found(
            f"{quote(inside[0])} is not built; only a Dockerfile at the top of the Space is.",
            inside[0],
            None,
            "Move it to the top, and name the paths in it from there; the type is then docker.",
            {"path": clean(inside[0])},
            fix,
        )


@rule(
    "compose_not_run",
    "warning",
    "docker",
    explanation="A Space is one container, built from the Dockerfile at its top; compose files are not run.",
    example="docker-compose.yml, and no Dockerfile at the top",
)
def compose_not_run(context: Context) -> Iterator[Found]:
    """Finds compose files where no Dockerfile is at the top."""
    if context.given(DOCKERFILE):
        return
    for path in COMPOSE:
        if context.given(path):
            yield Found(
                f"{path} is not run: a Space is one container, built from a Dockerfile at the top.",
                path,
                None,
                "Put all that has to run into one Dockerfile, or use services outside of the Space.",
            )
            return


@rule(
    "dockerfile_no_base",
    "error",
    "docker",
    explanation="A Dockerfile begins with FROM; only ARG may stand before it.",
    example="RUN pip install flask in the first line",
)
def dockerfile_no_base(context: Context) -> Iterator[Found]:
    """Finds Dockerfiles without a base image."""
    dockerfile = context.dockerfile
    if dockerfile is None:
        return
    first = next((found for found in dockerfile.instructions if found.name != "ARG"), None)
    if first is None or first.name != "FROM":
        yield Found(
            "The Dockerfile does not begin with FROM.",
            DOCKERFILE,
            first.line if first else 1,
            "Begin with a base image, such as FROM python:3.12-slim.",
        )


@rule(
    "dockerfile_unknown_instruction",
    "error",
    "docker",
    explanation="A line begins with a word that is no instruction; often the line before it lacks its backslash.",
    example="RUN apt-get update && apt-get install -y git, and && rm -rf /tmp/x in the next line",
)
def dockerfile_unknown_instruction(context: Context) -> Iterator[Found]:
    """Finds lines that are no instructions."""
    for found in (context.dockerfile.unknown if context.dockerfile is not None else [])[:3]:
        yield at_instruction(
            found,
            f"{quote(found.text)} is no instruction of a Dockerfile.",
            "Correct the word, or end the line before with a backslash.",
        )


def _ignored(context: Context) -> list[tuple[str, bool]]:
    rows = (context.text(".dockerignore") or "").split("\n")[:500]
    found = []
    for row in rows:
        pattern = row.strip()
        if pattern and not pattern.startswith("#"):
            back = pattern.startswith("!")
            found.append((pattern.lstrip("!").strip("/").removeprefix("./"), back))
    return found


def _is_ignored(rules: list[tuple[str, bool]], path: str) -> bool:
    ignored = False
    for pattern, back in rules:
        plain = pattern.replace("**/", "*")
        if (
            fnmatch.fnmatchcase(path, plain)
            or path.startswith(pattern + "/")
            or (plain.startswith("*") and fnmatch.fnmatchcase(path, f"{plain}/*"))
        ):
            ignored = not back
    return ignored


@rule(
    "copy_source_missing",
    "error",
    "docker",
    explanation="The build stops at a COPY of something that was not sent, or that .dockerignore leaves out.",
    example="COPY requirements.txt . without a requirements.txt",
)
def copy_source_missing(context: Context) -> Iterator[Found]:
    """Finds files that a COPY or ADD does not find."""
    dockerfile = context.dockerfile
    if dockerfile is None:
        return
    rules = _ignored(context)
    for stage in dockerfile.stages:
        for found in stage.all("COPY", "ADD"):
            if "from" in found.flags or "<<" in found.rest:
                continue
            words = found.words if found.words is not None else split_words(found.rest)
            for word in words[:-1]:
                source = expand(word, stage.variables)
                if "$" in source or "://" in source or source.startswith("git@"):
                    continue
                problem = _missing(context, rules, source)
                if problem is not None:
                    hint = _hint(context, source)
                    yield at_instruction(
                        found, f"The Dockerfile copies {quote(source)}, which {problem}.", hint, source=clean(source)
                    )


def _missing(context: Context, rules: list[tuple[str, bool]], source: str) -> str | None:
    path = posixpath.normpath(source.lstrip("/") or ".")
    if path == ".":
        return None
    if path.startswith("../"):
        return "is outside of the Space"
    if any(character in path for character in "*?["):
        fits = [
            name
            for name in (*context.files, *context.folders)
            if name.count("/") == path.count("/") and fnmatch.fnmatchcase(name, path)
        ]
        if not fits and "**" in path:
            return None
    else:
        fits = [path] if path in context.files or path in context.folders else []
    if not fits:
        return "was not sent"
    return "is left out by .dockerignore" if rules and all(_is_ignored(rules, name) for name in fits) else None


def _hint(context: Context, source: str) -> str:
    real = context.folded.get(fold(posixpath.normpath(source.lstrip("/") or ".")))
    if real is not None and real != posixpath.normpath(source):
        return f"The file is named {quote(real)}."
    return "Send it with the other files, or take the line out."
