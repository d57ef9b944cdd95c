"""Python apps: the file that is started, and the framework it is made with."""

from __future__ import annotations

import ast
import re
from collections.abc import Mapping
from typing import Any

from assembler_runner.assembly.preflight.context import Context
from assembler_runner.assembly.preflight.dependencies import pyproject_dependencies
from assembler_runner.assembly.preflight.docker_ports import listening_port
from assembler_runner.assembly.preflight.python_file import PythonFile, called
from assembler_runner.assembly.preflight.quoting import quote
from assembler_runner.assembly.recognised import Recognised

MAX_READ = 60
"""How many Python files are parsed to find the one that is started."""


_NAMES = (
    *("app.py", "main.py", "streamlit_app.py", "gradio_app.py", "run.py", "server.py", "demo.py", "webui.py", "web.py"),
    *("application.py", "wsgi.py", "asgi.py", "api.py", "index.py", "start.py", "dashboard.py", "ui.py", "__main__.py"),
)


_FRAMEWORKS = (
    "gradio",
    "streamlit",
    "flask",
    "fastapi",
    "marimo",
    "panel",
    "dash",
    "shiny",
    "nicegui",
    "chainlit",
    "solara",
    "starlette",
    "litestar",
    "quart",
    "aiohttp",
    "sanic",
    "bottle",
    "tornado",
    "django",
    "taipy",
    "mesop",
    "reflex",
)


def starting_order(context: Context) -> list[str]:
    """Python files in the order in which people name what is started."""

    def rank(path: str) -> tuple[int, int, str]:
        name = path.rpartition("/")[2]
        depth = path.count("/")
        place = _NAMES.index(name) if name in _NAMES else 50 if re.match(r"[^\w]|\d+_|[A-Z]", name) else 60
        return (depth, place, path)

    paths = [path for path in context.python_paths if path.count("/") < 3 and not _is_aside(path)]
    return sorted(paths, key=rank)[:MAX_READ]


def _is_aside(path: str) -> bool:
    parts = path.split("/")
    name = parts[-1]
    return (
        name in ("setup.py", "conftest.py", "noxfile.py", "tasks.py", "__init__.py")
        or name.startswith("test_")
        or bool(
            {"tests", "test", "docs", "pages", "examples", "scripts", "migrations", "node_modules", "venv", ".venv"}
            & set(parts[:-1])
        )
    )


def start_file(context: Context, card: Mapping[str, Any]) -> tuple[str, str, PythonFile] | None:
    """Returns the file that is started, what it is made with, and its content."""
    named = card.get("app_file")
    order = starting_order(context)
    if isinstance(named, str) and named in context.files:
        order = [named, *order]
    best: tuple[int, int, str, str, PythonFile] | None = None
    for number, path in enumerate(order):
        parsed = context.python(path)
        if parsed is None:
            continue
        framework = _framework(parsed)
        if framework is None:
            continue
        weight = number + (0 if _starts(parsed, framework) else 30) + 20 * path.count("/")
        if best is None or weight < best[0]:
            best = (weight, number, path, framework, parsed)
    return best[2:] if best is not None else None


def _framework(parsed: PythonFile) -> str | None:
    imported = parsed.imported
    if "gradio" in imported and "streamlit" not in imported:
        # A file that mounts Gradio into a server and starts neither needs a command that serves it.
        starts = any(True for _ in parsed.calls_of("launch", "run"))
        mounts = any(True for _ in parsed.calls_of("mount_gradio_app"))
        return "fastapi" if mounts and not starts and "fastapi" in imported else "gradio"
    if "streamlit" in imported and "gradio" in imported:
        return "gradio" if any(True for _ in parsed.calls_of("launch")) else "streamlit"
    return next((name for name in _FRAMEWORKS if name in imported), None)


def _starts(parsed: PythonFile, framework: str) -> bool:
    if framework in ("streamlit", "panel", "chainlit", "solara"):
        return True
    constructors = (
        "Interface",
        "Blocks",
        "ChatInterface",
        "TabbedInterface",
        "load",
        "Flask",
        "FastAPI",
        "App",
        "Dash",
        "Starlette",
        "Litestar",
        "Quart",
        "Sanic",
        "Bottle",
        "Application",
    )
    names = {called(call) for call in parsed.calls}
    return bool(names & {"launch", "run", "run_server", "serve", "run_app", *constructors})


_MADE_BY = {
    "Flask": "flask",
    "FastAPI": "fastapi",
    "Dash": "dash",
    "Starlette": "starlette",
    "Litestar": "litestar",
    "Quart": "quart",
    "App": "shiny",
    "Sanic": "sanic",
}


def application_name(parsed: PythonFile) -> str:
    """Returns the name of the application object of a web app, such as `app`; empty where there is none."""
    for node in parsed.tree.body if parsed.tree is not None else ():
        value = node.value if isinstance(node, (ast.Assign, ast.AnnAssign)) else None
        if isinstance(value, ast.Call) and called(value) in (*_MADE_BY, "create_app", "make_app", "mount_gradio_app"):
            target = (
                node.targets[0]
                if isinstance(node, ast.Assign)
                else node.target
                if isinstance(node, ast.AnnAssign)
                else None
            )
            if isinstance(target, ast.Name):
                return target.id
    return ""


def by_python(context: Context, card: Mapping[str, Any]) -> Recognised | None:
    """Recognises apps in Python; None without evidence."""
    if "manage.py" in context.files and _mentions_django(context):
        return Recognised(
            "docker", "There is a manage.py: a Django project, run in a container.", _django(context), "django"
        )
    start = start_file(context, card)
    if start is None:
        return _plain_python(context)
    path, framework, parsed = start
    options: dict[str, Any] = {} if path == "app.py" else {"app_file": path}
    reason = f"{quote(path)} imports {framework}."
    if framework in ("gradio", "streamlit"):
        return Recognised(framework, reason, options, framework)
    port = listening_port(parsed)
    if port is not None and port != 7860:
        options["app_port"] = port
    return Recognised("docker", f"{reason} It is run in a container.", options, framework, application_name(parsed))


def _mentions_django(context: Context) -> bool:
    text = context.text("manage.py") or ""
    if "django" in text or any(path.endswith("/settings.py") for path in context.files):
        return True
    return "django" in (context.text("requirements.txt") or "").lower()


def _django(context: Context) -> dict[str, Any]:
    return {"app_file": "manage.py"}


def _plain_python(context: Context) -> Recognised | None:
    top = [path for path in starting_order(context) if "/" not in path]
    wanted = [path for path in top if path in _NAMES]
    if "app.py" in top:
        # Without an import of a known framework, app.py is what the Gradio SDK starts.
        return Recognised("gradio", "There is an app.py.", {})
    if (
        wanted
        and ("requirements.txt" in context.files or len(top) == 1)
        and not any(path == "index.html" for path in context.files)
    ):
        if _has_package(context, "gradio"):
            return Recognised(
                "gradio", f"There is a {quote(wanted[0])}, and gradio is required.", {"app_file": wanted[0]}, "gradio"
            )
        if _has_package(context, "streamlit"):
            return Recognised(
                "streamlit",
                f"There is a {quote(wanted[0])}, and streamlit is required.",
                {"app_file": wanted[0]},
                "streamlit",
            )
        return Recognised(
            "docker", f"There is a {quote(wanted[0])}; it is run in a container.", {"app_file": wanted[0]}, "python"
        )
    return None


def _has_package(context: Context, name: str) -> bool:
    lines = (context.text("requirements.txt") or "").splitlines() + pyproject_dependencies(
        context.text("pyproject.toml") or ""
    )
    return any(re.match(rf"{name}\b(?![-.])", line.strip().lower()) for line in lines)
