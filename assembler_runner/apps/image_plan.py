"""How the image of an app is built: a pure function from the tree of a Space to Dockerfile, port and names of values.

A gradio Space has no Dockerfile; the one that is written for its run is not published.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass

from assembler_runner.apps.plan import Plan, make_plan, port_of, start_seconds_of
from assembler_runner.apps.process import keeps_prefix
from assembler_runner.apps.recipe import NotRunnable
from assembler_runner.assembly.card import README, read_card
from assembler_runner.assembly.made_dockerfile import PYTHON_IMAGE
from assembler_runner.assembly.preflight.dockerfile import assignments, parse_dockerfile
from assembler_runner.files.tree import SpaceFile

_PACKAGE = re.compile(r"[a-z0-9][a-z0-9.+-]{0,100}")
_PYTHON = re.compile(r"3\.[0-9]{1,2}(\.[0-9]{1,2})?")
_SECRET_MOUNT = re.compile(r"--mount=\S*type=secret")
INDEX_ARGUMENTS = ("PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL", "PIP_TRUSTED_HOST")
"""Build arguments by which the package index of this machine reaches the Dockerfile of a gradio Space."""


@dataclass(frozen=True)
class ImagePlan:
    """How an image is built and run.

    Args:
        dockerfile: the text of the Dockerfile.
        port: the port the app listens on.
        start_seconds: maximum seconds until it answers.
        arguments: names of the build arguments that the Dockerfile declares.
        mounts_secrets: whether it reads secrets while it is built.
        keeps_prefix: whether the app expects the path that it is served below.
    """

    dockerfile: str
    port: int
    start_seconds: float
    arguments: frozenset[str]
    mounts_secrets: bool
    keeps_prefix: bool


def plan_image(tree: Mapping[str, SpaceFile], start_seconds: float) -> ImagePlan:
    """Plans the image of an app.

    Args:
        tree: all files of the Space.
        start_seconds: maximum seconds until the app answers, unless README.md names another time.
    Raises:
        NotRunnable: the files do not tell how the app is started.
    """
    card = read_card(tree[README].content).values if README in tree else {}
    seconds = start_seconds_of(card, start_seconds)
    if str(card.get("sdk") or "") != "docker":
        plan = make_plan(tree, start_seconds)
        if plan.kind != "python":
            raise NotRunnable("Static files are served, not run.")
        return _plan(_gradio_dockerfile(plan, tree), plan.port, seconds)
    if "Dockerfile" not in tree:
        raise NotRunnable("There is no Dockerfile.", path="Dockerfile", hint="Add a Dockerfile.")
    return _plan(tree["Dockerfile"].text(), port_of(card), seconds)


def _plan(text: str, port: int, seconds: float) -> ImagePlan:
    parsed = parse_dockerfile(text)
    arguments = [name for found in parsed.instructions if found.name == "ARG" for name, _ in assignments(found)]
    mounts = any(found.name == "RUN" and _SECRET_MOUNT.search(found.value) for found in parsed.instructions)
    return ImagePlan(text, port, seconds, frozenset(arguments), mounts, keeps_prefix(parsed.command_words))


def _gradio_dockerfile(plan: Plan, tree: Mapping[str, SpaceFile]) -> str:
    version = plan.python if _PYTHON.fullmatch(plan.python) else "3.12"
    lines = [f"FROM {PYTHON_IMAGE.format(version=version)}", "RUN useradd --create-home --uid 1000 user"]
    packages = debian_packages(tree["packages.txt"].text()) if "packages.txt" in tree else []
    if packages:
        lines.append(
            "RUN apt-get update && apt-get install --yes --no-install-recommends "
            f"{' '.join(packages)} && rm -rf /var/lib/apt/lists/*"
        )
    lines += [f"WORKDIR {plan.folder}", *(f"ARG {name}" for name in INDEX_ARGUMENTS)]
    files = list(dict.fromkeys(path for step in plan.steps for path in step.files))
    if plan.local_requirements:
        lines.append("COPY --chown=1000:1000 . .")
    elif files:
        lines.append(f"COPY {json.dumps([*files, './'])}")
    for step in plan.steps:
        words = [word for path in step.files for word in ("-r", path)] + list(step.packages)
        if words:
            lines.append(f"RUN {json.dumps(['pip', 'install', '--no-cache-dir', *words])}")
    if not plan.local_requirements:
        lines.append("COPY --chown=1000:1000 . .")
    lines += ["USER 1000", *(f"ENV {name}={json.dumps(value)}" for name, value in plan.variables.items())]
    return "\n".join([*lines, f"EXPOSE {plan.port}", f"CMD {json.dumps(list(plan.command))}", ""])


def debian_packages(text: str) -> list[str]:
    """Returns the names in packages.txt; anything else in it, such as an option, is left out.

    Args:
        text: the file.
    """
    lines = [line.partition("#")[0].split() for line in text.splitlines()]
    return [word for words in lines for word in words if _PACKAGE.fullmatch(word)]
