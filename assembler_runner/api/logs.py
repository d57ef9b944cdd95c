"""/spaces/{id}/logs: the logs of a Space's app as JSON, as text, and as a live stream."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from datetime import datetime
from typing import Any

from flask import Response, current_app, jsonify, request

from assembler_runner.accounts import tokens
from assembler_runner.accounts.auth import current_account
from assembler_runner.api.http.blueprint import Blueprint, fails
from assembler_runner.api.http.error_handlers import error_body
from assembler_runner.api.schemas.spaces import LogLineSchema, LogSchema
from assembler_runner.core.database import read_transaction
from assembler_runner.core.errors import AssemblerError, Finding
from assembler_runner.core.listing import InvalidQuery
from assembler_runner.requests import queries
from assembler_runner.runtime import logs
from assembler_runner.runtime.causes.problem import RUN
from assembler_runner.services import current_services
from assembler_runner.targets import LogLine

blueprint = Blueprint("logs", __name__, description="Build and run logs of the apps of Spaces.")

KEEP_ALIVE_SECONDS, POLL_SECONDS = 15.0, 1.0
JSON, TEXT, STREAM = "application/json", "text/plain", "text/event-stream"

_log, _line = LogSchema(), LogLineSchema()


@blueprint.get("/spaces/<space_id>/logs")
@blueprint.needs("space_read")
@blueprint.doc(
    parameters=[
        {
            "in": "query",
            "name": "kind",
            "schema": {"type": "string", "enum": list(logs.KINDS), "default": RUN},
            "description": "Which log.",
        },
        {
            "in": "query",
            "name": "tail",
            "schema": {"type": "integer", "minimum": 1, "maximum": logs.LONGEST_TAIL, "default": logs.DEFAULT_TAIL},
            "description": "Maximum number of existing lines.",
        },
        {
            "in": "header",
            "name": "Last-Event-ID",
            "schema": {"type": "string"},
            "description": "In a stream, only lines after this time.",
        },
    ],
    **fails(400, 404, 409, 429, 502, 503),
)
@blueprint.response(200, LogSchema)
def get_logs(space_id: str) -> Response:
    """Read a log of a Space

    `Accept: text/plain` returns only the lines. `Accept: text/event-stream` returns a live stream: events `line`, and
    finally one event `end` with a note, or `error`; `Last-Event-ID` resumes a stream. Secrets of the Space are
    redacted. If the target does not respond, the lines stored when the app failed are returned; `meta.note` says so.
    """
    space = queries.find_space(current_account(), space_id)
    kind, tail = _asked()
    wanted = request.accept_mimetypes.best_match([JSON, TEXT, STREAM], JSON)
    if wanted == STREAM:
        return _stream(logs.LiveLog(current_services(), space, kind, tail, current_account()), _last_seen())
    found = logs.read(current_services(), space, kind, tail)
    if wanted == TEXT:
        text = "".join(f"{line.text}\n" for line in found.lines)
        return Response(text, mimetype=TEXT, headers={"Cache-Control": "no-store"})
    meta = {"total": len(found.lines), "limit": tail, "offset": 0, "schema": {}, "kind": kind, "note": found.note}
    return jsonify(_log.dump({"data": found.lines, "meta": meta}))


def _asked() -> tuple[str, int]:
    findings = []
    kind, tail = request.args.get("kind", RUN), request.args.get("tail", str(logs.DEFAULT_TAIL))
    if kind not in logs.KINDS:
        findings.append(Finding("invalid_query", "There is no such log.", path="kind", hint="Use build or run."))
    if not (tail.isascii() and tail.isdigit() and len(tail) < 8 and 1 <= int(tail) <= logs.LONGEST_TAIL):
        message = f"tail must be a number from 1 to {logs.LONGEST_TAIL}."
        findings.append(Finding("invalid_query", message, path="tail"))
    if unknown := sorted(set(request.args) - {"kind", "tail"}):
        hint = "Use the parameters kind and tail."
        findings.append(Finding("invalid_query", f"There is no parameter {unknown[0]}.", path=unknown[0], hint=hint))
    if findings:
        raise InvalidQuery(issues=findings)
    return kind, int(tail)


def _last_seen() -> datetime | None:
    try:
        return datetime.fromisoformat(request.headers.get("Last-Event-ID", ""))
    except ValueError:
        return None


def _stream(log: logs.LiveLog, last_seen: datetime | None) -> Response:
    session_id, feed = current_account().session_id, current_services().feed
    app = current_app._get_current_object()  # type: ignore[attr-defined]  # the stream outlives the request's context

    def allowed() -> bool:
        with app.app_context(), read_transaction():
            return session_id is None or tokens.is_active(session_id)

    def generate() -> Iterator[str]:
        checked = sent_at = time.monotonic()
        yield ": the log follows\n\n"
        while not log.ended and not feed.closed:
            try:
                line = log.read(POLL_SECONDS)
            except AssemblerError as problem:
                yield _event("error", error_body(problem))
                return
            now = time.monotonic()
            if line:
                sent_at = now
                if not (last_seen and line.timestamp and line.timestamp <= last_seen):
                    yield _event("line", _shown(line), line.timestamp)
            elif now - sent_at >= KEEP_ALIVE_SECONDS:
                # Only a write detects that the client has disconnected.
                sent_at = now
                yield ": keep-alive\n\n"
            if now - checked >= KEEP_ALIVE_SECONDS:
                checked = now
                # The stream ends with the session of its caller.
                if not allowed():
                    return
        yield _event("end", {"note": log.note})

    headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
    response = Response(generate(), mimetype=STREAM, headers=headers)
    response.call_on_close(log.close)
    return response


def _shown(line: LogLine) -> dict[str, Any]:
    return dict(_line.dump(line))


def _event(name: str, data: dict[str, Any], timestamp: datetime | None = None) -> str:
    number = f"id: {timestamp.isoformat()}\n" if timestamp else ""
    return f"{number}event: {name}\ndata: {json.dumps(data)}\n\n"
