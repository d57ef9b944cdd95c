"""Decisions that a pattern cannot make: missing modules, names and programs, servers that are not found."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

from assembler_runner.core.fixes import Fix
from assembler_runner.runtime.causes.context import Context
from assembler_runner.runtime.causes.modules import is_standard, project_name, project_of, provider_of
from assembler_runner.runtime.causes.package_names import GONE_FROM_PYTHON, NEW_IN_PYTHON, PYTHON_PROGRAMS, SUCCESSORS
from assembler_runner.runtime.causes.repairs import require
from assembler_runner.runtime.causes.tracebacks import Failure

REQUIREMENTS = "requirements.txt"
_ALTERNATIVE_NODE = re.compile(r"^[./]|^@/|^~/|^src/|\.(?:[cm]?[jt]sx?|json|css|vue)$")
_IMPORTING = re.compile(r"importlib|^<frozen")
_SERVERS = re.compile(
    r"gunicorn/(?:util|app/\w+)\.py|uvicorn/(?:importer|config)\.py|hypercorn/utils\.py|flask/cli\.py|daphne/cli\.py"
    r"|waitress/runner\.py|celery/(?:utils/imports|bin/celery|app/utils)\.py|granian/.*load|fastapi_cli/discover\.py"
)
_INSTALLED_BY = (
    "In a Space with its own Dockerfile this file must be installed there (RUN pip install -r requirements.txt)."
)


@dataclass(frozen=True)
class Answer:
    """What a solver found; None leaves the rule's own word.

    Args:
        code, message, hint, path: in place of those of the rule; captured names in braces.
        values: further captured values, such as names of files; they are quoted.
        own: further words of our own; they are not.
        fix: how to repair it.
    """

    code: str | None = None
    message: str | None = None
    hint: str | None = None
    path: str | None = None
    values: Mapping[str, str] = field(default_factory=dict)
    own: Mapping[str, str] = field(default_factory=dict)
    fix: Fix | None = None


def solve_module(values: Mapping[str, str], context: Context, failure: Failure | None) -> Answer:
    """Tells a missing package from a file of the Space, a module that left Python or one that left its package."""
    module = values["module"]
    top = module.partition(".")[0]
    if failure and "is not a package" in failure.text.partition("\n")[0]:
        return Answer(
            "module_shadowed",
            "A file of the Space has the name of a package, so {module} is not found.",
            "Rename the file that has the name of the package (and delete its __pycache__).",
            values={"top": top},
        )
    if failure and _is_start_command(failure):
        return replace(
            solve_app_module(values, context, failure) if context.files else Answer(),
            code="wrong_app_module",
            message="The start command names the module {module}, which does not exist in the app's folder.",
            path="Dockerfile" if context.is_docker else None,
        )
    if top in GONE_FROM_PYTHON or top == "pyaudioop":
        return _gone(top, context)
    if own := _own_file(module, context):
        return Answer(
            "local_module_not_found",
            "The Python module {module} is the file {own_file}, but Python does not find it there.",
            "Import it by its full path from the app's folder (as in src.helper), or move it beside the app file.",
            path=own,
            values={"own_file": own},
        )
    if top in ("tkinter", "_tkinter", "turtle"):
        return Answer(
            "no_display", "The app opens windows (tkinter), and a Space has no display.", "Show them on the web page."
        )
    if top in (
        "winreg",
        "msvcrt",
        "_winapi",
        "winsound",
        "win32api",
        "win32com",
        "win32gui",
        "win32con",
        "pythoncom",
        "wmi",
        "win10toast",
    ):
        return Answer(
            "windows_only",
            "{module} exists on Windows only, and Spaces run on Linux.",
            "Take the import out, or import it only where sys.platform is win32.",
        )
    return _package(module, context)


def _is_start_command(failure: Failure) -> bool:
    """Whether a server looked for the module that its command line names, not the app for one that it imports."""
    frames = [frame.file for frame in failure.frames if not _IMPORTING.search(frame.file)]
    return bool(frames) and bool(_SERVERS.search(frames[-1]))


def _gone(top: str, context: Context) -> Answer:
    name = "audioop" if top == "pyaudioop" else top
    package = SUCCESSORS.get(name, "")
    more = f" Or add the line {package} to requirements.txt." if package else ""
    return Answer(
        "wrong_python",
        f"Python {GONE_FROM_PYTHON[name]} and newer has no module {name} any more; "
        "the app or one of its packages needs it.",
        f"Use newer versions of the packages, or set python_version below {GONE_FROM_PYTHON[name]} "
        f"(option of the type, README.md, or FROM in the Dockerfile).{more}",
        path="README.md",
        fix=require(package, context),
    )


def _package(module: str, context: Context) -> Answer:
    provider = provider_of(module)
    if provider.moved:
        top = module.partition(".")[0]
        distribution = project_of(top)
        name = project_name(distribution) if distribution else top
        hint = provider.advice or (
            "Pin the version of {distribution} that the code was written for in requirements.txt, "
            "or import from where it is now; where the Space has a file or folder of the package's name, rename that."
        )
        message = "The installed version of {top} has no module {module}."
        return Answer("incompatible_versions", message, hint, own={"distribution": name}, values={"top": top})
    if provider.advice:
        return Answer(hint=provider.advice)
    requirement = provider.requirement
    if requirement is None:
        if newer := NEW_IN_PYTHON.get(module.partition(".")[0]):
            return Answer(
                "wrong_python",
                "The module {module} belongs to Python {newer} and newer, and the Space has an older one.",
                "Set python_version to {newer} or newer "
                "(option of the type or README.md; in a Dockerfile the FROM line).",
                path="README.md",
                own={"newer": newer},
            )
        if is_standard(module):
            return Answer(
                code="missing_module",
                message="The module {module} of Python itself is missing in this image.",
                hint="Use an official python image (FROM python:3.12-slim).",
            )
        return Answer(
            hint="Find out which package provides it (its page on PyPI or its documentation says what to import) "
            "and add that package to requirements.txt; if it is a file of yours, send it with the Space."
        )
    if context.requirement(project_name(requirement)):
        return Answer(
            message="The Python module {module} is not installed, though requirements.txt names its package.",
            hint=f"Check in the build log that requirements.txt is installed. {_INSTALLED_BY}"
            if context.is_docker
            else "Rebuild the Space, and check in the build log that requirements.txt is installed.",
        )
    hint = f"Add the line {requirement} to requirements.txt."
    if "Dockerfile" in context.files:
        hint = f"{hint} {_INSTALLED_BY}"
    return Answer(hint=hint, fix=require(requirement, context))


def _own_file(module: str, context: Context) -> str | None:
    """Returns the file of the Space that a module is, unless a well-known package has its name."""
    name = module.replace(".", "/")
    found = sorted(path for path in context.files if f"/{path}".endswith((f"/{name}.py", f"/{name}/__init__.py")))
    if not found or (project_of(module) and "/" in found[0].removesuffix("/__init__.py")):
        return None
    return found[0]


def solve_import_name(values: Mapping[str, str], context: Context, failure: Failure | None) -> Answer:
    """Names the package whose version does not fit, and a file of the Space that hides it."""
    module = values["module"]
    top = module.partition(".")[0]
    known = project_of(top)
    name = project_name(known) if known else top
    place = values.get("place", "")
    if own := context.find(place) if place and "-packages" not in place else None:
        return Answer(
            "own_name_missing",
            "The file {own_file} of the Space has no {name}.",
            "Correct the name in the import, define it in that file, "
            "or rename the file if it has the name of a package.",
            path=own,
            values={"own_file": own},
        )
    if top in ("typing", "collections", "enum", "functools", "dataclasses"):
        return Answer(
            "wrong_python",
            "The module {module} of this Python version has no {name}.",
            "Set another python_version (option of the type or README.md; in a Dockerfile the FROM line), "
            "or update the package that imports it.",
            path="README.md",
        )
    return Answer(own={"distribution": name})


def solve_app_module(values: Mapping[str, str], context: Context, failure: Failure | None) -> Answer:
    """Names the file that the start command may mean."""
    module = values["module"]
    path = module.replace(".", "/") + ".py"
    apps = sorted(one for one in context.files if one.endswith(".py"))
    nested = [one for one in apps if one.endswith(f"/{path}")]
    if len(nested) == 1:
        dotted = nested[0].removesuffix(".py").replace("/", ".")
        return Answer(
            hint="Write {start} in the start command: the file is {own_file}.",
            values={"start": f"{dotted}:app", "own_file": nested[0]},
        )
    if path not in context.files and len([one for one in apps if "/" not in one]) == 1:
        only = next(one for one in apps if "/" not in one)
        return Answer(
            hint="Write {start} in the start command for {own_file}: "
            "the name before the colon is the file's name without .py.",
            values={"start": f"{only.removesuffix('.py')}:app", "own_file": only},
        )
    if path in context.files:
        return Answer(
            message="The start command names the module {module}, "
            "which is not found in the folder where the app is started.",
            hint="Check that the Dockerfile copies the file there (COPY, WORKDIR), "
            "or that the module imports no package that is missing.",
        )
    return Answer(
        hint="Correct the module in the start command: the name before the colon is the file's name without .py, "
        "as app:app for app.py and main:app for main.py, from the folder where the app is started."
    )


def solve_python_program(values: Mapping[str, str], context: Context, failure: Failure | None) -> Answer:
    """Names the Python package of a program."""
    program = values["program"].rpartition("/")[2]
    package = PYTHON_PROGRAMS.get(program, program)
    if known := context.requirement(project_name(package)):
        return Answer(
            message="{program} is not found, though requirements.txt names its package: "
            "it is not installed in the image, or not on the PATH.",
            hint=f"{_INSTALLED_BY} Or start it with python -m (and check PATH after pip install --user).",
            own={"distribution": known[1].strip()},
        )
    hint = f"Add the line {package} to requirements.txt."
    if context.is_docker:
        hint = f"{hint} {_INSTALLED_BY}"
    return Answer(hint=hint, own={"distribution": package}, fix=require(package, context))


def solve_node_module(values: Mapping[str, str], context: Context, failure: Failure | None) -> Answer:
    """Tells a package of Node from a file of the Space."""
    module = values["module"]
    if not _ALTERNATIVE_NODE.search(module):
        return Answer()
    return Answer(
        "node_file_missing",
        "The file {module} that the code loads is not found.",
        "Send it with the Space, copy it in the Dockerfile, build it before the start (RUN npm run build), "
        "and check path and case.",
    )


def solve_version(values: Mapping[str, str], context: Context, failure: Failure | None) -> Answer:
    """Tells a version that needs another Python from one that does not exist."""
    _, found, version = values["requirement"].partition("==")
    if not found or re.search(rf"(?:^|[ ;,]){re.escape(version.rstrip('.*'))}", values.get("ignored", "")):
        return Answer()
    return Answer(
        "no_matching_distribution",
        "There is no version {requirement}.",
        "Check the version on PyPI, or leave it out.",
        path=REQUIREMENTS,
    )


def solve_debian_package(values: Mapping[str, str], context: Context, failure: Failure | None) -> Answer:
    """Tells a Python package in packages.txt from a wrong name."""
    name = values["package"]
    if not (project_of(name.replace("-", "_")) or name in PYTHON_PROGRAMS):
        return Answer()
    return Answer(
        message="There is no Debian package {package}; a Python package has this name.",
        hint="Write it into requirements.txt; packages.txt and apt-get are for Debian packages.",
    )


SOLVERS: Mapping[str, Callable[[Mapping[str, str], Context, Failure | None], Answer]] = {
    "module": solve_module,
    "import_name": solve_import_name,
    "app_module": solve_app_module,
    "python_program": solve_python_program,
    "node_module": solve_node_module,
    "version": solve_version,
    "debian_package": solve_debian_package,
}
