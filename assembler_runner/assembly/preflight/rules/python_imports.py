"""Python files: modules that are not found, or not the ones that are meant."""

from __future__ import annotations

import re
from collections.abc import Iterator

from assembler_runner.assembly.preflight.context import Context, fold
from assembler_runner.assembly.preflight.declaration import Found, rule
from assembler_runner.assembly.preflight.import_names import PROVIDES, package_of
from assembler_runner.assembly.preflight.python_file import PythonFile
from assembler_runner.assembly.preflight.python_fixes import given_files, severity_in, swap
from assembler_runner.assembly.preflight.quoting import clean, quote
from assembler_runner.assembly.preflight.tables import STDLIB
from assembler_runner.core.fixes import Edit, Fix


@rule(
    "relative_import_in_app",
    "error",
    "python",
    explanation="The file that is run is no part of a package: an import that begins with a dot fails at once.",
    example="app.py: from .tools import greet",
    has_fix=True,
)
def relative_import_in_app(context: Context) -> Iterator[Found]:
    """Finds relative imports in the file that is run."""
    path = context.app_file
    if path is None or context.space_type not in ("gradio", "streamlit") or path not in context.python_paths:
        return
    parsed = context.python(path)
    for found in parsed.imports if parsed is not None else ():
        if found.level != 1 or not found.certain or parsed is None:
            continue
        line = parsed.line(found.line)
        beside = _beside(path)
        exists = (
            found.module and f"{beside}{found.top}.py" in context.files
        ) or f"{beside}{found.top}" in context.folders
        fix = None
        if exists and found.module and re.match(r"from \.\w", line):
            fix = swap(path, found.line, "from .", "from ", "Import it without the dot", safe=True)
        yield Found(
            f"{quote(line.strip())} fails: {quote(path)} is run by itself, outside of any package.",
            path,
            found.line,
            "Import it without the dot.",
            {},
            fix,
        )


def _beside(path: str) -> str:
    folder = path.rpartition("/")[0]
    return f"{folder}/" if folder else ""


@rule(
    "module_case",
    "error",
    "python",
    explanation="Spaces run Linux, which tells capital letters from small ones: a module is found under its exact name "
    "only. In other files than app_file it is a warning.",
    example="import Tools, and the file is tools.py",
    has_fix=True,
)
def module_case(context: Context) -> Iterator[Found]:
    """Finds imports of local modules in another case than their files have."""
    for path, parsed in given_files(context):
        beside = _beside(path)
        for found in parsed.imports:
            if found.level or not found.top or found.top.lower() in STDLIB:
                continue
            wanted = f"{beside}{found.top}"
            file, folder = context.folded.get(fold(f"{wanted}.py")), context.folded.get(fold(wanted))
            if f"{wanted}.py" in context.files or wanted in context.folders:
                continue
            real = (
                file if file is not None and file != f"{wanted}.py" else folder if folder in context.folders else None
            )
            if (
                real is None
                or (real in context.folders and not _has_python(context, real))
                or _is_package(context, found.top)
            ):
                continue
            name = real.rpartition("/")[2].removesuffix(".py")
            fix = swap(path, found.line, found.top, name, f"Write {clean(name)}", safe=False)
            yield Found(
                f"{quote(path)} imports {quote(found.top)}, but the file is {quote(real)}.",
                path,
                found.line,
                f"Write {clean(name)}, or rename the file.",
                {"module": clean(found.top), "file": clean(real)},
                fix,
                severity_in(context, path) if found.certain else "warning",
            )


def _has_python(context: Context, folder: str) -> bool:
    return any(path.startswith(f"{folder}/") for path in context.python_paths)


def _is_package(context: Context, module: str) -> bool:
    wanted = package_of(module)
    return any(line.name == wanted for lines in context.requirements.values() for line in lines)


@rule(
    "local_module_missing",
    "warning",
    "python",
    explanation="A module is imported from a package of the Space that does not contain it.",
    example="from tools.text import count, and there is tools/ without text.py",
)
def local_module_missing(context: Context) -> Iterator[Found]:
    """Finds modules that a local package does not have."""
    for path, parsed in given_files(context):
        beside = _beside(path)
        for found in parsed.imports:
            parts = found.module.split(".")
            if (
                found.level
                or not found.certain
                or len(parts) < 2
                or _is_package(context, parts[0])
                or parts[0] in STDLIB
            ):
                continue
            roots = [root for root in dict.fromkeys((beside, "")) if f"{root}{parts[0]}" in context.folders]
            if not roots or not any(_has_python(context, f"{root}{parts[0]}") for root in roots):
                continue
            places = [f"{root}{'/'.join(parts)}" for root in roots]
            if any(f"{place}.py" in context.files or place in context.folders for place in places):
                continue
            below = [f"{root}{'/'.join(parts[:-1])}/__init__.py" for root in roots]
            if any(init in context.files and context.files[init].size for init in below) or _has_compiled(
                context, places
            ):
                continue
            yield Found(
                f"{quote(path)} imports {quote(found.module)}, which is not among the files.",
                path,
                found.line,
                f"Send {quote(places[0] + '.py')}, or correct the import.",
                {"module": clean(found.module)},
            )


def _has_compiled(context: Context, places: list[str]) -> bool:
    return any(path.startswith(tuple(f"{place}." for place in places)) for path in context.files)


@rule(
    "module_shadows_package",
    "warning",
    "python",
    explanation="A file beside the app that is named like a package it imports is imported instead of the package.",
    example="gradio.py beside app.py with import gradio",
)
def module_shadows_package(context: Context) -> Iterator[Found]:
    """Finds files that hide a package."""
    start = context.app_file or "app.py"
    beside = _beside(start)
    imported = {name for path, parsed in given_files(context) for name in parsed.imported if _beside(path) == beside}
    known = {
        "gradio",
        "streamlit",
        "flask",
        "fastapi",
        "torch",
        "transformers",
        "numpy",
        "pandas",
        "openai",
        "requests",
        "PIL",
    }
    risky = {
        "random",
        "logging",
        "types",
        "typing",
        "queue",
        "email",
        "token",
        "tokenize",
        "inspect",
        "socket",
        "select",
        "asyncio",
        "json",
        "code",
        "copy",
        "string",
        "calendar",
        "http",
        "html",
        "secrets",
        "statistics",
        "signal",
    }
    for path in context.python_paths:
        name = path.rpartition("/")[2].removesuffix(".py")
        if _beside(path) != beside or not context.given(path):
            continue
        if (name in known and name in imported) or (name in risky and path != start and context.sdk != "static"):
            what = "the package" if name in known else "a module of Python"
            yield Found(
                f"{quote(path)} hides {what} {clean(name)}.",
                path,
                None,
                "Give the file another name.",
                {"module": clean(name)},
            )


@rule(
    "missing_requirement",
    "warning",
    "python",
    explanation="A module is imported whose package neither requirements.txt names nor one of the named packages "
    "brings. Where a package is named of which it is not known what it brings, this is an info.",
    example="app.py: import cv2, with requirements.txt: gradio",
    has_fix=True,
)
def missing_requirement(context: Context) -> Iterator[Found]:
    """Finds imports of well-known packages that nothing installs."""
    if context.sdk == "static" or (context.sdk == "docker" and not context.dockerfile_is_made):
        return
    if any(context.given(name) for name in ("pyproject.toml", "environment.yml", "Pipfile", "setup.py")):
        return
    lines = [line for found in context.requirements.values() for line in found]
    if any(line.kind in ("editable", "path", "url", "wrong") for line in lines):
        return
    # The plug-in's own default counts where nothing was given.
    made = (
        {line.strip().lower() for line in (context.text("requirements.txt") or "").splitlines()} if not lines else set()
    )
    # What the type itself installs, whatever requirements.txt says.
    own = {"gradio": {"gradio", "spaces"}, "streamlit": {"streamlit"}}.get(context.space_type, set())
    if not context.given("requirements.txt"):
        own |= {"flask", "fastapi", "uvicorn", "dash", "starlette"}
    named = {line.name for line in lines} | made | own
    unknown = [name for name in named if name and name not in PROVIDES]
    brought = set(named).union(*(PROVIDES.get(name, ()) for name in named))
    path = context.app_file
    parsed = context.python(path) if path in context.python_paths and path is not None else None
    for module, line in _outside_modules(context, path, parsed) if parsed is not None and path is not None else ():
        package = package_of(module)
        if package is None or package in brought:
            continue
        brought.add(package)
        # A file that the sender has not written cannot be meant otherwise.
        safe = not context.given("requirements.txt")
        fix = Fix(f"Add {package}", safe, (Edit("requirements.txt", "append_line", None, None, package),))
        yield Found(
            f"{quote(path)} imports {clean(module)}, and requirements.txt names no package for it.",
            path,
            line,
            f"Add the line {package} to requirements.txt.",
            {"module": clean(module), "package": package},
            fix,
            "info" if unknown else None,
        )


def _outside_modules(context: Context, path: str, parsed: PythonFile) -> Iterator[tuple[str, int]]:
    beside = _beside(path)
    for found in parsed.imports:
        if found.level or not found.certain or found.top in STDLIB:
            continue
        if any(
            f"{root}{found.top}.py" in context.files or f"{root}{found.top}" in context.folders
            for root in (beside, "", "src/")
        ):
            continue
        yield (found.module if package_of(found.module) else found.top), found.line
