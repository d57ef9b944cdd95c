"""Schemas of responses about Spaces, requests, logs, events and space types."""

from __future__ import annotations

from typing import Any

import marshmallow as ma

from assembler_runner.api.schemas.app_urls import app_url, load_app_urls
from assembler_runner.api.schemas.base import AutoSchema, FindingSchema, Timestamp, Url, as_text
from assembler_runner.api.schemas.git import GitSourceSchema
from assembler_runner.api.schemas.problems import ProblemSchema
from assembler_runner.core.addresses import absolute_url
from assembler_runner.core.database import db
from assembler_runner.publishing.queue import expected_start, position
from assembler_runner.spaces.models import Event, RequestFile, Space, SpaceRequest


class FileSchema(AutoSchema):
    """A file of a request."""

    class Meta(AutoSchema.Meta):
        """Fields from the model."""

        model = RequestFile
        fields: tuple[str, ...] = ("path", "size", "sha256", "origin")
        ordered = True


class PluginReference(ma.Schema):
    """Name and version of a plugin."""

    name = ma.fields.String(metadata={"description": "Type of the plugin."})
    version = ma.fields.String(metadata={"description": "Its version when the files were assembled."})


class CommitSchema(ma.Schema):
    """A commit on the target."""

    oid = ma.fields.String(metadata={"description": "SHA-1 of the commit."})
    url = Url(metadata={"description": "Its page on the target."})


class FailureSchema(ma.Schema):
    """Why a request failed."""

    code = ma.fields.String(metadata={"description": "Stable code, for programs."})
    message = ma.fields.String(metadata={"description": "What happened."})
    hint = ma.fields.String(allow_none=True, metadata={"description": "What to do next."})
    details = ma.fields.Dict(metadata={"description": "Only with foreign_commit: both commits and the differences."})


class RefusedSchema(ma.Schema):
    """A request that could not be retried."""

    id = ma.fields.String(metadata={"description": "The request."})
    code = ma.fields.String(metadata={"description": "Stable code of the error."})
    message = ma.fields.String(metadata={"description": "Why it was not queued."})


class RetriedSchema(ma.Schema):
    """The result of a retry of all failed requests."""

    retried = ma.fields.List(
        ma.fields.String(), metadata={"description": "Ids of the requests that were queued again."}
    )
    refused = ma.fields.List(ma.fields.Nested(RefusedSchema), metadata={"description": "Those that were not."})


class RequestSchema(AutoSchema):
    """A requested change of a Space."""

    class Meta(AutoSchema.Meta):
        """Fields from the model."""

        model = SpaceRequest
        include_fk = True
        fields = (
            "id",
            "space_id",
            "number",
            "action",
            "status",
            "space_type",
            "plugin",
            "parameters",
            "options",
            "files",
            "tree_digest",
            "commit",
            "git",
            "findings",
            "unchanged",
            "attempts",
            "error",
            "on_failure",
            "queue_position",
            "expected_start_at",
            "created_at",
            "updated_at",
            "started_at",
            "finished_at",
        )

    plugin = ma.fields.Nested(PluginReference, metadata={"description": "The plugin that assembled the files."})
    tree_digest = ma.fields.Function(
        lambda request: request.tree_digest or None,
        metadata={"type": ["string", "null"], "description": "Digest over paths and contents of all files."},
    )
    files = ma.fields.List(ma.fields.Nested(FileSchema), metadata={"description": "The complete tree."})
    commit = ma.fields.Nested(
        CommitSchema, allow_none=True, metadata={"description": "The published commit; null before."}
    )
    git = ma.fields.Nested(
        GitSourceSchema,
        allow_none=True,
        attribute="change.git",
        dump_default=None,
        metadata={"description": "The commit that files were read from, or null."},
    )
    findings = ma.fields.List(
        ma.fields.Nested(FindingSchema), metadata={"description": "Warnings and notes about the tree."}
    )
    error = ma.fields.Nested(
        FailureSchema, allow_none=True, metadata={"description": "Why it failed; null if it did not."}
    )
    queue_position = ma.fields.Method(
        "place",
        metadata={
            "type": ["integer", "null"],
            "description": "Position in the queue, from 1 to at most 10001; null if it is not queued.",
        },
    )
    expected_start_at = ma.fields.Method(
        "start",
        metadata={
            "type": ["string", "null"],
            "format": "date-time",
            "description": "Estimated start, from the rate of recent requests; null if not known.",
        },
    )

    def place(self, request: SpaceRequest) -> int | None:
        """Returns the position in the queue."""
        return position(db.session(), request)

    def start(self, request: SpaceRequest) -> str | None:
        """Returns the estimated start."""
        expected = expected_start(db.session(), request, self.place(request))
        return None if expected is None else as_text(expected)


class FindingRuleSchema(ma.Schema):
    """A code of findings."""

    code = ma.fields.String(metadata={"description": "Stable code, for programs."})
    severity = ma.fields.String(metadata={"description": "error, warning or info."})
    topic = ma.fields.String(metadata={"description": "Subject of the check."})
    explanation = ma.fields.String(metadata={"description": "Description of the problem and its reason."})
    example = ma.fields.String(metadata={"description": "An input that causes it."})
    has_fix = ma.fields.Boolean(metadata={"description": "Whether findings may have a fix."})
    allowable = ma.fields.Boolean(metadata={"description": "Whether `allow` accepts this code."})


class LogLineSchema(ma.Schema):
    """A line of a log."""

    timestamp = Timestamp(allow_none=True, metadata={"description": "When it was written, UTC; null if not known."})
    text = ma.fields.String(metadata={"description": "The line, with secrets redacted."})


class LogMetaSchema(ma.Schema):
    """Metadata of a log."""

    total = ma.fields.Integer(metadata={"description": "Number of lines."})
    limit = ma.fields.Integer(metadata={"description": "Maximum number of lines."})
    offset = ma.fields.Integer(metadata={"description": "Always 0."})
    schema = ma.fields.Dict(metadata={"description": "Always empty."})
    kind = ma.fields.String(validate=ma.validate.OneOf(("build", "run")), metadata={"description": "Which log."})
    note = ma.fields.String(allow_none=True, metadata={"description": "Why lines are missing, or null."})


class LogSchema(ma.Schema):
    """The last lines of a log."""

    data = ma.fields.List(ma.fields.Nested(LogLineSchema), metadata={"description": "The lines, oldest first."})
    meta = ma.fields.Nested(LogMetaSchema, metadata={"description": "About the log."})


class SpaceSchema(AutoSchema):
    """A Space."""

    class Meta(AutoSchema.Meta):
        """Fields from the model."""

        model = Space
        include_fk = True
        fields = (
            "id",
            "name",
            "namespace",
            "url",
            "app_url",
            "target",
            "space_type",
            "visibility",
            "state",
            "state_since",
            "state_checked_at",
            "state_source",
            "stage",
            "problem",
            "realm_id",
            "owner_id",
            "publisher_id",
            "labels",
            "secret_names",
            "variables",
            "commit_oid",
            "foreign_oid",
            "expires_at",
            "created_at",
            "updated_at",
            "findings",
            "latest_request",
        )

    findings = ma.fields.List(
        ma.fields.Nested(FindingSchema),
        attribute="latest_request.findings",
        metadata={"description": "Findings about the tree of the latest request."},
    )
    url = Url(
        allow_none=True,
        metadata={"description": "Current or future URL of the Space; null if the namespace is not known yet."},
    )

    @ma.pre_dump(pass_collection=True)
    def load_app_urls(self, data: Any, many: bool, **kwargs: Any) -> Any:
        """Reads the addresses of the apps of a list at once."""
        if many:
            load_app_urls(data)
        return data

    app_url = ma.fields.Function(
        app_url,
        metadata={
            "type": ["string", "null"],
            "description": "URL of the running app, if this service runs it; see POST /spaces/{id}/open for private "
            "ones.",
        },
    )
    labels = ma.fields.List(ma.fields.String(), metadata={"description": "Labels to filter by."})
    secret_names = ma.fields.List(
        ma.fields.String(),
        allow_none=True,
        metadata={"description": "Names of its secrets, never values; null if not known."},
    )
    variables = ma.fields.Function(
        lambda space: space.variables or {},
        metadata={
            "type": "object",
            "additionalProperties": {"type": "string"},
            "description": "Its public environment variables.",
        },
    )
    commit_oid = ma.fields.String(allow_none=True, metadata={"description": "Live commit at the last probe; the ETag."})
    foreign_oid = ma.fields.String(
        allow_none=True, metadata={"description": "The live commit if it is foreign; else null."}
    )
    problem = ma.fields.Nested(
        ProblemSchema, allow_none=True, metadata={"description": "Why the app does not run; null if it does."}
    )
    latest_request = ma.fields.Nested(RequestSchema, metadata={"description": "The newest request."})


class EventSchema(AutoSchema):
    """An event of a Space, usually of one of its requests."""

    class Meta(AutoSchema.Meta):
        """Fields from the model."""

        model = Event
        include_fk = True
        fields = ("id", "space_id", "request_id", "type", "message", "data", "created_at")

    data = ma.fields.Method("details", metadata={"type": "object", "description": "Details."})

    def details(self, event: Event) -> dict[str, Any]:
        """Returns the details, with absolute URLs."""
        data: dict[str, Any] = dict(event.data or {})
        if isinstance(data.get("commit"), dict):
            data["commit"] = {**data["commit"], "url": absolute_url(data["commit"].get("url"))}
        return data


class PreviewFileSchema(FileSchema):
    """A file of a preview."""

    class Meta(FileSchema.Meta):
        """The fields of a file, and its content if requested."""

        fields: tuple[str, ...] = (*FileSchema.Meta.fields, "content", "encoding")

    content = ma.fields.String(metadata={"description": "Only with ?content=true."})
    encoding = ma.fields.String(metadata={"description": "utf-8 or base64."})


class PreviewSchema(ma.Schema):
    """The tree that a request would publish."""

    files = ma.fields.List(ma.fields.Nested(PreviewFileSchema), metadata={"description": "The complete tree."})
    findings = ma.fields.List(ma.fields.Nested(FindingSchema), metadata={"description": "All problems and remarks."})
    tree_digest = ma.fields.String(metadata={"description": "Digest of all paths and contents."})
    git = ma.fields.Nested(
        GitSourceSchema, allow_none=True, metadata={"description": "The commit that files were read from, or null."}
    )


class CreateSpaceSchema(ma.Schema):
    """The response of POST /create-space."""

    message = ma.fields.String(metadata={"description": "What happened."})
    url = ma.fields.String(
        allow_none=True,
        metadata={"description": "Where the Space is; null only if the account of the token is not known yet."},
    )
    note = ma.fields.String(metadata={"description": "What happens next."})
    id = ma.fields.String(metadata={"description": "The Space."})
    request_id = ma.fields.String(metadata={"description": "The request."})
    findings = ma.fields.List(ma.fields.Nested(FindingSchema), metadata={"description": "Warnings and notes."})
    status_url = ma.fields.String(metadata={"description": "Only with 202."})


class FileDiffSchema(ma.Schema):
    """A file that would change."""

    path = ma.fields.String(metadata={"description": "The file."})
    diff = ma.fields.String(allow_none=True, metadata={"description": "Unified diff; null if not text or too large."})


class DiffSchema(ma.Schema):
    """The files that would change."""

    added = ma.fields.List(ma.fields.Nested(FileDiffSchema), metadata={"description": "New files."})
    changed = ma.fields.List(ma.fields.Nested(FileDiffSchema), metadata={"description": "Files with another content."})
    deleted = ma.fields.List(ma.fields.Nested(FileDiffSchema), metadata={"description": "Files that would be deleted."})


class BaseSchema(ma.Schema):
    """The published release."""

    request_id = ma.fields.String(metadata={"description": "The request that published it."})
    commit_oid = ma.fields.String(allow_none=True, metadata={"description": "The commit that the change is based on."})


class ChangePreviewSchema(PreviewSchema):
    """The tree that an update would publish, and the differences from the published release."""

    base = ma.fields.Nested(BaseSchema, metadata={"description": "What the change is based on."})
    diff = ma.fields.Nested(DiffSchema, metadata={"description": "Differences from the published tree."})


class BulkItemSchema(ma.Schema):
    """A Space for which a bulk command was accepted."""

    id = ma.fields.String(metadata={"description": "The Space."})
    name = ma.fields.String(metadata={"description": "Its name."})
    request_id = ma.fields.String(allow_none=True, metadata={"description": "Null in a dry run."})


class BulkRefusedSchema(ma.Schema):
    """A Space for which a bulk command is not possible."""

    id = ma.fields.String(metadata={"description": "The Space."})
    name = ma.fields.String(metadata={"description": "Its name."})
    code = ma.fields.String(metadata={"description": "Stable code of the error."})
    message = ma.fields.String(metadata={"description": "Why it was refused."})


class BulkSchema(ma.Schema):
    """The result of a bulk command."""

    command = ma.fields.String(metadata={"description": "The command."})
    dry_run = ma.fields.Boolean(metadata={"description": "Whether nothing was done."})
    accepted = ma.fields.List(ma.fields.Nested(BulkItemSchema), metadata={"description": "Spaces it applies to."})
    refused = ma.fields.List(
        ma.fields.Nested(BulkRefusedSchema), metadata={"description": "Spaces it does not apply to."}
    )
    left = ma.fields.Integer(metadata={"description": "Number of matching Spaces beyond the limit of one call."})
