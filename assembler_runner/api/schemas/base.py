"""What all schemas share: fields from tables, times, addresses, errors and lists."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import cache
from typing import Any

import marshmallow as ma
from marshmallow_sqlalchemy import ModelConverter, SQLAlchemyAutoSchema

from assembler_runner.core.addresses import absolute_url
from assembler_runner.core.database import JsonText, UtcDateTime


class Timestamp(ma.fields.DateTime):
    """A moment as ISO 8601 with microseconds and Z."""

    def _serialize(self, value: datetime | None, attr: str | None, obj: Any, **kwargs: Any) -> str | None:
        return None if value is None else as_text(value)


class Flag(ma.fields.Boolean):
    """True or false, and nothing that could be taken for one: 0 would be a dry run that deletes."""

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> bool:
        if not isinstance(value, bool):
            raise self.make_error("invalid", input=value)
        return value


def as_text(moment: datetime) -> str:
    """Returns a moment as ISO 8601 with microseconds and Z."""
    return moment.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


class _Converter(ModelConverter):
    SQLA_TYPE_MAPPING = {**ModelConverter.SQLA_TYPE_MAPPING, UtcDateTime: Timestamp, JsonText: ma.fields.Raw}


class AutoSchema(SQLAlchemyAutoSchema[Any]):
    """Base of what is shown of a row: one declaration of a column is enough."""

    class Meta:
        """Moments and JSON as this service writes them."""

        model_converter = _Converter


class Url(ma.fields.String):
    """An absolute URL."""

    def _serialize(self, value: Any, attr: str | None, obj: Any, **kwargs: Any) -> str | None:
        return absolute_url(value)


class EditSchema(ma.Schema):
    """One change of one file."""

    path = ma.fields.String(metadata={"description": "The file."})
    action = ma.fields.String(validate=ma.validate.OneOf(("write", "append_line", "delete", "replace")))
    line = ma.fields.Integer(allow_none=True, metadata={"description": "Line, from 1; null for the whole file."})
    old = ma.fields.String(allow_none=True, metadata={"description": "Text that must be there now."})
    new = ma.fields.String(allow_none=True, metadata={"description": "Text afterwards."})


class FixSchema(ma.Schema):
    """A change that makes a finding disappear."""

    title = ma.fields.String(metadata={"description": "What it does."})
    safe = ma.fields.Boolean(metadata={"description": "Whether it may be applied unread."})
    edits = ma.fields.List(ma.fields.Nested(EditSchema), metadata={"description": "Changes of files."})
    options = ma.fields.Dict(keys=ma.fields.String(), metadata={"description": "Options of the type to set."})


class FindingSchema(ma.Schema):
    """One thing that was noticed."""

    code = ma.fields.String(metadata={"description": "Stable name, for programs."})
    severity = ma.fields.String(validate=ma.validate.OneOf(("error", "warning", "info")))
    path = ma.fields.String(allow_none=True, metadata={"description": "Field of the request, or file."})
    line = ma.fields.Integer(allow_none=True, metadata={"description": "Line in the file, from 1."})
    message = ma.fields.String(metadata={"description": "What is the matter."})
    hint = ma.fields.String(allow_none=True, metadata={"description": "What to do."})
    values = ma.fields.Dict(keys=ma.fields.String(), metadata={"description": "What was captured, by name."})
    fix = ma.fields.Nested(FixSchema, allow_none=True, metadata={"description": "A change that makes it disappear."})


class ErrorSchema(ma.Schema):
    """The one shape of every error."""

    statusCode = ma.fields.Integer(metadata={"description": "HTTP status."})  # noqa: N815 - published clients read it
    status_code = ma.fields.Integer(metadata={"description": "HTTP status."})
    name = ma.fields.String(metadata={"description": "Name of the kind of error."})
    code = ma.fields.String(metadata={"description": "Stable name of the error, for programs."})
    message = ma.fields.String(metadata={"description": "What happened."})
    hint = ma.fields.String(allow_none=True, metadata={"description": "What to do next."})
    issues = ma.fields.List(ma.fields.Nested(FindingSchema), metadata={"description": "Every single problem."})


class CreateSpaceErrorSchema(ErrorSchema):
    """An error of the forerunner's endpoint: its one field, and those of every error."""

    error = ma.fields.String(metadata={"description": "The same as message."})
    id = ma.fields.String(metadata={"description": "The Space, where its request was accepted and failed."})
    request_id = ma.fields.String(metadata={"description": "The request that failed."})


class MetaSchema(ma.Schema):
    """What stands beside a list."""

    total = ma.fields.Integer()
    limit = ma.fields.Integer()
    offset = ma.fields.Integer()
    after = ma.fields.String(metadata={"description": "Where there is more: value of page[after] for the next page."})
    schema = ma.fields.Dict()


@cache
def list_of(schema: type[ma.Schema]) -> type[ma.Schema]:
    """Returns the schema of a page of a list."""
    name = schema.__name__.removesuffix("Schema") + "List"
    fields = {"data": ma.fields.List(ma.fields.Nested(schema)), "meta": ma.fields.Nested(MetaSchema)}
    return type(name, (ma.Schema,), {"__doc__": f"A page of {name}.", **fields})
