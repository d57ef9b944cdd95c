"""requirements.txt, pre-requirements.txt, packages.txt and what they refer to (pip documentation; Hub documentation)."""

from __future__ import annotations

import re
from collections.abc import Iterator

from packaging.requirements import InvalidRequirement, Requirement
from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.version import InvalidVersion, Version

from assembler_runner.assembly.preflight.context import Context
from assembler_runner.assembly.preflight.declaration import Found, rule
from assembler_runner.assembly.preflight.dependencies import OTHER_FILES, pyproject_dependencies
from assembler_runner.assembly.preflight.quoting import clean, quote
from assembler_runner.assembly.preflight.requirement_lines import RequirementLine
from assembler_runner.assembly.preflight.tables import (
    CONDA_ONLY,
    FAILING_NAMES,
    GONE_DEBIAN_PACKAGES,
    KNOWN_GRADIO,
    MAC_ONLY_PREFIXES,
    PYTHON_PACKAGE_NAMES,
    RENAMED,
    STDLIB,
    STDLIB_ON_INDEX,
    WINDOWS_ONLY,
)
from assembler_runner.fixes import Edit, Fix

REQUIREMENTS = "requirements.txt"
_PIP_COMMAND = re.compile(r"^[!%$>\s]*(?:sudo\s+)?(?:python3?\s+-m\s+)?pip3?\s+install\s+(.+)$", re.I)
_PIP_FLAGS = re.compile(
    r"\s(?:-U|--upgrade|-q|--quiet|--user|--no-cache-dir|--break-system-packages|-y|--no-deps)(?=\s)"
)
_CONDA_LINE = re.compile(r"^([A-Za-z0-9_.-]+)=([0-9][\w.!]*)(?:=[\w.]+)?$")
_CONDA_TABLE = re.compile(r"^([A-Za-z0-9_.-]+)\s+([0-9][\w.]*)\s+(?:py\S*|h?[0-9a-f_]+\S*|pypi_0)(?:\s+\S+)?$")
_PIP_TABLE = re.compile(r"^([A-Za-z0-9][A-Za-z0-9_.-]*)[ \t]+([0-9][\w.]*)$")
_OWN_COMPUTER = re.compile(r"(?i)\bfile:|^/(?!app/)|(?<![a-z])[a-z]:[\\/]")
_SSH = re.compile(r"git\+ssh://(?:git@)?([\w.-]+)[:/]([\w./-]+)|git\+git@([\w.-]+):([\w./-]+)")
_PYTHON = re.compile(r"(?i)^(python3?|python[-_]version)(?![\w-])\s*([=<>~!]{1,3})?\s*v?(3\.\d{1,2})?")
_CUDA = re.compile(r"\+(cu\d{2,3}|cpu|rocm[\d.]+)$")


def _lines(context: Context, *kinds: str) -> Iterator[RequirementLine]:
    for lines in context.requirements.values():
        for line in lines:
            if not kinds or line.kind in kinds:
                yield line


def _is_used(context: Context) -> bool:
    """Whether pip reads requirements.txt: with the Gradio SDK, a made Dockerfile, or one that names it."""
    return (
        context.sdk == "gradio"
        or context.dockerfile_is_made
        or (
            context.dockerfile is not None
            and any(REQUIREMENTS in found.value for found in context.dockerfile.instructions)
        )
    )


def _replace(line: RequirementLine, new: str, title: str, *, safe: bool) -> Fix | None:
    return Fix(title, safe, (Edit(line.path, "replace", line.line, line.written, new),)) if _one_line(line) else None


def _drop(line: RequirementLine, title: str = "Take the line out", *, safe: bool = True) -> Fix | None:
    return Fix(title, safe, (Edit(line.path, "delete", line.line, line.written),)) if _one_line(line) else None


def _one_line(line: RequirementLine) -> bool:
    return not line.written.endswith("\\") and "\r" not in line.written


def _found(
    line: RequirementLine, message: str, hint: str, fix: Fix | None = None, severity: str | None = None
) -> Found:
    return Found(message, line.path, line.line, hint, {"line": clean(line.text)}, fix, severity)  # type: ignore[arg-type]  # a literal of callers


def _special(line: RequirementLine) -> str:
    """Returns the code that explains a line better than that it cannot be read."""
    if _PIP_COMMAND.match(line.text):
        return "requirement_pip_command"
    if _PYTHON.match(line.text) and not _CONDA_LINE.match(line.text):
        return "requirement_python"
    if _CONDA_LINE.match(line.text) or _CONDA_TABLE.match(line.text):
        return "requirement_conda"
    return "requirement_table" if _PIP_TABLE.match(line.text) else ""


@rule(
    "requirement_syntax",
    "error",
    "requirements",
    explanation="pip stops at a line that is neither a requirement nor an option, and nothing is installed.",
    example="requirements.txt: numpy, pandas",
    has_fix=True,
)
def requirement_syntax(context: Context) -> Iterator[Found]:
    """Finds lines that pip cannot read."""
    for line in _lines(context, "wrong"):
        if _special(line):
            continue
        fix = None
        bare = line.text.strip("\"'` ,;").removeprefix("- ").strip()
        if bare != line.text and _is_requirement(bare):
            fix = _replace(line, bare, f"Write {clean(bare)}", safe=True)
        parts = [part for part in re.split(r"[,;\s]+", line.text) if part]
        if (
            len(parts) > 1
            and all(_is_requirement(part) for part in parts)
            and not re.search(r"[<>=!~]\s|\s[<>=!~]", line.text)
        ):
            fix = _replace(line, "\n".join(parts), "One package a line", safe=True)
        yield _found(
            line, f"{quote(line.text)} is no requirement.", "Write one package a line, such as numpy==2.1.0.", fix
        )


def _is_requirement(text: str) -> bool:
    try:
        Requirement(text)
    except InvalidRequirement:
        return False
    return True


@rule(
    "requirement_pip_command",
    "error",
    "requirements",
    explanation="A requirements file holds names of packages, no commands.",
    example="requirements.txt: pip install numpy",
    has_fix=True,
)
def requirement_pip_command(context: Context) -> Iterator[Found]:
    """Finds `pip install x` as a line."""
    for line in _lines(context, "wrong"):
        match = _PIP_COMMAND.match(line.text)
        if match is None:
            continue
        rest = _PIP_FLAGS.sub(" ", f" {match[1]} ").strip()
        names = rest.split()
        new = rest if rest.startswith("-") or "+" in rest else "\n".join(name.strip("\"'") for name in names)
        good = all(_is_requirement(name) for name in new.split("\n")) or rest.startswith(("-r ", "-e ", "git+"))
        yield _found(
            line,
            f"{quote(line.text)} is a command, no requirement.",
            "Write the names of the packages only.",
            _replace(line, new, "Keep the packages only", safe=True) if good else None,
        )


@rule(
    "requirement_table",
    "error",
    "requirements",
    explanation="The output of `pip list` is a table, which pip does not read; `pip freeze` writes a requirements file.",
    example="requirements.txt: numpy   2.1.0",
    has_fix=True,
)
def requirement_table(context: Context) -> Iterator[Found]:
    """Finds rows of `pip list`."""
    for line in _lines(context, "wrong"):
        match = _PIP_TABLE.match(line.text) if _special(line) == "requirement_table" else None
        if match is not None:
            new = f"{match[1]}=={match[2]}"
            yield _found(
                line,
                f"{quote(line.text)} is a row of a table, no requirement.",
                f"Write {clean(new)}.",
                _replace(line, new, f"Write {clean(new)}", safe=True),
            )


@rule(
    "requirement_conda",
    "error",
    "requirements",
    explanation="conda writes name=version=build; pip reads name==version, and knows only packages of Python.",
    example="requirements.txt: numpy=1.26.4=py311h64a7726_0",
    has_fix=True,
)
def requirement_conda(context: Context) -> Iterator[Found]:
    """Finds lines that conda wrote."""
    for line in _lines(context, "wrong"):
        match = _CONDA_LINE.match(line.text) or _CONDA_TABLE.match(line.text)
        if match is None:
            continue
        name = match[1].lower()
        if name in CONDA_ONLY or name in PYTHON_PACKAGE_NAMES:
            fix, hint = _drop(line), "Take the line out; pip has no such package."
        else:
            new = f"{match[1]}=={match[2]}"
            fix, hint = _replace(line, new, f"Write {clean(new)}", safe=True), f"Write {clean(new)}."
        yield _found(line, f"{quote(line.text)} is a line of conda.", hint, fix)


@rule(
    "requirement_stdlib",
    "error",
    "requirements",
    explanation="Modules of Python's standard library are there already; most have no package, so that pip fails. Where "
    "there is a package of that name it is a warning.",
    example="requirements.txt: sqlite3",
    has_fix=True,
)
def requirement_stdlib(context: Context) -> Iterator[Found]:
    """Finds modules of the standard library."""
    for line in _lines(context, "requirement"):
        name = line.name.replace("-", "_")
        if name not in STDLIB or line.url or name in ("this",):
            continue
        severity = (
            "warning"
            if line.name in STDLIB_ON_INDEX or (line.requirement is not None and line.requirement.marker)
            else None
        )
        yield _found(
            line,
            f"{quote(line.requirement.name if line.requirement else name)} is a part of Python, no package.",
            "Take the line out.",
            _drop(line),
            severity,
        )


@rule(
    "requirement_python",
    "error",
    "requirements",
    explanation="Python is no package of pip; its version belongs into the option python_version.",
    example="requirements.txt: python==3.10",
    has_fix=True,
)
def requirement_python(context: Context) -> Iterator[Found]:
    """Finds Python as a requirement."""
    for line in _lines(context, "requirement", "wrong"):
        match = _PYTHON.match(line.text)
        if match is None or (line.kind == "requirement" and line.name not in PYTHON_PACKAGE_NAMES) or line.url:
            continue
        if line.kind == "wrong" and _special(line) != "requirement_python":
            continue
        exact = match[3] if match[2] in ("==", "=", "===", "~=") else None
        fix = _drop(line)
        if fix is not None and exact and "python_version" in context.options and context.dockerfile is None:
            fix = Fix(
                f"Take the line out and set python_version to {exact}", True, fix.edits, {"python_version": exact}
            )
        hint = "Take the line out, and set the option python_version."
        yield _found(line, f"{quote(line.text)} asks pip for Python, which is no package.", hint, fix)


@rule(
    "requirement_own_computer",
    "error",
    "requirements",
    explanation="`pip freeze` in a conda environment writes paths of the computer it ran on; they exist nowhere else.",
    example="requirements.txt: numpy @ file:///D:/bld/numpy_1610324703282/work",
    has_fix=True,
)
def requirement_own_computer(context: Context) -> Iterator[Found]:
    """Finds paths of the sender's own computer."""
    for line in _lines(context, "requirement", "path", "editable", "url", "wrong"):
        if line.kind == "requirement" and not line.url:
            continue
        address = line.url or line.text
        if line.kind == "wrong" and not re.search(r"(?i)@\s*file:", line.text):
            continue
        if line.kind in ("path", "editable") and not re.search(
            r"(?i)^(?:-e\s+|--editable[= ])?(?:/|[a-z]:[\\/]|file:///)", line.text
        ):
            continue
        if not _OWN_COMPUTER.search(address):
            continue
        name = line.requirement.name if line.requirement is not None else line.text.partition("@")[0].strip()
        fix = None
        if re.fullmatch(r"[A-Za-z0-9][\w.-]*(\[[\w,]+\])?", name):
            marker = f" ; {line.requirement.marker}" if line.requirement is not None and line.requirement.marker else ""
            fix = _replace(line, name + marker, f"Write {clean(name)}", safe=True)
        if line.name and line.name in CONDA_ONLY:
            fix = _drop(line)
        yield _found(
            line,
            f"{quote(line.text)} is a path of your own computer.",
            "Write the name and the version of the package, such as numpy==2.1.0.",
            fix,
        )


@rule(
    "requirement_windows_only",
    "error",
    "requirements",
    explanation="Spaces run Linux; packages for Windows or macOS cannot be installed there. A marker leaves them out.",
    example="requirements.txt: pywin32==306",
    has_fix=True,
)
def requirement_windows_only(context: Context) -> Iterator[Found]:
    """Finds packages that only Windows or macOS have."""
    for line in _lines(context, "requirement"):
        windows, mac = line.name in WINDOWS_ONLY, line.name.startswith(MAC_ONLY_PREFIXES)
        if not (windows or mac) or line.requirement is None or line.requirement.marker is not None:
            continue
        system, platform = ("Windows", "win32") if windows else ("macOS", "darwin")
        new = f'{line.text} ; sys_platform == "{platform}"'
        hint = f'Take the line out, or write {clean(line.requirement.name)} ; sys_platform == "{platform}".'
        yield _found(
            line,
            f"{quote(line.requirement.name)} exists for {system} only; a Space runs Linux.",
            hint,
            _replace(line, new, f"Install it on {system} only", safe=True),
        )


@rule(
    "requirement_file_missing",
    "error",
    "requirements",
    explanation="pip stops when a file that -r or -c names does not exist.",
    example="requirements.txt: -r requirements/base.txt, which was not sent",
)
def requirement_file_missing(context: Context) -> Iterator[Found]:
    """Finds included files that do not exist."""
    for line in _lines(context, "include", "constraint"):
        if line.target is None or line.target in context.files:
            continue
        near = _near(context, line.target)
        hint = f"The file is named {near}." if near else f"Send {quote(line.target)}, or take the line out."
        yield _found(line, f"{quote(line.target)} is not among the files.", hint)


def _near(context: Context, path: str) -> str | None:
    from assembler_runner.assembly.preflight.context import fold

    found = context.folded.get(fold(path))
    return quote(found) if found is not None and found != path else None


@rule(
    "requirement_path_missing",
    "error",
    "requirements",
    explanation="A local package, an archive or a folder, has to be sent with the other files.",
    example="requirements.txt: ./wheels/tool-1.0-py3-none-any.whl, which was not sent",
)
def requirement_path_missing(context: Context) -> Iterator[Found]:
    """Finds local packages that were not sent."""
    for line in _lines(context, "path", "editable"):
        target = line.target
        if target is None or target.startswith("/") or re.match(r"(?i)^[a-z]:|^file:", target):
            continue
        if target == "":
            exists = any(name in context.files for name in ("setup.py", "pyproject.toml", "setup.cfg"))
            if exists:
                continue
            yield _found(
                line,
                f"{quote(line.text)} installs the Space itself, which has no pyproject.toml.",
                "Take the line out.",
            )
            continue
        if target.startswith("../"):
            yield _found(
                line, f"{quote(line.text)} leads out of the Space.", "Send the package below the Space's top folder."
            )
        elif target not in context.files and target not in context.folders:
            yield _found(line, f"{quote(target)} is not among the files.", "Send it, or name a package of the index.")


@rule(
    "requirement_include_on_sdk",
    "warning",
    "requirements",
    explanation="With the Gradio SDK the Hub installs requirements.txt before the other files are copied: what it refers "
    "to in the Space does not exist then. Its lines can be written into requirements.txt.",
    example="sdk: gradio with requirements.txt: -r requirements/base.txt",
    has_fix=True,
)
def requirement_include_on_sdk(context: Context) -> Iterator[Found]:
    """Finds references to other files of the Space where only requirements.txt exists during the installation."""
    if context.sdk != "gradio":
        return
    for line in _lines(context, "include", "editable", "path", "constraint"):
        if (
            line.path not in (REQUIREMENTS, "pre-requirements.txt")
            or line.target is None
            or line.target.startswith(("/", "../"))
        ):
            continue
        if line.kind in ("include", "constraint") and line.target not in context.files:
            continue
        fix = None
        if line.kind == "include" and (inlined := _inlined(context, line.target, {line.path})) is not None:
            fix = _replace(line, inlined, f"Write the lines of {clean(line.target)} here", safe=True)
        yield _found(
            line,
            f"{quote(line.text)} refers to another file, which does not exist when the Hub installs.",
            "Write the packages into requirements.txt itself.",
            fix,
        )


def _inlined(context: Context, path: str, seen: set[str]) -> str | None:
    lines = context.requirements.get(path)
    if lines is None or path in seen or len(seen) > 10:
        return None
    found = []
    for line in lines:
        if line.kind == "include" and line.target is not None:
            inner = _inlined(context, line.target, {*seen, path})
            if inner is None:
                return None
            found.append(inner)
        elif line.kind in ("editable", "path", "constraint") or not _one_line(line):
            return None
        else:
            found.append(line.text)
    return "\n".join(found) or None


def gradio_version(context: Context) -> str | None:
    """Returns the Gradio version that requirements.txt asks for, to be written as `sdk_version`.

    Args:
        context: the Space.
    Returns:
        The pinned version; of a range without the service's own version the newest known one inside; None where
        requirements.txt asks for none.
    """
    for line in _lines(context, "requirement"):
        if line.name != "gradio" or line.requirement is None or line.url:
            continue
        specifier = line.requirement.specifier
        pinned = next(
            (spec.version for spec in specifier if spec.operator in ("==", "===") and "*" not in spec.version), None
        )
        if pinned is not None:
            return pinned
        if len(specifier):
            return next((version for version in KNOWN_GRADIO if specifier.contains(version, prereleases=True)), None)
    return None


@rule(
    "sdk_version_conflict",
    "error",
    "requirements",
    explanation="The Hub installs the Gradio of sdk_version together with requirements.txt. Where both name different "
    "versions pip finds no solution and the build fails.",
    example="sdk_version: 5.49.1 with requirements.txt: gradio==4.44.1",
    has_fix=True,
)
def sdk_version_conflict(context: Context) -> Iterator[Found]:
    """Finds a pin of Gradio that contradicts `sdk_version`."""
    version = context.card.text_of("sdk_version")
    if context.sdk != "gradio" or version is None:
        return
    for line in _lines(context, "requirement"):
        if line.name != "gradio" or line.requirement is None or not len(line.requirement.specifier):
            continue
        try:
            fits = line.requirement.specifier.contains(Version(version), prereleases=True)
        except InvalidVersion:
            continue
        if fits:
            continue
        extras = f"[{','.join(sorted(line.requirement.extras))}]" if line.requirement.extras else ""
        fix = _replace(line, f"gradio{extras}", "Let sdk_version decide", safe=False)
        message = f"{quote(line.text)} and sdk_version: {clean(version)} of README.md contradict each other."
        yield _found(line, message, "Name the version in one of the two places, or the same in both.", fix)


@rule(
    "requirement_hashes",
    "warning",
    "requirements",
    explanation="With hashes pip wants one for every package; the Hub adds Gradio itself without a hash, so that pip fails.",
    example="sdk: gradio with requirements.txt: numpy==2.1.0 --hash=sha256:…",
)
def requirement_hashes(context: Context) -> Iterator[Found]:
    """Finds hashes where the SDK adds packages."""
    if context.sdk == "gradio":
        for line in _lines(context, "requirement"):
            if "--hash" in line.text:
                yield _found(
                    line, "requirements.txt has hashes, and the Hub adds packages without them.", "Take the hashes out."
                )
                return


@rule(
    "requirement_twice",
    "error",
    "requirements",
    explanation="pip finds no solution for two lines that want different versions of one package.",
    example="requirements.txt: numpy==1.26.4 and numpy==2.1.0",
    has_fix=True,
)
def requirement_twice(context: Context) -> Iterator[Found]:
    """Finds lines about one package that contradict each other."""
    seen: dict[str, tuple[SpecifierSet, RequirementLine]] = {}
    for line in _lines(context, "requirement"):
        requirement = line.requirement
        if requirement is None or requirement.marker is not None or line.path == "pre-requirements.txt":
            continue
        if line.name not in seen:
            seen[line.name] = (requirement.specifier, line)
            continue
        both, first = seen[line.name][0] & requirement.specifier, seen[line.name][1]
        try:
            contradict = both.is_unsatisfiable()
        except InvalidSpecifier:
            continue
        if contradict:
            yield _found(
                line,
                f"{quote(line.text)} contradicts {quote(first.text)} in line {first.line}.",
                "Keep one of the two lines.",
                _drop(line, safe=False),
            )
        else:
            seen[line.name] = (both, first)


@rule(
    "requirement_ssh",
    "error",
    "requirements",
    explanation="A build has no SSH key, so that it cannot clone by SSH.",
    example="requirements.txt: git+ssh://git@github.com/owner/tool.git",
    has_fix=True,
)
def requirement_ssh(context: Context) -> Iterator[Found]:
    """Finds repositories that are cloned by SSH."""
    for line in _lines(context, "requirement", "url", "editable", "wrong"):
        match = _SSH.search(line.text)
        if match is not None:
            new = line.text.replace(
                match[0], f"git+https://{match[1] or match[3]}/{(match[2] or match[4]).lstrip('/')}", 1
            )
            yield _found(
                line,
                f"{quote(line.text)} is cloned by SSH, for which a build has no key.",
                "Write git+https:// for a public repository.",
                _replace(line, new, "Clone by HTTPS", safe=False),
            )


@rule(
    "requirement_encoding",
    "warning",
    "requirements",
    explanation="`pip freeze > requirements.txt` in PowerShell writes UTF-16, which not every tool reads.",
    example="requirements.txt in UTF-16",
)
def requirement_encoding(context: Context) -> Iterator[Found]:
    """Finds requirement files in UTF-16."""
    for path in context.requirements:
        head = context.head(path)
        if head.startswith((b"\xff\xfe", b"\xfe\xff")):
            yield Found(f"{quote(path)} is in UTF-16.", path, None, "Save it as UTF-8.")


@rule(
    "requirements_name",
    "warning",
    "requirements",
    explanation="Only requirements.txt at the top of the Space is installed, written exactly so.",
    example="requirement.txt",
    has_fix=True,
)
def requirements_name(context: Context) -> Iterator[Found]:
    """Finds a requirements file under a similar name."""
    if context.given(REQUIREMENTS) or not (context.sdk == "gradio" or context.dockerfile_is_made):
        return
    for path in context.files:
        name = re.sub(r"[^a-z.]", "", path.lower())
        if "/" not in path and name in (
            REQUIREMENTS,
            "requirement.txt",
            "requirements",
            "requirements.text",
            "requirments.txt",
        ):
            text = context.text(path)
            fix = None
            if text is not None:
                fix = Fix(
                    "Name it requirements.txt",
                    True,
                    (Edit(REQUIREMENTS, "write", None, None, text), Edit(path, "delete")),
                )
            yield Found(
                f"{quote(path)} is not installed; only requirements.txt is.",
                path,
                None,
                "Name it requirements.txt.",
                {},
                fix,
            )


@rule(
    "requirement_renamed",
    "error",
    "requirements",
    explanation="Some packages are named otherwise than the module that is imported; the name of the module is no "
    "package, or one that cannot be installed. Where it is another package it is a warning.",
    example="requirements.txt: cv2",
    has_fix=True,
)
def requirement_renamed(context: Context) -> Iterator[Found]:
    """Finds names of modules where names of packages belong."""
    for line in _lines(context, "requirement"):
        other = RENAMED.get(line.name)
        if other is None or line.url or line.requirement is None or line.name in ("bs4", "magic", "zmq", "jwt", "gi"):
            continue
        fails = line.name in FAILING_NAMES
        if not fails and len(line.requirement.specifier):
            continue
        fix = _replace(line, other, f"Write {other}", safe=fails)
        yield _found(
            line,
            f"{quote(line.requirement.name)} is the name of a module; the package is {other}.",
            f"Write {other}.",
            fix,
            None if fails else "warning",
        )


@rule(
    "requirement_build_tag",
    "warning",
    "requirements",
    explanation="Versions such as 2.4.0+cu121 are not on the index; pip needs the address they are at.",
    example="requirements.txt: torch==2.4.0+cu121 without --extra-index-url",
    has_fix=True,
)
def requirement_build_tag(context: Context) -> Iterator[Found]:
    """Finds builds of PyTorch that the index does not have."""
    for path, lines in context.requirements.items():
        if any(
            line.kind == "option" and re.match(r"--(extra-)?index-url|-f|--find-links|-i", line.text) for line in lines
        ):
            continue
        for line in lines:
            match = _CUDA.search(line.text.partition(";")[0].strip()) if line.kind == "requirement" else None
            if match is not None and line.name.startswith("torch"):
                index = f"--extra-index-url https://download.pytorch.org/whl/{match[1]}"
                yield _found(
                    line,
                    f"{quote(line.text)} is not on the index.",
                    f"Add the line {index}.",
                    Fix("Add the address", False, (Edit(path, "append_line", None, None, index),)),
                )


@rule(
    "dependencies_elsewhere",
    "warning",
    "requirements",
    explanation="The Hub, and the Dockerfile that is made, install requirements.txt only. Dependencies of pyproject.toml, "
    "Pipfile, environment.yml or setup.py are not installed.",
    example="pyproject.toml with dependencies and no requirements.txt",
    has_fix=True,
)
def dependencies_elsewhere(context: Context) -> Iterator[Found]:
    """Finds dependencies that are named in another file only."""
    if context.given(REQUIREMENTS) or not (context.sdk == "gradio" or context.dockerfile_is_made):
        return
    named = [path for path in OTHER_FILES if context.given(path)]
    named = [path for path in named if path != "pyproject.toml" or pyproject_dependencies(context.text(path) or "")]
    if not named:
        return
    path, fix = named[0], None
    made = context.files.get(REQUIREMENTS)
    wanted = pyproject_dependencies(context.text("pyproject.toml") or "") if "pyproject.toml" in named else []
    if wanted:
        if made is not None and all(entry in made.text().splitlines() for entry in wanted):
            return
        fix = Fix(
            "Write them into requirements.txt",
            True,
            (Edit(REQUIREMENTS, "write", None, None, "\n".join(wanted) + "\n"),),
        )
    shown = ", ".join(clean(name) for name in named)
    yield Found(
        f"The dependencies are named in {shown}; only requirements.txt is installed.",
        path,
        None,
        "Write the packages into requirements.txt, one a line.",
        {"files": named},
        fix,
    )


@rule(
    "requirements_unused",
    "info",
    "requirements",
    explanation="A Dockerfile of one's own installs what it says; this one does not mention requirements.txt.",
    example="requirements.txt beside a Dockerfile without pip install",
)
def requirements_unused(context: Context) -> Iterator[Found]:
    """Finds requirements.txt and packages.txt beside a Dockerfile that does not use them."""
    if context.dockerfile is None:
        return
    text = " ".join(found.value for found in context.dockerfile.instructions)
    for name in (REQUIREMENTS, "packages.txt", "pre-requirements.txt"):
        scripted = "setup" in text or ".sh" in text or "make " in text
        if context.given(name) and name not in text and not scripted and "requirements" not in text:
            yield Found(
                f"The Dockerfile does not use {name}.",
                name,
                None,
                f"Install it in the Dockerfile, or leave {name} out.",
            )


@rule(
    "packages_line",
    "error",
    "requirements",
    explanation="packages.txt holds names of Debian packages and nothing else: every word is handed to apt-get.",
    example="packages.txt: # for audio",
    has_fix=True,
)
def packages_line(context: Context) -> Iterator[Found]:
    """Finds comments and commands in packages.txt."""
    text = context.text("packages.txt") if context.given("packages.txt") and context.sdk == "gradio" else None
    for number, row in enumerate((text or "").split("\n")[:2000], 1):
        line = row.rstrip("\r")
        if re.match(r"\s*#", line):
            fix = Fix("Take the comment out", True, (Edit("packages.txt", "delete", number, line),))
            yield Found(
                f"{quote(line)} is a comment, which apt-get takes for packages.",
                "packages.txt",
                number,
                "Take the line out.",
                {"line": clean(line)},
                fix,
            )
            continue
        command = re.match(r"\s*(?:sudo\s+)?apt(?:-get)?\s+(?:-y\s+)?install\s+(?:-y\s+|--yes\s+)?(.+)$", line)
        if command is not None:
            fix = Fix(
                "Keep the packages only", True, (Edit("packages.txt", "replace", number, line, command[1].strip()),)
            )
            yield Found(
                f"{quote(line)} is a command, no package.", "packages.txt", number, "Write the names only.", {}, fix
            )
            continue
        comment = re.match(r"\s*(\S[^#]*?)\s+#", line)
        if comment is not None:
            fix = Fix("Take the comment out", True, (Edit("packages.txt", "replace", number, line, comment[1]),))
            yield Found(
                f"{quote(line)} has a comment, which apt-get takes for packages.",
                "packages.txt",
                number,
                "Take the comment out.",
                {},
                fix,
            )


@rule(
    "packages_gone",
    "warning",
    "requirements",
    explanation="The images of today are built on Debian 13, which does not have some older packages any more.",
    example="packages.txt: libgl1-mesa-glx",
    has_fix=True,
)
def packages_gone(context: Context) -> Iterator[Found]:
    """Finds Debian packages that do not exist any more."""
    text = context.text("packages.txt") if context.given("packages.txt") else None
    for number, row in enumerate((text or "").split("\n")[:2000], 1):
        for word in row.split():
            other = GONE_DEBIAN_PACKAGES.get(word)
            if other is not None:
                fix = Fix(f"Write {other}", True, (Edit("packages.txt", "replace", number, word, other),))
                yield Found(
                    f"The package {word} does not exist in Debian 13; its successor is {other}.",
                    "packages.txt",
                    number,
                    f"Write {other}.",
                    {"package": word},
                    fix,
                )


@rule(
    "packages_line_ends",
    "error",
    "requirements",
    explanation="With line ends of Windows every name in packages.txt ends with a character that apt-get does not know.",
    example="packages.txt saved on Windows",
    has_fix=True,
)
def packages_line_ends(context: Context) -> Iterator[Found]:
    """Finds Windows line ends in packages.txt."""
    text = context.text("packages.txt") if context.given("packages.txt") and context.sdk == "gradio" else None
    if text and "\r\n" in text:
        fix = Fix(
            "Write Unix line ends", True, (Edit("packages.txt", "write", None, text, text.replace("\r\n", "\n")),)
        )
        yield Found(
            "packages.txt has line ends of Windows.", "packages.txt", 1, "Save it with Unix line ends (LF).", {}, fix
        )
