"""Result of validating a body against a schema: its valid fields, and findings for the others."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from assembler_runner.core.errors import Finding


@dataclass(frozen=True)
class Fields:
    """The validated fields of a body.

    Args:
        data: name → value of the valid fields.
        findings: the problems of the other fields.
        invalid: names of the fields that have a problem; they are missing in `data`, or incomplete.
    """

    data: Mapping[str, Any]
    findings: list[Finding]
    invalid: frozenset[str]


def flatten_messages(messages: Any, prefix: str, allowed: list[str] | None = None) -> list[Finding]:
    """Converts marshmallow's nested messages into findings.

    Args:
        messages: `ValidationError.messages`.
        prefix: path of the field they belong to; empty for the whole body.
        allowed: names of the known fields, for the hint about unknown ones.
    """
    if isinstance(messages, Finding):
        return [messages]
    if isinstance(messages, str):
        unknown = messages == "Unknown field."
        hint = f"Known fields: {', '.join(allowed)}." if unknown and allowed else None
        return [Finding("unknown_field" if unknown else "invalid_field", messages, path=prefix or None, hint=hint)]
    if isinstance(messages, list):
        return [finding for message in messages for finding in flatten_messages(message, prefix, allowed)]
    findings = []
    for key, inner in messages.items():
        path = prefix if key == "_schema" else f"{prefix}.{key}" if prefix else str(key)
        findings += flatten_messages(inner, path, allowed)
    return findings
