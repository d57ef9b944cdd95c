"""Reading of logs: which known cause fits, and where in the Space it is."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cache
from pathlib import Path, PurePosixPath
from typing import Any

from assembler_runner.runtime.causes.package_names import (
    GONE_FROM_PYTHON,
    distribution_of,
    package_of_library,
    package_of_program,
)

UNKNOWN = "unknown"
SAID, BUILD, RUN = "said", "build", "run"
GENERAL = frozenset({"wheel_failed", "dockerfile_command_failed", "exception", "app_ended", "start_timeout"})
"""Causes that are looked for when no other one is found anywhere."""

_LINE_LENGTH, _SHOWN_LENGTH = 1000, 200
_FOLDERS = ("/home/user/app/", "/usr/src/app/", "/app/", "/code/", "/workspace/", "./")
_FRAME = re.compile(r'^\s*File "([^"\n]+)", line (\d+)', re.MULTILINE)
_TRACEBACK = "Traceback (most recent call last):"
_CHAINED = re.compile(
    r"(?:During handling of the above exception|The above exception was the direct cause)[^\n]*\n\s*$"
)
_TERMINAL_COLOURS = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
_DEFAULTS = {
    "code": "an error",
    "command": "see the log",
    "file": "a file",
    "header": "a header file",
    "module": "a module",
    "name": "part",
    "package": "it",
    "port": "another",
    "program": "it",
    "removed": "3.12",
    "requirement": "A line",
    "said": "see the log",
    "script": "of that name",
    "variable": "that the log names",
}


@dataclass(frozen=True)
class Rule:
    """One known cause; its fields are told in rules.toml."""

    code: str
    pattern: re.Pattern[str]
    message: str
    hint: str
    path: str | None = None
    where: tuple[str, ...] = (SAID, BUILD, RUN)
    also: re.Pattern[str] | None = None
    unless: re.Pattern[str] | None = None


@dataclass(frozen=True)
class Problem:
    """Why a Space does not run.

    Args:
        code: stable name of the cause, for programs; `unknown` where none fits.
        message: what happened.
        hint: what to do.
        path: the file of the Space it is about, or None.
        line: the line in that file, from 1, or None.
        log_kind: the log that tells it, `build` or `run`; None where the target says it itself.
    """

    code: str
    message: str
    hint: str
    path: str | None = None
    line: int | None = None
    log_kind: str | None = None

    def to_json(self) -> dict[str, Any]:
        """Returns the problem as the API shows it."""
        return asdict(self)


@cache
def rules() -> tuple[Rule, ...]:
    """Returns the known causes, from the special to the general."""
    text = (Path(__file__).parent / "rules.toml").read_text(encoding="utf-8")
    return tuple(_rule(row) for row in tomllib.loads(text)["rule"])


def diagnose(stage: str, said: str | None, logs: Mapping[str, Sequence[str]], files: Collection[str] = ()) -> Problem:
    """Finds the cause of an error.

    Args:
        stage: the stage of the Space in the target's own word, such as BUILD_ERROR.
        said: what the target itself says of the error, or None.
        logs: `build` or `run` → its last lines; written by strangers, known secrets taken out.
        files: paths of the Space's files.
    Returns:
        The cause; one with the code `unknown` where none fits.
    """
    texts = {kind: _clean(lines) for kind, lines in logs.items() if lines}
    texts[SAID] = _clean([stage, *(said or "").splitlines()])
    everything = "\n".join(texts.values())
    fitting = [
        rule
        for rule in rules()
        if (rule.also is None or rule.also.search(everything))
        and (rule.unless is None or not rule.unless.search(everything))
    ]
    for general in (False, True):
        chosen = [rule for rule in fitting if (rule.code in GENERAL) is general]
        for passages in (_newest_tracebacks(texts), texts):
            for rule in chosen:
                for kind in rule.where:
                    if kind in passages and (match := _last(rule.pattern, passages[kind])):
                        return _problem(rule, kind, match, passages[kind], files, everything)
    return _unknown(stage, said, texts)


def _rule(row: dict[str, Any]) -> Rule:
    read = dict(row)
    for name in {"pattern", "also", "unless"} & set(row):
        read[name] = re.compile(row[name], re.MULTILINE)
    if "where" in row:
        read["where"] = tuple(row["where"])
    return Rule(**read)


def _clean(lines: Sequence[str]) -> str:
    return "\n".join(_TERMINAL_COLOURS.sub("", line.rstrip("\r\n"))[:_LINE_LENGTH] for line in lines)


def _newest_tracebacks(texts: Mapping[str, str]) -> dict[str, str]:
    """Returns the texts from their last traceback on, so that older trouble is not taken for the cause."""
    found = {}
    for kind, text in texts.items():
        start = text.rfind(_TRACEBACK)
        while start > 0 and _CHAINED.search(text, max(0, start - 300), start):
            earlier = text.rfind(_TRACEBACK, 0, start)
            if earlier < 0:
                break
            start = earlier
        if start >= 0:
            found[kind] = text[start:]
    return found


def _last(pattern: re.Pattern[str], text: str) -> re.Match[str] | None:
    found = None
    for found in pattern.finditer(text):  # noqa: B007 - the last one is wanted
        pass
    return found


def _problem(
    rule: Rule, kind: str, match: re.Match[str], text: str, files: Collection[str], everything: str
) -> Problem:
    found = {name.rstrip("0123456789"): value for name, value in match.groupdict().items() if value}
    values = {name: " ".join(value.split())[:_SHOWN_LENGTH] for name, value in found.items()}
    line = int(values["line"]) if "line" in values else None
    path = rule.path
    if "file" in values:
        values["file"] = _path_in(values["file"], files) or values["file"]
        if path is None and values["file"] in files:
            path = values["file"]
    if path is None and (frame := _newest_frame(text, files)):
        path, line = frame
    if path == "README.md" and rule.code == "wrong_python" and "Dockerfile" in files:
        path = "Dockerfile"
    values |= _derived(values, files, everything)
    filled = {**_DEFAULTS, **values}
    problem = Problem(
        rule.code,
        rule.message.format_map(filled),
        rule.hint.format_map(filled),
        path,
        line,
        None if kind == SAID else kind,
    )
    return _local_module(problem, values.get("module", ""), files) if rule.code == "missing_module" else problem


def _derived(values: Mapping[str, str], files: Collection[str], everything: str) -> dict[str, str]:
    derived: dict[str, str] = {"opencv": ""}
    if module := values.get("module"):
        derived["distribution"] = distribution_of(module)
    if gone := values.get("gone"):
        derived["removed"] = GONE_FROM_PYTHON[gone.partition(".")[0]]
    if library := values.get("library"):
        derived["package"] = package_of_library(library)
        if "cv2" in everything or "opencv" in everything:
            derived["opencv"] = " Or use opencv-python-headless in place of opencv-python."
    if program := values.get("program"):
        derived["package"] = package_of_program(program)
    package = derived.get("package", "it")
    derived["install"] = f"Add the line {package} to packages.txt."
    if "Dockerfile" in files:
        derived["install"] = f"Add RUN apt-get update && apt-get install -y {package} to the Dockerfile, before USER."
    return derived


def _local_module(problem: Problem, module: str, files: Collection[str]) -> Problem:
    """Returns another problem where the module that is not found is a file of the Space."""
    name = module.replace(".", "/")
    own = sorted(path for path in files if f"/{path}".endswith((f"/{name}.py", f"/{name}/__init__.py")))
    if not own:
        return problem
    message = f"The Python module {module} is the file {own[0]}, but Python does not look for it there."
    hint = "Import it by its full path from the app's folder (as in src.helper), or move it beside the app file."
    return replace(problem, code="local_module_not_found", message=message, hint=hint, path=own[0])


def _newest_frame(text: str, files: Collection[str]) -> tuple[str, int] | None:
    """Returns file and line of the deepest frame of the last traceback that is in the Space itself."""
    frames = _FRAME.findall(text[max(0, text.rfind(_TRACEBACK)) :])
    for name, line in reversed(frames):
        if path := _path_in(name, files):
            return path, int(line)
    return None


def _path_in(name: str, files: Collection[str]) -> str | None:
    """Returns which file of the Space a path in the container stands for."""
    short = next((name.removeprefix(folder) for folder in _FOLDERS if name.startswith(folder)), name)
    if short in files:
        return short
    if name.startswith("/usr/") or "site-packages" in name:
        return None
    return next((ending for ending in _endings(name) if ending in files), None)


def _endings(name: str) -> Iterator[str]:
    parts = PurePosixPath(name).parts
    return ("/".join(parts[start:]) for start in range(1, len(parts)))


def _unknown(stage: str, said: str | None, texts: Mapping[str, str]) -> Problem:
    kind = next((kind for kind in (RUN, BUILD) if kind in texts), None)
    message = " ".join(said.split())[:_SHOWN_LENGTH] if said else f"The target says {stage} and nothing more."
    hint = "Read the log; its last lines tell most." if kind else "Look at the Space's page on its target."
    return Problem(UNKNOWN, message, hint, log_kind=kind)
