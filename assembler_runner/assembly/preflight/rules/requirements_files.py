"""Files that requirements refer to, and dependencies in other files (pip documentation; Hub documentation)."""

from __future__ import annotations

import re
from collections.abc import Iterator

from assembler_runner.assembly.preflight.context import Context
from assembler_runner.assembly.preflight.declaration import Found, rule
from assembler_runner.assembly.preflight.dependencies import OTHER_FILES, pyproject_dependencies
from assembler_runner.assembly.preflight.quoting import clean, quote
from assembler_runner.assembly.preflight.requirement_fixes import (
    REQUIREMENTS,
    at_line,
    is_one_line,
    lines_of,
    replace_line,
)
from assembler_runner.assembly.preflight.tables import (
    GONE_DEBIAN_PACKAGES,
)
from assembler_runner.core.fixes import Edit, Fix


@rule(
    "requirement_file_missing",
    "error",
    "requirements",
    explanation="pip stops when a file that -r or -c names does not exist.",
    example="requirements.txt: -r requirements/base.txt, which was not sent",
)
def requirement_file_missing(context: Context) -> Iterator[Found]:
    """Finds included files that do not exist."""
    for line in lines_of(context, "include", "constraint"):
        if line.target is None or line.target in context.files:
            continue
        near = _near(context, line.target)
        hint = f"The file is named {near}." if near else f"Send {quote(line.target)}, or take the line out."
        yield at_line(line, f"{quote(line.target)} is not among the files.", hint)


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
    for line in lines_of(context, "path", "editable"):
        target = line.target
        if target is None or target.startswith("/") or re.match(r"(?i)^[a-z]:|^file:", target):
            continue
        if target == "":
            exists = any(name in context.files for name in ("setup.py", "pyproject.toml", "setup.cfg"))
            if exists:
                continue
            yield at_line(
                line,
                f"{quote(line.text)} installs the Space itself, which has no pyproject.toml.",
                "Take the line out.",
            )
            continue
        if target.startswith("../"):
            yield at_line(
                line, f"{quote(line.text)} leads out of the Space.", "Send the package below the Space's top folder."
            )
        elif target not in context.files and target not in context.folders:
            yield at_line(line, f"{quote(target)} is not among the files.", "Send it, or name a package of the index.")


@rule(
    "requirement_include_on_sdk",
    "warning",
    "requirements",
    explanation="With the Gradio SDK the Hub installs requirements.txt before the other files are copied: what it "
    "refers to in the Space does not exist then. Its lines can be written into requirements.txt.",
    example="sdk: gradio with requirements.txt: -r requirements/base.txt",
    has_fix=True,
)
def requirement_include_on_sdk(context: Context) -> Iterator[Found]:
    """Finds references to other files of the Space where only requirements.txt exists during the installation."""
    if context.sdk != "gradio":
        return
    for line in lines_of(context, "include", "editable", "path", "constraint"):
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
            fix = replace_line(line, inlined, f"Write the lines of {clean(line.target)} here", safe=True)
        yield at_line(
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
        elif line.kind in ("editable", "path", "constraint") or not is_one_line(line):
            return None
        else:
            found.append(line.text)
    return "\n".join(found) or None


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
        if (
            "/" not in path
            and context.given(path)
            and name
            in (
                REQUIREMENTS,
                "requirement.txt",
                "requirements",
                "requirements.text",
                "requirments.txt",
            )
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
    "dependencies_elsewhere",
    "warning",
    "requirements",
    explanation="The Hub, and the Dockerfile that is made, install requirements.txt only. Dependencies of "
    "pyproject.toml, Pipfile, environment.yml or setup.py are not installed.",
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
    explanation="With line ends of Windows every name in packages.txt ends with a character that apt-get does not "
    "know.",
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
