"""All declared codes: for `GET /findings` and for the page docs/findings.md."""

from __future__ import annotations

from functools import cache
from typing import Any

from assembler_runner.assembly.preflight import elsewhere, secrets  # noqa: F401 - each declares its rules
from assembler_runner.assembly.preflight.declaration import RULES, TOPICS, Rule
from assembler_runner.assembly.preflight.rules import (  # noqa: F401 - each declares its rules
    card_keys,
    card_look,
    card_run,
    docker,
    docker_run,
    docker_start,
    entry,
    files,
    python,
    python_imports,
    python_run,
    requirements,
    requirements_files,
    requirements_packages,
    static,
    type,
)

_TITLES = {
    "secrets": "Secrets",
    "readme": "README and card",
    "entry": "What the Space starts with",
    "python": "Python",
    "requirements": "Requirements",
    "docker": "Dockerfile",
    "static": "Static sites",
    "files": "Files and names",
    "request": "Request",
}


@cache
def rules() -> tuple[Rule, ...]:
    """Returns every declared rule, by topic and code."""
    return tuple(sorted(RULES.values(), key=lambda rule: (TOPICS.index(rule.topic), rule.code)))


def as_json() -> list[dict[str, Any]]:
    """Returns the declarations as `GET /findings` shows them."""
    return [rule.to_json() for rule in rules()]


def as_markdown() -> str:
    """Returns the tables of docs/findings.md."""
    parts = []
    for topic in TOPICS:
        rows = [_row(rule) for rule in rules() if rule.topic == topic]
        head = "| code | severity | what | example | fix | may be allowed |\n|---|---|---|---|---|---|"
        parts.append(f"## {_TITLES[topic]}\n\n{head}\n" + "\n".join(rows) + "\n")
    return "\n".join(parts)


def _row(rule: Rule) -> str:
    example = rule.example.replace("|", "\\|").replace("`", "'")
    explanation = rule.explanation.replace("|", "\\|")
    fix, allowed = "yes" if rule.has_fix else "", "yes" if rule.allowable else ""
    return f"| `{rule.code}` | {rule.severity} | {explanation} | `{example}` | {fix} | {allowed} |"
