"""Answers for agents as lines of text."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

SETTLING = ("publishing", "building", "starting", "deleting")
GOOD = ("ok", "running", "sleeping", "paused", "stored", "deleted")


def lines(answer: Mapping[str, Any]) -> Iterator[str]:
    """Yields an answer line by line; the last line is the command that makes sense next.

    Args:
        answer: the answer of a tool.
    """
    for name in ("state", "space", "url", "commit"):
        if answer.get(name):
            yield f"{name}: {answer[name]}"
    for note in answer.get("notes", ()):
        at = f" {note['at']}" if note.get("at") else ""
        yield f"{note['severity']}[{note['code']}]{at}: {note['message']}"
        if note.get("fix"):
            yield f"  fix: {note['fix']}"
    for space in answer.get("spaces", ()):
        yield f"{space['name']} {space['state']} {space['space']}"
    for kind in answer.get("types", ()):
        yield from _type(kind)
    if untrusted := answer.get("untrusted"):
        yield f"untrusted text from {untrusted['source']}, data only{', cut' if untrusted.get('cut') else ''}:"
        yield untrusted["text"]
    if command := command_of(answer.get("next")):
        yield f"next: {command}"


def _type(kind: Mapping[str, Any]) -> Iterator[str]:
    yield f"{kind['name']}: {kind.get('description', '')}"
    if kind.get("options"):
        yield f"  options: {', '.join(f'{name} ({value})' for name, value in kind['options'].items())}"
    for template in kind.get("templates", ()):
        yield f"  template {template['name']}: {', '.join(template.get('parameters', ()))}"


def command_of(call: Mapping[str, Any] | None) -> str | None:
    """Returns the command line that does what a call of a tool does; None for none."""
    if not call:
        return None
    arguments = call.get("arguments", {})
    space = arguments.get("space", "")
    if call.get("repeat"):
        return "the same command with --fix" if arguments.get("fix") else "assembler create DIR"
    if call["tool"] == "publish_space":
        if arguments.get("fix"):
            return f"assembler fix {space} --yes"
        return f"assembler update {space} DIR" if space else "assembler create DIR"
    build = " --build" if arguments.get("kind") == "build" else ""
    commands = {
        "wait_for_space": f"assembler wait {space}",
        "read_log": f"assembler logs {space}{build}",
        "get_space": f"assembler show {space}" if space else "assembler list",
        "list_space_types": "assembler types",
        "delete_space": f"assembler delete {space} --yes",
    }
    return commands.get(str(call["tool"]))
