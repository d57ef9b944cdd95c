"""Bodies with files: streamed forms, and all forms of the body of a Space request."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import marshmallow as ma
from flask import request
from werkzeug.exceptions import RequestEntityTooLarge
from werkzeug.formparser import FormDataParser

from assembler_runner.accounts.auth import current_account
from assembler_runner.api.http.json_body import load_partly, parse_json
from assembler_runner.api.http.json_stream import LongText, in_memory, read_light
from assembler_runner.core.database import db
from assembler_runner.core.errors import Finding, InvalidJson, InvalidRequest, TooLarge
from assembler_runner.core.validation import Fields
from assembler_runner.files.archives import FIELD
from assembler_runner.files.content import Content, Spool
from assembler_runner.files.paths import field_of
from assembler_runner.requests.sources import gather
from assembler_runner.services import current_services
from assembler_runner.spaces.models import Space

FORM = "multipart/form-data"
JSON_PART = "body"
FILES_BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            FORM: {
                "schema": {
                    "type": "object",
                    "description": "One part per file; its file name is the path.",
                    "additionalProperties": {"type": "string", "format": "binary"},
                }
            }
        },
    }
}
"""Documentation of a body of files."""

SPACE_FORM: dict[str, Any] = {
    FORM: {
        "schema": {
            "type": "object",
            "properties": {
                JSON_PART: {"type": "string", "contentMediaType": "application/json", "description": "The JSON."},
                FIELD: {"type": "string", "format": "binary", "description": "A zip, tar, tar.gz or tar.zst file."},
            },
            "additionalProperties": {
                "type": "string",
                "format": "binary",
                "description": "A file; its file name is the path.",
            },
        }
    }
}
"""Documentation of a Space request as a form."""

_SPARE_PARTS = 16


class InvalidForm(InvalidRequest):
    """A form that cannot be parsed, or has unexpected parts."""

    status = 400
    code = "invalid_form"
    default_message = "The form is not valid."
    default_hint = 'Send multipart/form-data: a part "body" with JSON, and one part with a file name for each file.'


@dataclass(frozen=True)
class Part:
    """A file of a form.

    Args:
        field: name of the field.
        filename: name of the file.
        content: its bytes.
    """

    field: str
    filename: str
    content: Content


@dataclass(frozen=True)
class Parts:
    """The parts of a form.

    Args:
        files: parts with a file name, in order.
        texts: name and text of all other parts.
    """

    files: list[Part]
    texts: list[tuple[str, str]]


@dataclass
class SpaceBody:
    """The body of a Space request.

    Args:
        raw: the body as sent, with large files as stored contents.
        read: validates the fields and reads what they refer to.
    """

    raw: dict[str, Any]
    read: Callable[[], Fields]
    _fields: Fields | None = field(default=None, init=False)

    # Not a cached_property: up to Python 3.11 all of them share one lock, and reading may take a minute.
    @property
    def fields(self) -> Fields:
        """The validated fields, with files as bytes or stored contents; archives and repositories are read now.

        Raises:
            InvalidRequest: the archive or the repository is invalid.
            TooLarge: a limit is exceeded.
        """
        if self._fields is None:
            self._fields = self.read()
        return self._fields

    def canonical(self) -> str:
        """Returns a canonical text, equal for equal bodies."""
        return json.dumps(self.raw, sort_keys=True, separators=(",", ":"), default=lambda file: file.sha256)


def new_spool() -> Spool:
    """Returns the temporary storage for the files of this call; a context manager."""
    services = current_services()
    return Spool(services.instance / "incoming", services.settings.MAX_FILE_BYTES)


def read_parts(spool: Spool) -> Parts:
    """Reads the body as a form; files are streamed to the spool.

    Args:
        spool: temporary storage for the files.
    Raises:
        InvalidForm: the body is not a form, or is incomplete.
        TooLarge: a file, the texts or the number of parts exceed their limit.
    """
    settings = current_services().settings
    # A slow caller must not hold a transaction open.
    db.session.rollback()

    def begin(
        total_content_length: int | None,
        content_type: str | None,
        filename: str | None,
        content_length: int | None = None,
    ) -> Any:
        return spool.begin(f"The file {filename!r}")

    if request.mimetype != FORM:
        raise InvalidForm(f"The body must be {FORM}.")
    parser = FormDataParser(
        begin,
        max_form_memory_size=settings.MAX_JSON_BYTES,
        max_form_parts=settings.MAX_FILES + _SPARE_PARTS,
        silent=False,
    )
    try:
        _, texts, files = parser.parse(request.stream, FORM, request.content_length, request.mimetype_params)
    except RequestEntityTooLarge:
        raise TooLarge(
            f"The body may have {settings.MAX_REQUEST_BYTES} bytes, {settings.MAX_FILES + _SPARE_PARTS} parts and "
            f"{settings.MAX_JSON_BYTES} bytes of JSON.",
            hint="Send fewer or smaller files; the operator can raise MAX_REQUEST_BYTES, MAX_FILES and MAX_JSON_BYTES.",
        ) from None
    except ValueError:
        raise InvalidForm("The form is invalid or incomplete.") from None
    found = [
        Part(name, file.filename or "", file.stream.finish())  # type: ignore[attr-defined]  # made by `begin`
        for name, file in files.items(multi=True)
    ]
    # A browser sends an empty part for a file input without a file.
    return Parts([part for part in found if part.filename or part.content.size], list(texts.items(multi=True)))


@contextmanager
def space_body(
    schema: ma.Schema, read: Callable[[Spool], dict[str, Any]] | None = None, space: Space | None = None
) -> Iterator[SpaceBody]:
    """Reads the body of a Space request, as JSON or as a form; its files exist until the context ends.

    Args:
        schema: the schema of the body.
        read: parses the JSON, with long strings in a spool; None for an object without further checks.
        space: the Space that the request changes, or None.
    Yields:
        The body.
    Raises:
        InvalidJson: the JSON is invalid.
        InvalidForm: the form is invalid.
        TooLarge: a part of the body exceeds its limit.
    """
    services = current_services()
    with new_spool() as spool, Spool(services.instance / "incoming", services.settings.MAX_JSON_BYTES) as strings:
        raw = _read_form(schema, spool) if request.mimetype == FORM else (read or _read_object)(strings)
        files = raw.get("files")
        raw = {name: in_memory(value) for name, value in raw.items() if name != "files"}
        if isinstance(files, dict):
            raw["files"] = {path: _file(entry, spool) for path, entry in files.items()}
        elif files is not None:
            raw["files"] = in_memory(files)
        yield SpaceBody(raw, lambda: gather(services, current_account(), load_partly(schema, raw), spool, space))


def _read_form(schema: ma.Schema, spool: Spool) -> dict[str, Any]:
    parts = read_parts(spool)
    raw: dict[str, Any] = {}
    findings = []
    texts = list(parts.texts)
    texts += [(JSON_PART, part.content.read().decode("utf-8", "replace")) for part in parts.files if _is_body(part)]
    for name, text in texts:
        fields = _fields_of(schema, name, text)
        findings += [_twice(key) for key in raw.keys() & fields.keys()]
        raw |= fields
    files = dict(raw["files"]) if isinstance(raw.get("files"), dict) else {}
    for part in parts.files:
        if part.field == FIELD:
            findings += [_twice(FIELD)] if FIELD in raw else []
            raw[FIELD] = part.content
        elif not _is_body(part):
            findings += [_twice(field_of(part.filename))] if part.filename in files else []
            files[part.filename] = part.content
    if findings:
        raise InvalidForm(issues=findings)
    if files and isinstance(raw.get("files", {}), dict):
        raw["files"] = files
    return raw


def _is_body(part: Part) -> bool:
    return part.field == JSON_PART and part.content.size <= current_services().settings.MAX_JSON_BYTES


def _fields_of(schema: ma.Schema, name: str, text: str) -> dict[str, Any]:
    """Parses a part without a file: a single field of the request, or JSON with several fields."""
    if name in schema.fields:
        return {name: text if isinstance(schema.fields[name], ma.fields.String) else parse_json(text)}
    value = parse_json(text)
    if not isinstance(value, dict):
        raise InvalidForm(f"The part {name[:100]!r} must be a JSON object.")
    return value


def _twice(name: str) -> Finding:
    return Finding("duplicate_part", f"{name[:300]} was sent twice.", path=name, hint="Keep one of them.")


def _read_object(strings: Spool) -> dict[str, Any]:
    body = read_light(strings)
    if not isinstance(body, dict):
        raise InvalidJson("The body must be a JSON object.")
    return body


def _file(entry: Any, spool: Spool) -> Any:
    """Moves a long file from the JSON to the spool; an invalid one is returned unchanged, for the validation."""
    inside = isinstance(entry, dict) and entry.keys() <= {"content", "encoding"}
    text = entry.get("content") if inside else entry
    encoding = entry.get("encoding", "utf-8") if inside else "utf-8"
    if isinstance(text, LongText) and encoding in ("base64", "utf-8", "utf8"):
        try:
            return spool.add(_from_base64(text) if encoding == "base64" else (part.encode() for part in text.parts()))
        except (UnicodeEncodeError, binascii.Error):
            return in_memory(entry)
    return in_memory(entry)


def _from_base64(text: LongText) -> Iterator[bytes]:
    rest, ended = "", False
    for part in text.parts():
        whole = rest + part
        end = len(whole) // 4 * 4
        piece, rest = whole[:end], whole[end:]
        if ended and whole:
            raise binascii.Error
        ended = "=" in piece
        yield base64.b64decode(piece, validate=True)
    if rest:
        raise binascii.Error
