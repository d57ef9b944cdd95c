"""/auth/realms/{id}/git-credentials: what a realm reads private git repositories with."""

from __future__ import annotations

from typing import Any

from flask import Response, jsonify, make_response

from assembler_runner.accounts import git_credentials
from assembler_runner.accounts.auth import current_account
from assembler_runner.accounts.models import GitCredential
from assembler_runner.api.http.blueprint import Blueprint, fails, takes
from assembler_runner.api.http.json_body import load, read_object
from assembler_runner.api.schemas.base import list_of
from assembler_runner.api.schemas.git import GitCredentialInput, GitCredentialSchema
from assembler_runner.services import current_services

blueprint = Blueprint("git credentials", __name__, url_prefix="/auth", description="The git credentials of realms.")

_PATH = "/realms/<realm_id>/git-credentials"


@blueprint.get(_PATH)
@blueprint.needs("hub_credential_read")
@blueprint.doc(**fails(404))
@blueprint.response(200, list_of(GitCredentialSchema))
def list_git_credentials(realm_id: str) -> dict[str, Any]:
    """List the git credentials of the realm, without passwords"""
    rows = list(git_credentials.find(current_account(), realm_id))
    return {"data": rows, "meta": {"total": len(rows), "limit": len(rows), "offset": 0, "schema": {}}}


@blueprint.put(f"{_PATH}/<host>")
@blueprint.needs("hub_credential_manage")
@blueprint.doc(**takes(GitCredentialInput))
@blueprint.doc(**fails(400, 404, 422, 429))
@blueprint.response(200, GitCredentialSchema)
def set_git_credential(realm_id: str, host: str) -> GitCredential:
    """Set the realm's git credentials for a host

    They are used for `git` in POST /spaces: everybody who may create Spaces in the realm can read what they can read.
    """
    vault, account = current_services().vault, current_account()
    git_credentials.check_realm(account, realm_id)
    values = load(GitCredentialInput(), read_object())
    return git_credentials.store(vault, account, realm_id, host, values["username"], values["password"])


@blueprint.delete(f"{_PATH}/<host>")
@blueprint.needs("hub_credential_manage")
@blueprint.doc(**fails(404))
@blueprint.response(202, GitCredentialSchema)
def remove_git_credential(realm_id: str, host: str) -> Response:
    """Delete the realm's git credentials for a host"""
    shown = GitCredentialSchema().dump(git_credentials.find_one(current_account(), realm_id, host))
    git_credentials.remove(current_account(), realm_id, host)
    return make_response(jsonify(shown), 202)
