"""What kind of app a set of files is: one guess for archives, bodies without a type and folders alike."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from assembler_runner.assembly.preflight.card_lines import read_card_lines
from assembler_runner.assembly.preflight.context import Context
from assembler_runner.assembly.preflight.dependencies import pyproject_dependencies
from assembler_runner.assembly.preflight.docker_ports import listening_port
from assembler_runner.assembly.preflight.python_file import PythonFile, called
from assembler_runner.assembly.preflight.quoting import clean, quote
from assembler_runner.assembly.preflight.rules_card import readme_of
from assembler_runner.assembly.preflight.rules_docker import COMPOSE, dockerfile_port
from assembler_runner.assembly.preflight.rules_entry import BUILD_FOLDERS
from assembler_runner.assembly.preflight.rules_static import build_of
from assembler_runner.tree import SpaceFile

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


@dataclass(frozen=True)
class Recognised:
    """What a set of files is.

    Args:
        space_type: name of the type; None where nothing tells.
        reason: one sentence that says why, or what is missing.
        options: options that follow from the files, such as `app_file`; only those that differ from a default.
        framework: what the app is made with, such as flask; empty where it is not known.
        app: name of the application object in the app file; empty where there is none.
        needs_dockerfile: whether the type cannot run the files without a Dockerfile of the sender's.
    """

    space_type: str | None
    reason: str
    options: Mapping[str, Any] = field(default_factory=dict)
    framework: str = ""
    app: str = ""
    needs_dockerfile: bool = False


@dataclass(frozen=True)
class Hint:
    """How a plugin says that its type is recognised.

    Args:
        space_type: name of the type.
        files: names at the top of the Space, any of which tells; `*.x` for an ending.
        imports: Python modules, any of which the app file imports.
        packages: names in the dependencies of package.json, any of which tells.
    """

    space_type: str
    files: tuple[str, ...] = ()
    imports: tuple[str, ...] = ()
    packages: tuple[str, ...] = ()


def recognise(files: Mapping[str, SpaceFile], types: Iterable[str], hints: Iterable[Hint] = ()) -> Recognised:
    """Guesses the type of an app.

    In this order: what README.md says, a Dockerfile, what plugins declare, the framework that the Python file imports
    which is started, then other languages and pages.

    Args:
        files: path → file.
        types: names of the types there are.
        hints: how plugins' own types are recognised.
    Returns:
        The type, why, and the options that follow.
    """
    known = set(types)
    context = Context(files, sdk="docker", space_type="docker")
    readme = readme_of(files)
    card = read_card_lines(context.text(readme) or "") if readme is not None else read_card_lines("")
    by_card = _by_card(context, card.values, known)
    if by_card is not None:
        return by_card
    if "Dockerfile" in files or any("/" not in path and path.lower() == "dockerfile" for path in files):
        port = dockerfile_port(context)
        name = "Dockerfile" if "Dockerfile" in files else next(path for path in files if path.lower() == "dockerfile")
        return Recognised(
            "docker", f"There is a file {quote(name)}.", {"app_port": port} if port not in (None, 7860) else {}
        )
    for hint in hints:
        reason = _fits(context, hint)
        if reason is not None and hint.space_type in known:
            return Recognised(hint.space_type, reason)
    return _by_python(context, card.values) or _by_other_files(context) or _unknown(context)


def _by_card(context: Context, card: Mapping[str, Any], known: set[str]) -> Recognised | None:
    sdk = str(card.get("sdk") or "").strip().lower()
    if sdk not in known and sdk not in ("gradio", "docker", "static", "streamlit"):
        return None
    options: dict[str, Any] = {}
    reason = f"README.md says sdk: {clean(sdk)}."
    if sdk == "docker" and "Dockerfile" not in context.files and "streamlit" in known:
        # Such a Space was published by the type streamlit, which writes sdk: docker.
        start = _start_file(context, card)
        if start is not None and start[1] == "streamlit":
            options = {"app_file": start[0]} if start[0] != "app.py" else {}
            return Recognised(
                "streamlit",
                f"README.md says sdk: docker, and {quote(start[0])} imports streamlit.",
                options,
                "streamlit",
            )
    if sdk in ("gradio", "streamlit") and not isinstance(card.get("app_file"), str) and "app.py" not in context.files:
        start = _start_file(context, card)
        if start is not None and start[1] == sdk:
            options["app_file"] = start[0]
    if sdk == "streamlit" and isinstance(card.get("app_file"), str) and card["app_file"] != "app.py":
        options["app_file"] = card["app_file"]
    if sdk == "docker" and (port := dockerfile_port(context)) not in (None, 7860) and "app_port" not in card:
        options["app_port"] = port
    framework = ""
    if sdk == "docker" and "Dockerfile" not in context.files and (made := _by_python(context, card)) is not None:
        return Recognised(
            "docker", reason, made.options if made.space_type == "docker" else {}, made.framework, made.app
        )
    return Recognised(sdk, reason, options, framework or (sdk if sdk in ("gradio", "streamlit") else ""))


def _fits(context: Context, hint: Hint) -> str | None:
    top = [path for path in context.files if "/" not in path]
    for name in hint.files:
        found = next(
            (path for path in top if path == name or (name.startswith("*.") and path.endswith(name[1:]))), None
        )
        if found is not None or name in context.files:
            return f"There is a file {quote(found or name)}."
    if hint.imports:
        for path in _starting_order(context)[:10]:
            parsed = context.python(path)
            module = next((name for name in hint.imports if parsed is not None and name in parsed.imported), None)
            if module is not None:
                return f"{quote(path)} imports {clean(module)}."
    if hint.packages:
        named = _npm_packages(context)
        package = next((name for name in hint.packages if name in named), None)
        if package is not None:
            return f"package.json names {clean(package)}."
    return None


def _starting_order(context: Context) -> list[str]:
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


def _start_file(context: Context, card: Mapping[str, Any]) -> tuple[str, str, PythonFile] | None:
    """Returns the file that is started, what it is made with, and its content."""
    named = card.get("app_file")
    order = _starting_order(context)
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
        # A server that mounts Gradio is started as a server only where nothing calls launch().
        served = imported & {"fastapi", "flask"} and not any(True for _ in parsed.calls_of("launch"))
        return "fastapi" if served and any(True for _ in parsed.calls_of("mount_gradio_app")) else "gradio"
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


def _by_python(context: Context, card: Mapping[str, Any]) -> Recognised | None:
    if "manage.py" in context.files and _mentions_django(context):
        return Recognised(
            "docker", "There is a manage.py: a Django project, run in a container.", _django(context), "django"
        )
    start = _start_file(context, card)
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
    top = [path for path in _starting_order(context) if "/" not in path]
    wanted = [path for path in top if path in _NAMES]
    if "app.py" in top:
        # Without an import that tells, app.py is what the Gradio SDK starts.
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


def _npm_packages(context: Context) -> set[str]:
    data = _package(context)
    tables = (data.get("dependencies"), data.get("devDependencies"))
    return {str(name) for table in tables if isinstance(table, dict) for name in table}


def _package(context: Context) -> dict[str, Any]:
    try:
        data = json.loads(context.text("package.json") or "{}")
    except (ValueError, RecursionError):
        return {}
    return data if isinstance(data, dict) else {}


def _by_other_files(context: Context) -> Recognised | None:
    files = context.files
    top = {path for path in files if "/" not in path}
    shiny = next((path for path in ("app.R", "server.R", "app.r", "plumber.R") if path in top), None)
    if shiny is not None or any(path.endswith((".R", ".Rmd")) for path in top):
        what = shiny or next(path for path in sorted(top) if path.endswith((".R", ".Rmd")))
        return _needs("R", what, "an image such as rocker/shiny")
    if "go.mod" in top or "main.go" in top:
        return _needs("Go", "go.mod" if "go.mod" in top else "main.go", "an image such as golang")
    if "Cargo.toml" in top:
        return _needs("Rust", "Cargo.toml", "an image such as rust")
    if "pom.xml" in top or "build.gradle" in top or "build.gradle.kts" in top:
        return _needs(
            "Java",
            next(path for path in ("pom.xml", "build.gradle", "build.gradle.kts") if path in top),
            "an image such as eclipse-temurin",
        )
    if "Gemfile" in top and "_config.yml" not in top:
        return _needs("Ruby", "Gemfile", "an image such as ruby")
    if "index.php" in top or "composer.json" in top:
        return _needs("PHP", "index.php" if "index.php" in top else "composer.json", "an image such as php:apache")
    if "package.json" in top:
        node = _by_node(context)
        if node is not None:
            return node
    pages = ["index.html", *(f"{folder}/index.html" for folder in BUILD_FOLDERS)]
    page = next((path for path in pages if path in files), None)
    if page is None:
        alone = [path for path in top if path.lower().endswith((".html", ".htm"))]
        page = (
            alone[0] if len(alone) == 1 else next((path for path in alone if path.lower().startswith("index.")), None)
        )
    if page is not None:
        return Recognised(
            "static", f"There is a page {quote(page)}.", {} if page == "index.html" else {"app_file": page}
        )
    return None


def _needs(language: str, path: str, image: str) -> Recognised:
    reason = f"{quote(path)} is {'an' if language == 'R' else 'a'} {language} app: it runs as type docker and needs a Dockerfile with {image}."
    return Recognised("docker", reason, {}, language.lower(), needs_dockerfile=True)


def _by_node(context: Context) -> Recognised | None:
    data = _package(context)
    scripts = data.get("scripts") if isinstance(data.get("scripts"), dict) else {}
    assert isinstance(scripts, dict)
    build = build_of(context)
    servers = {
        "express",
        "fastify",
        "koa",
        "next",
        "nuxt",
        "@nestjs/core",
        "hapi",
        "@hapi/hapi",
        "socket.io",
        "ws",
        "hono",
        "@sveltejs/adapter-node",
    }
    start = str(scripts.get("start") or "")
    runs_server = (
        bool(servers & _npm_packages(context))
        or re.search(r"\bnode\b|\bnext start\b|\btsx?\b|\bnodemon\b", start) is not None
    )
    if build is not None and not runs_server:
        built = build[1] in context.files
        options = {"app_file": build[1]} if built else {"app_build_command": build[0], "app_file": build[1]}
        return Recognised(
            "static",
            "package.json builds a site." if not built else f"There is a built page {quote(build[1])}.",
            options,
            "node",
        )
    if runs_server or any(
        path in context.files for path in ("server.js", "index.js", "app.js", "server.mjs", "index.mjs", "src/index.js")
    ):
        if not runs_server and "index.html" in context.files:
            return None
        port = _node_port(context)
        options = {"app_port": port} if port not in (None, 7860) else {}
        return Recognised(
            "docker", "package.json starts a server with Node.js; it is run in a container.", options, "node"
        )
    return None


def _node_port(context: Context) -> int | None:
    """The port that a server of Node.js listens on, where it does not read it from the environment."""
    for path in ("server.js", "index.js", "app.js", "server.mjs", "index.mjs", "src/index.js", "src/server.js"):
        text = context.text(path) or ""
        if "process.env.PORT" in text:
            return None
        match = re.search(r"\.listen\(\s*(\d{2,5})\b", text)
        if match is not None:
            return int(match[1])
    return None


def _unknown(context: Context) -> Recognised:
    compose = next((path for path in COMPOSE if path in context.files), None)
    if compose is not None:
        return Recognised(None, f"{compose} is not run: a Space is one container, built from a Dockerfile at the top.")
    notebook = next((path for path in context.files if path.endswith(".ipynb")), None)
    if notebook is not None:
        return Recognised(None, f"{quote(notebook)} is a notebook, which is not run: save it as app.py.")
    inside = next((path for path in context.files if path.rpartition("/")[2] == "Dockerfile"), None)
    if inside is not None:
        return Recognised(None, f"{quote(inside)} is not at the top of the Space, where a Dockerfile is built.")
    return Recognised(None, "There is no app.py, no index.html and no Dockerfile to guess the type from.")
