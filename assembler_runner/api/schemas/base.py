"""Shared schemas and fields: models, timestamps, URLs, errors and lists."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from functools import cache
from typing import Any

import marshmallow as ma
from marshmallow_sqlalchemy import ModelConverter, SQLAlchemyAutoSchema

from assembler_runner.core.addresses import absolute_url
from assembler_runner.core.database import JsonText, UtcDateTime


class Timestamp(ma.fields.DateTime):
    """A timestamp in ISO 8601 with microseconds and Z."""

    def _serialize(self, value: datetime | None, attr: str | None, obj: Any, **kwargs: Any) -> str | None:
        return None if value is None else as_text(value)


class Flag(ma.fields.Boolean):
    """True or false, and nothing that could be taken for one: 0 would be a dry run that deletes."""

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> bool:
        if not isinstance(value, bool):
            raise self.make_error("invalid", input=value)
        return value


def as_text(timestamp: datetime) -> str:
    """Formats a timestamp as ISO 8601 with microseconds and Z."""
    return timestamp.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


class _Converter(ModelConverter):
    SQLA_TYPE_MAPPING = {**ModelConverter.SQLA_TYPE_MAPPING, UtcDateTime: Timestamp, JsonText: ma.fields.Raw}


class AutoSchema(SQLAlchemyAutoSchema[Any]):
    """Base of the schemas of rows; its fields derive from the columns of the model."""

    class Meta:
        """Timestamps and JSON in the format of this service."""

        model_converter = _Converter


class Url(ma.fields.String):
    """An absolute URL."""

    def _serialize(self, value: Any, attr: str | None, obj: Any, **kwargs: Any) -> str | None:
        return absolute_url(value)


class MappingSchema(ma.Schema):
    """A schema of objects or mappings: a missing key is never taken for a method, such as `values`."""

    def get_attribute(self, obj: Any, attr: str, default: Any) -> Any:
        """Returns a value of an object or a mapping."""
        return obj.get(attr, default) if isinstance(obj, Mapping) else super().get_attribute(obj, attr, default)


class EditSchema(ma.Schema):
    """A change of a file."""

    path = ma.fields.String(metadata={"description": "The file."})
    action = ma.fields.String(
        validate=ma.validate.OneOf(("write", "append_line", "delete", "replace")),
        metadata={"description": "What is done to the file."},
    )
    line = ma.fields.Integer(allow_none=True, metadata={"description": "Line, from 1; null for the whole file."})
    old = ma.fields.String(allow_none=True, metadata={"description": "The expected current text."})
    new = ma.fields.String(allow_none=True, metadata={"description": "The new text."})


class FixSchema(ma.Schema):
    """A change that resolves a finding."""

    title = ma.fields.String(metadata={"description": "What it does."})
    safe = ma.fields.Boolean(metadata={"description": "Whether it may be applied without a review."})
    edits = ma.fields.List(ma.fields.Nested(EditSchema), metadata={"description": "Changes of files."})
    options = ma.fields.Dict(keys=ma.fields.String(), metadata={"description": "Options of the type to set."})


class FindingSchema(MappingSchema):
    """A problem or remark about the input."""

    code = ma.fields.String(metadata={"description": "Stable code, for programs."})
    severity = ma.fields.String(
        validate=ma.validate.OneOf(("error", "warning", "info")), metadata={"description": "error rejects the request."}
    )
    path = ma.fields.String(allow_none=True, metadata={"description": "Field of the request, or file."})
    line = ma.fields.Integer(allow_none=True, metadata={"description": "Line in the file, from 1."})
    message = ma.fields.String(metadata={"description": "Description of the problem."})
    hint = ma.fields.String(allow_none=True, metadata={"description": "What to do."})
    values = ma.fields.Dict(keys=ma.fields.String(), metadata={"description": "Captured values by name."})
    fix = ma.fields.Nested(FixSchema, allow_none=True, metadata={"description": "A change that resolves it."})


class ErrorSchema(ma.Schema):
    """The format of all errors."""

    statusCode = ma.fields.Integer(metadata={"description": "HTTP status."})  # noqa: N815 - published clients read it
    status_code = ma.fields.Integer(metadata={"description": "HTTP status."})
    name = ma.fields.String(metadata={"description": "Class name of the error."})
    code = ma.fields.String(metadata={"description": "Stable code of the error, for programs."})
    message = ma.fields.String(metadata={"description": "What happened."})
    hint = ma.fields.String(allow_none=True, metadata={"description": "What to do next."})
    issues = ma.fields.List(ma.fields.Nested(FindingSchema), metadata={"description": "All individual problems."})


class CreateSpaceErrorSchema(ErrorSchema):
    """An error of the forerunner's endpoint: its one field, and those of every error."""

    error = ma.fields.String(metadata={"description": "The same as message."})
    id = ma.fields.String(metadata={"description": "The Space, where its request was accepted and failed."})
    request_id = ma.fields.String(metadata={"description": "The request that failed."})


class MetaSchema(ma.Schema):
    """Metadata of a list."""

    total = ma.fields.Integer(metadata={"description": "Number of all rows that match."})
    limit = ma.fields.Integer(metadata={"description": "Maximum number of rows of a page."})
    offset = ma.fields.Integer(metadata={"description": "Number of skipped rows."})
    after = ma.fields.String(
        metadata={"description": "Value of page[after] for the next page; missing on the last page."}
    )
    schema = ma.fields.Dict(metadata={"description": "Always empty; clients of FLAME Hubs expect it."})


@cache
def list_of(schema: type[ma.Schema]) -> type[ma.Schema]:
    """Returns the schema of a page of a list."""
    name = schema.__name__.removesuffix("Schema") + "List"
    fields = {
        "data": ma.fields.List(ma.fields.Nested(schema), metadata={"description": "The rows of this page."}),
        "meta": ma.fields.Nested(MetaSchema, metadata={"description": "About the list."}),
    }
    return type(name, (ma.Schema,), {"__doc__": f"A page of {name}.", **fields})
