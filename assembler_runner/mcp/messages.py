"""One JSON-RPC message over HTTP: who may send it, and its answer."""

from __future__ import annotations

from typing import Any

from flask import Response, g, jsonify, request

from assembler_runner.accounts.auth import current_account
from assembler_runner.accounts.models import Realm
from assembler_runner.api.http.json_body import read_json
from assembler_runner.core.addresses import service_url
from assembler_runner.core.database import db
from assembler_runner.core.errors import InvalidJson, TooLarge
from assembler_runner.mcp.protocol import INVALID_MESSAGE, PARSE_ERROR, ProtocolError, read_message, respond
from assembler_runner.mcp.untrusted import clean
from assembler_runner.services import current_services


def answer_message() -> Response:
    """Answers the message in the body of the current call."""
    message_id: Any = None
    try:
        if not _is_allowed_origin():
            raise ProtocolError(INVALID_MESSAGE, "This origin is not allowed.", 403)
        if not _allows_agents():
            raise ProtocolError(INVALID_MESSAGE, "The realm of this account does not allow agents.", 403)
        body = _body()
        message_id = body.get("id") if isinstance(body, dict) else None
        message = read_message(body, request.headers)
        if message.id is None:
            return Response(status=202)
        # For the audit log; a client may also be named by its program.
        g.client = clean(message.client or request.headers.get("User-Agent") or "")[:80]
        result = respond(current_services(), current_account(), message)
    except ProtocolError as problem:
        response = jsonify(problem.to_json(message_id))
        response.status_code = problem.status
        return response
    response = jsonify({"jsonrpc": "2.0", "id": message.id, "result": result})
    response.headers["Cache-Control"] = "no-store"
    return response


def _body() -> Any:
    try:
        return read_json()
    except InvalidJson as problem:
        raise ProtocolError(PARSE_ERROR, problem.message) from None
    except TooLarge as problem:
        raise ProtocolError(INVALID_MESSAGE, f"{problem.message} {problem.hint}", 413) from None


def _is_allowed_origin() -> bool:
    """Whether a page may call: one of this service or of a configured origin; programs send no Origin."""
    origin = request.headers.get("Origin")
    return origin is None or origin in (service_url(), *current_services().settings.cors_origins)


def _allows_agents() -> bool:
    realm = db.session.get(Realm, current_account().realm_id)
    return realm is not None and realm.allow_agents
