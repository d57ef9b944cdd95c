"""requirements.txt: packages and versions that cannot be installed."""

from __future__ import annotations

import re
from collections.abc import Iterator

from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.version import InvalidVersion, Version

from assembler_runner.assembly.preflight.context import Context
from assembler_runner.assembly.preflight.declaration import Found, rule
from assembler_runner.assembly.preflight.quoting import clean, quote
from assembler_runner.assembly.preflight.requirement_fixes import at_line, drop_line, lines_of, replace_line
from assembler_runner.assembly.preflight.requirement_lines import RequirementLine
from assembler_runner.assembly.preflight.tables import (
    FAILING_NAMES,
    KNOWN_GRADIO,
    MAC_ONLY_PREFIXES,
    RENAMED,
    WINDOWS_ONLY,
)
from assembler_runner.core.fixes import Edit, Fix

_SSH = re.compile(r"git\+ssh://(?:git@)?([\w.-]+)[:/]([\w./-]+)|git\+git@([\w.-]+):([\w./-]+)")


_CUDA = re.compile(r"\+(cu\d{2,3}|cpu|rocm[\d.]+)$")


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
    for line in lines_of(context, "requirement"):
        windows, mac = line.name in WINDOWS_ONLY, line.name.startswith(MAC_ONLY_PREFIXES)
        if not (windows or mac) or line.requirement is None or line.requirement.marker is not None:
            continue
        system, platform = ("Windows", "win32") if windows else ("macOS", "darwin")
        new = f'{line.text} ; sys_platform == "{platform}"'
        hint = f'Take the line out, or write {clean(line.requirement.name)} ; sys_platform == "{platform}".'
        yield at_line(
            line,
            f"{quote(line.requirement.name)} exists for {system} only; a Space runs Linux.",
            hint,
            replace_line(line, new, f"Install it on {system} only", safe=True),
        )


def gradio_version(context: Context) -> str | None:
    """Returns the Gradio version that requirements.txt asks for, to be written as `sdk_version`.

    Args:
        context: the Space.
    Returns:
        The pinned version; of a range without the service's own version the newest known one inside; None where
        requirements.txt asks for none.
    """
    for line in lines_of(context, "requirement"):
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
    for line in lines_of(context, "requirement"):
        if line.name != "gradio" or line.requirement is None or not len(line.requirement.specifier):
            continue
        try:
            fits = line.requirement.specifier.contains(Version(version), prereleases=True)
        except InvalidVersion:
            continue
        if fits:
            continue
        extras = f"[{','.join(sorted(line.requirement.extras))}]" if line.requirement.extras else ""
        fix = replace_line(line, f"gradio{extras}", "Let sdk_version decide", safe=False)
        message = f"{quote(line.text)} and sdk_version: {clean(version)} of README.md contradict each other."
        yield at_line(line, message, "Name the version in one of the two places, or the same in both.", fix)


@rule(
    "requirement_hashes",
    "warning",
    "requirements",
    explanation="With hashes pip wants one for every package; the Hub adds Gradio itself without a hash, so that "
    "pip fails.",
    example="sdk: gradio with requirements.txt: numpy==2.1.0 --hash=sha256:…",
)
def requirement_hashes(context: Context) -> Iterator[Found]:
    """Finds hashes where the SDK adds packages."""
    if context.sdk == "gradio":
        for line in lines_of(context, "requirement"):
            if "--hash" in line.text:
                yield at_line(
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
    for line in lines_of(context, "requirement"):
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
            yield at_line(
                line,
                f"{quote(line.text)} contradicts {quote(first.text)} in line {first.line}.",
                "Keep one of the two lines.",
                drop_line(line, safe=False),
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
    for line in lines_of(context, "requirement", "url", "editable", "wrong"):
        match = _SSH.search(line.text)
        if match is not None:
            new = line.text.replace(
                match[0], f"git+https://{match[1] or match[3]}/{(match[2] or match[4]).lstrip('/')}", 1
            )
            yield at_line(
                line,
                f"{quote(line.text)} is cloned by SSH, for which a build has no key.",
                "Write git+https:// for a public repository.",
                replace_line(line, new, "Clone by HTTPS", safe=False),
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
    for line in lines_of(context, "requirement"):
        other = RENAMED.get(line.name)
        if other is None or line.url or line.requirement is None or line.name in ("bs4", "magic", "zmq", "jwt", "gi"):
            continue
        fails = line.name in FAILING_NAMES
        if not fails and len(line.requirement.specifier):
            continue
        fix = replace_line(line, other, f"Write {other}", safe=fails)
        yield at_line(
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
                yield at_line(
                    line,
                    f"{quote(line.text)} is not on the index.",
                    f"Add the line {index}.",
                    Fix("Add the address", False, (Edit(path, "append_line", None, None, index),)),
                )
