"""Schema of problems: why the app of a Space does not run."""

from __future__ import annotations

import marshmallow as ma

from assembler_runner.api.schemas.base import MappingSchema, Timestamp


class ProblemSchema(MappingSchema):
    """Why the app of a Space does not run."""

    code = ma.fields.String(metadata={"description": "Stable code of the cause, or `unknown`."})
    message = ma.fields.String(metadata={"description": "What happened."})
    hint = ma.fields.String(allow_none=True, metadata={"description": "What to do."})
    path = ma.fields.String(allow_none=True, metadata={"description": "The file of the Space that causes it."})
    line = ma.fields.Integer(allow_none=True, metadata={"description": "Line in the file, from 1."})
    log_kind = ma.fields.String(allow_none=True, metadata={"description": "The log with the evidence: build or run."})
    values = ma.fields.Dict(
        keys=ma.fields.String(), metadata={"description": "Captured values by name; untrusted text."}
    )
    fix = ma.fields.Dict(allow_none=True, metadata={"description": "Fix: title, safe, edits, options."})
    excerpt = ma.fields.Dict(allow_none=True, metadata={"description": "Relevant lines: text (untrusted), kind, line."})
    evidence = ma.fields.List(
        ma.fields.Integer(), metadata={"description": "Line numbers in the log that prove the cause."}
    )
    confidence = ma.fields.Float(metadata={"description": "Confidence in the cause, from 0 to 1."})
    source = ma.fields.String(
        metadata={"description": "Where it was read: build_log, run_log, target (its own words) or timeout."}
    )
    read_at = ma.fields.String(metadata={"format": "date-time", "description": "When it was read, UTC."})


class FailureCauseSchema(ma.Schema):
    """An error code with its failed requests."""

    code = ma.fields.String()
    count = ma.fields.Integer(metadata={"description": "Number of requests that failed with it."})
    message = ma.fields.String(metadata={"description": "Message of the newest failure."})
    hint = ma.fields.String(allow_none=True)
    newest = Timestamp(metadata={"description": "Time of the newest failure, UTC."})
