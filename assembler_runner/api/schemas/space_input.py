"""Schemas of Space requests, and of commands for requests."""

from __future__ import annotations

import base64
import binascii
import re
from datetime import UTC, datetime
from typing import Any, ClassVar

import marshmallow as ma
from flask import has_app_context

from assembler_runner.api.schemas.git import NewGitInput
from assembler_runner.core.database import utcnow
from assembler_runner.core.errors import Finding
from assembler_runner.core.settings import current_settings
from assembler_runner.files.content import Content
from assembler_runner.files.paths import field_of
from assembler_runner.requests.sources import BucketReference, Given

HARDWARE = (
    "cpu-basic",
    "cpu-upgrade",
    "zero-a10g",
    "t4-small",
    "t4-medium",
    "l4x1",
    "l4x4",
    "l40sx1",
    "l40sx4",
    "l40sx8",
    "a10g-small",
    "a10g-large",
    "a10g-largex2",
    "a10g-largex4",
    "a100-large",
    "a100x4",
    "a100x8",
    "rtx-pro-6000",
    "rtx-pro-6000x2",
    "rtx-pro-6000x4",
    "rtx-pro-6000x8",
)
"""Hardware flavors (huggingface_hub 2.4, SpaceHardware)."""

# ASCII words with - and . between; starts and ends with a word character (huggingface_hub, validate_repo_id).
_NAME = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9_.-]{0,94}[A-Za-z0-9_])?")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,127}")


def check_name(name: str) -> None:
    """Checks the name of a Space or a namespace.

    Raises:
        marshmallow.ValidationError: the name is invalid.
    """
    if not _NAME.fullmatch(name) or "--" in name or ".." in name or name.endswith(".git"):
        raise ma.ValidationError(
            "Must be 1 to 96 letters, digits, '-', '_' or '.', start and end with a letter, a digit or '_', "
            "without '--' and '..', and not end with '.git'."
        )


def check_full_name(name: str) -> None:
    """Checks namespace/name.

    Raises:
        marshmallow.ValidationError: it is invalid.
    """
    namespace, slash, last = name.partition("/")
    if not slash:
        raise ma.ValidationError("Must be namespace/name.")
    check_name(namespace)
    check_name(last)


def check_variable(name: str) -> None:
    """Checks the name of an environment variable.

    Raises:
        marshmallow.ValidationError: the name is invalid.
    """
    if not _VARIABLE.fullmatch(name):
        raise ma.ValidationError("Must be letters, digits and '_', and not start with a digit.")


NO_FILES = "No files were sent: add at least one file, such as app.py."


class Files(ma.fields.Field[dict[str, Given]]):
    """Files by path: text, `{"content": …, "encoding": "utf-8" | "base64"}` or `{"bucket_file_id": …}`.

    Stored content, such as from a form, is accepted unchanged.
    """

    default_error_messages = {
        "required": NO_FILES,
        "null": NO_FILES,
        "invalid": "Must be an object that maps paths to contents.",
    }

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> dict[str, Given]:
        if not isinstance(value, dict):
            raise self.make_error("invalid")
        if has_app_context() and len(value) > (most := current_settings().MAX_FILES):
            # Counted before a million of them are read.
            message = f"There are {len(value)} files; at most {most} are taken."
            too_many = Finding("too_many_files", message, path=attr, hint="Send fewer files.")
            raise ma.ValidationError([too_many])
        contents: dict[str, Given] = {}
        findings = []
        for path, entry in value.items():
            content = _file_content(path, entry)
            if isinstance(content, Finding):
                findings.append(content)
            else:
                contents[path] = content
        if findings:
            raise ma.ValidationError(findings, valid_data=contents)
        return contents


class Archive(ma.fields.Field[Content | BucketReference]):
    """An archive as `{"bucket_file_id": …}`; stored content from a part of a form is accepted unchanged."""

    default_error_messages = {"invalid": 'Must be {{"bucket_file_id": "…"}}, or a part of a form.'}

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> Content | BucketReference:
        if isinstance(value, Content):
            return value
        reference = _reference(value)
        if reference is None:
            raise self.make_error("invalid")
        return reference


def _reference(entry: Any) -> BucketReference | None:
    if not isinstance(entry, dict) or set(entry) != {"bucket_file_id"} or not isinstance(entry["bucket_file_id"], str):
        return None
    return BucketReference(entry["bucket_file_id"])


def _file_content(path: str, entry: Any) -> Given | Finding:
    field = field_of(path.encode("utf-8", "backslashreplace").decode())
    hint = 'Send the text itself, {"content": "…", "encoding": "base64"}, or {"bucket_file_id": "…"}.'
    if isinstance(entry, Content):
        return entry
    if reference := _reference(entry):
        return reference
    if isinstance(entry, str):
        entry = {"content": entry}
    if not isinstance(entry, dict) or not isinstance(entry.get("content"), str):
        return Finding("invalid_file", "The content must be text.", path=field, hint=hint)
    if unknown := set(entry) - {"content", "encoding"}:
        return Finding("unknown_field", f"Unknown field: {', '.join(sorted(unknown))}.", path=field, hint=hint)
    encoding = entry.get("encoding", "utf-8")
    if encoding == "base64":
        try:
            return base64.b64decode(entry["content"], validate=True)
        except (binascii.Error, ValueError):
            return Finding(
                "invalid_base64",
                "The content is not valid base64.",
                path=f"{field}.content",
                hint="Encode the bytes with standard base64, padding included.",
            )
    if encoding not in ("utf-8", "utf8"):
        return Finding("invalid_encoding", "The encoding must be utf-8 or base64.", path=f"{field}.encoding", hint=hint)
    try:
        return str(entry["content"]).encode("utf-8")
    except UnicodeEncodeError:
        return Finding(
            "invalid_text",
            "The text contains a lone surrogate, which has no UTF-8 encoding.",
            path=field,
            hint="Send the bytes as base64.",
        )


class JsonObject(ma.fields.Dict):
    """Any JSON object."""

    default_error_messages = {"invalid": "Must be a JSON object."}


class Expiry(ma.fields.AwareDateTime):
    """A time in the future at which a Space is deleted automatically."""

    default_error_messages = {"past": "Must be in the future."}

    def __init__(self, **kwargs: Any) -> None:
        metadata = {"description": "When it is deleted automatically, such as 2026-12-31T12:00:00Z; null for never."}
        super().__init__(format="iso", default_timezone=UTC, allow_none=True, metadata=metadata, **kwargs)

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> datetime:
        expires_at = super()._deserialize(value, attr, data, **kwargs)
        if expires_at <= utcnow():
            raise self.make_error("past")
        return expires_at


BUCKET_FILE = {
    "type": "object",
    "required": ["bucket_file_id"],
    "properties": {"bucket_file_id": {"type": "string", "format": "uuid"}},
    "additionalProperties": False,
}
"""JSON Schema of a reference to a file in a bucket."""


def fixes_field() -> ma.fields.String:
    """Returns the field that chooses whether safe fixes are applied."""
    return ma.fields.String(
        validate=ma.validate.OneOf(("none", "safe")),
        metadata={"description": "safe: fixes that keep the meaning are applied before publishing; default none."},
    )


def allow_field() -> Any:
    """Returns the field with the codes of errors that may pass."""
    return ma.fields.List(
        ma.fields.String(validate=ma.validate.Length(1, 64)),
        validate=ma.validate.Length(max=50),
        metadata={
            "description": "Codes of error findings that may pass; see GET /findings for those that can be allowed.",
            "example": ["secret_in_file"],
        },
    )


def as_field() -> ma.fields.String:
    """Returns the field that chooses in whose name a Space is published."""
    return ma.fields.String(
        validate=ma.validate.OneOf(("me",)),
        metadata={
            "description": "me: published with the Hub account of the caller, who has signed in with Hugging Face; "
            "by default with the Hub token of the realm. Later changes of the Space keep it."
        },
    )


class SpaceInput(ma.Schema):
    """A Space request: files, parameters and a type; all fields but the files have a default."""

    example: ClassVar[dict[str, Any]] = {
        "space_type": "static",
        "files": {"index.html": '<h1>Hello</h1><script src="params.js"></script>'},
        "parameters": {"user": "x"},
    }

    class Meta:
        """Unknown fields are errors; `as` is a word of Python, so it cannot be declared like the others."""

        unknown = ma.RAISE
        include: ClassVar[dict[str, Any]] = {"as": as_field()}

    space_type = ma.fields.String(
        metadata={
            "description": "Type of the Space: `name`, or `name@version`; see GET /space-types. If left out, it is "
            "recognized from the files; gradio if it is not.",
            "example": "static",
        },
    )
    files = Files(
        metadata={
            "type": "object",
            "description": 'Path → text, path → {"content", "encoding": "base64"}, or path → {"bucket_file_id"}.',
            "additionalProperties": {
                "anyOf": [
                    {"type": "string"},
                    {
                        "type": "object",
                        "required": ["content"],
                        "properties": {
                            "content": {"type": "string"},
                            "encoding": {"type": "string", "enum": ["utf-8", "base64"]},
                        },
                        "additionalProperties": False,
                    },
                    BUCKET_FILE,
                ]
            },
            "example": {"index.html": "<h1>Hello</h1>"},
        },
    )
    fixes = fixes_field()
    allow = allow_field()
    archive = Archive(
        metadata={
            **BUCKET_FILE,
            "description": "A zip, tar, tar.gz or tar.zst file in a bucket; entries of files replace its files.",
        }
    )
    git = ma.fields.Nested(
        NewGitInput,
        metadata={"description": "A git repository that files are read from; entries of files replace its files."},
    )
    copy_of = ma.fields.String(
        validate=check_full_name,
        metadata={"description": "A Space of the Hub, as namespace/name, whose files are read and published."},
    )
    parameters = JsonObject(
        allow_none=True,
        metadata={"description": "Any JSON object; the value of the variable PARAMS.", "example": {"user": "x"}},
    )
    options = JsonObject(
        load_default=dict,
        metadata={"description": "Options of the type; see GET /space-types.", "example": {"title": "Greeter"}},
    )
    name = ma.fields.String(validate=check_name, metadata={"description": "Name of the Space; by default generated."})
    namespace = ma.fields.String(
        validate=check_name,
        metadata={"description": "User or organization to publish to; by default the token's own account."},
    )
    visibility = ma.fields.String(
        load_default="public",
        validate=ma.validate.OneOf(("public", "private", "protected")),
        metadata={"description": "Visibility; protected: the app is public, its code is not."},
    )
    target = ma.fields.String(
        validate=ma.validate.OneOf(("huggingface", "local", "flame")),
        metadata={"description": "Target of the Space; by default the service's default target."},
    )
    secrets = ma.fields.Dict(
        keys=ma.fields.String(validate=check_variable),
        values=ma.fields.String(),
        metadata={"description": "Secret environment variables; never shown again."},
    )
    variables = ma.fields.Dict(
        keys=ma.fields.String(validate=check_variable),
        values=ma.fields.String(),
        metadata={"description": "Public environment variables."},
    )
    hardware = ma.fields.String(validate=ma.validate.OneOf(HARDWARE), metadata={"description": "Hardware flavor."})
    sleep_time = ma.fields.Integer(
        strict=True,
        validate=ma.validate.Range(1, 10**8),
        metadata={"description": "Seconds without use until the app sleeps."},
    )
    labels = ma.fields.List(
        ma.fields.String(validate=ma.validate.Length(1, 64)),
        validate=ma.validate.Length(max=50),
        metadata={"description": "Words to find the Space by."},
    )
    expires_at = Expiry()
    on_failure = ma.fields.String(
        load_default="delete",
        validate=ma.validate.OneOf(("keep", "private", "delete")),
        metadata={"description": "What to do with the new, empty Space if the request fails."},
    )
    callback_url = ma.fields.String(
        metadata={
            "description": "URL that receives every event of this request, and state events of the Space until its "
            "next request; see POST /webhooks."
        },
    )
    callback_secret = ma.fields.String(
        metadata={"description": "`whsec_` and base64; signs messages to callback_url. Generated by default."}
    )
    verify = ma.fields.Boolean(
        metadata={
            "description": "Run the app on the service's machine first, and publish it only if it answers; else the "
            "request fails with the problem."
        }
    )
    template = ma.fields.String(
        metadata={"description": "Starter app of the type; then files is optional, and replaces files of the template."}
    )

    @ma.validates_schema(skip_on_field_errors=False, pass_original=True)
    def check_files(self, data: dict[str, Any], original: Any, **kwargs: Any) -> None:
        """Checks that the request has files, a template, a git repository or an archive."""
        others = {"template", "archive", "git", "copy_of"}
        if isinstance(original, dict) and not original.get("files", {}) and not others & set(original):
            raise ma.ValidationError({"files": [NO_FILES]})


class CommandInput(ma.Schema):
    """A command for a request."""

    class Meta:
        """Unknown fields are errors."""

        unknown = ma.RAISE

    command = ma.fields.String(required=True, validate=ma.validate.OneOf(("cancel", "retry")))


class RetryAllInput(ma.Schema):
    """A command for all failed requests."""

    class Meta:
        """Unknown fields are errors."""

        unknown = ma.RAISE

    command = ma.fields.String(required=True, validate=ma.validate.OneOf(("retry",)))
    code = ma.fields.String(metadata={"description": "Only requests that failed with this error code."})
