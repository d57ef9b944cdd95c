"""Python files: what their compiler, their version, their imports and their paths will not do."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterator

from assembler_runner.assembly.preflight.context import NEWEST_PYTHON, Context, fold
from assembler_runner.assembly.preflight.declaration import Found, rule
from assembler_runner.assembly.preflight.import_names import PROVIDES, package_of
from assembler_runner.assembly.preflight.python_file import PythonFile, constant, dotted, keyword
from assembler_runner.assembly.preflight.quoting import clean, quote
from assembler_runner.assembly.preflight.rules_docker import started_python
from assembler_runner.assembly.preflight.tables import STDLIB
from assembler_runner.errors import Severity
from assembler_runner.fixes import Edit, Fix
from assembler_runner.python_source import newer_syntax

MAX_UNREADABLE = 10
"""How many files are given to the checker that knows newer versions: each costs a process."""

_MAGIC = re.compile(r"^[ \t]*(?:[!%]{1,2}[A-Za-z]|!\./)")
_CONFLICT = re.compile(r"^(?:<{7} |>{7} )", re.MULTILINE)
_TEXT_ENDINGS = (".py", ".html", ".js", ".css", ".txt", ".md", ".toml", ".yml", ".yaml", ".json", ".sh")
_WINDOWS_PATH = re.compile(r"^[A-Za-z]:[\\/](?![\\/])|^\\\\[\w.]+\\")
_HOME_PATH = re.compile(
    r"^(?:/Users/[^/]+/|/home/(?!user/|app/|runner/|coder/|node/|jovyan/|appuser/|ubuntu/)[^/]+/)\S"
)
_LISTENERS = ("run", "launch", "serve", "run_server", "start", "listen")


def _severity(context: Context, path: str) -> Severity:
    return "error" if path == context.app_file else "warning"


def _files(context: Context) -> Iterator[tuple[str, PythonFile]]:
    for path in context.python_paths:
        if context.given(path) and (parsed := context.python(path)) is not None:
            yield path, parsed


def _swap(path: str, line: int, old: str, new: str, title: str, *, safe: bool) -> Fix:
    return Fix(title, safe, (Edit(path, "replace", line, old, new),))


@rule(
    "syntax_error",
    "error",
    "python",
    explanation="The file is not valid Python, in any version up to the newest one, or the compiler refuses it: `return` "
    "outside of a function, `break` outside of a loop. In other files than app_file it is a warning.",
    example="app.py: return 1",
)
def syntax_error(context: Context) -> Iterator[Found]:
    """Finds what only the compiler finds."""
    for path, parsed in _files(context):
        if parsed.compile_error is None or "__future__" in parsed.compile_error[0]:
            continue
        what, line = parsed.compile_error
        yield Found(
            f"{quote(path)} is not valid Python: {clean(what)}.",
            path,
            line,
            "Correct the line.",
            {"error": clean(what)},
            severity=_severity(context, path),
        )


@rule(
    "future_import_misplaced",
    "error",
    "python",
    explanation="`from __future__` imports stand at the top of a file, below the docstring only; elsewhere they are an "
    "error. In other files than app_file it is a warning.",
    example="import os, and from __future__ import annotations below it",
    has_fix=True,
)
def future_import_misplaced(context: Context) -> Iterator[Found]:
    """Finds imports from `__future__` that stand too low."""
    for path, parsed in _files(context):
        if parsed.compile_error is None or "__future__" not in parsed.compile_error[0] or parsed.tree is None:
            continue
        line = parsed.compile_error[1]
        fix = _move_up(path, parsed, line)
        yield Found(
            f"{quote(path)} imports from __future__ below other statements.",
            path,
            line,
            "Move the line to the top.",
            {},
            fix,
            _severity(context, path),
        )


def _move_up(path: str, parsed: PythonFile, line: int) -> Fix | None:
    assert parsed.tree is not None
    statement = next(
        (node for node in parsed.tree.body if isinstance(node, ast.ImportFrom) and node.lineno == line), None
    )
    written = parsed.line(line)
    if statement is None or statement.end_lineno != line or not written.startswith("from __future__"):
        return None
    if any(alias.name not in _FEATURES for alias in statement.names) or ";" in written:
        return None
    first = parsed.tree.body[0]
    is_docstring = isinstance(first, ast.Expr) and isinstance(constant(first.value), str)
    target = parsed.tree.body[1] if is_docstring and len(parsed.tree.body) > 1 else first
    number = min([target.lineno, *(node.lineno for node in getattr(target, "decorator_list", []))])
    if number >= line or target.col_offset:
        return None
    top = parsed.line(number)
    edits = (Edit(path, "replace", number, top, f"{written}\n{top}"), Edit(path, "delete", line, written))
    return Fix("Move the line to the top", True, edits)


_FEATURES = frozenset(
    ["annotations", "division", "print_function", "absolute_import", "unicode_literals", "generator_stop", "with_statement"]
)


@rule(
    "syntax_needs_newer_python",
    "error",
    "python",
    explanation="The file uses syntax that the Python which will run it does not have. In other files than app_file it is "
    "a warning.",
    example='python_version: "3.10" with app.py: type Pair = tuple[int, int]',
    has_fix=True,
)
def syntax_needs_newer_python(context: Context) -> Iterator[Found]:
    """Finds syntax that is newer than the Python of the Space."""
    version = context.python_version
    if version is None or version >= NEWEST_PYTHON:
        return
    tries = 0
    for path, parsed in _files(context):
        found = newest_syntax(parsed) if parsed.tree is not None else None
        if parsed.tree is None and parsed.broken is not None and tries < MAX_UNREADABLE:
            tries += 1
            found = newer_syntax(parsed.source, version)
        if found is None or found[0] <= version:
            continue
        needed, what, line = found
        shown, running = f"{needed[0]}.{needed[1]}", f"{version[0]}.{version[1]}"
        fix = None
        if (
            context.dockerfile is None
            and "python_version" in context.options
            and "python_version" not in context.card.values
        ):
            fix = Fix(f"Set python_version to {shown}", False, (), {"python_version": shown})
        hint = (
            f"Set python_version to {shown}."
            if context.dockerfile is None
            else f"Use a base image with Python {shown}."
        )
        yield Found(
            f"{quote(path)} uses {what}, which Python {running} does not have.",
            path,
            line,
            hint,
            {"needs": shown, "runs": running},
            fix,
            _severity(context, path),
        )


def newest_syntax(parsed: PythonFile) -> tuple[tuple[int, int], str, int] | None:
    """Returns the Python that a file needs at least, what for, and the line; None for Python 3.8."""
    best: tuple[tuple[int, int], str, int] | None = None
    for node in parsed.nodes:
        found: tuple[tuple[int, int], str] | None = None
        if isinstance(node, ast.Match):
            found = (3, 10), "match"
        elif isinstance(node, ast.TryStar):
            found = (3, 11), "except*"
        elif type(node).__name__ == "TypeAlias" or getattr(node, "type_params", None):
            found = (3, 12), "type parameters"
        elif type(node).__name__ == "TemplateStr":
            found = (3, 14), "template strings"
        elif isinstance(node, ast.JoinedStr) and _reuses_quotes(parsed, node):
            found = (3, 12), "the same quotes inside of an f-string"
        elif isinstance(node, ast.Subscript) and isinstance(node.slice, ast.Tuple):
            if any(isinstance(item, ast.Starred) for item in node.slice.elts):
                found = (3, 11), "* in an index"
        if found is not None and (best is None or found[0] > best[0]):
            best = (*found, getattr(node, "lineno", 1))
    return best


def _reuses_quotes(parsed: PythonFile, node: ast.JoinedStr) -> bool:
    """Whether an expression in an f-string has the quotes of the string itself; an older Python refuses to parse it."""
    if node.end_lineno != node.lineno or node.end_col_offset is None:
        return False
    line = parsed.line(node.lineno).encode()[node.col_offset : node.end_col_offset].decode("utf-8", "replace")
    opening = re.match(r"(?i)(?:f|rf|fr)(\"\"\"|'''|\"|')", line)
    if opening is None or len(opening[1]) == 3:
        return False
    inner = line[opening.end() : -1]
    return re.search(rf"(?<!\\){opening[1]}", inner) is not None


@rule(
    "notebook_magic",
    "error",
    "python",
    explanation="Lines that begin with ! or % work in notebooks only. Packages belong into requirements.txt. In other "
    "files than app_file it is a warning.",
    example="app.py: !pip install gradio",
    has_fix=True,
)
def notebook_magic(context: Context) -> Iterator[Found]:
    """Finds commands of notebooks in Python files."""
    for path, parsed in _files(context):
        if parsed.broken is None:
            continue
        for number, line in enumerate(parsed.lines, 1):
            if not _MAGIC.match(line):
                continue
            indented = line[:1] in " \t"
            fix = None if indented else Fix("Take the line out", False, (Edit(path, "delete", number, line),))
            yield Found(
                f"{quote(line)} is a command of notebooks, no Python.",
                path,
                number,
                "Take the line out; packages belong into requirements.txt.",
                {},
                fix,
                _severity(context, path),
            )
            break


@rule(
    "merge_conflict",
    "error",
    "python",
    explanation="The markers of an unfinished merge are still in the file. In other files than app_file it is a warning.",
    example="<<<<<<< HEAD",
)
def merge_conflict(context: Context) -> Iterator[Found]:
    """Finds the markers of git's merges."""
    for path in context.files:
        text = context.text(path) if context.given(path) and path.lower().endswith(_TEXT_ENDINGS) else None
        if text is None or "<<<<<<< " not in text or "\n>>>>>>> " not in text or "\n=======" not in text:
            continue
        match = _CONFLICT.search(text)
        if match is not None:
            severity: Severity = (
                "error" if path in (context.app_file, "requirements.txt", "Dockerfile", "README.md") else "warning"
            )
            yield Found(
                f"{quote(path)} has the markers of an unfinished merge.",
                path,
                text.count("\n", 0, match.start()) + 1,
                "Finish the merge.",
                severity=severity,
            )


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
            (found.module and f"{beside}{found.top}.py" in context.files) or f"{beside}{found.top}" in context.folders
        )
        fix = None
        if exists and found.module and re.match(r"from \.\w", line):
            fix = _swap(path, found.line, "from .", "from ", "Import it without the dot", safe=True)
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
    for path, parsed in _files(context):
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
            fix = _swap(path, found.line, found.top, name, f"Write {clean(name)}", safe=False)
            yield Found(
                f"{quote(path)} imports {quote(found.top)}, but the file is {quote(real)}.",
                path,
                found.line,
                f"Write {clean(name)}, or rename the file.",
                {"module": clean(found.top), "file": clean(real)},
                fix,
                _severity(context, path) if found.certain else "warning",
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
    for path, parsed in _files(context):
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
    imported = {name for path, parsed in _files(context) for name in parsed.imported if _beside(path) == beside}
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
    explanation="A module is imported whose package neither requirements.txt names nor one of the named packages brings. "
    "Where a package is named of which it is not known what it brings, this is an info.",
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


@rule(
    "path_case",
    "warning",
    "python",
    explanation="Spaces run Linux, which tells capital letters from small ones: the file that the code names exists in "
    "another case only.",
    example='open("Data/x.csv"), and the file is data/x.csv',
    has_fix=True,
)
def path_case(context: Context) -> Iterator[Found]:
    """Finds names of files in the code that differ in case."""
    for path, parsed in _files(context):
        for node in parsed.texts:
            text = str(node.value)
            if not 3 < len(text) < 200 or "." not in text or (" " in text.strip() and "/" not in text):
                continue
            wanted = text.removeprefix("./")
            real = context.folded.get(fold(wanted))
            if real is None or real not in context.files or wanted in context.files or wanted in context.folders:
                continue
            if wanted.lower() != real.lower() or ("/" not in wanted and "." not in wanted):
                continue
            fix = _swap(path, node.lineno, wanted, real, f"Write {clean(real)}", safe=True)
            if wanted not in parsed.line(node.lineno):
                fix = None
            yield Found(
                f"{quote(path)} names {quote(text)}, but the file is {quote(real)}.",
                path,
                node.lineno,
                f"Write {quote(real)}.",
                {"named": clean(text), "file": clean(real)},
                fix,
            )


@rule(
    "path_of_own_computer",
    "warning",
    "python",
    explanation="The code names a path of the computer it was written on; it does not exist in a Space.",
    example=r'open("C:\\Users\\me\\data.csv")',
)
def path_of_own_computer(context: Context) -> Iterator[Found]:
    """Finds absolute paths of the sender's computer."""
    for path, parsed in _files(context):
        for node in parsed.texts:
            text = str(node.value)
            if len(text) < 300 and "\n" not in text and (_WINDOWS_PATH.match(text) or _HOME_PATH.match(text)):
                yield Found(
                    f"{quote(path)} names {quote(text)}, a path of your own computer.",
                    path,
                    node.lineno,
                    "Send the file, and name it by its path in the Space.",
                    {"path": clean(text)},
                )
                break


@rule(
    "debug_mode",
    "warning",
    "python",
    explanation="The debugger of Flask and Dash lets visitors of the page run code when an error occurs.",
    example="app.run(host='0.0.0.0', debug=True)",
    has_fix=True,
)
def debug_mode(context: Context) -> Iterator[Found]:
    """Finds servers that start with a debugger."""
    path = context.app_file or "app.py"
    parsed = context.python(path) if path in context.python_paths else None
    if parsed is None or not parsed.imported & {"flask", "dash"}:
        return
    for call in parsed.calls_of("run", "run_server"):
        if constant(keyword(call, "debug")) is True:
            line = parsed.line(call.lineno)
            fix = (
                _swap(path, call.lineno, "debug=True", "debug=False", "Turn it off", safe=False)
                if "debug=True" in line
                else None
            )
            yield Found(
                f"{quote(path)} starts the server with its debugger.", path, call.lineno, "Write debug=False.", {}, fix
            )


@rule(
    "listens_locally",
    "warning",
    "python",
    explanation="A server on 127.0.0.1 can be reached from inside of its container only; the target asks from outside.",
    example='demo.launch(server_name="127.0.0.1")',
    has_fix=True,
)
def listens_locally(context: Context) -> Iterator[Found]:
    """Finds servers that listen on the local address only."""
    path = context.app_file or started_python(context)
    parsed = context.python(path) if path in context.python_paths and path is not None else None
    for call in parsed.calls_of(*_LISTENERS) if parsed is not None and path is not None else ():
        for name in ("server_name", "host", "address"):
            value = constant(keyword(call, name))
            if value in ("127.0.0.1", "localhost"):
                line = parsed.line(call.lineno) if parsed is not None else ""
                fix = None
                if str(value) in line:
                    fix = _swap(path, call.lineno, str(value), "0.0.0.0", "Listen on all addresses", safe=True)  # noqa: S104 - advice
                yield Found(
                    f"{quote(path)} listens on {value} only, where the target does not reach it.",
                    path,
                    call.lineno,
                    f'Write {name}="0.0.0.0".',
                    {"host": str(value)},
                    fix,
                )


@rule(
    "listens_on_other_port",
    "warning",
    "python",
    explanation="The code listens on another port than the one that the target asks on.",
    example="sdk: gradio with demo.launch(server_port=8080)",
    has_fix=True,
)
def listens_on_other_port(context: Context) -> Iterator[Found]:
    """Finds servers on another port than the target asks on."""
    path = context.app_file or started_python(context)
    if path is None or path not in context.python_paths or context.space_type == "streamlit":
        return
    parsed = context.python(path)
    framework = parsed is not None and bool(
        parsed.imported & {"gradio", "flask", "uvicorn", "dash", "nicegui", "panel"}
    )
    if parsed is None or not framework or (context.dockerfile is not None and context.dockerfile.exposed):
        return
    for call in parsed.calls_of("launch", "run", "run_server"):
        value = constant(keyword(call, "server_port" if "gradio" in parsed.imported else "port"))
        if not isinstance(value, int) or isinstance(value, bool) or value == context.port:
            continue
        if context.sdk == "docker" and not ("app_port" in context.options or context.dockerfile is not None):
            continue
        options = {"app_port": value} if context.sdk == "docker" else {}
        fix = (
            Fix(f"Set app_port to {value}", True, (), options)
            if options and "app_port" not in context.card.values
            else None
        )
        if not options and str(value) in parsed.line(call.lineno):
            fix = _swap(path, call.lineno, str(value), str(context.port), f"Listen on {context.port}", safe=True)
        yield Found(
            f"{quote(path)} listens on port {value}, but the Space is asked for on port {context.port}.",
            path,
            call.lineno,
            f"Listen on port {context.port}" + (f", or set app_port to {value}." if options else "."),
            {"port": value, "asked": context.port},
            fix,
        )


_GONE_IN_4 = {"gr.inputs": "gr", "gr.outputs": "gr", "gr.Box": "gr.Group", "gr.Variable": "gr.State"}


@rule(
    "gradio_removed",
    "warning",
    "python",
    explanation="Parts of Gradio 3 are gone since version 4: gr.inputs, gr.outputs, gr.Box, gr.Variable, .style().",
    example="sdk_version: 5.49.1 with gr.inputs.Textbox()",
    has_fix=True,
)
def gradio_removed(context: Context) -> Iterator[Found]:
    """Finds parts of Gradio that the version of the Space does not have."""
    version = context.card.text_of("sdk_version") or str(context.options.get("sdk_version") or "")
    if context.sdk != "gradio" or not re.match(r"[4-9]\.|\d\d", version):
        return
    for path, parsed in _files(context):
        if "gradio" not in parsed.imported:
            continue
        for node in parsed.nodes:
            if not isinstance(node, ast.Attribute):
                continue
            name = dotted(node).replace("gradio.", "gr.", 1)
            style = (
                node.attr == "style"
                and isinstance(node.value, ast.Call)
                and dotted(node.value.func).startswith(("gr.", "gradio."))
            )
            if name not in _GONE_IN_4 and not style:
                continue
            shown = name or ".style()"
            fix, line = None, parsed.line(node.lineno)
            if name in ("gr.Box", "gr.Variable", "gr.inputs", "gr.outputs") and dotted(node) in line:
                fix = _swap(path, node.lineno, dotted(node), _GONE_IN_4[name], f"Write {_GONE_IN_4[name]}", safe=False)
            yield Found(
                f"{quote(path)} uses {shown}, which Gradio {clean(version)} does not have.",
                path,
                node.lineno,
                "Change the code, or set sdk_version to 3.50.2.",
                {"name": shown, "version": clean(version)},
                fix,
            )
            break


@rule(
    "notebook_broken",
    "warning",
    "python",
    explanation="A notebook is a JSON file; this one cannot be read.",
    example="demo.ipynb that was cut off",
)
def notebook_broken(context: Context) -> Iterator[Found]:
    """Finds notebooks that are no JSON."""
    for path in context.files:
        text = context.text(path) if path.endswith(".ipynb") and context.given(path) else None
        if text is None:
            continue
        try:
            json.loads(text)
        except RecursionError:
            continue
        except ValueError as problem:
            line = problem.lineno if isinstance(problem, json.JSONDecodeError) else 1
            yield Found(
                f"{quote(path)} is no JSON, so that no notebook can be opened.", path, line, "Save the notebook again."
            )
