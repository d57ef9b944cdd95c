"""Findings and fixes in Python files."""

from __future__ import annotations

from collections.abc import Iterator

from assembler_runner.assembly.preflight.context import Context
from assembler_runner.assembly.preflight.python_file import PythonFile
from assembler_runner.core.errors import Severity
from assembler_runner.core.fixes import Edit, Fix


def severity_in(context: Context, path: str) -> Severity:
    """Returns the severity of what makes a file useless: an error in the file that is started."""
    return "error" if path == context.app_file else "warning"


def given_files(context: Context) -> Iterator[tuple[str, PythonFile]]:
    """Yields the Python files that the sender gave."""
    for path in context.python_paths:
        if context.given(path) and (parsed := context.python(path)) is not None:
            yield path, parsed


def swap(path: str, line: int, old: str, new: str, title: str, *, safe: bool) -> Fix:
    """Returns the fix that replaces a text in one line."""
    return Fix(title, safe, (Edit(path, "replace", line, old, new),))
