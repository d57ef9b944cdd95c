"""The values that fields of the service may have, for editors and type checkers.

A newer service may have more: at runtime any text is accepted.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import GetCoreSchemaHandler
from pydantic_core import CoreSchema, core_schema


class _AnyText:
    """Validates and serializes a field as any text, whatever its type says."""

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.str_schema()


_TEXT = _AnyText()

SpaceState = Annotated[
    Literal[
        "creating",
        "building",
        "starting",
        "running",
        "sleeping",
        "paused",
        "build_error",
        "runtime_error",
        "config_error",
        "no_app_file",
        "stored",
        "unknown",
        "deleted",
        "failed",
        "cancelled",
    ],
    _TEXT,
]
Status = Annotated[Literal["queued", "running", "succeeded", "failed", "cancelled"], _TEXT]
Action = Annotated[
    Literal[
        "create",
        "update",
        "rollback",
        "delete",
        "adopt",
        "apply_fix",
        "duplicate",
        "move",
        "restart",
        "factory_rebuild",
        "pause",
        "wake",
        "hardware",
    ],
    _TEXT,
]
Origin = Annotated[Literal["given", "default", "generated", "adopted", "fixed"], _TEXT]
Visibility = Annotated[Literal["public", "private", "protected"], _TEXT]
StateSource = Annotated[Literal["service", "target", "assumed", "timeout"], _TEXT]
Severity = Annotated[Literal["error", "warning", "info"], _TEXT]
EditAction = Annotated[Literal["write", "append_line", "delete", "replace"], _TEXT]
PluginState = Annotated[Literal["loaded", "broken"], _TEXT]
LogKind = Annotated[Literal["build", "run"], _TEXT]
DeliveryStatus = Annotated[Literal["pending", "delivered", "dead"], _TEXT]
OnFailure = Annotated[Literal["keep", "private", "delete"], _TEXT]
