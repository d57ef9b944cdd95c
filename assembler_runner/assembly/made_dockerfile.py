"""The Dockerfile that is made for an app without one: installs what the app brings and starts it as it wants.

The user, uid 1000 and port 7860: Hub documentation, Docker Spaces. Start commands: documentation of the frameworks.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from assembler_runner.assembly.preflight.context import Context
from assembler_runner.assembly.preflight.dependencies import pyproject_dependencies
from assembler_runner.assembly.preflight.python_file import constant, keyword
from assembler_runner.assembly.preflight.requirement_lines import RequirementLine, parse_requirements
from assembler_runner.assembly.recognise_python import application_name
from assembler_runner.assembly.recognised import Recognised
from assembler_runner.files.tree import SpaceFile

PYTHON_IMAGE = "python:{version}-slim-bookworm"
NODE_IMAGE = "node:22-bookworm-slim"
_PACKAGE = re.compile(r"[a-z0-9][a-z0-9.+-]{0,100}")
_PLAIN = re.compile(r"[\w./+-]+")
_ANYWHERE = "0.0.0.0"  # noqa: S104 - inside of a container

_FRAMEWORK_PACKAGES: dict[str, tuple[str, ...]] = {
    "flask": ("flask",),
    "fastapi": ("fastapi", "uvicorn"),
    "starlette": ("starlette", "uvicorn"),
    "litestar": ("litestar", "uvicorn"),
    "quart": ("quart", "uvicorn"),
    "django": ("django",),
    "streamlit": ("streamlit",),
    "gradio": ("gradio",),
    "dash": ("dash",),
}
_BROUGHT_BY = {"uvicorn": ("uvicorn", "gradio", "chainlit"), "streamlit": ("streamlit",)}
_SERVED_BY_UVICORN = ("fastapi", "starlette", "litestar", "quart")


def made_dockerfile(
    files: Mapping[str, SpaceFile],
    *,
    python_version: str = "3.12",
    port: int = 7860,
    app_file: str = "app.py",
    recognised: Recognised | None = None,
    sdk_version: str | None = None,
) -> bytes | None:
    """Makes the Dockerfile of an app.

    Args:
        files: path → file, requirements.txt as it will be published among them.
        python_version: version of the base image, such as `3.12`.
        port: the port the app listens on.
        app_file: the file that is started.
        recognised: what the app is; a Python app where it is left out.
        sdk_version: version of Streamlit that README.md asks for, where requirements.txt does not name Streamlit.
    Returns:
        The Dockerfile; None where the kind of app needs one of the sender's.
    """
    framework = recognised.framework if recognised is not None else ""
    if recognised is not None and recognised.needs_dockerfile:
        return None
    context = Context(files, sdk="docker", space_type="docker", options={"app_file": app_file})
    if framework == "node":
        return _text(_node(context, port))
    command, variables = start_command(context, framework, app_file, port)
    return _text(_python(context, python_version, port, command, variables, framework, sdk_version))


def made_requirements(
    files: Mapping[str, SpaceFile], default: Sequence[str], recognised: Recognised | None = None
) -> list[str] | None:
    """Returns the lines of requirements.txt where the app brings none.

    Args:
        files: path → file, as given.
        default: lines of the type.
        recognised: what the app is.
    Returns:
        The dependencies of pyproject.toml where it has some, else the packages of the framework, else the default;
        None where requirements.txt was given.
    """
    if "requirements.txt" in files:
        return None
    context = Context(files, sdk="docker")
    named = pyproject_dependencies(context.text("pyproject.toml") or "")
    framework = recognised.framework if recognised is not None else ""
    wanted = list(_FRAMEWORK_PACKAGES.get(framework, ())) or list(default)
    if not named:
        return wanted
    present = {line.name for line in parse_requirements("\n".join(named))}
    return [*named, *(line for line in wanted if not {found.name for found in parse_requirements(line)} & present)]


def start_command(context: Context, framework: str, app_file: str, port: int) -> tuple[list[str], dict[str, str]]:
    """Returns the command that starts an app, word by word, and the variables it needs.

    Args:
        context: the files.
        framework: what the app is made with; empty for plain Python.
        app_file: the file that is started.
        port: the port it has to listen on.
    """
    number = str(port)
    at = ["--host", _ANYWHERE, "--port", number]
    commands: dict[str, list[str]] = {
        "streamlit": [
            "streamlit",
            "run",
            app_file,
            f"--server.port={number}",
            f"--server.address={_ANYWHERE}",
            "--server.headless=true",
            # The Hub shows the app inside of a page of another site, where the cookie for uploads is not sent.
            "--server.enableXsrfProtection=false",
            "--browser.gatherUsageStats=false",
        ],
        "marimo": ["marimo", "run", app_file, "--headless", *at],
        "panel": [
            "panel",
            "serve",
            app_file,
            "--address",
            _ANYWHERE,
            "--port",
            number,
            "--allow-websocket-origin",
            "*",
        ],
        "shiny": ["shiny", "run", app_file, *at],
        "chainlit": ["chainlit", "run", app_file, "--headless", *at],
        "solara": ["solara", "run", app_file, "--production", *at],
        "django": [
            "sh",
            "-c",
            f"python manage.py migrate --noinput && python manage.py runserver --noreload {_ANYWHERE}:{number}",
        ],
    }
    if framework in commands:
        return commands[framework], {}
    if framework in ("flask", *_SERVED_BY_UVICORN) and not _listens_itself(context, app_file, port):
        if framework == "flask":
            return ["flask", "--app", app_file, "run", *at], {}
        name = _application(context, app_file)
        if name:
            return ["uvicorn", f"{app_file.removesuffix('.py').replace('/', '.')}:{name}", *at], {}
    if framework == "gradio":
        return ["python", app_file], {"GRADIO_SERVER_NAME": _ANYWHERE, "GRADIO_SERVER_PORT": number}
    if framework == "dash":
        return ["python", app_file], {"HOST": _ANYWHERE, "PORT": number}
    return ["python", app_file], {}


def _application(context: Context, app_file: str) -> str:
    parsed = context.python(app_file)
    return application_name(parsed) if parsed is not None else ""


def _listens_itself(context: Context, app_file: str, port: int) -> bool:
    """Whether running the file starts a server that is reached from outside on this port."""
    parsed = context.python(app_file)
    for call in parsed.calls_of("run", "serve", "run_server") if parsed is not None else ():
        if constant(keyword(call, "host")) in (_ANYWHERE, "::") and constant(keyword(call, "port")) == port:
            return True
    return False


def _python(
    context: Context,
    version: str,
    port: int,
    command: list[str],
    variables: dict[str, str],
    framework: str,
    sdk_version: str | None,
) -> list[str]:
    lines = [line for found in context.requirements.values() for line in found]
    apt = [*_debian_packages(context), *_tools(lines, context)]
    steps = [f"FROM {PYTHON_IMAGE.format(version=version)}", "RUN useradd --create-home --uid 1000 user"]
    if apt:
        names = " ".join(dict.fromkeys(apt))
        steps.append(
            f"RUN apt-get update && apt-get install -y --no-install-recommends {names} && rm -rf /var/lib/apt/lists/*"
        )
    steps += ["WORKDIR /app", "RUN chown user /app"]
    early = _installed_first(context, lines)
    everything = "COPY --chown=user . /app"
    steps += [everything] if early is None else [f"COPY --chown=user ./{path} {path}" for path in early]
    if context.given("pre-requirements.txt"):
        steps.append("RUN pip install --no-cache-dir -r pre-requirements.txt")
    if "requirements.txt" in context.files:
        steps.append(f"RUN pip install --no-cache-dir -r requirements.txt{_extra(context, command[0], sdk_version)}")
    elif framework in _FRAMEWORK_PACKAGES:
        steps.append(f"RUN pip install --no-cache-dir {' '.join(_FRAMEWORK_PACKAGES[framework])}")
    if early is not None:
        steps.append(everything)
    shown = "".join(f" {name}={value}" for name, value in variables.items())
    steps += ["USER user", f"ENV HOME=/home/user PATH=/home/user/.local/bin:$PATH PYTHONUNBUFFERED=1{shown}"]
    return [*steps, f"EXPOSE {port}", f"CMD {json.dumps(command)}"]


def _extra(context: Context, program: str, sdk_version: str | None) -> str:
    """What the command needs, where requirements.txt does not bring it."""
    if program not in _BROUGHT_BY:
        return ""
    text = context.text("requirements.txt") or ""
    lines = [line for found in context.requirements.values() for line in found] or parse_requirements(text)
    if any(line.name in _BROUGHT_BY[program] for line in lines) or re.search(
        r"(?im)^\s*fastapi\[(?:standard|all)\]", text
    ):
        return ""
    if any(line.kind in ("editable", "wrong") for line in lines):
        return ""
    return f" {program}=={sdk_version}" if program == "streamlit" and sdk_version else f" {program}"


def _debian_packages(context: Context) -> list[str]:
    rows = (context.text("packages.txt") or "").split("\n")[:1000] if context.given("packages.txt") else []
    words = [word for row in rows for word in row.partition("#")[0].split()]
    skipped = {"apt", "apt-get", "install", "sudo", "update", "y"}
    return [word for word in words if _PACKAGE.fullmatch(word) and word not in skipped]


def _tools(lines: list[RequirementLine], context: Context) -> list[str]:
    texts = [line.text for line in lines]
    if not context.given("requirements.txt"):
        texts += pyproject_dependencies(context.text("pyproject.toml") or "")
    return [
        tool
        for mark, tool in (("git+", "git"), ("hg+", "mercurial"), ("svn+", "subversion"))
        if any(mark in text for text in texts)
    ]


def _installed_first(context: Context, lines: list[RequirementLine]) -> list[str] | None:
    """The files that pip reads, so that a change of the app does not install all again; None for all files."""
    paths = [path for path in ("pre-requirements.txt",) if context.given(path)]
    paths += ["requirements.txt"] if "requirements.txt" in context.files else []
    for line in lines:
        if line.kind == "editable" and line.target is not None:
            return None
        if line.kind in ("include", "constraint", "path") and line.target is not None:
            if line.target not in context.files:
                return None
            paths.append(line.target)
    paths = list(dict.fromkeys(paths))
    return paths if all(_PLAIN.fullmatch(path) for path in paths) else None


def _node(context: Context, port: int) -> list[str]:
    try:
        data: Any = json.loads(context.text("package.json") or "{}")
    except (ValueError, RecursionError):
        data = {}
    data = data if isinstance(data, dict) else {}
    scripts: dict[str, Any] = data["scripts"] if isinstance(data.get("scripts"), dict) else {}
    tool, install = "npm", "npm install"
    if "package-lock.json" in context.files:
        install = "npm ci"
    elif "yarn.lock" in context.files:
        tool, install = "yarn", "yarn install --frozen-lockfile"
    elif "pnpm-lock.yaml" in context.files:
        tool, install = "pnpm", "npm install -g pnpm && pnpm install --frozen-lockfile"
    names = [
        name for name in ("package.json", "package-lock.json", "yarn.lock", "pnpm-lock.yaml") if name in context.files
    ]
    steps = [f"FROM {NODE_IMAGE}", "WORKDIR /app", "RUN chown node /app"]
    if names:
        steps += [f"COPY --chown=node {' '.join(names)} ./", f"RUN {install}"]
    steps.append("COPY --chown=node . .")
    if "build" in scripts:
        steps.append(f"RUN {tool} run build")
    candidates = [
        str(data.get("main", "")),
        "server.js",
        "server.mjs",
        "index.js",
        "index.mjs",
        "app.js",
        "src/index.js",
        "src/server.js",
    ]
    start = next((name for name in candidates if name in context.files), "server.js")
    command = [tool, "start"] if "start" in scripts else ["node", start]
    steps += ["USER node", f"ENV PORT={port} HOST={_ANYWHERE}", f"EXPOSE {port}", f"CMD {json.dumps(command)}"]
    return steps


def _text(lines: list[str]) -> bytes:
    return ("\n".join(lines) + "\n").encode()
