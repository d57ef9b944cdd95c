"""A marshmallow schema as JSON Schema, for callers who make a form or check a request beforehand."""

from __future__ import annotations

from typing import Any

import marshmallow as ma
from apispec.ext.marshmallow.openapi import OpenAPIConverter


def json_schema(schema: ma.Schema) -> dict[str, Any]:
    """Returns a schema as JSON Schema (draft 2020-12, which OpenAPI 3.1 uses)."""
    converter: Any = OpenAPIConverter("3.1.0", lambda schema: None, None)  # type: ignore[arg-type]  # nothing is registered
    made: dict[str, Any] = converter.schema2jsonschema(schema)
    for name, field in schema.fields.items():
        made["properties"][name].pop("card", None)
        if isinstance(field.validate, ma.validate.Regexp):
            made["properties"][name]["pattern"] = field.validate.regex.pattern
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **made, "additionalProperties": False}
