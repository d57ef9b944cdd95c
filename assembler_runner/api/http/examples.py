"""Examples of answers and errors in the OpenAPI document, for the operations of most use.

A test compares them with real answers, so that they have the same fields.
"""

from __future__ import annotations

from typing import Any

from apispec import APISpec

from assembler_runner.api.http.error_handlers import error_body
from assembler_runner.core.errors import (
    AssemblerError,
    Conflict,
    DatabaseUnavailable,
    Finding,
    Forbidden,
    InvalidRequest,
    NameTaken,
    NotFound,
    PreconditionFailed,
    TooLarge,
    TooManyRequests,
    Unauthorized,
)
from assembler_runner.core.listing import InvalidQuery

_SPACE, _REQUEST = "0b0e4b1c-5a0f-4f6e-9f44-0e6a3f9c2d11", "6d2f7f0a-9f0e-4d7b-8a55-1f1f0f7f6c22"
_REALM, _OWNER = "2f3a1c58-52b1-4f8e-9f8b-6a1f0d9e7c33", "9c1d2e3f-4a5b-4c6d-8e7f-0a1b2c3d4e44"
_OID = "4d8e29c67561e73fde46192b6822001301845f1e"
_AT, _LATER = "2026-03-01T12:00:00.000000Z", "2026-03-01T12:00:01.200000Z"
_DIGEST = "e2c6c0ea7c7900c31f953e48d30d5e839801ab90630d751e7c8426ed5859da47"
_PAGE = "https://huggingface.co/spaces/my-org/greeter"

FINDING: dict[str, Any] = {
    "code": "params_not_loaded",
    "severity": "info",
    "path": "params.js",
    "line": None,
    "message": "No page loads the parameters.",
    "hint": 'Add <script src="params.js"></script> to the page and read window.PARAMS.',
    "values": {},
    "fix": None,
}
FILES = [
    {"path": "README.md", "size": 119, "sha256": _DIGEST, "origin": "generated"},
    {"path": "index.html", "size": 14, "sha256": _DIGEST, "origin": "given"},
    {"path": "params.js", "size": 35, "sha256": _DIGEST, "origin": "generated"},
    {"path": "params.json", "size": 18, "sha256": _DIGEST, "origin": "generated"},
]
QUEUED: dict[str, Any] = {
    "id": _REQUEST,
    "space_id": _SPACE,
    "number": 1,
    "action": "create",
    "status": "queued",
    "space_type": "static",
    "plugin": {"name": "static", "version": "1.0.0"},
    "parameters": {"user": "x"},
    "options": {},
    "files": FILES,
    "tree_digest": _DIGEST,
    "commit": None,
    "git": None,
    "findings": [FINDING],
    "unchanged": False,
    "attempts": 0,
    "error": None,
    "on_failure": "delete",
    "queue_position": 1,
    "expected_start_at": None,
    "created_at": _AT,
    "updated_at": _AT,
    "started_at": None,
    "finished_at": None,
}
SUCCEEDED = {
    **QUEUED,
    "status": "succeeded",
    "commit": {"oid": _OID, "url": f"{_PAGE}/commit/{_OID}"},
    "attempts": 1,
    "queue_position": None,
    "started_at": _AT,
    "finished_at": _LATER,
    "updated_at": _LATER,
}
CREATING: dict[str, Any] = {
    "id": _SPACE,
    "name": "greeter",
    "namespace": "my-org",
    "url": _PAGE,
    "app_url": None,
    "target": "huggingface",
    "space_type": "static",
    "visibility": "public",
    "state": "creating",
    "state_since": _AT,
    "state_checked_at": None,
    "state_source": "service",
    "stage": None,
    "problem": None,
    "realm_id": _REALM,
    "owner_id": _OWNER,
    "publisher_id": None,
    "labels": ["course-2026"],
    "secret_names": None,
    "variables": {},
    "commit_oid": None,
    "foreign_oid": None,
    "expires_at": None,
    "created_at": _AT,
    "updated_at": _AT,
    "findings": [FINDING],
    "latest_request": QUEUED,
}
RUNNING = {
    **CREATING,
    "app_url": "https://my-org-greeter.static.hf.space",
    "state": "running",
    "state_since": _LATER,
    "state_checked_at": _LATER,
    "state_source": "target",
    "stage": "RUNNING",
    "secret_names": [],
    "commit_oid": _OID,
    "updated_at": _LATER,
    "latest_request": SUCCEEDED,
}
SPACE_TYPE: dict[str, Any] = {
    "name": "static",
    "version": "1.0.0",
    "versions": ["1.0.0"],
    "sdk": "static",
    "description": "Website of HTML, CSS and JavaScript files; needs an index.html.",
    "tags": ["html", "website"],
    "options": {"type": "object", "properties": {"title": {"type": "string"}}, "additionalProperties": False},
    "default_files": ["README.md"],
    "templates": [
        {
            "name": "landing",
            "title": "Landing",
            "description": "A page with headline, text and button.",
            "files": ["index.html", "page.js", "style.css"],
            "parameters": {"type": "object", "properties": {"headline": {"type": "string", "default": "Welcome"}}},
        }
    ],
}
TOKENS = {
    "access_token": "eyJhbGciOiJIUzI1NiJ9.e30.c2lnbmF0dXJl",
    "expires_in": 3600,
    "token_type": "Bearer",
    "scope": "global",
    "refresh_token": "eyJhbGciOiJIUzI1NiJ9.e30.cmVmcmVzaA",
}


def _list(row: dict[str, Any]) -> dict[str, Any]:
    return {"data": [row], "meta": {"total": 1, "limit": 50, "offset": 0, "schema": {}}}


ANSWERS: dict[str, tuple[str, dict[str, Any]]] = {
    "create_token": ("200", TOKENS),
    "submit_space": ("202", CREATING),
    "list_spaces": ("200", _list(RUNNING)),
    "get_space": ("200", RUNNING),
    "preview_space": ("200", {"files": FILES, "findings": [FINDING], "tree_digest": _DIGEST, "git": None}),
    "list_requests": ("200", _list(SUCCEEDED)),
    "get_request": ("200", SUCCEEDED),
    "list_space_types": ("200", _list(SPACE_TYPE)),
    "get_space_type": ("200", SPACE_TYPE),
}
"""operationId → status and body of a success."""

_SYNTAX = Finding(
    "syntax_error",
    "app.py is not valid Python: '(' was never closed.",
    path="app.py",
    line=2,
    hint="Fix the line and send the file again.",
)
_FILTER = Finding(
    "unknown_filter",
    "There is no filter nmae.",
    path="filter[nmae]",
    hint="Fields to filter by: created_at, name, state, …",
)
ERRORS: dict[str, AssemblerError] = {
    "400": InvalidQuery(issues=[_FILTER]),
    "401": Unauthorized(),
    "403": Forbidden(),
    "404": NotFound(),
    "409": Conflict(),
    "412": PreconditionFailed(),
    "413": TooLarge(),
    "422": InvalidRequest(issues=[_SYNTAX]),
    "429": TooManyRequests(),
    "503": DatabaseUnavailable(),
}
"""Status → an error with it."""

OWN_ERRORS: dict[tuple[str, str], AssemblerError] = {
    ("submit_space", "409"): NameTaken(hint="To change that Space: POST /spaces/{id}. Or choose another name."),
}


def add_examples(spec: APISpec) -> None:
    """Adds the examples to a finished document.

    Args:
        spec: the document.
    """
    for item in spec._paths.values():
        for operation in item.values():
            if isinstance(operation, dict) and "operationId" in operation:
                _add(operation["operationId"], operation.get("responses", {}))


def _add(name: str, responses: dict[str, Any]) -> None:
    status, body = ANSWERS.get(name, ("", {}))
    for code, response in responses.items():
        content = response.get("content", {}).get("application/json") if isinstance(response, dict) else None
        if content is None:
            continue
        if code == status:
            content["examples"] = _one(body)
        elif (error := OWN_ERRORS.get((name, code)) or ERRORS.get(code)) is not None and name != "create_space":
            content["examples"] = _one(error_body(error))


def _one(body: Any) -> dict[str, Any]:
    """Returns the only example of an answer: by name, since RapiDoc takes the fields of a plain one for names."""
    return {"answer": {"value": body}}
