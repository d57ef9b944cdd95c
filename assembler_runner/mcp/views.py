"""POST /mcp, what a client needs to sign in, and /llms.txt."""

from __future__ import annotations

from typing import Any

from flask import Blueprint, Response, g, jsonify, render_template, request

from assembler_runner.accounts.auth import current_account, public
from assembler_runner.accounts.models import Realm
from assembler_runner.accounts.permissions import ANY_ACCOUNT, requires
from assembler_runner.api.http.json_body import read_json
from assembler_runner.core.addresses import service_url
from assembler_runner.core.database import db
from assembler_runner.core.errors import InvalidJson, TooLarge
from assembler_runner.mcp.protocol import (
    INVALID_MESSAGE,
    PARSE_ERROR,
    ProtocolError,
    read_message,
    respond,
)
from assembler_runner.mcp.tools import TOOLS
from assembler_runner.mcp.untrusted import clean
from assembler_runner.services import current_services

blueprint = Blueprint("mcp", __name__, template_folder="templates")

METADATA = "/.well-known/oauth-protected-resource"
SCOPES = ["space_read", "space_create", "space_update", "space_delete"]
MARKDOWN = "text/markdown"


@blueprint.post("/mcp")
@requires(ANY_ACCOUNT)
def post_message() -> Response:
    """Takes one JSON-RPC message, and answers it as JSON."""
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


@blueprint.after_request
def name_metadata(response: Response) -> Response:
    """Tells a client without a token where it learns how to sign in (RFC 9728)."""
    if response.status_code == 401:
        response.headers["WWW-Authenticate"] = f'Bearer resource_metadata="{service_url()}{METADATA}/mcp"'
    return response


@blueprint.get(METADATA)
@blueprint.get(f"{METADATA}/mcp")
@public
def show_metadata() -> Response:
    """Describes /mcp as a protected resource (RFC 9728)."""
    base = service_url()
    return jsonify(
        {
            "resource": f"{base}/mcp",
            "resource_name": "Assembler",
            "authorization_servers": [base],
            "bearer_methods_supported": ["header"],
            "scopes_supported": SCOPES,
            "resource_documentation": f"{base}/llms.txt",
        }
    )


@blueprint.get("/llms.txt")
@public
def llms() -> Response:
    """Says in Markdown what this service is and how an agent uses it."""
    return Response(_text(), mimetype="text/plain")


@blueprint.before_app_request
def answer_with_markdown() -> Response | None:
    """Answers `/` with Markdown where that is what the caller asks for."""
    if request.path == "/" and request.method in ("GET", "HEAD") and wants_markdown():
        return Response(_text(), mimetype=MARKDOWN, headers={"Vary": "Accept"})
    return None


def wants_markdown() -> bool:
    """Returns whether the caller prefers Markdown to a page; a browser does not."""
    accepted = request.accept_mimetypes
    return MARKDOWN in accepted.values() and accepted[MARKDOWN] >= accepted["text/html"]


def _text() -> str:
    types = [plugin.space_type for plugin in current_services().registry.types()]
    return render_template("llms.txt", base=service_url(), types=types, tools=TOOLS)
