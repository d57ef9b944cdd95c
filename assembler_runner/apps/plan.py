"""How an app is run on this machine: a pure function from the tree of a Space to requirements, command and port."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from assembler_runner.apps.recipe import NotRunnable, Step, read_recipe
from assembler_runner.assembly.card import README, read_card
from assembler_runner.assembly.preflight.context import DEFAULT_PORT, HUB_PYTHON
from assembler_runner.assembly.preflight.quoting import quote
from assembler_runner.assembly.preflight.requirement_lines import parse_requirements
from assembler_runner.files.tree import SpaceFile

START_SECONDS = 300.0
"""Maximum seconds an app has to answer, unless README.md names another time."""

_TIME = re.compile(r"([0-9]{1,6}) ?(s|m|h|seconds|minutes|hours)?")
_ANYWHERE, LOOPBACK = "0.0.0.0", "127.0.0.1"  # noqa: S104 - replaced before anything listens


@dataclass(frozen=True)
class Plan:
    """How an app is run.

    Args:
        kind: `python`, or `static` for files that are served.
        python: the version of Python it wants, such as `3.12`.
        steps: what is installed, in order.
        command: the command that starts it, word by word.
        port: the port it listens on.
        variables: environment variables that it needs to start.
        folder: absolute path of the app's files, as it expects them.
        start_file: the page of a static Space.
        start_seconds: maximum seconds until it answers.
        local_requirements: whether the requirements name files of the Space.
        packages_txt: whether it names Debian packages, which are not installed here.
    """

    kind: str
    python: str = ""
    steps: tuple[Step, ...] = ()
    command: tuple[str, ...] = ()
    port: int = DEFAULT_PORT
    variables: Mapping[str, str] = field(default_factory=dict)
    folder: str = "/app"
    start_file: str = "index.html"
    start_seconds: float = START_SECONDS
    local_requirements: bool = False
    packages_txt: bool = False


def make_plan(tree: Mapping[str, SpaceFile], start_seconds: float = START_SECONDS) -> Plan:
    """Plans how an app is run, without a container.

    Args:
        tree: all files of the Space.
        start_seconds: maximum seconds until the app answers, unless README.md names another time.
    Raises:
        NotRunnable: the app needs a container, or its files do not tell how it is started.
    """
    card = read_card(tree[README].content).values if README in tree else {}
    sdk = str(card.get("sdk") or "")
    seconds = start_seconds_of(card, start_seconds)
    if sdk == "static":
        return Plan("static", start_file=str(card.get("app_file") or "index.html"), start_seconds=seconds)
    if sdk == "gradio":
        plan = _gradio(tree, card)
    elif sdk == "docker":
        plan = _docker(tree, card)
    else:
        hint = "Name gradio, docker or static as sdk in README.md."
        raise NotRunnable(f"README.md names the sdk {quote(sdk)}, which is not known.", hint=hint)
    files = [path for step in plan.steps for path in step.files]
    lines = [line for path in files if path in tree for line in parse_requirements(tree[path].text(), path)]
    local = any(line.kind in ("include", "constraint", "editable", "path") for line in lines)
    packages = bool(tree["packages.txt"].text().strip()) if "packages.txt" in tree else False
    return replace(plan, start_seconds=seconds, local_requirements=local, packages_txt=packages)


def port_of(card: Mapping[str, Any]) -> int:
    """Returns the port that an app in a container listens on.

    Args:
        card: the front matter of README.md.
    """
    named = str(card.get("app_port") or "")
    return int(named) if named.isdecimal() and 0 < int(named) < 65536 else DEFAULT_PORT


def start_seconds_of(card: Mapping[str, Any], default: float) -> float:
    """Returns the maximum seconds until an app answers.

    Args:
        card: the front matter of README.md.
        default: the seconds if it names none.
    """
    return _seconds(card.get("startup_duration_timeout")) or default


def _gradio(tree: Mapping[str, SpaceFile], card: Mapping[str, Any]) -> Plan:
    app_file = str(card.get("app_file") or "app.py")
    if app_file not in tree:
        raise NotRunnable(f"The app file {quote(app_file)} is missing.", path=app_file, hint="Add the file.")
    version = str(card.get("sdk_version") or "")
    package = f"gradio=={version}" if version else "gradio"
    first = [Step(("pre-requirements.txt",))] if "pre-requirements.txt" in tree else []
    files = ("requirements.txt",) if "requirements.txt" in tree else ()
    variables = {"GRADIO_SERVER_NAME": _ANYWHERE, "GRADIO_SERVER_PORT": str(DEFAULT_PORT)}
    python = str(card.get("python_version") or ".".join(map(str, HUB_PYTHON)))
    return Plan("python", python, (*first, Step(files, (package,))), ("python", app_file), variables=variables)


def _docker(tree: Mapping[str, SpaceFile], card: Mapping[str, Any]) -> Plan:
    if "Dockerfile" not in tree:
        raise NotRunnable("There is no Dockerfile.", path="Dockerfile", hint="Add a Dockerfile.")
    recipe = read_recipe(tree["Dockerfile"].text(), frozenset(tree))
    return Plan(
        "python",
        recipe.python,
        recipe.steps,
        recipe.command,
        port_of(card),
        dict(recipe.variables),
        folder=recipe.folder,
    )


def on_loopback(plan: Plan, port: int) -> Plan:
    """Returns the plan for a machine of which only the loopback interface may be used.

    Args:
        plan: the plan.
        port: the port to listen on; an app whose code names its port keeps it.
    """

    def changed(word: str) -> str:
        word = word.replace(_ANYWHERE, LOOPBACK)
        return re.sub(rf"(^|[=:]){plan.port}(?=$|\s)", rf"\g<1>{port}", word)

    variables = {name: changed(value) for name, value in plan.variables.items()}
    return replace(plan, command=tuple(map(changed, plan.command)), variables={"PORT": str(port), **variables})


def _seconds(text: Any) -> float | None:
    found = _TIME.fullmatch(str(text).strip()) if text is not None else None
    if found is None:
        return None
    return float(found[1]) * {"s": 1, "m": 60, "h": 3600}[(found[2] or "s")[0]]
