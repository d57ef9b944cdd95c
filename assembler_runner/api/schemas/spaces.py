"""The JSON that goes out: auto-schemas from the models, and what stands beside them."""

from __future__ import annotations

from typing import Any

import marshmallow as ma

from assembler_runner.api.schemas.base import AutoSchema, FindingSchema, Timestamp, Url, as_text
from assembler_runner.core.addresses import absolute_url
from assembler_runner.core.database import db
from assembler_runner.publishing.queue import expected_start, position
from assembler_runner.spaces.models import Event, RequestFile, Space, SpaceRequest


class FileSchema(AutoSchema):
    """One file of a request."""

    class Meta(AutoSchema.Meta):
        """From the model."""

        model = RequestFile
        fields: tuple[str, ...] = ("path", "size", "sha256", "origin")
        ordered = True


class PluginReference(ma.Schema):
    """Name and version of a plugin."""

    name = ma.fields.String()
    version = ma.fields.String()


class CommitSchema(ma.Schema):
    """A commit on the target."""

    oid = ma.fields.String()
    url = Url()


class FailureSchema(ma.Schema):
    """Why a request failed."""

    code = ma.fields.String()
    message = ma.fields.String()
    hint = ma.fields.String(allow_none=True)
    details = ma.fields.Dict(metadata={"description": "Only with foreign_commit: both commits and the difference."})


class FailureCauseSchema(ma.Schema):
    """One cause of failures."""

    code = ma.fields.String()
    count = ma.fields.Integer(metadata={"description": "How many requests failed for it."})
    message = ma.fields.String(metadata={"description": "Message of the newest one."})
    hint = ma.fields.String(allow_none=True)
    newest = Timestamp(metadata={"description": "When the newest one failed, UTC."})


class RefusedSchema(ma.Schema):
    """A request that could not be retried."""

    id = ma.fields.String()
    code = ma.fields.String()
    message = ma.fields.String()


class RetriedSchema(ma.Schema):
    """What became of a retry of all."""

    retried = ma.fields.List(ma.fields.String())
    refused = ma.fields.List(ma.fields.Nested(RefusedSchema))


class RequestSchema(AutoSchema):
    """One asked-for change of a Space."""

    class Meta(AutoSchema.Meta):
        """From the model."""

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

    plugin = ma.fields.Nested(PluginReference)
    tree_digest = ma.fields.Function(
        lambda request: request.tree_digest or None,
        metadata={"type": ["string", "null"], "description": "Digest over paths and contents of all files."},
    )
    files = ma.fields.List(ma.fields.Nested(FileSchema))
    commit = ma.fields.Nested(CommitSchema, allow_none=True)
    error = ma.fields.Nested(FailureSchema, allow_none=True)
    queue_position = ma.fields.Method(
        "place",
        metadata={"type": ["integer", "null"], "description": "Place in the queue, from 1; null if it does not wait."},
    )
    expected_start_at = ma.fields.Method(
        "start",
        metadata={
            "type": ["string", "null"],
            "format": "date-time",
            "description": "When it will be taken up, judged by the last ones; null if that is not known.",
        },
    )

    def place(self, request: SpaceRequest) -> int | None:
        """Returns the place in the queue."""
        return position(db.session(), request)

    def start(self, request: SpaceRequest) -> str | None:
        """Returns when it will be taken up."""
        moment = expected_start(db.session(), request, self.place(request))
        return None if moment is None else as_text(moment)


class ProblemSchema(ma.Schema):
    """Why the app of a Space does not run."""

    code = ma.fields.String(metadata={"description": "Stable name of the cause; unknown where none is known."})
    message = ma.fields.String(metadata={"description": "What happened."})
    hint = ma.fields.String(allow_none=True, metadata={"description": "What to do."})
    path = ma.fields.String(allow_none=True, metadata={"description": "The file of the Space it is about."})
    line = ma.fields.Integer(allow_none=True, metadata={"description": "Line in the file, from 1."})
    log_kind = ma.fields.String(allow_none=True, metadata={"description": "The log that tells it: build or run."})
    values = ma.fields.Dict(keys=ma.fields.String(), metadata={"description": "What was captured; untrusted text."})
    fix = ma.fields.Dict(allow_none=True, metadata={"description": "What to change: title, safe, edits, options."})
    excerpt = ma.fields.Dict(
        allow_none=True, metadata={"description": "The lines that tell it: text (untrusted), kind, line."}
    )
    evidence = ma.fields.List(ma.fields.Integer(), metadata={"description": "Numbers of the log's lines that decided."})
    confidence = ma.fields.Float(metadata={"description": "How sure the cause is, from 0 to 1."})


class LogLineSchema(ma.Schema):
    """One line of a log."""

    timestamp = Timestamp(allow_none=True, metadata={"description": "When it was written, UTC; null if not known."})
    text = ma.fields.String()


class LogMetaSchema(ma.Schema):
    """What stands beside a log."""

    total = ma.fields.Integer()
    limit = ma.fields.Integer()
    offset = ma.fields.Integer()
    schema = ma.fields.Dict()
    kind = ma.fields.String(validate=ma.validate.OneOf(("build", "run")))
    note = ma.fields.String(allow_none=True, metadata={"description": "Why lines are missing, or null."})


class LogSchema(ma.Schema):
    """The last lines of a log."""

    data = ma.fields.List(ma.fields.Nested(LogLineSchema))
    meta = ma.fields.Nested(LogMetaSchema)


class SpaceSchema(AutoSchema):
    """A Space."""

    class Meta(AutoSchema.Meta):
        """From the model."""

        model = Space
        include_fk = True
        fields = (
            "id",
            "name",
            "namespace",
            "url",
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
            "labels",
            "commit_oid",
            "foreign_oid",
            "expires_at",
            "created_at",
            "updated_at",
            "latest_request",
        )

    url = Url(allow_none=True, metadata={"description": "Where it can be seen; null until it is published."})
    labels = ma.fields.List(ma.fields.String())
    commit_oid = ma.fields.String(
        allow_none=True, metadata={"description": "Live commit, as last seen; the ETag of the Space."}
    )
    foreign_oid = ma.fields.String(
        allow_none=True, metadata={"description": "The same where somebody else made it; else null."}
    )
    problem = ma.fields.Nested(ProblemSchema, allow_none=True)
    latest_request = ma.fields.Nested(RequestSchema)


class EventSchema(AutoSchema):
    """One thing that happened to a Space, mostly for a request."""

    class Meta(AutoSchema.Meta):
        """From the model."""

        model = Event
        include_fk = True
        fields = ("id", "space_id", "request_id", "type", "message", "data", "created_at")

    data = ma.fields.Method("details", metadata={"type": "object", "description": "Details."})

    def details(self, event: Event) -> dict[str, Any]:
        """Returns the details, with addresses that work from outside."""
        data: dict[str, Any] = dict(event.data or {})
        if isinstance(data.get("commit"), dict):
            data["commit"] = {**data["commit"], "url": absolute_url(data["commit"].get("url"))}
        return data


class PreviewFileSchema(FileSchema):
    """One file of a preview."""

    class Meta(FileSchema.Meta):
        """The file with its content, where it was asked for."""

        fields: tuple[str, ...] = (*FileSchema.Meta.fields, "content", "encoding")

    content = ma.fields.String(metadata={"description": "Only with ?content=true."})
    encoding = ma.fields.String(metadata={"description": "utf-8 or base64."})


class PreviewSchema(ma.Schema):
    """What a request would publish."""

    files = ma.fields.List(ma.fields.Nested(PreviewFileSchema))
    findings = ma.fields.List(ma.fields.Nested(FindingSchema))
    tree_digest = ma.fields.String()


class TemplateSchema(ma.Schema):
    """A named starter app."""

    name = ma.fields.String()
    description = ma.fields.String()
    files = ma.fields.List(ma.fields.String(), metadata={"description": "Paths of its files."})
    parameters = ma.fields.Dict(metadata={"description": "JSON Schema of its parameters."})


class SpaceTypeSchema(ma.Schema):
    """A type of Space."""

    name = ma.fields.String()
    version = ma.fields.String()
    versions = ma.fields.List(ma.fields.String(), metadata={"description": "All versions there are, newest first."})
    sdk = ma.fields.String(metadata={"description": "What the Hub runs."})
    description = ma.fields.String()
    tags = ma.fields.List(ma.fields.String())
    options = ma.fields.Dict(metadata={"description": "JSON Schema of the options."})
    default_files = ma.fields.List(
        ma.fields.String(), metadata={"description": "Files that are made where none is given."}
    )
    templates = ma.fields.List(ma.fields.Nested(TemplateSchema), metadata={"description": "Named starter apps."})


class PluginSchema(ma.Schema):
    """A plugin that was found."""

    name = ma.fields.String()
    version = ma.fields.String(allow_none=True)
    source = ma.fields.String(
        allow_none=True, metadata={"description": "Where it was found; null for accounts that do not manage realms."}
    )
    state = ma.fields.String(validate=ma.validate.OneOf(("loaded", "broken")))
    error = ma.fields.String(allow_none=True)
    note = ma.fields.String(allow_none=True, metadata={"description": "What else is to be known of it."})


class CreateSpaceSchema(ma.Schema):
    """What the forerunner's endpoint answers."""

    message = ma.fields.String()
    url = ma.fields.String(allow_none=True)
    note = ma.fields.String()
    id = ma.fields.String()
    request_id = ma.fields.String()
    status_url = ma.fields.String(metadata={"description": "Only with 202."})


class FileDiffSchema(ma.Schema):
    """One file that would change."""

    path = ma.fields.String()
    diff = ma.fields.String(
        allow_none=True, metadata={"description": "Unified diff; null where a side is no text, or too large."}
    )


class DiffSchema(ma.Schema):
    """What would change."""

    added = ma.fields.List(ma.fields.Nested(FileDiffSchema))
    changed = ma.fields.List(ma.fields.Nested(FileDiffSchema))
    deleted = ma.fields.List(ma.fields.Nested(FileDiffSchema))


class BaseSchema(ma.Schema):
    """What is published now."""

    request_id = ma.fields.String(metadata={"description": "The request that published it."})
    commit_oid = ma.fields.String(allow_none=True)


class ChangePreviewSchema(PreviewSchema):
    """What a change would publish, and how that differs from what is published."""

    base = ma.fields.Nested(BaseSchema)
    diff = ma.fields.Nested(DiffSchema)


class BulkItemSchema(ma.Schema):
    """One Space that a command for many concerns."""

    id = ma.fields.String()
    name = ma.fields.String()
    request_id = ma.fields.String(allow_none=True, metadata={"description": "Null in a dry run."})


class BulkRefusedSchema(ma.Schema):
    """One Space for which the command is not possible."""

    id = ma.fields.String()
    name = ma.fields.String()
    code = ma.fields.String()
    message = ma.fields.String()


class BulkSchema(ma.Schema):
    """What a command for many Spaces does."""

    command = ma.fields.String()
    dry_run = ma.fields.Boolean()
    accepted = ma.fields.List(ma.fields.Nested(BulkItemSchema))
    refused = ma.fields.List(ma.fields.Nested(BulkRefusedSchema))
    left = ma.fields.Integer(metadata={"description": "How many more were found than are done at once."})
