"""Findings and fixes at an instruction of a Dockerfile."""

from __future__ import annotations

import re

from assembler_runner.assembly.preflight.declaration import Found
from assembler_runner.assembly.preflight.dockerfile import Instruction
from assembler_runner.core.fixes import Edit, Fix

DOCKERFILE = "Dockerfile"


WITHOUT_COMMAND = re.compile(
    r"^(?:docker\.io/)?(?:library/)?(?:python|node|ubuntu|debian|alpine|golang|rust|openjdk|eclipse-temurin)(?::|$)"
)


def at_instruction(found: Instruction, message: str, hint: str, fix: Fix | None = None, **values: object) -> Found:
    """Returns what was found at an instruction."""
    return Found(message, DOCKERFILE, found.line, hint, values, fix)


def swap(found: Instruction, old: str, new: str, title: str, *, safe: bool) -> Fix | None:
    """Returns the fix that replaces a text in the first line of an instruction; None where it is not there once."""
    if found.text.count(old) != 1:
        return None
    return Fix(title, safe, (Edit(DOCKERFILE, "replace", found.line, old, new),))
