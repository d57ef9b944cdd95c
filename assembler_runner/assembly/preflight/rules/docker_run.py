"""Dockerfiles: commands that fail in a build, and scripts that cannot be started."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator

from assembler_runner.assembly.preflight.context import Context
from assembler_runner.assembly.preflight.declaration import Found, rule
from assembler_runner.assembly.preflight.docker_fixes import DOCKERFILE, WITHOUT_COMMAND, at_instruction, swap
from assembler_runner.assembly.preflight.dockerfile import Dockerfile, Instruction, Stage, split_words
from assembler_runner.assembly.preflight.quoting import clean, quote
from assembler_runner.core.fixes import Edit, Fix

_SCRIPT = re.compile(r"^(?:\./|/)?[\w./-]+\.(?:sh|bash|py|pl)$|^\./[\w./-]+$")


_SHELLS = ("sh", "bash", "/bin/sh", "/bin/bash", "python", "python3", "ash", "dash", "zsh", "tini", "dumb-init", "node")


_UID_TAKEN = re.compile(r"^(?:docker\.io/)?(?:library/)?(?:node(?::|$)|ubuntu:(?:2[4-9]|noble|latest|rolling|devel))")


@rule(
    "executable_bit_lost",
    "warning",
    "docker",
    explanation="Files arrive without their executable bit. A script that is started by its path needs chmod in the "
    "Dockerfile, or the interpreter in the command.",
    example='CMD ["./entrypoint.sh"]',
    has_fix=True,
)
def executable_bit_lost(context: Context) -> Iterator[Found]:
    """Finds scripts that are started by their path and are not made executable."""
    dockerfile = context.dockerfile
    if dockerfile is None or dockerfile.last is None:
        return
    text = "\n".join(
        found.value
        for stage in dockerfile.lineage
        for found in stage.instructions
        if found.name in ("RUN", "COPY", "ADD")
    )
    for stage in dockerfile.lineage:
        # Beside an ENTRYPOINT the words of CMD are its arguments.
        starts = stage.all("ENTRYPOINT")[-1:] or stage.all("CMD")[-1:]
        for found in [*starts, *stage.all("RUN")]:
            words = (
                found.words
                if found.words is not None
                else split_words(found.rest.split("&&")[-1].split(";")[-1].replace("exec ", "", 1))
            )
            script = words[0] if words else ""
            name = posixpath.basename(script)
            path = _sent(context, name) if _SCRIPT.match(script) and script not in _SHELLS else None
            if path is None or _made_executable(text, name):
                continue
            head = context.head(path).split(b"\n", 1)[0].decode("utf-8", "replace").strip()
            interpreter = re.search(r"(bash|ash|zsh|python3?|perl|sh)\s*$", head) if head.startswith("#!") else None
            fix = None
            if found.words is not None and interpreter is not None:
                fix = swap(
                    found,
                    f'"{script}"',
                    f'"{interpreter[1]}", "{script}"',
                    f"Start it with {interpreter[1]}",
                    safe=True,
                )
            elif found.words is None and interpreter is not None and found.name != "RUN":
                fix = swap(
                    found, f" {script}", f" {interpreter[1]} {script}", f"Start it with {interpreter[1]}", safe=True
                )
            program = interpreter[1] if interpreter else "sh"
            yield at_instruction(
                found,
                f"The Dockerfile starts {quote(script)}, but executable bits do not arrive.",
                f'Put RUN chmod +x {clean(script)} before it, or write ["{program}", "{clean(script)}"].',
                fix,
                script=clean(script),
            )


def _sent(context: Context, name: str) -> str | None:
    return next((path for path in context.files if path.rpartition("/")[2] == name and context.given(path)), None)


def _made_executable(text: str, name: str) -> bool:
    if "--chmod=" in text:
        return True
    for command in re.findall(r"(?:chmod|install)\s[^&;\n]*", text):
        if name in command or re.search(r"\s-R\b|\*|\s\.\s*$|\$", command):
            return True
    return False


@rule(
    "script_line_ends",
    "error",
    "docker",
    explanation="A script with line ends of Windows cannot be started on Linux: the name of its interpreter ends "
    "with a character that does not exist. Where nothing in the Dockerfile names the script it is a "
    "warning.",
    example="entrypoint.sh saved on Windows",
    has_fix=True,
)
def script_line_ends(context: Context) -> Iterator[Found]:
    """Finds scripts with line ends of Windows, or a byte order mark."""
    if context.sdk != "docker":
        return
    text = context.text(DOCKERFILE) or ""
    cleaned = "dos2unix" in text or re.search(r"sed[^\n]*\\r", text) is not None
    for path in context.files:
        head = context.head(path) if context.given(path) else b""
        marked = head.startswith(b"\xef\xbb\xbf#!")
        if not (marked or head.startswith(b"#!") or path.endswith((".sh", ".bash"))) or path.endswith(".py") or cleaned:
            continue
        content = context.text(path)
        if content is None or ("\r\n" not in content and not marked):
            continue
        name = path.rpartition("/")[2]
        new = content.removeprefix("\ufeff").replace("\r\n", "\n")
        fix = Fix("Write Unix line ends", True, (Edit(path, "write", None, content, new),))
        what = "line ends of Windows" if "\r\n" in content else "a byte order mark before #!"
        yield Found(
            f"{quote(path)} has {what}, so that Linux cannot start it.",
            path,
            1,
            "Save it with Unix line ends (LF).",
            {},
            fix,
            "error" if name in text else "warning",
        )


@rule(
    "apt_not_confirmed",
    "error",
    "docker",
    explanation="apt-get asks before it installs; a build has nobody to answer, so that it stops.",
    example="RUN apt-get update && apt-get install ffmpeg",
    has_fix=True,
)
def apt_not_confirmed(context: Context) -> Iterator[Found]:
    """Finds apt-get install without -y."""
    for stage, found in _runs(context.dockerfile):
        if stage is None or "APT::Get::Assume-Yes" in found.value or re.search(r"\byes\s*\|", found.value):
            continue
        for command in re.findall(
            r"\bapt(?:-get)?\s+(?:-[\w=:-]+\s+)*(?:install|upgrade|dist-upgrade)\b[^&;|\n]*", found.value
        ):
            if re.search(r"\s-[a-zA-Z]*y|\s--(?:yes|assume-yes)\b|\s-qq|\s-q=2", command):
                continue
            fix = swap(found, "install ", "install -y ", "Answer yes", safe=True) if " install " in found.text else None
            yield at_instruction(
                found, "apt-get install stops and asks, as it has no -y.", "Write apt-get install -y.", fix
            )
            break


@rule(
    "apt_without_update",
    "warning",
    "docker",
    explanation="The images of Debian and Ubuntu have no lists of packages: without apt-get update nothing is found.",
    example="FROM python:3.12-slim and RUN apt-get install -y git",
    has_fix=True,
)
def apt_without_update(context: Context) -> Iterator[Found]:
    """Finds apt-get install without a list of packages."""
    updated: set[int] = set()
    for stage, found in _runs(context.dockerfile):
        key = id(stage)
        if stage is None or not re.match(
            r"(?:docker\.io/)?(?:library/)?(?:python|node|debian|ubuntu|golang|ruby|nginx)(?::|$)", stage.image
        ):
            continue
        install = re.search(r"\bapt(?:-get)?\s+(?:-[\w=:-]+\s+)*install\b", found.value)
        update = re.search(r"\bapt(?:-get)?\s+(?:-[\w=:-]+\s+)*update\b|setup_\w+\.x|\.sh\b", found.value)
        if update:
            updated.add(key)
        elif install and key not in updated:
            updated.add(key)
            fix = swap(found, "RUN apt", "RUN apt-get update && apt", "Read the lists first", safe=True)
            yield at_instruction(
                found,
                "apt-get install finds no package: nothing reads the lists before it.",
                "Write RUN apt-get update && apt-get install -y …",
                fix,
            )


def _runs(dockerfile: Dockerfile | None) -> Iterator[tuple[Stage, Instruction]]:
    for stage in dockerfile.stages if dockerfile is not None else ():
        for found in stage.all("RUN"):
            yield stage, found


@rule(
    "docker_uid_taken",
    "error",
    "docker",
    explanation="The images of Node.js and of Ubuntu since 24.04 have a user with the uid 1000 already; a second "
    "one is refused and the build stops.",
    example="FROM node:22 and RUN useradd -m -u 1000 user",
    has_fix=True,
)
def docker_uid_taken(context: Context) -> Iterator[Found]:
    """Finds users whose uid the base image has already."""
    for stage, found in _runs(context.dockerfile):
        if not _UID_TAKEN.match(stage.image) or re.search(
            r"userdel|deluser|usermod", " ".join(run.value for run in stage.all("RUN"))
        ):
            continue
        match = re.search(r"\b(useradd|adduser)\b[^&;|\n]*(?:\s-u\s*|--uid[= ]\s*|-u=)1000\b[^&;|\n]*", found.value)
        if match is None or re.search(r"\s-\w*o\w*\s|--non-unique|\|\|", found.value):
            continue
        owner = "node" if "node" in stage.image else "ubuntu"
        fix = swap(found, "useradd ", "useradd -o ", "Allow it twice", safe=False) if match[1] == "useradd" else None
        yield at_instruction(
            found,
            f"The image {quote(stage.image)} has a user with uid 1000 already ({owner}).",
            f"Use USER {owner} instead, or write useradd -o.",
            fix,
            image=clean(stage.image),
        )


@rule(
    "docker_platform",
    "error",
    "docker",
    explanation="Spaces run on x86-64; an image for another processor does not start there.",
    example="FROM --platform=linux/arm64 python:3.12",
    has_fix=True,
)
def docker_platform(context: Context) -> Iterator[Found]:
    """Finds images for other processors."""
    dockerfile = context.dockerfile
    for stage in dockerfile.lineage if dockerfile is not None else ():
        for found in stage.all("FROM"):
            platform = found.flags.get("platform", "")
            arm = re.search(r"arm64|aarch64|arm/v\d|arm32", platform) or re.match(r"(?:arm64v8|arm32v\d)/", found.rest)
            if arm:
                fix = swap(found, f"--platform={platform} ", "", "Take it out", safe=True) if platform else None
                yield at_instruction(
                    found, f"{quote(found.text)} is for another processor than Spaces have.", "Use linux/amd64.", fix
                )


@rule(
    "dockerfile_sudo",
    "warning",
    "docker",
    explanation="Base images have no sudo; the build runs as root anyway until USER says otherwise.",
    example="RUN sudo apt-get update",
    has_fix=True,
)
def dockerfile_sudo(context: Context) -> Iterator[Found]:
    """Finds sudo where it is not installed."""
    for stage, found in _runs(context.dockerfile):
        earlier = " ".join(run.value for run in stage.all("RUN"))
        if (
            not re.match(r"sudo\s", found.value)
            or re.search(r"(?:install|add)\b[^&;|]*\bsudo\b", earlier)
            or not WITHOUT_COMMAND.match(stage.image)
        ):
            continue
        fix = swap(found, "sudo ", "", "Take sudo out", safe=not stage.all("USER"))
        yield at_instruction(found, "The Dockerfile uses sudo, which the image does not have.", "Leave sudo out.", fix)
