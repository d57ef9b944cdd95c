"""POST /mcp, what a client needs to sign in, and /llms.txt."""

from __future__ import annotations

from flask import Blueprint, Response, jsonify, render_template, request

from assembler_runner.accounts.auth import public
from assembler_runner.accounts.permissions import ANY_ACCOUNT, requires
from assembler_runner.core.addresses import service_url
from assembler_runner.services import current_services

blueprint = Blueprint("mcp", __name__, template_folder="templates")

METADATA = "/.well-known/oauth-protected-resource"
SCOPES = ["space_read", "space_create", "space_update", "space_delete"]
MARKDOWN = "text/markdown"


@blueprint.post("/mcp")
@requires(ANY_ACCOUNT)
def post_message() -> Response:
    """Takes one JSON-RPC message, and answers it as JSON."""
    # Imported here: most services never get such a message.
    from assembler_runner.mcp.messages import answer_message

    return answer_message()


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
    from assembler_runner.mcp.tools import TOOLS

    types = [plugin.space_type for plugin in current_services().registry.types()]
    return render_template("llms.txt", base=service_url(), types=types, tools=TOOLS)
