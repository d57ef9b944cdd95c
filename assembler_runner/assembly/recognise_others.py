"""Apps in other languages, and sites."""

from __future__ import annotations

import json
import re
from typing import Any

from assembler_runner.assembly.preflight.context import Context
from assembler_runner.assembly.preflight.quoting import quote
from assembler_runner.assembly.preflight.rules.entry import BUILD_FOLDERS
from assembler_runner.assembly.preflight.rules.static import build_of
from assembler_runner.assembly.recognised import Recognised


def npm_packages(context: Context) -> set[str]:
    """Returns the packages that package.json names."""
    data = _package(context)
    tables = (data.get("dependencies"), data.get("devDependencies"))
    return {str(name) for table in tables if isinstance(table, dict) for name in table}


def _package(context: Context) -> dict[str, Any]:
    try:
        data = json.loads(context.text("package.json") or "{}")
    except (ValueError, RecursionError):
        return {}
    return data if isinstance(data, dict) else {}


def by_other_files(context: Context) -> Recognised | None:
    """Recognises apps in other languages than Python, and sites; None without evidence."""
    files = context.files
    top = {path for path in files if "/" not in path}
    names: tuple[str, ...] = ("app.R", "server.R", "app.r", "plumber.R")
    shiny = next((path for path in names if path in top), None)
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
    article = "an" if language == "R" else "a"
    reason = f"{quote(path)} is {article} {language} app: it runs as type docker and needs a Dockerfile with {image}."
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
        bool(servers & npm_packages(context))
        or re.search(r"\bnode\b|\bnext start\b|\btsx?\b|\bnodemon\b", start) is not None
    )
    if build is not None and not runs_server:
        built = build[1] in context.files
        options: dict[str, Any] = (
            {"app_file": build[1]} if built else {"app_build_command": build[0], "app_file": build[1]}
        )
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
