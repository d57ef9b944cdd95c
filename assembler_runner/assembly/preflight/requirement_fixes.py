"""Findings and fixes at a line of a requirements file."""

from __future__ import annotations

from collections.abc import Iterator

from assembler_runner.assembly.preflight.context import Context
from assembler_runner.assembly.preflight.declaration import Found
from assembler_runner.assembly.preflight.quoting import clean
from assembler_runner.assembly.preflight.requirement_lines import RequirementLine
from assembler_runner.core.fixes import Edit, Fix

REQUIREMENTS = "requirements.txt"


def lines_of(context: Context, *kinds: str) -> Iterator[RequirementLine]:
    """Yields the lines of these kinds, of all files that pip reads; all kinds for none."""
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


def replace_line(line: RequirementLine, new: str, title: str, *, safe: bool) -> Fix | None:
    """Returns the fix that writes another line; None for one that is continued."""
    return Fix(title, safe, (Edit(line.path, "replace", line.line, line.written, new),)) if is_one_line(line) else None


def drop_line(line: RequirementLine, title: str = "Take the line out", *, safe: bool = True) -> Fix | None:
    """Returns the fix that takes a line out; None for one that is continued."""
    return Fix(title, safe, (Edit(line.path, "delete", line.line, line.written),)) if is_one_line(line) else None


def is_one_line(line: RequirementLine) -> bool:
    """Whether a line is not continued on the next one."""
    return not line.written.endswith("\\") and "\r" not in line.written


def at_line(
    line: RequirementLine, message: str, hint: str, fix: Fix | None = None, severity: str | None = None
) -> Found:
    """Returns what was found at a line."""
    return Found(message, line.path, line.line, hint, {"line": clean(line.text)}, fix, severity)  # type: ignore[arg-type]  # a literal of callers
