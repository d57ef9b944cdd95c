"""Rules of the target `flame`: what an analysis needs, and what it does not have."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from assembler_runner.core.errors import Finding
from assembler_runner.targets.realm_targets import FLAME

_NOT_THERE = ("secrets", "variables", "hardware", "sleep_time")


def check_flame(sdk: str, target: str, data: Mapping[str, Any]) -> list[Finding]:
    """Finds what does not fit to a FLAME Hub, or to another target.

    Args:
        sdk: the SDK of the type.
        target: name of the target.
        data: the validated fields.
    """
    if (sdk == FLAME) != (target == FLAME):
        message = f"The type flame-analysis and the target {FLAME} belong together."
        hint = "Use space_type flame-analysis with target flame." if target == FLAME else "Send target flame."
        path = "space_type" if target == FLAME else "target"
        return [Finding("flame_only", message, path=path, hint=hint)]
    if target != FLAME:
        return []
    return [
        Finding("not_on_flame", f"An analysis has no {name}.", path=name, hint=f"Leave {name} out.")
        for name in _NOT_THERE
        if data.get(name)
    ]


def check_project(target: str, namespace: str | None) -> list[Finding]:
    """Finds a missing project."""
    if target != FLAME or namespace is not None:
        return []
    message, hint = "An analysis belongs to a project.", "Name the project in namespace."
    return [Finding("project_missing", message, path="namespace", hint=hint)]
