"""Static sites: sources that a browser cannot show, and references that lead nowhere."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

from assembler_runner.assembly.preflight.context import Context, fold
from assembler_runner.assembly.preflight.declaration import Found, rule
from assembler_runner.assembly.preflight.html_links import Link, links_of, path_of
from assembler_runner.assembly.preflight.quoting import clean, quote
from assembler_runner.core.fixes import Edit, Fix

MAX_PAGES = 200
_SOURCES = (".jsx", ".tsx", ".ts", ".vue", ".svelte", ".scss", ".sass", ".less")
_BUILD_OUTPUT = {
    "vite": "dist",
    "react-scripts": "build",
    "next": "out",
    "astro": "dist",
    "parcel": "dist",
    "webpack": "dist",
    "@angular/cli": "dist",
    "gatsby": "public",
    "@vue/cli-service": "dist",
    "@11ty/eleventy": "_site",
    "@sveltejs/kit": "build",
    "@docusaurus/core": "build",
    "vitepress": "docs/.vitepress/dist",
    "rollup": "dist",
    "nuxt": ".output/public",
}
_GENERATORS = {
    "_config.yml": ("Jekyll", ("_layouts/", "_posts/", "_includes/", "index.md")),
    "_config.yaml": ("Jekyll", ("_layouts/", "_posts/", "_includes/", "index.md")),
    "hugo.toml": ("Hugo", ("content/", "layouts/", "themes/", "archetypes/")),
    "hugo.yaml": ("Hugo", ("content/", "layouts/", "themes/", "archetypes/")),
    "config.toml": ("Hugo", ("archetypes/", "layouts/", "content/")),
    "mkdocs.yml": ("MkDocs", ("docs/",)),
    ".eleventy.js": ("Eleventy", ("",)),
    "_quarto.yml": ("Quarto", ("",)),
    "book.toml": ("mdBook", ("src/",)),
}
_SERVER_ENDINGS = (".php", ".jsp", ".asp", ".aspx", ".cgi", ".erb")


def package(context: Context) -> dict[str, object]:
    """Returns what package.json says; empty where there is none or it is no object."""
    try:
        data = json.loads(context.text("package.json") or "null")
    except (ValueError, RecursionError):
        return {}
    return data if isinstance(data, dict) else {}


def build_of(context: Context) -> tuple[str, str] | None:
    """Returns the command that builds a site and the page it makes, according to package.json; None if it names none.

    Args:
        context: the Space.
    """
    data = package(context)
    scripts = data.get("scripts")
    if not isinstance(scripts, dict) or not isinstance(scripts.get("build"), str):
        return None
    named: dict[str, object] = {}
    for key in ("dependencies", "devDependencies"):
        table = data.get(key)
        named |= table if isinstance(table, dict) else {}
    tool = next(
        (tool for tool in _BUILD_OUTPUT if tool in named or re.search(rf"\b{re.escape(tool)}\b", scripts["build"])),
        None,
    )
    return ("npm run build", f"{_BUILD_OUTPUT[tool]}/index.html") if tool is not None else None


def _is_built(context: Context) -> bool:
    return bool(context.options.get("app_build_command") or context.card.values.get("app_build_command"))


def _pages(context: Context) -> Iterator[tuple[str, str]]:
    if context.sdk != "static" or _is_built(context):
        return
    pages = [path for path in context.files if path.lower().endswith((".html", ".htm")) and context.given(path)]
    for path in pages[:MAX_PAGES]:
        text = context.text(path)
        if text is not None:
            yield path, text


def _links(context: Context, page: str) -> list[Link]:
    return context.once("links", page, links_of)


def _local_links(context: Context) -> Iterator[tuple[str, Link, str]]:
    for page, text in _pages(context):
        if text.startswith("---\n") or "{{" in text:
            continue
        for link in _links(context, page):
            target = path_of(link.target, page) if link.is_local else None
            if target:
                yield page, link, target


@rule(
    "static_not_built",
    "warning",
    "static",
    explanation="The page loads sources that have to be built first, which a browser cannot do: .jsx, .ts, .vue, "
    ".scss. The Hub builds a static Space with app_build_command.",
    example='<script type="module" src="/src/main.jsx">',
    has_fix=True,
)
def static_not_built(context: Context) -> Iterator[Found]:
    """Finds sources of sites in place of the built site."""
    if context.sdk != "static" or _is_built(context):
        return
    build = build_of(context)
    fix = hint = None
    if build is not None:
        fix = Fix(f"Build it with {build[0]}", False, (), {"app_build_command": build[0], "app_file": build[1]})
        hint = f"Set app_build_command to {build[0]} and app_file to {build[1]}, or send the built site."
    hint = hint or "Build the site, and send what the build makes."
    start = context.app_file or "index.html"
    for link in _links(context, start):
        target = re.split(r"[?#]", link.target)[0].lower()
        if link.tag in ("script", "link") and target.endswith(_SOURCES) and "://" not in target:
            yield Found(
                f"{quote(start)} loads {quote(link.target)}, which a browser cannot run.",
                start,
                link.line,
                hint,
                {"source": clean(link.target)},
                fix,
            )
            return
    if start not in context.files and build is not None and build[1] not in context.files:
        yield Found("The files are the sources of a site that has to be built.", "package.json", None, hint, {}, fix)


@rule(
    "static_generator_source",
    "warning",
    "static",
    explanation="The files are the source of a site generator, such as Jekyll, Hugo or MkDocs, which the Hub does "
    "not run.",
    example="_config.yml and _layouts/",
)
def static_generator_source(context: Context) -> Iterator[Found]:
    """Finds sources of site generators."""
    if context.sdk != "static" or _is_built(context):
        return
    for config, (name, signs) in _GENERATORS.items():
        if config in context.files and any(path.startswith(sign) for sign in signs for path in context.files):
            start = context.text(context.app_file or "") or ""
            generated = (
                start.lstrip().lower().startswith(("<!doctype", "<html")) and "{{" not in start and "{%" not in start
            )
            if not generated:
                yield Found(
                    f"The files are the source of a {name} site, which the Hub does not build.",
                    config,
                    None,
                    f"Build the site with {name}, and send what it makes.",
                    {"generator": name},
                )
                return


@rule(
    "link_missing",
    "warning",
    "static",
    explanation="A page loads a file that was not sent. Links to other pages are an info.",
    example='<script src="app.js"> without app.js',
)
def link_missing(context: Context) -> Iterator[Found]:
    """Finds references to files that were not sent."""
    for page, link, target in _local_links(context):
        loads = link.tag in ("script", "img", "source", "video", "audio", "iframe") or (
            link.tag == "link" and "stylesheet" in link.tag_text.lower()
        )
        if link.tag == "base" or target in context.files or (not loads and link.tag != "a"):
            continue
        if not loads and (target in context.folders or "." not in target.rpartition("/")[2]):
            continue
        real = context.folded.get(fold(target))
        if real in context.files or _made_later(target):
            continue
        yield Found(
            f"{quote(page)} refers to {quote(link.target)}, which was not sent.",
            page,
            link.line,
            "Send the file, or correct the name.",
            {"target": clean(link.target)},
            severity=None if loads else "info",
        )


def _made_later(target: str) -> bool:
    return target in ("params.js", "params.json", "favicon.ico") or target.startswith(("cdn-cgi/", "_vercel/"))


@rule(
    "link_case",
    "warning",
    "static",
    explanation="The web tells capital letters from small ones: the file exists in another case only.",
    example='<img src="Logo.png">, and the file is logo.png',
    has_fix=True,
)
def link_case(context: Context) -> Iterator[Found]:
    """Finds references that differ in case from the file."""
    for page, link, target in _local_links(context):
        real = context.folded.get(fold(target))
        if target in context.files or target in context.folders or real not in context.files or real is None:
            continue
        new = link.target.replace(target, real) if target in link.target else None
        fix = None
        if new is not None and new != link.target:
            fix = Fix(f"Write {clean(new)}", True, (Edit(page, "replace", link.line, link.target, new),))
        yield Found(
            f"{quote(page)} refers to {quote(link.target)}, but the file is {quote(real)}.",
            page,
            link.line,
            f"Write {quote(real)}.",
            {"target": clean(link.target), "file": clean(real)},
            fix,
        )


@rule(
    "link_to_own_computer",
    "warning",
    "static",
    explanation="A page refers to a file or a server of the computer it was written on.",
    example='<img src="file:///C:/Users/me/logo.png">',
)
def link_to_own_computer(context: Context) -> Iterator[Found]:
    """Finds references to the sender's own computer."""
    for page, _ in _pages(context):
        for link in _links(context, page):
            if link.tag != "a" and re.match(
                r"(?i)file:|[a-z]:[\\/](?!/)|https?://(?:localhost|127\.0\.0\.1)(?::\d+)?(?:/|$)", link.target
            ):
                yield Found(
                    f"{quote(page)} refers to {quote(link.target)} on your own computer.",
                    page,
                    link.line,
                    "Send the file, and refer to it by its path in the Space.",
                    {"target": clean(link.target)},
                )


@rule(
    "mixed_content",
    "warning",
    "static",
    explanation="Spaces are shown by https; browsers do not load scripts and styles by http into such a page.",
    example='<script src="http://cdn.example.org/x.js">',
    has_fix=True,
)
def mixed_content(context: Context) -> Iterator[Found]:
    """Finds scripts and styles that are loaded by http."""
    for page, _ in _pages(context):
        for link in _links(context, page):
            loads = link.tag in ("script", "iframe") or (link.tag == "link" and "stylesheet" in link.tag_text.lower())
            if loads and re.match(r"(?i)http://(?!localhost|127\.0\.0\.1)", link.target):
                fix = Fix(
                    "Load it by https",
                    False,
                    (Edit(page, "replace", link.line, link.target, "https" + link.target[4:]),),
                )
                yield Found(
                    f"{quote(page)} loads {quote(link.target)} by http, which browsers refuse.",
                    page,
                    link.line,
                    "Write https.",
                    {"target": clean(link.target)},
                    fix,
                )


@rule(
    "static_needs_server",
    "warning",
    "static",
    explanation="A static Space runs nothing: PHP and the like are shown as text. Such an app is of type docker.",
    example="index.php",
)
def static_needs_server(context: Context) -> Iterator[Found]:
    """Finds pages that a server has to run."""
    if context.sdk != "static":
        return
    path = next(
        (path for path in context.files if path.lower().endswith(_SERVER_ENDINGS) and path.count("/") < 2), None
    )
    if path is not None:
        yield Found(
            f"{quote(path)} has to be run by a server; a static Space has none.",
            path,
            None,
            "Use the type docker with a Dockerfile.",
        )


@rule(
    "bare_import",
    "warning",
    "static",
    explanation="A browser cannot load a module by the name of a package; it needs an address, an import map, or a "
    "build.",
    example='<script type="module" src="app.js">, and app.js: import { h } from "preact"',
)
def bare_import(context: Context) -> Iterator[Found]:
    """Finds modules that are imported by the name of a package."""
    seen: set[str] = set()
    for page, link, target in _local_links(context):
        if link.tag != "script" or "module" not in link.tag_text or target in seen:
            continue
        seen.add(target)
        if "importmap" in (context.text(page) or ""):
            continue
        for number, row in enumerate((context.text(target) or "").split("\n")[:200], 1):
            match = re.match(r"\s*import\s(?:[^'\"]{0,300}?\sfrom\s)?\s*[\"']([@a-zA-Z][^\"':]*)[\"']", row[:500])
            if match is not None:
                yield Found(
                    f"{quote(target)} imports {quote(match[1])}, which a browser does not find.",
                    target,
                    number,
                    "Import it by its address, or add an import map.",
                    {"module": clean(match[1])},
                )
                break


@rule(
    "package_json_broken",
    "error",
    "static",
    explanation="package.json is no JSON object, so that npm stops. Where nothing runs npm it is a warning.",
    example="package.json with a comma too many",
)
def package_json_broken(context: Context) -> Iterator[Found]:
    """Finds a package.json that npm cannot read."""
    text = context.text("package.json") if context.given("package.json") else None
    if text is None:
        return
    used = _is_built(context) or (
        context.dockerfile is not None
        and any(re.search(r"\b(?:npm|yarn|pnpm)\b", found.value) for found in context.dockerfile.instructions)
    )
    try:
        broken, line = not isinstance(json.loads(text.removeprefix("\ufeff")), dict), 1
    except RecursionError:
        return
    except ValueError as problem:
        broken, line = True, problem.lineno if isinstance(problem, json.JSONDecodeError) else 1
    if broken:
        yield Found(
            "package.json is no JSON object.",
            "package.json",
            line,
            "Correct the file.",
            severity="error" if used else "warning",
        )
